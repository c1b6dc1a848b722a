//! The stages that a lead went through.

use aggregates::ids::LeadId;
use aggregates::stage::Stage;
use axum::extract::State;
use chrono::{DateTime, Utc};
use projections::lead_stages::{self, StayRow};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::pages::{Meta, PageQuery};
use super::stages::StageView;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::problem::Problem;
use crate::app::App;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_lead_stages))
}

/// A stay in a stage.
#[derive(Debug, Serialize, ToSchema)]
struct StayView {
    stage: Option<StageView>,
    entered_at: DateTime<Utc>,
    /// Null for the stage that the lead is in.
    left_at: Option<DateTime<Utc>>,
}

impl From<StayRow> for StayView {
    fn from(row: StayRow) -> Self {
        Self {
            stage: Stage::from_id(row.stage_id).map(StageView::from),
            entered_at: row.entered_at,
            left_at: row.left_at,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct StayList {
    stages: Vec<StayView>,
    meta: Meta,
}

/// List the stages that a lead went through
///
/// In the order of time; the last one is the stage that it is in.
#[utoipa::path(get, path = "/leads/{id}/stages", tag = "Leads", security(("bearer" = [])), params(("id" = i64, Path), PageQuery),
    responses((status = 200, description = "List of stays", body = StayList), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such lead")))]
async fn list_lead_stages(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<StayList>, Problem> {
    let row = app.reads.lead.get(LeadId(id)).await?;
    let row = row.ok_or_else(|| Problem::not_found("lead"))?;
    caller
        .require_readable(&app, row.company_id, row.user_access_id)
        .await?;
    let wanted = page.check::<i64>()?;
    let mut connection = app.pool.acquire().await?;
    let (page, total) = lead_stages::page(&mut connection, LeadId(id), &wanted.request).await?;
    let next = page.rows.last().filter(|_| page.more);
    let next = next.map(|row| row.position);
    Ok(Json(StayList {
        meta: wanted.meta(total, next.as_ref()),
        stages: page.rows.into_iter().map(StayView::from).collect(),
    }))
}
