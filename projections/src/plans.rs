//! How PostgreSQL is to plan a statement that it has seen before: for the values that are asked for, where the best plan depends on them.

use sqlx::{Connection, Executor, PgConnection, Postgres, Transaction};

/// Carried out in a transaction: each of its statements is planned for its values.
///
/// After five uses of a statement PostgreSQL may take one plan for all values, and connections to the past do so from the first. Of a text
/// that it does not know it expects to find one lead in two hundred, and then it walks through a list until it has a page of them: of a text
/// that is rare, to its end.
pub const FOR_VALUES: &str = "SET LOCAL plan_cache_mode TO force_custom_plan";

/// A transaction in which each statement is planned for its values ([`FOR_VALUES`]); nothing is to be written in it. Within another
/// transaction these plans last until that ends.
pub(crate) async fn for_values(
    connection: &mut PgConnection,
) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    under(connection, FOR_VALUES).await
}

/// A transaction, or a savepoint in the one that there is, that begins with this `SET LOCAL`.
pub(crate) async fn under<'a>(
    connection: &'a mut PgConnection,
    setting: &str,
) -> Result<Transaction<'a, Postgres>, sqlx::Error> {
    if connection.is_in_transaction() {
        let mut savepoint = connection.begin().await?;
        savepoint.execute(setting).await?;
        return Ok(savepoint);
    }
    // In one round trip.
    connection.begin_with(format!("BEGIN; {setting}")).await
}
