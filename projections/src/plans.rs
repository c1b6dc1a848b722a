//! How PostgreSQL is to plan a statement that it has seen before: for the values that are asked for, where the best plan depends on them.

use sqlx::{Connection, PgConnection, Postgres, Transaction};

/// Carried out in a transaction: each of its statements is planned for its values.
///
/// After five uses of a statement PostgreSQL may take one plan for all values, and connections to the past do so from the first. Of a text
/// that it does not know it expects to find one lead in two hundred, and then it walks through a list until it has a page of them: of a text
/// that is rare, to its end.
pub const FOR_VALUES: &str = "SET LOCAL plan_cache_mode TO force_custom_plan";

/// A transaction in which each statement is planned for its values ([`FOR_VALUES`]); nothing is to be written in it.
pub(crate) async fn for_values(
    connection: &mut PgConnection,
) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let begin = format!("BEGIN; {FOR_VALUES}");
    connection.begin_with(begin).await
}
