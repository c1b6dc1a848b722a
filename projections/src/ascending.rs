//! The pages of a list in the order of one ascending number, which is its cursor too: as most lists are.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use crate::page::{Page, PageRequest, Total};

/// What a list is read from.
pub(crate) struct Ascending<'a> {
    /// The columns of its rows.
    pub columns: &'a str,
    /// The table, with its name in the conditions.
    pub table: &'a str,
    /// What is joined for the columns and does not change how many rows there are.
    pub joins: &'a str,
    /// The number that orders it.
    pub key: &'a str,
}

impl Ascending<'_> {
    /// A page of the rows that meet the conditions, and how many do. `conditions` appends ` WHERE …`.
    pub async fn page<R>(
        &self,
        connection: &mut PgConnection,
        request: &PageRequest<i64>,
        conditions: impl Fn(&mut QueryBuilder<'_, Postgres>),
    ) -> Result<(Page<R>, Total), sqlx::Error>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let Self {
            columns,
            table,
            joins,
            key,
        } = self;
        let mut query = QueryBuilder::new(format!("SELECT count(*) FROM {table}"));
        conditions(&mut query);
        let count: i64 = query
            .build_query_scalar()
            .fetch_one(&mut *connection)
            .await?;
        let mut query = QueryBuilder::new(format!("SELECT {columns} FROM {table}{joins}"));
        conditions(&mut query);
        if let Some(after) = request.after() {
            query.push(format!(" AND {key} > ")).push_bind(*after);
        }
        query
            .push(format!(" ORDER BY {key} LIMIT "))
            .push_bind(request.per_page + 1)
            .push(" OFFSET ")
            .push_bind(request.offset());
        let rows = query.build_query_as().fetch_all(connection).await?;
        Ok((
            Page::from_overfetch(rows, request.per_page),
            Total::exact(count),
        ))
    }
}
