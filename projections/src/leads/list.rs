//! Reading leads: one by id, and pages of a company's leads in any contracted order.

use std::collections::HashMap;

use aggregates::ids::{CompanyId, LeadId};
use aggregates::lead::{Classification, CreateLead};
use aggregates::person_name::full_name;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::counts::{self, LeadFilter};
use super::hits;
use crate::duplicates::hidden;
use crate::page::{Page, PageRequest, Total};
use crate::{plans, search};

/// A lead as lists and single reads show it, with the names of what it refers to.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `leads` and of the rows it refers to, by the same names"
)]
pub struct LeadRow {
    pub id: i64,
    pub company_id: i64,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub full_name: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub stage_id: i64,
    pub source_id: Option<i64>,
    pub campaign_id: Option<i64>,
    pub cycle_id: Option<i64>,
    pub territory_id: Option<i64>,
    pub user_access_id: Option<i64>,
    pub answers: serde_json::Value,
    pub extra: serde_json::Value,
    pub estimated_value_amount: Option<i64>,
    pub estimated_value_currency: Option<String>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub source_name: Option<String>,
    pub territory_name: Option<String>,
    pub assignee_role: Option<String>,
    pub assignee_user_id: Option<i64>,
    pub assignee_full_name: Option<String>,
    pub assignee_email: Option<String>,
    pub assignee_avatar: Option<String>,
    pub duplicate_group: Option<i64>,
    pub matched_on: Option<Vec<String>>,
    pub stage_entered_at: DateTime<Utc>,
    pub campaign_name: Option<String>,
    pub cycle_name: Option<String>,
    /// Whether the personal data is left out, whatever the moment.
    pub hidden: bool,
    pub blocked_at: Option<DateTime<Utc>>,
    pub erased_at: Option<DateTime<Utc>>,
    /// The position as of which it was read; none today.
    pub as_of: Option<i64>,
}

impl LeadRow {
    /// The row of a lead that was created at this moment and is like no other; `None` when it refers to anything whose name the
    /// tables know, or holds what PostgreSQL would order in its own way.
    #[must_use]
    pub fn of_new(lead: &CreateLead, created_at: DateTime<Utc>) -> Option<Self> {
        let refers = lead.classification != Classification::default()
            || lead.territory_match.is_some()
            || lead.routing.is_some()
            || lead.cycle_id.is_some()
            || lead.user_access_id.is_some();
        if refers || !lead.answers.is_empty() || !lead.extra.is_empty() {
            return None;
        }
        let contact = &lead.contact;
        Some(Self {
            id: lead.lead_id.get(),
            company_id: lead.company_id.get(),
            first_name: contact.first_name.as_ref().map(ToString::to_string),
            last_name: contact.last_name.as_ref().map(ToString::to_string),
            full_name: full_name(contact.first_name.as_ref(), contact.last_name.as_ref()),
            email: contact.email.as_ref().map(ToString::to_string),
            phone: contact.phone.as_ref().map(ToString::to_string),
            stage_id: lead.stage.id(),
            source_id: None,
            campaign_id: None,
            cycle_id: None,
            territory_id: None,
            user_access_id: None,
            answers: serde_json::Value::Array(Vec::new()),
            extra: serde_json::Value::Object(serde_json::Map::new()),
            estimated_value_amount: lead.estimated_value.as_ref().map(|value| value.amount),
            estimated_value_currency: lead
                .estimated_value
                .as_ref()
                .map(|value| value.currency.to_string()),
            version: 1,
            created_at,
            updated_at: created_at,
            source_name: None,
            territory_name: None,
            assignee_role: None,
            assignee_user_id: None,
            assignee_full_name: None,
            assignee_email: None,
            assignee_avatar: None,
            duplicate_group: None,
            matched_on: None,
            stage_entered_at: created_at,
            campaign_name: None,
            cycle_name: None,
            hidden: false,
            blocked_at: None,
            erased_at: None,
            as_of: None,
        })
    }
}

