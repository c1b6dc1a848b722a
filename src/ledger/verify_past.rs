//! Whether the past that readers are shown is that of the ledger: at a few positions on its way, `verify` compares what it has
//! folded so far with what the schema `as_of` shows there.
//!
//! This proves that readers are shown the versions that there are. That these are the right ones is for
//! `verify_versions`, except for tables with too many: of those a version that was changed is found here
//! when it held at one of these positions. All positions would cost a comparison of every table for each.

use projections::Table;
use sqlx::PgConnection;

use super::likenesses::Unknown;
use super::verify::{self, Findings, Sides};
use super::verify_kept;

/// The positions: this many, in equal distances.
const MOMENTS: i64 = 4;

/// Where the past is looked at: ends of commits, in their order, since versions are kept.
///
/// # Errors
/// What the database answers.
pub(super) async fn moments(connection: &mut PgConnection) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT DISTINCT public.ledger_commit_end(h.position * n / ($1 + 1)) AS p \
         FROM public.ledger_head h, past.beginning b, generate_series(1, $1) AS n \
         WHERE public.ledger_commit_end(h.position * n / ($1 + 1)) >= greatest(b.position, 1) ORDER BY p",
    )
    .bind(MOMENTS)
    .fetch_all(connection)
    .await
}

/// Compares the past as of this position with the temporary tables, which are folded up to it.
///
/// Left out is what a fold does not know any more: whom erased leads were like.
///
/// # Errors
/// What the database answers.
pub async fn compare(
    connection: &mut PgConnection,
    tables: &[Table],
    unknown: &Unknown,
    position: i64,
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT set_config('leadledger.as_of', $1::text, true), set_config('leadledger.as_of_under', '{}', true), \
         set_config('leadledger.as_of_at', (SELECT recorded_at::text FROM public.events WHERE position = $1), true)",
    )
    .bind(position)
    .execute(&mut *connection)
    .await?;
    for table in tables {
        // Whatever somebody wrote into `past.kept_tables`.
        if verify_kept::kept(table.name).is_none() {
            continue;
        }
        let known = unknown.of(table.name);
        let condition = format!("{} AND {} <= {position}", table.counts_when, known.until);
        let sides = Sides {
            other: &format!("as_of.{}", table.name),
            row: "to_jsonb(t) - 'since'",
            condition: &condition,
            kept: known.kept,
        };
        let mut found = Findings::default();
        verify::compare_with(connection, table, &sides, &mut found).await?;
        let told = found.differences.into_iter();
        findings
            .differences
            .extend(told.map(|difference| format!("as of position {position}: {difference}")));
    }
    Ok(())
}
