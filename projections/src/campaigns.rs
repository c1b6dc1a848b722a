//! The campaigns of companies.

use std::collections::BTreeMap;

use aggregates::company::CompanyEvent;
use aggregates::company::campaigns::{Campaign, CampaignStatus};
use aggregates::ids::{CampaignId, CompanyId, SourceId};
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{FromRow, PgConnection, QueryBuilder};

use crate::page::{Page, PageRequest, Total};
use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::search;
use crate::statement::Statement;
use crate::total;

struct Row {
    company_id: i64,
    campaign: Campaign,
    position: i64,
    /// Set when the batch creates it.
    created_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
}

/// Owns `campaigns`.
#[derive(Default)]
pub struct Campaigns {
    rows: BTreeMap<i64, Row>,
}

impl Projection for Campaigns {
    fn name(&self) -> &'static str {
        "campaigns"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "campaigns",
            key: &["id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let (id, campaign, is_new) = match &recorded.event {
            DomainEvent::Company(CompanyEvent::CampaignCreated {
                campaign_id,
                campaign,
            }) => (campaign_id.get(), campaign, true),
            DomainEvent::Company(CompanyEvent::CampaignChanged {
                campaign_id, to, ..
            }) => (campaign_id.get(), to, false),
            _ => return,
        };
        let created_at = if is_new {
            Some(recorded.recorded_at)
        } else {
            self.rows.get(&id).and_then(|known| known.created_at)
        };
        self.rows.insert(
            id,
            Row {
                company_id: recorded.aggregate_id,
                campaign: campaign.clone(),
                position: recorded.position,
                created_at,
                updated_at: recorded.recorded_at,
            },
        );
    }

    fn write(&mut self, statement: &mut Statement) {
        let (new, changed): (Vec<_>, Vec<_>) = std::mem::take(&mut self.rows)
            .into_iter()
            .partition(|(_, row)| row.created_at.is_some());
        if !new.is_empty() {
            statement.part("new_campaigns", |s| {
                s.sql(
                    "INSERT INTO campaigns (id, company_id, name, status, source_id, start_date, end_date, search, \
                     position, created_at, updated_at) SELECT r.* FROM head, ",
                );
                Columns::from(new).unnest(s);
            });
        }
        if !changed.is_empty() {
            statement.part("changed_campaigns", |s| {
                s.sql(
                    "UPDATE campaigns c SET name = r.name, status = r.status, source_id = r.source_id, \
                     start_date = r.start_date, end_date = r.end_date, search = r.search, position = r.position, \
                     updated_at = r.updated_at FROM head, ",
                );
                Columns::from(changed).unnest(s);
                s.sql(" WHERE c.id = r.id");
            });
        }
    }
}

#[derive(Default)]
struct Columns {
    ids: Vec<i64>,
    companies: Vec<i64>,
    names: Vec<String>,
    statuses: Vec<&'static str>,
    sources: Vec<Option<i64>>,
    starts: Vec<Option<NaiveDate>>,
    ends: Vec<Option<NaiveDate>>,
    searches: Vec<String>,
    positions: Vec<i64>,
    created: Vec<Option<DateTime<Utc>>>,
    updated: Vec<DateTime<Utc>>,
}

impl From<Vec<(i64, Row)>> for Columns {
    fn from(rows: Vec<(i64, Row)>) -> Self {
        let mut columns = Self::default();
        for (id, row) in rows {
            columns.ids.push(id);
            columns.companies.push(row.company_id);
            columns.searches.push(search::fold(&row.campaign.name));
            columns.names.push(row.campaign.name);
            columns.statuses.push(row.campaign.status.code());
            columns
                .sources
                .push(row.campaign.source_id.map(SourceId::get));
            columns.starts.push(row.campaign.start_date);
            columns.ends.push(row.campaign.end_date);
            columns.positions.push(row.position);
            columns.created.push(row.created_at);
            columns.updated.push(row.updated_at);
        }
        columns
    }
}

impl Columns {
    fn unnest(self, s: &mut Statement) {
        s.sql("unnest(")
            .bind(self.ids)
            .also(self.companies)
            .also(self.names)
            .also(self.statuses)
            .also(self.sources)
            .also(self.starts)
            .also(self.ends)
            .also(self.searches)
            .also(self.positions)
            .also(self.created)
            .also(self.updated)
            .sql(
                ") AS r(id, company_id, name, status, source_id, start_date, end_date, search, position, created_at, \
                 updated_at)",
            );
    }
}

/// A campaign as it is read.
#[derive(Debug, Clone, FromRow)]
#[expect(missing_docs, reason = "the columns of `campaigns`, by the same names")]
pub struct CampaignRow {
    pub id: i64,
    pub company_id: i64,
    pub name: String,
    pub status: String,
    pub source_id: Option<i64>,
    pub start_date: Option<NaiveDate>,
    pub end_date: Option<NaiveDate>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

const COLUMNS: &str = "c.id, c.company_id, c.name, c.status, c.source_id, c.start_date, c.end_date, c.created_at, \
     c.updated_at";

/// One campaign.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    campaign: CampaignId,
) -> Result<Option<CampaignRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM campaigns c WHERE c.id = $1"
    ))
    .bind(campaign.get())
    .fetch_optional(connection)
    .await
}

/// A page of the company's campaigns, by id, whose name contains the text and that have the status.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    company: CompanyId,
    text: Option<&str>,
    status: Option<CampaignStatus>,
    request: &PageRequest<i64>,
) -> Result<(Page<CampaignRow>, Total), sqlx::Error> {
    let conditions = |query: &mut QueryBuilder<'_, sqlx::Postgres>| {
        query
            .push(" FROM campaigns c WHERE c.company_id = ")
            .push_bind(company.get());
        if let Some(status) = status {
            query.push(" AND c.status = ").push_bind(status.code());
        }
        if let Some(text) = text {
            query
                .push(" AND c.search LIKE ")
                .push_bind(search::contains_pattern(text));
        }
    };
    let total = total::counted(connection, |query| {
        query.push("SELECT 1");
        conditions(query);
    })
    .await?;
    let mut query = QueryBuilder::new(format!("SELECT {COLUMNS}"));
    conditions(&mut query);
    if let Some(id) = request.after() {
        query.push(" AND c.id > ").push_bind(*id);
    }
    query
        .push(" ORDER BY c.id LIMIT ")
        .push_bind(request.per_page + 1)
        .push(" OFFSET ")
        .push_bind(request.offset());
    let rows = query.build_query_as().fetch_all(connection).await?;
    Ok((Page::from_overfetch(rows, request.per_page), total))
}
