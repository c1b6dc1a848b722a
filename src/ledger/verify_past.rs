//! Whether the past that readers are shown is that of the ledger: at a few positions on its way, `verify` compares what it has
//! folded so far with what the schema `as_of` shows there.
//!
//! A kept row that was changed is found when it held at one of these positions. All positions would cost a comparison of every
//! table for each.

use projections::Table;
use sqlx::{PgConnection, Row};

use super::verify::{self, Findings};

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
/// Leads whose key is gone are left out: a fold of today does not know any more whom they were like.
///
/// # Errors
/// What the database answers.
pub async fn compare(
    connection: &mut PgConnection,
    tables: &[Table],
    position: i64,
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    const WITHOUT_KEY: &str = "SELECT l.id FROM public.leads l WHERE NOT EXISTS (SELECT 1 FROM public.subject_keys k \
         WHERE k.aggregate_type = 'lead' AND k.aggregate_id = l.id)";

    sqlx::query(
        "SELECT set_config('leadledger.as_of', $1::text, true), set_config('leadledger.as_of_under', '{}', true), \
         set_config('leadledger.as_of_at', (SELECT recorded_at::text FROM public.events WHERE position = $1), true)",
    )
    .bind(position)
    .execute(&mut *connection)
    .await?;
    let any_without: bool = sqlx::query_scalar(&format!("SELECT EXISTS ({WITHOUT_KEY})"))
        .fetch_one(&mut *connection)
        .await?;
    for table in tables {
        let row = sqlx::query(
            "SELECT EXISTS (SELECT 1 FROM past.kept_tables WHERE table_name = $1), \
             EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1 \
             AND column_name = 'lead_id')",
        )
        .bind(table.name)
        .fetch_one(&mut *connection)
        .await?;
        let (is_kept, of_leads): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        let by_likeness = table.name.starts_with("duplicate");
        if !is_kept || (by_likeness && any_without) {
            continue;
        }
        let lead = match table.name {
            "leads" => Some("id"),
            _ if of_leads => Some("lead_id"),
            _ => None,
        };
        let condition = match lead.filter(|_| any_without) {
            Some(lead) => format!(
                "{} AND coalesce({lead}, 0) NOT IN ({WITHOUT_KEY})",
                table.counts_when
            ),
            None => table.counts_when.to_owned(),
        };
        let mut found = Findings::default();
        verify::compare_in(connection, table, "as_of", &condition, &mut found).await?;
        let told = found.differences.into_iter();
        findings
            .differences
            .extend(told.map(|difference| format!("as of position {position}: {difference}")));
    }
    Ok(())
}
