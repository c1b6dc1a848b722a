//! Pages of a company's leads as of an earlier moment, at the price of a page of today.
//!
//! Such a list is made of two tables in the same order: the rows that have not changed since, and the versions that held then. Whoever
//! asks both for their first row walks one of them to its end where the other has all: after every lead was changed, none of
//! today's rows held then. So the list is read in pieces, each of which ends where the next few rows and versions end, whenever they
//! held: that is known from the indexes alone. Of every lead one row or version held, which is why a piece that is some times as long as
//! the page mostly holds it. Where it does not, the list's zone map tells where to go on ([`crate::zone_maps`]).
//!
//! On a connection on which the tables are those of the moment (the schema `as_of` first in the search path).

mod map;

use aggregates::ids::LeadId;
use sqlx::{PgConnection, QueryBuilder, Row};

use self::map::Map;
use super::counts;
use super::list::{self, Cursor, LeadRow, SortColumn, Wanted};
use crate::page::{Page, PageFrom, PageRequest, Total};
use crate::plans;
use crate::total::EXACT_UP_TO;
use crate::zone_maps::ZonedList;

/// How many times the rows that are wanted the first piece has.
const FIRST_PIECE: i64 = 4;
/// Of a list without a zone map, how many times the second one has. After it the whole list is read: where so few rows of the
/// moment are among so many others, more pieces would cost more than they save.
const SECOND_PIECE: i64 = 32;

/// As many leads as a company had are looked through for a text one by one, instead of finding every version of whatever contains it.
const FEW: i64 = 1_000;
/// After so many times the leads that were to be walked through for what contains a text, all that contain it are collected instead: the
/// statistics, which are of all companies, led astray.
const ASTRAY: i64 = 4;

/// A page of a list of the past.
pub struct PastPage {
    /// The page.
    pub page: Page<LeadRow>,
    /// The list that was read as a whole for it, because it has no zone map that tells about the moment.
    pub unmapped: Option<&'static ZonedList>,
}

/// A page, and how many leads the list has: as [`list::page`] and [`list::total`].
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
) -> Result<(Total, PastPage), sqlx::Error> {
    let all = counts::total(connection, list.company, list.filter).await?;
    let Some(text) = list.text else {
        let page = in_order(connection, list, Leads { all, one_in: 1 }, request).await?;
        return Ok((Total::exact(all), page));
    };
    let mut unmapped = None;
    if all <= FEW {
        if let Some(map) = Map::of(connection, list, all).await? {
            if let Some(found) = among_few(connection, list, map, request).await? {
                return Ok(found);
            }
            unmapped = Some(map.list);
        }
    } else if all > EXACT_UP_TO {
        let expected = list::expected(connection, all, text).await?;
        if is_frequent(expected, all) {
            return frequent(connection, list, all, expected, request).await;
        }
    }
    let total = list::total(connection, list).await?;
    let ids = whole(connection, list, request).await?;
    let page = PastPage {
        page: page_of(connection, ids, request).await?,
        unmapped,
    };
    Ok((total, page))
}

/// Whether so many leads contain a text that it is cheaper to walk through all until 10,000 are found than to collect every one of them. Walked
/// through are `10,000 * all / expected`, in an order that an index has; collected `expected`, anywhere in the tables, at twice the price.
fn is_frequent(expected: i64, all: i64) -> bool {
    let (expected, all) = (i128::from(expected), i128::from(all));
    expected * expected * 2 >= i128::from(EXACT_UP_TO) * all
}

/// The page of what contains a text that very many leads contain.
async fn frequent(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    all: i64,
    expected: i64,
    request: &PageRequest<Cursor>,
) -> Result<(Total, PastPage), sqlx::Error> {
    let one_in = (all / expected.max(1)).max(1);
    // A plan for any text would look for this one by the index of the search in every zone.
    let mut transaction = plans::for_values(connection).await?;
    let map = Map::of(&mut transaction, list, expected).await?;
    let counted = match map {
        Some(map) => {
            let rows = all.min(EXACT_UP_TO.saturating_mul(one_in));
            map.walk(list, None)
                .count(
                    &mut transaction,
                    EXACT_UP_TO + 1,
                    rows.saturating_mul(ASTRAY),
                )
                .await?
        }
        None => None,
    };
    let total = match counted {
        Some(counted) if counted <= EXACT_UP_TO => Total::exact(counted),
        Some(_) => Total::estimated(expected),
        None => list::total(&mut transaction, list).await?,
    };
    let mut page = in_order(&mut transaction, list, Leads { all, one_in }, request).await?;
    transaction.commit().await?;
    if counted.is_none() {
        page.unmapped = map.map(|map| map.list);
    }
    Ok((total, page))
}

/// The page of what contains a text, by the list's zone map, when it has one.
async fn among_few(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    map: Map,
    request: &PageRequest<Cursor>,
) -> Result<Option<(Total, PastPage)>, sqlx::Error> {
    let all = PageRequest {
        per_page: FEW,
        from: PageFrom::Offset(0),
    };
    let Some(mut walked) = map.walked(connection, list, &all).await? else {
        return Ok(None);
    };
    let total = Total::exact(walked.rows());
    if request.after().is_some() {
        let Some(rest) = map.walked(connection, list, request).await? else {
            return Ok(None);
        };
        walked = rest;
    }
    let page = PastPage {
        page: page_of(connection, walked.of_page(request), request).await?,
        unmapped: None,
    };
    Ok(Some((total, page)))
}

