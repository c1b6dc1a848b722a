//! Reading duplicates: every member of every group of a company, group by group, the oldest first.

use aggregates::ids::CompanyId;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::hidden::Hidden;
use crate::leads::list::{LEAD_COLUMNS, LEAD_JOINS, LeadRow, page_of};
use crate::leads::past::PastPage;
use crate::page::{Page, PageRequest, Total};
use crate::total;
use crate::zone_maps::{DUPLICATES, Found, Place, Walk};

/// A page of the company's duplicates by group and id; the cursor is the last row's group and lead id.
///
/// With `only_of`, just the leads that are assigned to one of these accesses, or to nobody; the groups are still those that
/// all leads of the company make.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    company: CompanyId,
    only_of: Option<&[i64]>,
    request: &PageRequest<(i64, i64)>,
) -> Result<Page<LeadRow>, sqlx::Error> {
    // The page is cut from the groups; the leads are joined to its few rows afterwards.
    let mut query = QueryBuilder::new(format!("SELECT {LEAD_COLUMNS} FROM ("));
    push_members(&mut query, company, only_of);
    push_after(&mut query, request);
    query.push(" ORDER BY m.duplicate_group, m.lead_id");
    request.push_window(&mut query, only_of.is_none());
    query
        .push(") m JOIN leads l ON l.id = m.lead_id")
        .push(LEAD_JOINS)
        .push(" ORDER BY m.duplicate_group, m.lead_id");
    let rows = query.build_query_as().fetch_all(connection).await?;
    Ok(Page::from_overfetch(rows, request.per_page))
}

/// [`page`] as of the moment that the connection's tables are of, by the list's zone map where it has one, without who is hidden.
///
/// # Errors
/// What the database answers.
pub async fn page_of_past(
    connection: &mut PgConnection,
    company: CompanyId,
    only_of: Option<&[i64]>,
    hidden: &Hidden,
    request: &PageRequest<(i64, i64)>,
) -> Result<PastPage, sqlx::Error> {
    let but = hidden.groups();
    let walk = Walk {
        company,
        list: &DUPLICATES,
        part: 0,
        descending: false,
        after: request
            .after()
            .map(|(group, lead)| Place::Number(*group, *lead)),
        times: (None, None),
        one_in: if only_of.is_none() && hidden.is_empty() {
            1
        } else {
            2
        },
        rows: Box::new(|query| {
            query.push(" FROM (");
            push_members(query, company, only_of);
            push_but(query, &but);
            query.push(") l WHERE true");
        }),
    };
    if hidden.is_empty() {
        let (page, unmapped) = match walk.ids(connection, request).await? {
            Found::Rows(walked) => {
                let ids = walked.of_page(request);
                (page_of(connection, ids, request).await?, None)
            }
            found => (
                page(connection, company, only_of, request).await?,
                matches!(found, Found::NoMap).then_some(&DUPLICATES),
            ),
        };
        return Ok(PastPage {
            page: without_hidden(page),
            unmapped,
        });
    }
    // What is left of the groups with somebody to hide may have other places than it had: it is put among the rest here.
    let (mut places, unmapped) = match walk.ids(connection, request).await? {
        Found::Rows(walked) => (places_of(connection, &walked.all()).await?, None),
        found => (
            places(connection, company, only_of, &but, request).await?,
            matches!(found, Found::NoMap).then_some(&DUPLICATES),
        ),
    };
    let left = left_of(connection, hidden, only_of).await?;
    let beyond = |place: &(i64, i64)| request.after().is_none_or(|after| place > after);
    places.extend(left.into_iter().filter(beyond));
    places.sort_unstable();
    let count = |rows: i64| usize::try_from(rows).unwrap_or(usize::MAX);
    let window = places.into_iter().skip(count(request.offset()));
    let ids = window.take(count(request.per_page).saturating_add(1));
    let ids = ids.map(|(_, lead)| lead).collect();
    Ok(PastPage {
        page: without_hidden(page_of(connection, ids, request).await?),
        unmapped,
    })
}

/// Without whom was blocked or erased while the page was read: the row would tell that the person was like others.
fn without_hidden(mut page: Page<LeadRow>) -> Page<LeadRow> {
    page.rows.retain(|row| !row.hidden);
    page
}

/// The places of these leads in the list.
async fn places_of(
    connection: &mut PgConnection,
    leads: &[i64],
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    sqlx::query_as("SELECT duplicate_group, lead_id FROM duplicates WHERE lead_id = ANY($1)")
        .bind(leads)
        .fetch_all(connection)
        .await
}

