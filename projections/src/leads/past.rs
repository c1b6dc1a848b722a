//! Pages of a company's leads as of an earlier moment, at the price of a page of today.
//!
//! Such a list is made of two tables in the same order: the rows that have not changed since, and the versions that held then. Whoever
//! asks both for their first row walks one of them to its end where the other has all: after every lead was changed, none of
//! today's rows held then. So the list is read in pieces, each of which ends where the next few rows and versions end, whenever they
//! held: that is known from the indexes alone. Of every lead one row or version held, which is why a piece that is some times as long as
//! the page mostly holds it. Where it does not, the list's zone map tells where to go on ([`crate::zone_maps`]).
//! What contains a text is found on such a walk too, or by the index of the search, whichever passes fewer leads.
//!
//! On a connection on which the tables are those of the moment (the schema `as_of` first in the search path).

mod counting;
mod map;
mod totals;

use sqlx::{PgConnection, Postgres, QueryBuilder, Row};

use self::counting::{Passed, total};
use self::map::Map;
pub use self::totals::PastTotals;
use self::totals::Search;
use super::counts::LeadFilter;
use super::hits;
use super::list::{self, Cursor, LeadRow, SortColumn, Wanted};
use crate::page::{Page, PageFrom, PageRequest, Total};
use crate::plans;
use crate::zone_maps::{Found, ZonedList};

/// How many times the rows that are wanted the first piece has.
const FIRST_PIECE: i64 = 4;
/// Of a list without a zone map, how many times the second one has. After it the whole list is read: where so few rows of the
/// moment are among so many others, more pieces would cost more than they save.
const SECOND_PIECE: i64 = 32;

/// As many leads as a company had are looked through for a text one by one, instead of finding every version of whatever contains it.
const FEW: i64 = 1_000;

/// A page of a list of the past.
pub struct PastPage {
    /// The page.
    pub page: Page<LeadRow>,
    /// The list of which more was read for it than a page, because it has no zone map that tells about the moment.
    pub unmapped: Option<&'static ZonedList>,
}

/// The past of the lists.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// The position as of which the tables are, on the connection.
    pub moment: i64,
    /// What is known of it already.
    pub totals: &'a PastTotals,
}

/// A page, and how many leads the list has: as [`list::page`].
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    past: Past<'_>,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
) -> Result<(Total, PastPage), sqlx::Error> {
    let all = past.leads(connection, list.company, list.filter).await?;
    let Some(text) = list.text else {
        let ids = in_order(connection, past, list, Leads { all, one_in: 1 }, request).await?;
        let page = ids.page(connection, request).await?;
        return Ok((Total::exact(all), page));
    };
    // Of one moment of today: who is blocked after the ids were read would be shown without a name, as one who contains the text.
    let mut snapshot = plans::snapshot(connection).await?;
    let mut unmapped = None;
    if all <= FEW
        && let Some(map) = Map::of(&mut snapshot, past, list, all).await?
    {
        if let Some(found) = among_few(&mut snapshot, list, map, request).await? {
            snapshot.commit().await?;
            return Ok(found);
        }
        unmapped = Some(map.list);
    }
    plans::plan_for_values(&mut snapshot).await?;
    let (total, ids) = if all <= FEW {
        let rows = hits::OF_THE_PAST;
        let found = hits::found_at_once(&mut snapshot, rows, list, request, all).await?;
        // So few are never too many to be counted.
        let (total, ids) = found.unwrap_or((Total::exact(all), Vec::new()));
        (
            total,
            ReadIds {
                ids,
                ..ReadIds::default()
            },
        )
    } else {
        searched(&mut snapshot, past, list, (all, text), request).await?
    };
    plans::plan_as_before(&mut snapshot).await?;
    let mut page = ids.page(&mut snapshot, request).await?;
    snapshot.commit().await?;
    page.unmapped = page.unmapped.or(unmapped);
    Ok((total, page))
}

