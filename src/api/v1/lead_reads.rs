//! Who read the personal data of a lead, and when.

use aggregates::access::Right;
use axum::extract::State;
use chrono::{DateTime, Utc};
use projections::page::Total;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::lead_on_record::LeadOnRecord;
use super::pages::{Meta, PageQuery};
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::lead_reads::{self, Gap, LeadReadRow};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_lead_reads))
}

/// A read of a lead's personal data.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeadReadView {
    read_at: DateTime<Utc>,
    /// A user or an integration token, as `user:7` or `token:3`.
    reader: String,
    /// The user's name, as they are called today.
    full_name: Option<String>,
    /// The operation that showed it.
    #[schema(example = "GET /leads/{id}")]
    operation: String,
    request_id: Option<String>,
}

/// A stretch of time in which reads of any lead may be missing.
#[derive(Debug, Serialize, ToSchema)]
pub struct GapView {
    /// Null where reads were counted and not written.
    since: Option<DateTime<Utc>>,
    /// Null where a server died.
    until: Option<DateTime<Utc>>,
    /// How many reads, where they were counted.
    lost: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
struct LeadReadList {
    reads: Vec<LeadReadView>,
    /// At most 100, the latest first; empty when the log is complete.
    gaps: Vec<GapView>,
    meta: Meta,
}

impl From<LeadReadRow> for LeadReadView {
    fn from(row: LeadReadRow) -> Self {
        Self {
            read_at: row.read_at,
            reader: row.reader,
            full_name: row.full_name,
            operation: row.operation,
            request_id: row.request_id,
        }
    }
}

impl From<Gap> for GapView {
    fn from(gap: Gap) -> Self {
        Self {
            since: gap.since,
            until: gap.until,
            lost: gap.lost,
        }
    }
}

/// List who read the personal data of a lead
///
/// The latest first: each answer that showed it to a person or program, alone or in a list. Answers to changes are not reads: the
/// history tells of those. `gaps` says when reads may be missing.
#[utoipa::path(get, path = "/leads/{id}/reads", tag = "Lead Reads", security(("bearer" = [])), params(("id" = i64, Path), PageQuery),
    responses((status = 200, description = "List of reads", body = LeadReadList), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such lead")))]
async fn list_lead_reads(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<LeadReadList>, Problem> {
    let wanted = page.check::<i64>()?;
    let lead = LeadOnRecord::find(&app, &caller, id).await?;
    lead.require(Right::Audit)?;
    app.ledger.flush_reads().await;
    let mut connection = app.pool.acquire().await?;
    let (page, total) = lead_reads::page(&mut connection, id, &wanted.request).await?;
    let gaps = lead_reads::gaps(&mut connection, app.clock.now()).await?;
    let next = page.rows.last().map(|row| row.id).filter(|_| page.more);
    Ok(Json(LeadReadList {
        meta: wanted.meta(Total::exact(total), next.as_ref()),
        reads: page.rows.into_iter().map(LeadReadView::from).collect(),
        gaps: gaps.into_iter().map(GapView::from).collect(),
    }))
}