/// The first places of the list but for these groups, up to the end of the page and one more.
async fn places(
    connection: &mut PgConnection,
    company: CompanyId,
    only_of: Option<&[i64]>,
    but: &[i64],
    request: &PageRequest<(i64, i64)>,
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let mut query = QueryBuilder::new("");
    push_members(&mut query, company, only_of);
    push_but(&mut query, but);
    push_after(&mut query, request);
    query
        .push(" ORDER BY m.duplicate_group, m.lead_id LIMIT ")
        .push_bind(request.offset() + request.per_page + 1);
    query.build_query_as().fetch_all(connection).await
}

/// What is left of the groups with somebody to hide, of these assignees' leads if they are named.
async fn left_of(
    connection: &mut PgConnection,
    hidden: &Hidden,
    only_of: Option<&[i64]>,
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let Some(assignees) = only_of else {
        return Ok(hidden.left().collect());
    };
    let leads: Vec<i64> = hidden.left().map(|(_, lead)| lead).collect();
    let theirs: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM leads WHERE id = ANY($1) AND (user_access_id IS NULL OR user_access_id = ANY($2))",
    )
    .bind(leads)
    .bind(assignees)
    .fetch_all(connection)
    .await?;
    let left = hidden.left();
    Ok(left.filter(|(_, lead)| theirs.contains(lead)).collect())
}

/// How many rows the list has: exact for the whole company, else exact up to 10,000 and an estimate of the planner's above.
///
/// # Errors
/// What the database answers.
pub async fn total(
    connection: &mut PgConnection,
    company: CompanyId,
    only_of: Option<&[i64]>,
) -> Result<Total, sqlx::Error> {
    if only_of.is_some() {
        return total::of_today(connection, |query| {
            push_members(query, company, only_of);
        })
        .await;
    }
    let count: Option<i64> =
        sqlx::query_scalar("SELECT count FROM duplicate_counts WHERE company_id = $1")
            .bind(company.get())
            .fetch_optional(connection)
            .await?;
    Ok(Total::exact(count.unwrap_or_default()))
}

/// [`total()`] as of the moment that the connection's tables are of, without who is hidden.
///
/// # Errors
/// What the database answers.
pub async fn total_of_past(
    connection: &mut PgConnection,
    company: CompanyId,
    only_of: Option<&[i64]>,
    hidden: &Hidden,
) -> Result<Total, sqlx::Error> {
    if hidden.is_empty() || only_of.is_none() {
        let mut total = total(connection, company, only_of).await?;
        total.count -= hidden.fewer();
        return Ok(total);
    }
    let but = hidden.groups();
    let mut total = total::of_today(connection, |query| {
        push_members(query, company, only_of);
        push_but(query, &but);
    })
    .await?;
    let left = left_of(connection, hidden, only_of).await?;
    total.count += i64::try_from(left.len()).unwrap_or(i64::MAX);
    Ok(total)
}

/// After [`push_members`]: not these groups.
fn push_but(query: &mut QueryBuilder<'_, Postgres>, groups: &[i64]) {
    if !groups.is_empty() {
        query
            .push(" AND m.duplicate_group <> ALL(")
            .push_bind(groups.to_vec())
            .push(")");
    }
}

/// After [`push_members`]: what the page begins after.
fn push_after(query: &mut QueryBuilder<'_, Postgres>, request: &PageRequest<(i64, i64)>) {
    if let Some((group, lead_id)) = request.after() {
        query
            .push(" AND (m.duplicate_group, m.lead_id) > (")
            .push_bind(*group)
            .push(", ")
            .push_bind(*lead_id)
            .push(")");
    }
}

fn push_members(
    query: &mut QueryBuilder<'_, Postgres>,
    company: CompanyId,
    only_of: Option<&[i64]>,
) {
    query.push("SELECT m.duplicate_group, m.lead_id FROM duplicates m");
    if let Some(assignees) = only_of {
        query
            .push(
                " JOIN leads o ON o.id = m.lead_id AND (o.user_access_id IS NULL OR o.user_access_id = ANY(",
            )
            .push_bind(assignees.to_vec())
            .push("))");
    }
    query
        .push(" WHERE m.company_id = ")
        .push_bind(company.get());
}

/// How many of these leads are duplicates of an older one.
///
/// # Errors
/// What the database answers.
pub async fn duplicates_among(
    connection: &mut PgConnection,
    leads: &[i64],
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT count(*) FROM duplicates WHERE lead_id = ANY($1) AND duplicate_group <> lead_id",
    )
    .bind(leads)
    .fetch_one(connection)
    .await
}