/// The page of what contains a text, among many leads: remembered, or found and remembered.
async fn searched(
    connection: &mut PgConnection,
    past: Past<'_>,
    list: Wanted<'_>,
    (all, text): (i64, &str),
    request: &PageRequest<Cursor>,
) -> Result<(Total, ReadIds), sqlx::Error> {
    let search = Search::of(connection, past.moment, list, text).await?;
    let known = past.totals.of(&search);
    let remembered = past.totals.page(&search, list.sort, request);
    if let (Some(total), Some(ids)) = (known, remembered) {
        let ids = ReadIds {
            ids,
            ..ReadIds::default()
        };
        return Ok((total, ids));
    }
    let (total, mut ids) = containing(connection, past, list, (all, text, known), request).await?;
    if known.is_none() {
        past.totals.remember(search.clone(), total);
    }
    if ids.are_the_first {
        let first = ids.ids.into();
        ids.ids = totals::page(&first, request);
        past.totals.remember_first(search, list.sort, first);
    }
    Ok((total, ids))
}

/// The page of what contains a text, among many leads.
///
/// What contains it is collected by the index of the search, or the list is walked through until enough is found: whichever passes fewer
/// leads. An index does not know what held at the moment, and so whatever contains the text is collected, of all times.
async fn containing(
    connection: &mut PgConnection,
    past: Past<'_>,
    list: Wanted<'_>,
    (all, text, known): (i64, &str, Option<Total>),
    request: &PageRequest<Cursor>,
) -> Result<(Total, ReadIds), sqlx::Error> {
    // Whatever is collected, the first pages come of it at no price.
    let first = totals::first_of(request);
    let collect = first.as_ref().unwrap_or(request);
    let of_collected = |ids, unmapped| ReadIds {
        ids,
        are_the_first: first.is_some(),
        unmapped,
    };
    let mut passed = Passed {
        all,
        of_all_times: 0,
        collected: 0,
    };
    if known.is_none() {
        passed.collected = hits::expected(connection, list, text).await?;
        if passed.is_collected_at_once() {
            let rows = hits::OF_THE_PAST;
            let found = hits::found_at_once(connection, rows, list, collect, all).await?;
            if let Some((total, ids)) = found {
                return Ok((total, of_collected(ids, None)));
            }
        }
    }
    passed.of_all_times = hits::rows_of_all_times(connection, list.company).await?;
    let (total, unmapped) = if let Some(total) = known {
        (total, None)
    } else {
        let counted = total(connection, past, list, (text, collect), passed).await?;
        if let Some(ids) = counted.ids {
            return Ok((counted.total, of_collected(ids, counted.unmapped)));
        }
        (counted.total, counted.unmapped)
    };
    let wanted = request.offset() + request.per_page + 1;
    let one_in = (all / total.count.max(1)).max(1);
    // Without a map a walk passes the versions of other times too.
    let mut times = (passed.of_all_times / all.max(1)).max(1);
    if times > 1
        && Map::of(connection, past, list, total.count)
            .await?
            .is_some()
    {
        times = 1;
    }
    let mut ids = if !total.is_estimate && request.offset() >= total.count {
        // Nothing is to be looked for behind the end.
        ReadIds::default()
    } else if passed.walk_among_is_shorter(
        Map::told_of(connection, past, list).await?,
        wanted.saturating_mul(times),
        total.count,
    ) {
        // A plan for any text would look for this one by the index of the search in every zone.
        let mut transaction = plans::for_values(connection).await?;
        let ids = in_order(&mut transaction, past, list, Leads { all, one_in }, request).await?;
        transaction.commit().await?;
        ids
    } else {
        let ids = hits::ids(connection, hits::OF_THE_PAST, list, collect).await?;
        of_collected(ids, None)
    };
    ids.unmapped = ids.unmapped.or(unmapped);
    Ok((total, ids))
}

/// The leads of a page and one more, where the list goes on.
#[derive(Default)]
struct ReadIds {
    ids: Vec<i64>,
    /// Whether these are the first of the list instead, with the page among them.
    are_the_first: bool,
    /// As of the page.
    unmapped: Option<&'static ZonedList>,
}

