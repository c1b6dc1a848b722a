//! Keeps the fold of `verify` quick where rows change again and again: its temporary tables are written anew when they have got many more
//! replaced rows than rows.
//!
//! The fold is one transaction, in which PostgreSQL cannot clear away what the transaction itself replaced: whoever looks for a row
//! that was changed ten thousand times passes ten thousand of its former selves. Counters are such rows, when imports overwrite leads.
//!
//! Not here: what the tables hold, which stays the same, nor the versions that [`verify_versions`](super::verify_versions) keeps beside them.

use projections::Table;
use sqlx::{Executor, PgConnection};

/// After so many steps it is looked whether tables are to be written anew.
const EVERY: u32 = 16;
/// So many replaced rows are let be in the smallest table.
const LET_BE: i64 = 500;
/// So many for each of its rows in every table: writing it anew takes less than the changes before it did.
const LET_BE_EACH: i64 = 2;

/// Counts the fold's steps.
#[derive(Debug)]
pub(super) struct Compaction {
    tables: Vec<&'static str>,
    steps: u32,
}

impl Compaction {
    /// For the temporary tables of these names.
    pub fn of(tables: &[Table]) -> Self {
        Self {
            tables: tables.iter().map(|table| table.name).collect(),
            steps: 0,
        }
    }

    /// To be called after every step, in no savepoint: what was made in another is emptied by a file more each time.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn after_step(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.steps += 1;
        if self.steps < EVERY {
            return Ok(());
        }
        self.steps = 0;
        let full: Vec<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class \
             WHERE relnamespace = pg_my_temp_schema() AND relname = ANY($1) \
             AND pg_stat_get_xact_tuples_updated(oid) + pg_stat_get_xact_tuples_deleted(oid) \
                 > $2 + $3 * (pg_stat_get_xact_tuples_inserted(oid) - pg_stat_get_xact_tuples_deleted(oid))",
        )
        .bind(&self.tables)
        .bind(LET_BE)
        .bind(LET_BE_EACH)
        .fetch_all(&mut *connection)
        .await?;
        for name in full {
            let anew = write_anew(&name);
            connection.execute(anew.as_str()).await?;
        }
        Ok(())
    }
}

/// SQL that writes a temporary table anew. An emptied table's counts of changes begin at none again.
fn write_anew(name: &str) -> String {
    format!(
        "SET LOCAL leadledger.writes_anew = 'yes';
         CREATE TEMP TABLE IF NOT EXISTS anew_{name} (LIKE pg_temp.{name});
         INSERT INTO pg_temp.anew_{name} SELECT * FROM pg_temp.{name};
         TRUNCATE pg_temp.{name};
         INSERT INTO pg_temp.{name} SELECT * FROM pg_temp.anew_{name};
         TRUNCATE pg_temp.anew_{name};
         SET LOCAL leadledger.writes_anew = '';"
    )
}
