//! Which node runs which import: advisory locks that live as long as the connection that holds them. They spare double work and guard
//! nothing; which rows come next, an import's stream decides.

use sqlx::PgConnection;

/// The letters `limp`, then the import.
const LOCKS: i64 = 0x6c69_6d70 << 32;

/// Takes the import if no other connection has it.
///
/// # Errors
/// What the database answers.
pub async fn try_take(connection: &mut PgConnection, import: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(LOCKS | import)
        .fetch_one(connection)
        .await
}

/// Leaves the import to others.
///
/// # Errors
/// What the database answers.
pub async fn give_up(connection: &mut PgConnection, import: i64) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(LOCKS | import)
        .execute(connection)
        .await?;
    Ok(())
}
