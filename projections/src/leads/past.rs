//! Pages of a company's leads as of an earlier moment, at the price of a page of today.
//!
//! Such a list is made of two tables in the same order: the rows that have not changed since, and the versions that held then. Whoever
//! asks both for their first row walks one of them to its end where the other has all: after every lead was changed, none of
//! today's rows held then. So the list is read in pieces, each of which ends where the next few rows and versions end, whenever they
//! held: that is known from the indexes alone. Of every lead one row or version held, which is why a piece that is some times as long as
//! the page mostly holds it.
//!
//! On a connection on which the tables are those of the moment (the schema `as_of` first in the search path).

use sqlx::{PgConnection, QueryBuilder, Row};

use super::list::{self, Cursor, LeadRow, SortColumn, Wanted};
use crate::page::{Page, PageRequest};

/// How many times the rows that are wanted the pieces have. After the last one, the whole list is read: where so few rows of the
/// moment are among so many others, more pieces would cost more than they save.
const PIECES: [i64; 2] = [4, 32];

/// As [`list::page`].
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
) -> Result<Page<LeadRow>, sqlx::Error> {
    let wanted = request.offset() + request.per_page + 1;
    // What is searched for is found by another index, and may be rare.
    let pieces = if list.text.is_some() {
        &[][..]
    } else {
        &PIECES[..]
    };
    for times in pieces {
        let rows = wanted.saturating_mul(*times);
        let end = end_of_piece(connection, list, request, rows).await?;
        let end = end.as_ref();
        let page = list::page_up_to(connection, list, request, end).await?;
        if page.more || end.is_none() {
            return Ok(page);
        }
    }
    list::page(connection, list, request).await
}

/// The place after so many of today's rows or of the versions, whichever comes first; `None` when there are fewer of both. The filter
/// counts, the moment does not, except that nothing that came later is looked at where the order tells.
async fn end_of_piece(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    rows: i64,
) -> Result<Option<Cursor>, sqlx::Error> {
    let sort = list.sort;
    let column = match sort.column {
        SortColumn::CreatedAt => "created_at",
        SortColumn::UpdatedAt => "updated_at",
        SortColumn::Id => "id",
        SortColumn::FullName => "full_name",
    };
    let mut query = QueryBuilder::new("SELECT l.k, l.id FROM (");
    for (table, between) in [("public.leads", ""), ("past.leads", " UNION ALL ")] {
        query.push(format!(
            "{between}(SELECT l.{column} AS k, l.id FROM {table} l"
        ));
        list::push_conditions(&mut query, list.company, list.filter, None);
        if matches!(sort.column, SortColumn::CreatedAt | SortColumn::UpdatedAt) {
            query.push(format!(
                " AND l.{column} <= current_setting('leadledger.as_of_at')::timestamptz"
            ));
        }
        if let Some(cursor) = request.after() {
            list::push_side(&mut query, sort, cursor, sort.beyond());
        }
        list::push_order(&mut query, sort);
        query.push(" OFFSET ").push_bind(rows).push(" LIMIT 1)");
    }
    let direction = if sort.descending { "DESC" } else { "ASC" };
    query.push(format!(
        ") l ORDER BY l.k {direction}, l.id {direction} LIMIT 1"
    ));
    let row = query.build().fetch_optional(connection).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let id = row.try_get(1)?;
    Ok(Some(match sort.column {
        SortColumn::CreatedAt | SortColumn::UpdatedAt => Cursor::Time(row.try_get(0)?, id),
        SortColumn::Id => Cursor::Id(id),
        SortColumn::FullName => Cursor::Name(row.try_get(0)?, id),
    }))
}
