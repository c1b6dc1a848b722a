//! Reading duplicates: group by group, the oldest group first, and in it the oldest lead.

use aggregates::ids::CompanyId;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::leads::list::{LEAD_COLUMNS, LEAD_JOINS, LeadRow};
use crate::page::{Page, PageRequest, Total};

/// A page of the leads in duplicate groups; the cursor is the last row's group and lead id. `only_of` keeps to leads that are
/// assigned to one of these accesses or to nobody.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    company: CompanyId,
    only_of: Option<&[i64]>,
    request: &PageRequest<(i64, i64)>,
) -> Result<Page<LeadRow>, sqlx::Error> {
    let mut query = QueryBuilder::new(format!(
        "SELECT {LEAD_COLUMNS} FROM (SELECT m.duplicate_group AS g, m.lead_id AS m FROM duplicates m"
    ));
    push_members(&mut query, company, only_of);
    if let Some((group, lead)) = request.after() {
        query
            .push(" AND (m.duplicate_group, m.lead_id) > (")
            .push_bind(*group)
            .push(", ")
            .push_bind(*lead)
            .push(")");
    }
    query
        .push(" ORDER BY m.duplicate_group, m.lead_id LIMIT ")
        .push_bind(request.per_page + 1)
        .push(" OFFSET ")
        .push_bind(request.offset())
        .push(") AS wanted JOIN leads l ON l.id = wanted.m")
        .push(LEAD_JOINS)
        .push(" ORDER BY wanted.g, wanted.m");
    let rows = query.build_query_as().fetch_all(connection).await?;
    Ok(Page::from_overfetch(rows, request.per_page))
}

/// How many leads are in duplicate groups: exact for the whole company, else exact up to 10,000 and capped above.
///
/// # Errors
/// What the database answers.
pub async fn total(
    connection: &mut PgConnection,
    company: CompanyId,
    only_of: Option<&[i64]>,
) -> Result<Total, sqlx::Error> {
    const EXACT_UP_TO: i64 = 10_000;
    let Some(only_of) = only_of else {
        let count: Option<i64> =
            sqlx::query_scalar("SELECT count FROM duplicate_counts WHERE company_id = $1")
                .bind(company.get())
                .fetch_optional(connection)
                .await?;
        return Ok(Total::exact(count.unwrap_or(0)));
    };
    let mut query = QueryBuilder::new("SELECT count(*) FROM (SELECT 1 FROM duplicates m");
    push_members(&mut query, company, Some(only_of));
    query
        .push(" LIMIT ")
        .push_bind(EXACT_UP_TO + 1)
        .push(") AS counted");
    let count: i64 = query.build_query_scalar().fetch_one(connection).await?;
    Ok(Total {
        count,
        is_estimate: count > EXACT_UP_TO,
    })
}

fn push_members(
    query: &mut QueryBuilder<'_, Postgres>,
    company: CompanyId,
    only_of: Option<&[i64]>,
) {
    if only_of.is_some() {
        query.push(" JOIN leads o ON o.id = m.lead_id");
    }
    query
        .push(" WHERE m.company_id = ")
        .push_bind(company.get());
    if let Some(only_of) = only_of {
        query
            .push(" AND (o.user_access_id IS NULL OR o.user_access_id = ANY(")
            .push_bind(only_of.to_vec())
            .push("))");
    }
}
