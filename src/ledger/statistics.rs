//! What PostgreSQL's planner believes of the leads: brought up to date once a file went in, and not when autovacuum comes around. For
//! a minute it would plan for the company as it was before, and walk through what it takes for a few rows.

use sqlx::PgConnection;

/// Whether the table has grown by a fifth since it was looked at last. Below some two thousand leads any plan will do.
const HAS_GROWN: &str = "SELECT pg_relation_size(c.oid) > current_setting('block_size')::bigint * greatest(64, 1.2 * c.relpages) \
     FROM pg_class c WHERE c.oid = 'public.leads'::regclass";

/// Looks at the leads again, if there are many more than when they were looked at last.
///
/// # Errors
/// What the database answers.
pub async fn refresh(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let has_grown: bool = sqlx::query_scalar(HAS_GROWN)
        .fetch_one(&mut *connection)
        .await?;
    if has_grown {
        sqlx::query("ANALYZE public.leads, public.duplicates")
            .execute(connection)
            .await?;
    }
    Ok(())
}