/// Columns and joins of [`LeadRow`] around a relation `l` of leads.
///
/// A blocked or erased lead's row holds nothing of the person; as it was earlier, it may: that is not shown either. Since when it is blocked or
/// erased is told as it was at the moment: the row of the erasure tells it of today.
pub(crate) const LEAD_COLUMNS: &str = "l.id, l.company_id, \
     CASE WHEN erasure.lead_id IS NULL THEN l.first_name END AS first_name, \
     CASE WHEN erasure.lead_id IS NULL THEN l.last_name END AS last_name, \
     CASE WHEN erasure.lead_id IS NULL THEN l.full_name ELSE '' END AS full_name, \
     CASE WHEN erasure.lead_id IS NULL THEN l.email END AS email, \
     CASE WHEN erasure.lead_id IS NULL THEN l.phone END AS phone, \
     l.stage_id, l.source_id, l.campaign_id, l.cycle_id, l.territory_id, l.user_access_id, \
     CASE WHEN erasure.lead_id IS NULL THEN l.answers ELSE '[]' END AS answers, \
     CASE WHEN erasure.lead_id IS NULL THEN l.extra ELSE '{}' END AS extra, \
     l.estimated_value_amount, l.estimated_value_currency, l.version, l.created_at, l.updated_at, \
     a.role AS assignee_role, u.id AS assignee_user_id, u.full_name AS assignee_full_name, \
     u.email AS assignee_email, \
     (SELECT v.file FROM user_avatars v WHERE v.user_id = u.id) AS assignee_avatar, d.duplicate_group, d.matched_on, \
     l.stage_entered_at, s.name AS source_name, t.name AS territory_name, campaign.name AS campaign_name, \
     cycle.name AS cycle_name, erasure.lead_id IS NOT NULL AS hidden, \
     CASE WHEN erasure.lead_id IS NULL OR nullif(current_setting('leadledger.as_of', true), '') IS NULL THEN erasure.blocked_at \
     ELSE (SELECT CASE WHEN v.event_type = 'LeadBlocked' THEN v.recorded_at END FROM events v \
         WHERE v.aggregate_type = 'lead' AND v.aggregate_id = l.id::text AND v.event_type IN ('LeadBlocked', 'LeadUnblocked') \
         ORDER BY v.sequence DESC LIMIT 1) END AS blocked_at, \
     CASE WHEN erasure.erased_position <= coalesce(nullif(current_setting('leadledger.as_of', true), '')::bigint, \
         erasure.erased_position) THEN erasure.erased_at END AS erased_at, \
     nullif(current_setting('leadledger.as_of', true), '')::bigint AS as_of";
pub(crate) const LEAD_JOINS: &str = " LEFT JOIN user_accesses a ON a.id = l.user_access_id \
     LEFT JOIN users u ON u.id = a.user_id LEFT JOIN duplicates d ON d.lead_id = l.id \
     LEFT JOIN sources s ON s.id = l.source_id LEFT JOIN territories t ON t.id = l.territory_id \
     LEFT JOIN campaigns campaign ON campaign.id = l.campaign_id LEFT JOIN cycles cycle ON cycle.id = l.cycle_id \
     LEFT JOIN lead_erasures erasure ON erasure.lead_id = l.id AND erasure.status <> 'in_use'";

/// One lead.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    lead: LeadId,
) -> Result<Option<LeadRow>, sqlx::Error> {
    let mut row: Option<LeadRow> = sqlx::query_as(&format!(
        "SELECT {LEAD_COLUMNS} FROM leads l{LEAD_JOINS} WHERE l.id = $1"
    ))
    .bind(lead.get())
    .fetch_optional(&mut *connection)
    .await?;
    hidden::settle(connection, row.iter_mut()).await?;
    Ok(row)
}

/// Several leads, in the order of the ids; `None` for an id that is no lead's.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(
    connection: &mut PgConnection,
    leads: &[LeadId],
) -> Result<Vec<Option<LeadRow>>, sqlx::Error> {
    let ids: Vec<i64> = leads.iter().map(|lead| lead.get()).collect();
    let mut rows: Vec<LeadRow> = sqlx::query_as(&format!(
        "SELECT {LEAD_COLUMNS} FROM leads l{LEAD_JOINS} WHERE l.id = ANY($1)"
    ))
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await?;
    hidden::settle(connection, rows.iter_mut()).await?;
    let rows: HashMap<i64, LeadRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    Ok(ids.iter().map(|id| rows.get(id).cloned()).collect())
}