/// How a page may be found without reading the whole list.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// In a piece that has so many times the rows that are wanted.
    Piece(i64),
    /// By the list's zone map.
    Map,
}

/// What is known of a list before it is read.
#[derive(Debug, Clone, Copy)]
struct Leads {
    /// How many meet its filter.
    all: i64,
    /// One in so many of them contains its text: all of them, when there is none.
    one_in: i64,
}

/// In the list's own order, by walking through it.
async fn in_order(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    Leads { all, one_in }: Leads,
    request: &PageRequest<Cursor>,
) -> Result<PastPage, sqlx::Error> {
    if request.offset() >= all {
        // Nothing is to be walked through for a page behind the end.
        return Ok(PastPage {
            page: Page::from_overfetch(Vec::new(), request.per_page),
            unmapped: None,
        });
    }
    let (first, second) = (Way::Piece(FIRST_PIECE), Way::Piece(SECOND_PIECE));
    let ways = if list.is_of_an_index() && request.offset() == 0 {
        [first, Way::Map, second]
    } else {
        // No index gives the list in its order, and a piece of it may cost as much as all of it. What comes before a page is
        // passed over by the map.
        [Way::Map, first, second]
    };
    let mut map = None;
    for way in ways {
        let ids = match way {
            Way::Piece(times) => piece(connection, list, request, times * one_in).await?,
            Way::Map => {
                map = Map::of(connection, list, all / one_in).await?;
                match map {
                    Some(map) => map.walked(connection, list, request).await?,
                    None => None,
                }
                .map(|walked| walked.of_page(request))
            }
        };
        if let Some(ids) = ids {
            return Ok(PastPage {
                page: page_of(connection, ids, request).await?,
                unmapped: None,
            });
        }
    }
    let ids = whole(connection, list, request).await?;
    Ok(PastPage {
        page: page_of(connection, ids, request).await?,
        unmapped: map.map(|map| map.list),
    })
}

/// The ids of a page and one more, from the list's next rows, so many times those that are wanted; `None` where these hold too few.
async fn piece(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    times: i64,
) -> Result<Option<Vec<i64>>, sqlx::Error> {
    if is_of_one_plan(list, request) {
        return next_rows(connection, list, request, times).await;
    }
    let mut transaction = plans::for_values(connection).await?;
    let ids = next_rows(&mut transaction, list, request, times).await?;
    transaction.commit().await?;
    Ok(ids)
}

async fn next_rows(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    times: i64,
) -> Result<Option<Vec<i64>>, sqlx::Error> {
    let wanted = request.offset() + request.per_page + 1;
    let rows = wanted.saturating_mul(times);
    let end = end_of_piece(connection, list, request, rows).await?;
    let ids = ids_up_to(connection, list, request, end.as_ref()).await?;
    Ok((end.is_none() || is_full(&ids, request)).then_some(ids))
}

/// The ids of a page and one more, of the list as a whole: however few of its rows held.
async fn whole(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
) -> Result<Vec<i64>, sqlx::Error> {
    if is_of_one_plan(list, request) {
        return ids_up_to(connection, list, request, None).await;
    }
    let mut transaction = plans::for_values(connection).await?;
    let ids = ids_up_to(&mut transaction, list, request, None).await?;
    transaction.commit().await?;
    Ok(ids)
}

/// Whether one plan is best for every value that may be asked for.
fn is_of_one_plan(list: Wanted<'_>, request: &PageRequest<Cursor>) -> bool {
    list.is_of_an_index() && request.offset() == 0
}

/// Whether these are a page and one more.
fn is_full(ids: &[i64], request: &PageRequest<Cursor>) -> bool {
    usize::try_from(request.per_page).is_ok_and(|page| ids.len() > page)
}

/// The ids of a page and one more, of the part of the list that ends with this place. Alone, because PostgreSQL takes longer to plan
/// the joins of the rows, all of them of views, than to read these and then the rows.
async fn ids_up_to(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    end: Option<&Cursor>,
) -> Result<Vec<i64>, sqlx::Error> {
    let sort = list.sort;
    let mut query = QueryBuilder::new("SELECT l.id FROM leads l");
    list::push_conditions(&mut query, list.company, list.filter, list.text);
    if let Some(cursor) = request.after() {
        list::push_side(&mut query, sort, cursor, sort.beyond());
    }
    if let Some(end) = end {
        list::push_side(&mut query, sort, end, sort.not_beyond());
    }
    list::push_order(&mut query, sort);
    request.push_window(&mut query, list.is_of_an_index());
    query.build_query_scalar().fetch_all(connection).await
}

/// The page of these leads, which are one more where the list goes on.
pub(crate) async fn page_of<C>(
    connection: &mut PgConnection,
    ids: Vec<i64>,
    request: &PageRequest<C>,
) -> Result<Page<LeadRow>, sqlx::Error> {
    let ids: Vec<LeadId> = ids.into_iter().map(LeadId).collect();
    let rows = list::by_ids(connection, &ids).await?;
    let rows = rows.into_iter().flatten().collect();
    Ok(Page::from_overfetch(rows, request.per_page))
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
                " AND l.{column} <= (SELECT current_setting('leadledger.as_of_at')::timestamptz)"
            ));
        }
        if let Some(cursor) = request.after() {
            list::push_side(&mut query, sort, cursor, sort.beyond());
        }
        list::push_order(&mut query, sort);
        query.push(" OFFSET ");
        // As the window of a page.
        if request.offset() == 0 && list.is_of_an_index() {
            query.push(rows);
        } else {
            query.push_bind(rows);
        }
        query.push(" LIMIT 1)");
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
