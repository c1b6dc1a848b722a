//! Makes spans of counters (`projections::count_spans`) of companies with many of them, in the background.
//!
//! When it is looked for them: [`super::zone_maps`].

use std::time::{Duration, Instant};

use projections::count_spans::build::{self, Sizes};
use sqlx::{Connection, Executor, PgPool};

use super::zone_maps;

/// For so many times as long as it took to look for counters that changed it is not done again.
const REST_TIMES: u32 = 50;

/// How far it was looked.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What changed up to this position is dealt with.
    position: i64,
    /// For how long it rests after it looked last.
    rest: Option<(Instant, Duration)>,
}

/// Makes the spans of counters many of which have changed since theirs were made.
pub(super) async fn look_around(pool: &PgPool, seen: &mut Seen) -> Result<(), sqlx::Error> {
    if seen
        .rest
        .is_some_and(|(since, rest)| since.elapsed() < rest)
    {
        return Ok(());
    }
    let begun = Instant::now();
    let made = make(pool, seen).await;
    seen.rest = Some((Instant::now(), begun.elapsed() * REST_TIMES));
    made
}

async fn make(pool: &PgPool, seen: &mut Seen) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    if zone_maps::imports_are_under_way(&mut connection).await? {
        return Ok(());
    }
    let (position, wanted) = build::wanted(&mut connection, seen.position, Sizes::USUAL).await?;
    for (company, counters) in wanted {
        let mut transaction = connection.begin().await?;
        // With hashed groups the arrays of all spans would be in memory at once.
        transaction
            .execute(
                "SET LOCAL statement_timeout = '10min'; SET LOCAL work_mem = '32MB'; SET LOCAL jit = off; \
                 SET LOCAL enable_hashagg = off",
            )
            .await?;
        let made = build::refresh(&mut transaction, company, counters, Sizes::USUAL).await?;
        transaction.commit().await?;
        if made > 0 {
            let (company, counters) = (company.get(), counters.table());
            tracing::debug!(company, counters, made, "put counters of the past together");
        }
    }
    seen.position = position;
    Ok(())
}
