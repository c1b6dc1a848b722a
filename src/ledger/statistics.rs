//! What PostgreSQL's planner believes of the leads, today's and those of the past: brought up to date once a file went in, and not when autovacuum
//! comes around. For a minute it would plan for the company as it was before, and walk through what it takes for a few rows.

use sqlx::PgConnection;

/// Looks at the leads again, if there are many more than when they were looked at last; likewise at their versions.
///
/// # Errors
/// What the database answers.
pub async fn refresh(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    for schema in ["public", "past"] {
        // By a fifth. Below some two thousand leads any plan will do.
        let has_grown: bool = sqlx::query_scalar(&format!(
            "SELECT pg_relation_size(c.oid) > current_setting('block_size')::bigint * greatest(64, 1.2 * c.relpages) \
             FROM pg_class c WHERE c.oid = '{schema}.leads'::regclass"
        ))
        .fetch_one(&mut *connection)
        .await?;
        if has_grown {
            sqlx::query(&format!("ANALYZE {schema}.leads, {schema}.duplicates"))
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}
