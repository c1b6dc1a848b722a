//! The waiting list of the search's index (migration 0026), for whoever lets commits leave it to others
//! ([`Work::of_file`](super::Work::of_file)).

use sqlx::PgConnection;

/// Sorts in what waits.
///
/// # Errors
/// What the database answers.
pub async fn sort_in(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT gin_clean_pending_list('leads_search')")
        .execute(connection)
        .await?;
    Ok(())
}