/// A walk that looks for a page of hits passes so many times the leads among which it should lie.
const WALK: i64 = 4;

/// The column that a list is ordered by; ties are broken by id in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortColumn {
    /// When the lead came in.
    CreatedAt,
    /// When it last changed.
    UpdatedAt,
    /// The id alone.
    Id,
    /// The full name.
    FullName,
}

impl SortColumn {
    /// Its name in the tables of leads.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::Id => "id",
            Self::FullName => "full_name",
        }
    }
}

/// An order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sort {
    /// By what.
    pub column: SortColumn,
    /// Largest first.
    pub descending: bool,
}

/// The place after one row in a given order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// In an order by time.
    Time(DateTime<Utc>, i64),
    /// In an order by id.
    Id(i64),
    /// In an order by name.
    Name(String, i64),
}

impl Sort {
    /// The cursor that continues after `row`.
    #[must_use]
    pub fn cursor_after(self, row: &LeadRow) -> Cursor {
        match self.column {
            SortColumn::CreatedAt => Cursor::Time(row.created_at, row.id),
            SortColumn::UpdatedAt => Cursor::Time(row.updated_at, row.id),
            SortColumn::Id => Cursor::Id(row.id),
            SortColumn::FullName => Cursor::Name(row.full_name.clone(), row.id),
        }
    }

    /// What compares a row that comes after a place with it.
    pub(super) const fn beyond(self) -> &'static str {
        if self.descending { "<" } else { ">" }
    }

    /// What compares a row that comes before a place, or is it, with it.
    pub(super) const fn not_beyond(self) -> &'static str {
        if self.descending { ">=" } else { "<=" }
    }

    /// Whether the cursor was made by a list in this order.
    #[must_use]
    pub fn accepts(self, cursor: &Cursor) -> bool {
        matches!(
            (self.column, cursor),
            (
                SortColumn::CreatedAt | SortColumn::UpdatedAt,
                Cursor::Time(..)
            ) | (SortColumn::Id, Cursor::Id(_))
                | (SortColumn::FullName, Cursor::Name(..))
        )
    }
}

/// Which leads a list has, and in which order.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Whose leads.
    pub company: CompanyId,
    /// What they meet.
    pub filter: &'a LeadFilter,
    /// What name, e-mail or phone contain.
    pub text: Option<&'a str>,
    /// The order.
    pub sort: Sort,
}

impl Wanted<'_> {
    /// Whether an index gives the list in its order, however many or few leads the values that are asked for have. Of several assignees,
    /// or of what contains a text, it depends on the values what is best.
    pub(super) fn is_of_an_index(&self) -> bool {
        let filter = self.filter;
        let filters = [
            filter.stage_id,
            filter.source_id,
            filter.campaign_id,
            filter.cycle_id,
            filter.territory_id,
        ];
        let filters =
            filters.iter().flatten().count() + usize::from(filter.user_access_ids.is_some());
        let created = self.sort.column == SortColumn::CreatedAt;
        let nobodys = |ids: &Vec<i64>| ids.is_empty() && filter.or_unassigned;
        self.text.is_none()
            && (filters == 0 || (filters == 1 && created))
            && filter.user_access_ids.as_ref().is_none_or(nobodys)
            && (created || filter.created() == (None, None))
    }
}

