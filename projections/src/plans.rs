//! How PostgreSQL is to plan a statement that it has seen before: for the values that are asked for, where the best plan depends on them.

use std::ops::{Deref, DerefMut};

use sqlx::{Connection, Executor, PgConnection, Postgres, Transaction};

/// Carried out in a transaction: each of its statements is planned for its values.
///
/// After five uses of a statement PostgreSQL may take one plan for all values, and connections to the past do so from the first. Of a text
/// that it does not know it expects to find one lead in two hundred, and then it walks through a list until it has a page of them: of a text
/// that is rare, to its end.
pub const FOR_VALUES: &str = "SET LOCAL plan_cache_mode TO force_custom_plan";

/// Where statements are planned for their values ([`FOR_VALUES`]); nothing is to be written there.
pub(crate) enum ForValues<'a> {
    /// In a transaction of its own.
    Alone(Transaction<'a, Postgres>),
    /// In the transaction that there is, which plans so to its end.
    Within(&'a mut PgConnection),
}

/// Statements of which each is planned for its values: in a transaction of their own, or in the one that there is, which began so.
pub(crate) async fn for_values(
    connection: &mut PgConnection,
) -> Result<ForValues<'_>, sqlx::Error> {
    Ok(if connection.is_in_transaction() {
        ForValues::Within(connection)
    } else {
        // In one round trip.
        let begin = format!("BEGIN; {FOR_VALUES}");
        ForValues::Alone(connection.begin_with(begin).await?)
    })
}

/// A transaction that sees one moment of today from its first statement on.
pub(crate) async fn snapshot(
    connection: &mut PgConnection,
) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
}

/// From here on each statement of the transaction is planned for its values.
pub(crate) async fn plan_for_values(
    transaction: &mut Transaction<'_, Postgres>,
) -> Result<(), sqlx::Error> {
    transaction.execute(FOR_VALUES).await?;
    Ok(())
}

/// From here on they are planned as the connection does it by itself.
pub(crate) async fn plan_as_before(
    transaction: &mut Transaction<'_, Postgres>,
) -> Result<(), sqlx::Error> {
    transaction
        .execute("SET LOCAL plan_cache_mode TO DEFAULT")
        .await?;
    Ok(())
}

impl ForValues<'_> {
    /// Ends the transaction, if it is alone.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Alone(transaction) => transaction.commit().await,
            Self::Within(_) => Ok(()),
        }
    }
}

impl Deref for ForValues<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Alone(transaction) => transaction,
            Self::Within(connection) => connection,
        }
    }
}

impl DerefMut for ForValues<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Alone(transaction) => transaction,
            Self::Within(connection) => connection,
        }
    }
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
