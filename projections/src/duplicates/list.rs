//! Reading duplicates: every member of every group of a company, group by group, the oldest first.

use aggregates::ids::CompanyId;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::leads::list::{LEAD_COLUMNS, LEAD_JOINS, LeadRow};
use crate::page::{Page, PageRequest, Total};
use crate::total;

/// The place after one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupCursor {
    /// The row's group.
    pub group: i64,
    /// Its lead.
    pub lead_id: i64,
}

impl GroupCursor {
    /// The cursor that continues after `row`; `None` for a lead in no group, which no page of this list holds.
    #[must_use]
    pub fn after(row: &LeadRow) -> Option<Self> {
        row.duplicate_group.map(|group| Self {
            group,
            lead_id: row.id,
        })
    }
}

/// A page of the company's duplicates by group and id.
///
/// With `restrict_to_assignees`, only leads that are assigned to one of these accesses, or to nobody; their groups are
/// those that all leads of the company make.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    company: CompanyId,
    restrict_to_assignees: Option<&[i64]>,
    request: &PageRequest<GroupCursor>,
) -> Result<Page<LeadRow>, sqlx::Error> {
    // The page is cut from the groups; the leads are joined to its few rows afterwards.
    let mut query = QueryBuilder::new(format!("SELECT {LEAD_COLUMNS} FROM ("));
    push_members(&mut query, company, restrict_to_assignees);
    if let Some(cursor) = request.after() {
        query
            .push(" AND (m.duplicate_group, m.lead_id) > (")
            .push_bind(cursor.group)
            .push(", ")
            .push_bind(cursor.lead_id)
            .push(")");
    }
    query
        .push(" ORDER BY m.duplicate_group, m.lead_id LIMIT ")
        .push_bind(request.per_page + 1);
    if request.offset() > 0 {
        query.push(" OFFSET ").push_bind(request.offset());
    }
    query
        .push(") m JOIN leads l ON l.id = m.lead_id")
        .push(LEAD_JOINS)
        .push(" ORDER BY m.duplicate_group, m.lead_id");
    let rows = query.build_query_as().fetch_all(connection).await?;
    Ok(Page::from_overfetch(rows, request.per_page))
}

/// How many rows the list has: exact without a restriction, else exact up to 10,000 and an estimate of the planner's above.
///
/// # Errors
/// What the database answers.
pub async fn total(
    connection: &mut PgConnection,
    company: CompanyId,
    restrict_to_assignees: Option<&[i64]>,
) -> Result<Total, sqlx::Error> {
    if restrict_to_assignees.is_some() {
        return total::counted(connection, |query| {
            push_members(query, company, restrict_to_assignees);
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
    restrict_to_assignees: Option<&[i64]>,
) {
    query.push("SELECT m.duplicate_group, m.lead_id FROM duplicates m");
    if let Some(assignees) = restrict_to_assignees {
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
