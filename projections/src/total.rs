//! How many rows a query has, when no table of counts knows it.

use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::page::Total;
use crate::plans;

/// Counting further would cost more than the page that shows the number.
pub(crate) const EXACT_UP_TO: i64 = 10_000;

/// The number of all rows. `push` appends the query.
pub(crate) async fn counted(
    connection: &mut PgConnection,
    push: impl Fn(&mut QueryBuilder<'_, Postgres>),
) -> Result<Total, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM (");
    push(&mut query);
    query.push(") AS counted");
    let mut transaction = plans::for_values(connection).await?;
    let counted = query
        .build_query_scalar()
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Total::exact(counted))
}

/// Exact up to 10,000, an estimate of the planner's above, which may be another one at any time: for lists of those alone whose view is narrowed,
/// for they may not look back.
pub(crate) async fn of_today(
    connection: &mut PgConnection,
    push: impl Fn(&mut QueryBuilder<'_, Postgres>),
) -> Result<Total, sqlx::Error> {
    Ok(match exact(connection, &push).await? {
        Some(total) => total,
        None => Total::estimated(planned(connection, &push).await?),
    })
}

/// The number of rows up to 10,000; `None` when there are more.
pub(crate) async fn exact(
    connection: &mut PgConnection,
    push: impl Fn(&mut QueryBuilder<'_, Postgres>),
) -> Result<Option<Total>, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM (");
    push(&mut query);
    query
        .push(" LIMIT ")
        .push_bind(EXACT_UP_TO + 1)
        .push(") AS counted");
    let mut transaction = plans::for_values(connection).await?;
    let counted: i64 = query
        .build_query_scalar()
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok((counted <= EXACT_UP_TO).then_some(Total::exact(counted)))
}

/// How many rows the planner expects of the query, of today's tables: of those of an earlier moment it knows nothing (migration 0036).
async fn planned(
    connection: &mut PgConnection,
    push: impl Fn(&mut QueryBuilder<'_, Postgres>),
) -> Result<i64, sqlx::Error> {
    // Rolled back in any case, and the tables are those of the moment again.
    let mut transaction = plans::under(connection, "SET LOCAL search_path TO public").await?;
    let rows = expected(&mut transaction, push).await?;
    transaction.rollback().await?;
    Ok(rows)
}

/// The same of a query that names the schema of each table.
pub(crate) async fn expected(
    connection: &mut PgConnection,
    push: impl Fn(&mut QueryBuilder<'_, Postgres>),
) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new("EXPLAIN (FORMAT JSON) ");
    push(&mut query);
    let plan: serde_json::Value = query.build_query_scalar().fetch_one(connection).await?;
    Ok(plan[0]["Plan"]["Plan Rows"].as_i64().unwrap_or_default())
}
