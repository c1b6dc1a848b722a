//! What keeps `verify` going where somebody changed the database so that it refuses an answer: what cannot be done is told as a
//! difference, and the rest is checked all the same.

use projections::Batch;
use sqlx::{Connection, PgConnection};

use super::catch_up::refusal_of_the_data;
use super::replay::{self, Step};

/// How many positions one step takes, unless something is refused.
const MOST: i64 = 5_000;

/// A fold that passes over events which the tables refuse.
#[derive(Debug)]
pub(super) struct CarefulFold {
    /// How many positions the next step takes.
    at_once: i64,
    /// What was passed over, and why.
    pub refused: Vec<(i64, String)>,
}

impl Default for CarefulFold {
    fn default() -> Self {
        Self {
            at_once: MOST,
            refused: Vec::new(),
        }
    }
}

impl CarefulFold {
    /// [`replay::step`], in smaller and smaller parts down to the event that is refused, which is only read.
    ///
    /// # Errors
    /// What the database answers, but for refusals.
    pub async fn step(
        &mut self,
        connection: &mut PgConnection,
        batch: &mut Batch,
        after: i64,
        up_to: Option<i64>,
    ) -> Result<Step, sqlx::Error> {
        loop {
            let limit = if self.at_once < MOST {
                let reach = next(connection, after).await? - 1 + self.at_once;
                Some(up_to.map_or(reach, |up_to| up_to.min(reach)))
            } else {
                up_to
            };
            let mut savepoint = connection.begin().await?;
            match replay::step(&mut savepoint, batch, after, limit).await {
                Ok(step) => {
                    savepoint.commit().await?;
                    self.at_once = (self.at_once * 2).min(MOST);
                    return Ok(step);
                }
                Err(error) => {
                    let reason = refusal_of_the_data(&error).ok_or(error)?;
                    savepoint.rollback().await?;
                    *batch = batch.anew();
                    if self.at_once > 1 {
                        self.at_once /= 2;
                        continue;
                    }
                    let (step, _) =
                        replay::read(connection, after, limit.unwrap_or(i64::MAX)).await?;
                    self.refused.push((step.last, reason));
                    return Ok(step);
                }
            }
        }
    }
}

/// The next position that there is an event at.
async fn next(connection: &mut PgConnection, after: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT coalesce(min(position), $1 + 1) FROM public.events WHERE position > $1",
    )
    .bind(after)
    .fetch_one(connection)
    .await
}

/// Makes a check of what is stored in a table; where the stored values are such that it breaks off, that is what is found.
///
/// # Errors
/// What the database answers, but for what the stored values are to blame for.
pub(super) async fn check(
    connection: &mut PgConnection,
    table: &str,
    check: impl AsyncFnOnce(&mut PgConnection) -> Result<Vec<String>, sqlx::Error>,
) -> Result<Vec<String>, sqlx::Error> {
    let mut savepoint = connection.begin().await?;
    match check(&mut savepoint).await {
        Ok(found) => {
            savepoint.commit().await?;
            Ok(found)
        }
        Err(error) => {
            let reason = why_not(&error).ok_or(error)?;
            savepoint.rollback().await?;
            Ok(vec![format!("{table}: cannot be compared: {reason}")])
        }
    }
}

/// Why nothing came of it, when it is what is stored; without values, which may tell about a person.
fn why_not(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::RowNotFound => Some("a row is missing".to_owned()),
        sqlx::Error::ColumnDecode { index, .. } => Some(format!("column {index} cannot be read")),
        sqlx::Error::Decode(_) => Some("a value cannot be read".to_owned()),
        sqlx::Error::Database(refused) => {
            let code = refused.code()?;
            // Something that should be there is not (42), besides what is wrong with the data.
            let missing = code.starts_with("42") && code != "42501";
            let reason = refusal_of_the_data(error);
            reason.or_else(|| missing.then(|| code.into_owned()))
        }
        _ => None,
    }
}
