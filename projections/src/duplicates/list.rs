//! Reading duplicates: every member of every group of a company, group by group, the oldest first.

use aggregates::ids::CompanyId;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::leads::list::{LEAD_COLUMNS, LEAD_JOINS, LeadRow};
use crate::leads::past::{PastPage, page_of_walk};
use crate::page::{Page, PageRequest, Total};
use crate::total;
use crate::zone_maps::{DUPLICATES, Place, Walk};

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
    if let Some((group, lead_id)) = request.after() {
        query
            .push(" AND (m.duplicate_group, m.lead_id) > (")
            .push_bind(*group)
            .push(", ")
            .push_bind(*lead_id)
            .push(")");
    }
    query.push(" ORDER BY m.duplicate_group, m.lead_id");
    request.push_window(&mut query, only_of.is_none());
    query
        .push(") m JOIN leads l ON l.id = m.lead_id")
        .push(LEAD_JOINS)
        .push(" ORDER BY m.duplicate_group, m.lead_id");
    let rows = query.build_query_as().fetch_all(connection).await?;
    Ok(Page::from_overfetch(rows, request.per_page))
}

/// [`page`] as of the moment that the connection's tables are of, by the list's zone map where it has one.
///
/// # Errors
/// What the database answers.
pub async fn page_of_past(
    connection: &mut PgConnection,
    company: CompanyId,
    only_of: Option<&[i64]>,
    request: &PageRequest<(i64, i64)>,
) -> Result<PastPage, sqlx::Error> {
    let walk = Walk {
        company,
        list: &DUPLICATES,
        part: 0,
        descending: false,
        after: request
            .after()
            .map(|(group, lead)| Place::Number(*group, *lead)),
        times: (None, None),
        rows: &|query| {
            query.push(" FROM (");
            push_members(query, company, only_of);
            query.push(") l WHERE true");
        },
    };
    let (page, unmapped) = match page_of_walk(connection, walk, request).await? {
        Some(page) => (page, None),
        None => (
            page(connection, company, only_of, request).await?,
            Some(&DUPLICATES),
        ),
    };
    Ok(PastPage { page, unmapped })
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
        return total::counted(connection, |query| {
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