impl ReadIds {
    async fn page(
        self,
        connection: &mut PgConnection,
        request: &PageRequest<Cursor>,
    ) -> Result<PastPage, sqlx::Error> {
        Ok(PastPage {
            page: list::page_of(connection, self.ids, request).await?,
            unmapped: self.unmapped,
        })
    }
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
    let Found::Rows(mut walked) = map.walked(connection, list, &all).await? else {
        return Ok(None);
    };
    let total = Total::exact(walked.rows());
    if request.after().is_some() {
        let Found::Rows(rest) = map.walked(connection, list, request).await? else {
            return Ok(None);
        };
        walked = rest;
    }
    let page = PastPage {
        page: list::page_of(connection, walked.of_page(request), request).await?,
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
    past: Past<'_>,
    list: Wanted<'_>,
    Leads { all, one_in }: Leads,
    request: &PageRequest<Cursor>,
) -> Result<ReadIds, sqlx::Error> {
    if request.offset() >= all {
        // Nothing is to be walked through for a page behind the end.
        return Ok(ReadIds::default());
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
    // That no map would help.
    let mut astray = false;
    for way in ways {
        let ids = match way {
            Way::Piece(times) => {
                if astray_in_pieces(connection, past, list, request, all).await? {
                    break;
                }
                piece(connection, list, request, times * one_in).await?
            }
            Way::Map => {
                map = Map::of(connection, past, list, all / one_in).await?;
                let Some(map) = map else {
                    continue;
                };
                let wanted = request.offset() + request.per_page + 1;
                let walked = wanted.saturating_mul(map.one_in());
                if list.text.is_none() && collected(connection, past, list).await? < walked {
                    astray = true;
                    break;
                }
                match map.walked(connection, list, request).await? {
                    Found::Rows(walked) => Some(walked.of_page(request)),
                    Found::NoMap => None,
                    // No piece that is not the whole list would hold them.
                    Found::Astray => {
                        astray = true;
                        break;
                    }
                }
            }
        };
        if let Some(ids) = ids {
            // Where the first piece does not hold a page, a map saves reading a longer one.
            let unmapped = map.filter(|_| matches!(way, Way::Piece(SECOND_PIECE)));
            return Ok(ReadIds {
                ids,
                are_the_first: false,
                unmapped: unmapped.map(|map| map.list),
            });
        }
    }
    Ok(ReadIds {
        ids: whole(connection, list, request).await?,
        are_the_first: false,
        unmapped: map.filter(|_| !astray).map(|map| map.list),
    })
}

/// Whether no index gives the list in its order, and collecting all of it by one of its conditions takes fewer leads than the first piece has.
async fn astray_in_pieces(
    connection: &mut PgConnection,
    past: Past<'_>,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    all: i64,
) -> Result<bool, sqlx::Error> {
    if list.text.is_some() || list.is_of_an_index() {
        return Ok(false);
    }
    let every = LeadFilter::default();
    let every = past.leads(connection, list.company, &every).await?;
    let wanted = request.offset() + request.per_page + 1;
    let of_piece = wanted
        .saturating_mul(FIRST_PIECE)
        .saturating_mul(every / all.max(1));
    Ok(collected(connection, past, list).await? < of_piece)
}

/// How many leads have to be collected by an index of one of the list's conditions, whichever has the fewest; without end where there is none.
async fn collected(
    connection: &mut PgConnection,
    past: Past<'_>,
    list: Wanted<'_>,
) -> Result<i64, sqlx::Error> {
    let mut fewest = i64::MAX;
    for one in list.filter.each() {
        fewest = fewest.min(past.leads(connection, list.company, &one).await?);
    }
    Ok(fewest)
}

/// The ids of a page and one more, from the list's next rows, so many times those that are wanted; `None` where these hold too few.
async fn piece(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    times: i64,
) -> Result<Option<Vec<i64>>, sqlx::Error> {
    if is_of_one_plan(list, request) {
        return next_rows_at_once(connection, list, request, times).await;
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
    let end = end_of_piece(connection, list, request, times).await?;
    let ids = ids_up_to(connection, list, request, end.as_ref()).await?;
    Ok((end.is_none() || request.is_filled_by(ids.len())).then_some(ids))
}

/// The same in one statement, where its plan does not depend on the place at which the piece ends.
async fn next_rows_at_once(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    times: i64,
) -> Result<Option<Vec<i64>>, sqlx::Error> {
    let mut query = QueryBuilder::new("WITH piece AS MATERIALIZED (");
    push_end_of_piece(&mut query, list, request, times);
    query.push(") SELECT EXISTS (SELECT 1 FROM piece), ARRAY(SELECT l.id FROM leads l");
    list::push_conditions(&mut query, list.company, list.filter, list.text);
    let (column, side) = (list.sort.column.name(), list.sort.not_beyond());
    query.push(match list.sort.column {
        SortColumn::Id => format!(" AND l.id {side} (SELECT id FROM piece)"),
        _ => format!(
            " AND (l.{column}, l.id) {side} ((SELECT k FROM piece), (SELECT id FROM piece))"
        ),
    });
    list::push_page(&mut query, list, request);
    query.push(")");
    let (ends, ids): (bool, Vec<i64>) = query.build_query_as().fetch_one(&mut *connection).await?;
    if !ends {
        // The whole list is no longer than such a piece.
        return ids_up_to(connection, list, request, None).await.map(Some);
    }
    Ok(request.is_filled_by(ids.len()).then_some(ids))
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

/// The ids of a page and one more, of the part of the list that ends with this place. Alone, because PostgreSQL takes longer to plan
/// the joins of the rows, all of them of views, than to read these and then the rows.
async fn ids_up_to(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    end: Option<&Cursor>,
) -> Result<Vec<i64>, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT l.id FROM leads l");
    list::push_conditions(&mut query, list.company, list.filter, list.text);
    if let Some(end) = end {
        list::push_side(&mut query, list.sort, end, list.sort.not_beyond());
    }
    list::push_page(&mut query, list, request);
    query.build_query_scalar().fetch_all(connection).await
}

/// The place at which a piece ends that has so many times the rows that are wanted; `None` when there are fewer.
async fn end_of_piece(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    times: i64,
) -> Result<Option<Cursor>, sqlx::Error> {
    let mut query = QueryBuilder::default();
    push_end_of_piece(&mut query, list, request, times);
    let row = query.build().fetch_optional(connection).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let id = row.try_get(1)?;
    Ok(Some(match list.sort.column {
        SortColumn::CreatedAt | SortColumn::UpdatedAt => Cursor::Time(row.try_get(0)?, id),
        SortColumn::Id => Cursor::Id(id),
        SortColumn::FullName => Cursor::Name(row.try_get(0)?, id),
    }))
}

/// Appends the query of that place, as `k` and `id`: after so many of today's rows or of the versions, whichever comes first, and no row when there
/// are fewer of both. The filter counts, the moment does not, except that nothing that came later is looked at where the order tells.
fn push_end_of_piece(
    query: &mut QueryBuilder<'_, Postgres>,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    times: i64,
) {
    let wanted = request.offset() + request.per_page + 1;
    let rows = wanted.saturating_mul(times);
    let sort = list.sort;
    let column = sort.column.name();
    query.push("SELECT l.k, l.id FROM (");
    for (table, between) in [("public.leads", ""), ("past.leads", " UNION ALL ")] {
        query.push(format!(
            "{between}(SELECT l.{column} AS k, l.id FROM {table} l"
        ));
        list::push_conditions(query, list.company, list.filter, None);
        if matches!(sort.column, SortColumn::CreatedAt | SortColumn::UpdatedAt) {
            query.push(format!(
                " AND l.{column} <= (SELECT current_setting('leadledger.as_of_at')::timestamptz)"
            ));
        }
        if let Some(cursor) = request.after() {
            list::push_side(query, sort, cursor, sort.beyond());
        }
        list::push_order(query, sort);
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
}