/// A page of the list, and how many leads it has: exact without a text, else as `hits` says.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
) -> Result<(Total, Page<LeadRow>), sqlx::Error> {
    let Some(text) = list.text else {
        let all = counts::total(connection, list.company, list.filter).await?;
        let rows = query_of_page(list, request)
            .build_query_as()
            .fetch_all(connection)
            .await?;
        let page = Page::from_overfetch(rows, request.per_page);
        return Ok((Total::exact(all), page));
    };
    // Of one moment, as one statement would be: what changes between two would be shown though it does not contain the text, or is not of who asks.
    let mut snapshot = plans::snapshot(connection).await?;
    let all = counts::total(&mut snapshot, list.company, list.filter).await?;
    plans::plan_for_values(&mut snapshot).await?;
    let (total, collected) = hits::found(&mut snapshot, list, request, text, all).await?;
    let ids = match collected {
        Some(ids) => Some(ids),
        None => walked(&mut snapshot, list, request, (all, total.count)).await?,
    };
    let page = if let Some(ids) = ids {
        plans::plan_as_before(&mut snapshot).await?;
        page_of(&mut snapshot, ids, request).await?
    } else {
        let rows = query_of_page(list, request)
            .build_query_as()
            .fetch_all(&mut *snapshot)
            .await?;
        Page::from_overfetch(rows, request.per_page)
    };
    snapshot.commit().await?;
    Ok((total, page))
}

/// The page is cut from `leads` alone; names are joined to its few rows afterwards.
fn query_of_page<'a>(
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
) -> QueryBuilder<'a, Postgres> {
    let mut query = QueryBuilder::new(format!(
        "SELECT {LEAD_COLUMNS} FROM (SELECT l.* FROM leads l"
    ));
    push_conditions(&mut query, list.company, list.filter, list.text);
    push_page(&mut query, list, request);
    query.push(") l").push(LEAD_JOINS);
    push_order(&mut query, list.sort);
    query
}

/// The page of these leads, which are one more where the list goes on.
pub(crate) async fn page_of<C>(
    connection: &mut PgConnection,
    ids: Vec<i64>,
    request: &PageRequest<C>,
) -> Result<Page<LeadRow>, sqlx::Error> {
    // Not by the rows: one that went meanwhile does not end the list.
    let more = request.is_filled_by(ids.len());
    let page = usize::try_from(request.per_page).unwrap_or(usize::MAX);
    let ids: Vec<LeadId> = ids.into_iter().take(page).map(LeadId).collect();
    let rows = by_ids(connection, &ids).await?;
    let rows = rows.into_iter().flatten().collect();
    Ok(Page { rows, more })
}

/// The ids of a page and one more of what contains a text, found by walking through a part of the list that should hold several times as many hits;
/// `None` where that is no shorter than to collect all hits, or does not hold a page. PostgreSQL is not left to choose: it tells how many leads
/// contain a text from a sample of some hundred leads of everybody, and collects tens of thousands that it took for a few.
async fn walked(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    (all, hits): (i64, i64),
) -> Result<Option<Vec<i64>>, sqlx::Error> {
    let any_text = Wanted { text: None, ..list };
    let (Some(text), true) = (list.text, any_text.is_of_an_index()) else {
        return Ok(None);
    };
    let one_in = (all / hits.max(1)).max(1);
    let wanted = request.offset() + request.per_page + 1;
    let walk = wanted.saturating_mul(one_in).saturating_mul(WALK);
    if walk > hits {
        return Ok(None);
    }
    let mut query = QueryBuilder::new(
        "SELECT l.id FROM (SELECT l.id, l.search, l.created_at, l.updated_at, l.full_name FROM leads l",
    );
    push_conditions(&mut query, list.company, list.filter, None);
    push_not_hidden(&mut query);
    if let Some(cursor) = request.after() {
        push_side(&mut query, list.sort, cursor, list.sort.beyond());
    }
    push_order(&mut query, list.sort);
    query.push(" LIMIT ").push_bind(walk).push(") l WHERE ");
    push_contains(&mut query, text);
    push_order(&mut query, list.sort);
    request.push_window(&mut query, false);
    let mut transaction = plans::for_values(connection).await?;
    let ids: Vec<i64> = query
        .build_query_scalar()
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(request.is_filled_by(ids.len()).then_some(ids))
}

