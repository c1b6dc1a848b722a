//! How many rows a query has, when no table of counts knows it.

use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::page::Total;

/// Counting further would cost more than the page that shows the number.
const EXACT_UP_TO: i64 = 10_000;

/// Exact up to 10,000, an estimate of the planner's above. `push` appends the query whose rows are counted.
pub(crate) async fn counted(
    connection: &mut PgConnection,
    push: impl Fn(&mut QueryBuilder<'_, Postgres>),
) -> Result<Total, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM (");
    push(&mut query);
    query
        .push(" LIMIT ")
        .push_bind(EXACT_UP_TO + 1)
        .push(") AS counted");
    let counted: i64 = query
        .build_query_scalar()
        .fetch_one(&mut *connection)
        .await?;
    if counted <= EXACT_UP_TO {
        return Ok(Total::exact(counted));
    }
    let mut query = QueryBuilder::new("EXPLAIN (FORMAT JSON) ");
    push(&mut query);
    let plan: serde_json::Value = query.build_query_scalar().fetch_one(connection).await?;
    let estimate = plan[0]["Plan"]["Plan Rows"].as_i64().unwrap_or(counted);
    Ok(Total {
        count: estimate.max(counted),
        is_estimate: true,
    })
}
