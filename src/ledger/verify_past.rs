//! Whether the past that readers are shown is that of the ledger: at a few positions on its way, `verify` compares what it has
//! folded so far with what the schema `as_of` shows there.
//!
//! This proves that readers are shown the versions that there are. That these are the right ones is for
//! `verify_versions`, except for tables with too many: of those a version that was changed is found here
//! when it held at one of these positions. All positions would cost a comparison of every table for each.

use projections::Table;
use sqlx::PgConnection;

use super::verify::{self, Findings};
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
    sqlx::query(
        "SELECT set_config('leadledger.as_of', $1::text, true), set_config('leadledger.as_of_under', '{}', true), \
         set_config('leadledger.as_of_at', (SELECT recorded_at::text FROM public.events WHERE position = $1), true)",
    )
    .bind(position)
    .execute(&mut *connection)
    .await?;
    let keyless = Keyless::look_for(connection).await?;
    for table in tables {
        // Whatever somebody wrote into `past.kept_tables`.
        let is_kept = verify_kept::kept(table.name).is_some();
        let left = keyless.leave_out(connection, table).await?;
        let Some(left) = left.filter(|_| is_kept) else {
            continue;
        };
        let condition = format!("{}{left}", table.counts_when);
        let mut found = Findings::default();
        let shown = format!("as_of.{}", table.name);
        let row = "to_jsonb(t) - 'since'";
        verify::compare_with(connection, table, &shown, row, &condition, &mut found).await?;
        let told = found.differences.into_iter();
        findings
            .differences
            .extend(told.map(|difference| format!("as of position {position}: {difference}")));
    }
    Ok(())
}

/// Whether there are leads whose key is gone: a fold of today does not know any more what they were, nor whom they were like.
pub struct Keyless {
    any: bool,
}

/// Neither does a fold load one that was destroyed and is there again.
const WITHOUT_KEY: &str = "SELECT l.id FROM public.leads l WHERE NOT EXISTS (SELECT 1 FROM public.subject_keys k \
     WHERE k.aggregate_type = 'lead' AND k.aggregate_id = l.id) \
     OR l.id IN (SELECT lead_id FROM public.lead_erasures WHERE status = 'erased')";

impl Keyless {
    /// Looks.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn look_for(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let any = format!("SELECT EXISTS ({WITHOUT_KEY})");
        Ok(Self {
            any: sqlx::query_scalar(&any).fetch_one(connection).await?,
        })
    }

    /// The condition, beginning with ` AND`, that leaves them out of a table's past; `None` when none of it can be told.
    ///
    /// # Errors
    /// What the database answers.
    pub(super) async fn leave_out(
        &self,
        connection: &mut PgConnection,
        table: &Table,
    ) -> Result<Option<String>, sqlx::Error> {
        if !self.any {
            return Ok(Some(String::new()));
        }
        if table.name.starts_with("duplicate") {
            return Ok(None);
        }
        let of_leads: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1 \
             AND column_name = 'lead_id')",
        )
        .bind(table.name)
        .fetch_one(connection)
        .await?;
        let lead = match table.name {
            "leads" => Some("id"),
            _ if of_leads => Some("lead_id"),
            _ => None,
        };
        let condition = lead.map(|lead| format!(" AND coalesce({lead}, 0) NOT IN ({WITHOUT_KEY})"));
        Ok(Some(condition.unwrap_or_default()))
    }
}