pub(super) fn push_conditions(
    query: &mut QueryBuilder<'_, Postgres>,
    company: CompanyId,
    filter: &LeadFilter,
    text: Option<&str>,
) {
    query
        .push(" WHERE l.company_id = ")
        .push_bind(company.get());
    for (column, value) in [
        ("stage_id", filter.stage_id),
        ("source_id", filter.source_id),
        ("campaign_id", filter.campaign_id),
        ("cycle_id", filter.cycle_id),
        ("territory_id", filter.territory_id),
    ] {
        if let Some(value) = value {
            query.push(format!(" AND l.{column} = ")).push_bind(value);
        }
    }
    match (&filter.user_access_ids, filter.or_unassigned) {
        (None, _) => {}
        (Some(ids), true) if ids.is_empty() => {
            query.push(" AND l.user_access_id IS NULL");
        }
        (Some(ids), false) if ids.len() == 1 => {
            // The index of the search knows no lists of values.
            query.push(" AND l.user_access_id = ").push_bind(ids[0]);
        }
        (Some(ids), or_unassigned) => {
            query
                .push(" AND (l.user_access_id = ANY(")
                .push_bind(ids.clone())
                .push(")");
            if or_unassigned {
                query.push(" OR l.user_access_id IS NULL");
            }
            query.push(")");
        }
    }
    push_created(query, filter, "l.created_at");
    if let Some(text) = text {
        push_not_hidden(query);
        query.push(" AND ");
        push_contains(query, text);
    }
}

/// The part of the filter that is about when leads were created, of this expression.
pub(super) fn push_created(
    query: &mut QueryBuilder<'_, Postgres>,
    filter: &LeadFilter,
    created_at: &str,
) {
    let (from, to) = filter.created();
    if let Some(from) = from {
        query.push(format!(" AND {created_at} >= ")).push_bind(from);
    }
    if let Some(to) = to {
        query.push(format!(" AND {created_at} < ")).push_bind(to);
    }
}

/// The condition that a lead is neither blocked nor erased: nothing of it is shown, nor found.
pub(super) fn push_not_hidden(query: &mut QueryBuilder<'_, Postgres>) {
    query.push(
        " AND NOT EXISTS (SELECT 1 FROM lead_erasures e WHERE e.lead_id = l.id AND e.status <> 'in_use')",
    );
}

pub(super) fn push_contains(query: &mut QueryBuilder<'_, Postgres>, text: &str) {
    query
        .push("(l.search LIKE ")
        .push_bind(search::contains_pattern(text));
    if let Some(digits) = search::phone_digits(text) {
        query
            .push(" OR l.search LIKE ")
            .push_bind(search::contains_pattern(&digits));
    }
    query.push(")");
}

/// The condition that a row lies on this side of the place, such as [`Sort::beyond`] it.
pub(super) fn push_side(
    query: &mut QueryBuilder<'_, Postgres>,
    sort: Sort,
    cursor: &Cursor,
    side: &str,
) {
    match cursor {
        Cursor::Time(time, id) => {
            let column = match sort.column {
                SortColumn::UpdatedAt => "updated_at",
                _ => "created_at",
            };
            query
                .push(format!(" AND (l.{column}, l.id) {side} ("))
                .push_bind(*time)
                .push(", ")
                .push_bind(*id)
                .push(")");
        }
        Cursor::Id(id) => {
            query.push(format!(" AND l.id {side} ")).push_bind(*id);
        }
        Cursor::Name(name, id) => {
            query
                .push(format!(" AND (l.full_name, l.id) {side} ("))
                .push_bind(name.clone())
                .push(", ")
                .push_bind(*id)
                .push(")");
        }
    }
}

/// Appends what cuts a page, and one row more, from the rows that meet the conditions.
pub(super) fn push_page(
    query: &mut QueryBuilder<'_, Postgres>,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
) {
    if let Some(cursor) = request.after() {
        push_side(query, list.sort, cursor, list.sort.beyond());
    }
    push_order(query, list.sort);
    request.push_window(query, list.is_of_an_index());
}

pub(super) fn push_order(query: &mut QueryBuilder<'_, Postgres>, sort: Sort) {
    let direction = if sort.descending { "DESC" } else { "ASC" };
    let column = sort.column.name();
    query.push(match sort.column {
        SortColumn::Id => format!(" ORDER BY l.id {direction}"),
        _ => format!(" ORDER BY l.{column} {direction}, l.id {direction}"),
    });
}
