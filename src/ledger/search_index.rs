//! The waiting lists of the search's indexes (migrations 0026, 0040 and 0051), for whoever lets commits leave them to others
//! ([`Work::of_file`](super::Work::of_file)).

use sqlx::PgConnection;

/// Sorts in what waits.
///
/// # Errors
/// What the database answers.
pub async fn sort_in(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    for index in ["leads_search", "leads_sample_search"] {
        sqlx::query("SELECT gin_clean_pending_list($1::regclass)")
            .bind(index)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
