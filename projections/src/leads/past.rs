//! Pages of a company's leads as of an earlier moment, at the price of a page of today.
//!
//! Such a list is made of two tables in the same order: the rows that have not changed since, and the versions that held then. Whoever
//! asks both for their first row walks one of them to its end where the other has all: after every lead was changed, none of
//! today's rows held then. So the list is read in pieces, each of which ends where the next few rows and versions end, whenever they
//! held: that is known from the indexes alone. Of every lead one row or version held, which is why a piece that is some times as long as
//! the page mostly holds it. Where it does not, the list's zone map tells where to go on ([`crate::zone_maps`]).
//!
//! On a connection on which the tables are those of the moment (the schema `as_of` first in the search path).

use aggregates::ids::LeadId;
use sqlx::{PgConnection, QueryBuilder, Row};

use super::list::{self, Cursor, LeadRow, SortColumn, Wanted};
use crate::page::{Page, PageRequest};
use crate::zone_maps::{self, Place, Walk, ZonedList};

/// How many times the rows that are wanted the first piece has.
const FIRST_PIECE: i64 = 4;
/// Of a list without a zone map, how many times the second one has. After it the whole list is read: where so few rows of the
/// moment are among so many others, more pieces would cost more than they save.
const SECOND_PIECE: i64 = 32;

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
    if list.text.is_none() {
        for (times, or_mapped) in [(FIRST_PIECE, true), (SECOND_PIECE, false)] {
            let rows = wanted.saturating_mul(times);
            let end = end_of_piece(connection, list, request, rows).await?;
            let end = end.as_ref();
            let page = list::page_up_to(connection, list, request, end).await?;
            if page.more || end.is_none() {
                return Ok(page);
            }
            if or_mapped && let Some(page) = mapped(connection, list, request).await? {
                return Ok(page);
            }
        }
    }
    list::page(connection, list, request).await
}

/// The list whose zone map tells where these leads lie, and the part of it; `None` where none does.
#[must_use]
pub fn zoned(list: Wanted<'_>) -> Option<(&'static ZonedList, i64)> {
    if list.text.is_some() {
        return None;
    }
    let filter = list.filter;
    match list.sort.column {
        SortColumn::Id => None,
        SortColumn::UpdatedAt => Some((&zone_maps::UPDATED, 0)),
        SortColumn::FullName => Some((&zone_maps::NAMED, 0)),
        SortColumn::CreatedAt => {
            let assignee = match (filter.user_access_ids.as_deref(), filter.or_unassigned) {
                (Some([]), true) => Some(0),
                (Some([one]), false) => Some(*one),
                _ => None,
            };
            let parts = [
                (&zone_maps::OF_STAGE, filter.stage_id),
                (&zone_maps::OF_ASSIGNEE, assignee),
                (&zone_maps::OF_SOURCE, filter.source_id),
                (&zone_maps::OF_CAMPAIGN, filter.campaign_id),
                (&zone_maps::OF_TERRITORY, filter.territory_id),
                (&zone_maps::OF_CYCLE, filter.cycle_id),
            ];
            let part = parts
                .into_iter()
                .find_map(|(list, part)| Some((list, part?)));
            Some(part.unwrap_or((&zone_maps::CREATED, 0)))
        }
    }
}

/// The page by the list's zone map, when it has one.
async fn mapped(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
) -> Result<Option<Page<LeadRow>>, sqlx::Error> {
    let Some((zoned, part)) = zoned(list) else {
        return Ok(None);
    };
    let walk = Walk {
        company: list.company,
        list: zoned,
        part,
        descending: list.sort.descending,
        after: request.after().and_then(|cursor| match cursor {
            Cursor::Time(time, id) => Some(Place::At(*time, *id)),
            Cursor::Name(name, id) => Some(Place::Name(name.clone(), *id)),
            Cursor::Id(_) => None,
        }),
        times: match list.sort.column {
            SortColumn::CreatedAt => list.filter.created(),
            _ => (None, None),
        },
        rows: &|query| {
            query.push(" FROM leads l");
            list::push_conditions(query, list.company, list.filter, None);
        },
    };
    page_of_walk(connection, walk, request).await
}

/// The page of leads that a walk comes to; `None` when it has no map.
pub(crate) async fn page_of_walk<C>(
    connection: &mut PgConnection,
    walk: Walk<'_>,
    request: &PageRequest<C>,
) -> Result<Option<Page<LeadRow>>, sqlx::Error> {
    let wanted = request.offset() + request.per_page + 1;
    let Some(ids) = walk.ids(connection, wanted).await? else {
        return Ok(None);
    };
    let skipped = usize::try_from(request.offset()).unwrap_or(usize::MAX);
    let ids: Vec<LeadId> = ids.into_iter().skip(skipped).map(LeadId).collect();
    let rows = list::by_ids(connection, &ids).await?;
    let rows = rows.into_iter().flatten().collect();
    Ok(Some(Page::from_overfetch(rows, request.per_page)))
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
