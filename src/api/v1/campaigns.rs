//! Campaigns: list, get, create, update.

use aggregates::access::Right;
use aggregates::company::campaigns::{
    Campaign, CampaignChanges, CampaignCommand, CampaignError, CampaignStatus,
};
use aggregates::company::{Company, CompanyCommand};
use aggregates::ids::{CampaignId, CompanyId, SourceId};
use aggregates::text;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use projections::campaigns::{self, CampaignRow};
use projections::questions;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dates::day;
use super::pages::{Meta, PageQuery};
use super::questions::QuestionView;
use super::users::{checked, checked_change};
use crate::api::caller::{Caller, Scope};
use crate::api::extract::{Json, Patch, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::IfMatch;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, Refusal, StreamKey, StreamKind, Unit};
use crate::{lead_routing, lineage};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_campaign, list_campaigns))
        .routes(routes!(show_campaign, update_campaign))
}

/// A campaign to begin, or the changes of one: what is absent stays, what is null is cleared.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
#[serde(default)]
struct CampaignBody {
    /// 1 to 200 characters; needed for a new one.
    name: Option<String>,
    /// `active`, `paused` or `ended`; a new one is `active` when nothing is said. What has ended does not begin again.
    #[schema(example = "active")]
    status: Option<String>,
    /// Where its leads come from, unless they say so themselves.
    #[schema(value_type = Option<i64>)]
    source_id: Patch<i64>,
    /// The first day.
    #[schema(value_type = Option<NaiveDate>)]
    start_date: Patch<NaiveDate>,
    /// The last day on which it takes leads.
    #[schema(value_type = Option<NaiveDate>)]
    end_date: Patch<NaiveDate>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CampaignQuery {
    /// Name contains, without regard to case and accents.
    search: Option<String>,
    /// `active`, `paused` or `ended`.
    status: Option<String>,
}

/// A campaign.
#[derive(Debug, Serialize, ToSchema)]
struct CampaignView {
    id: i64,
    company_id: i64,
    name: String,
    status: String,
    source_id: Option<i64>,
    start_date: Option<NaiveDate>,
    end_date: Option<NaiveDate>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// What it asks; only when a single campaign is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    questions: Option<Vec<QuestionView>>,
}

impl From<CampaignRow> for CampaignView {
    fn from(row: CampaignRow) -> Self {
        Self {
            id: row.id,
            company_id: row.company_id,
            name: row.name,
            status: row.status,
            source_id: row.source_id,
            start_date: row.start_date,
            end_date: row.end_date,
            created_at: row.created_at,
            updated_at: row.updated_at,
            questions: None,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct CampaignEnvelope {
    campaign: CampaignView,
}

#[derive(Debug, Serialize, ToSchema)]
struct CampaignList {
    campaigns: Vec<CampaignView>,
    meta: Meta,
}

/// How a rule of campaigns is answered.
pub fn refused(error: CampaignError) -> Problem {
    let (code, field) = match error {
        CampaignError::Unknown => return Problem::not_found("campaign"),
        CampaignError::NotOfCompany => ("unknown_campaign", "campaign_id"),
        CampaignError::NotOpen => ("campaign_not_open", "campaign_id"),
        CampaignError::EndsBeforeStart => ("ends_before_start", "end_date"),
        CampaignError::Ended => ("campaign_ended", "status"),
    };
    let detail = error.to_string();
    Problem::refused(code, detail.clone()).with_error(field, detail)
}

/// A campaign of a company that the caller sees.
///
/// # Errors
/// 404 for any other.
pub async fn seen(app: &App, caller: &Caller, id: i64) -> Result<(CampaignRow, Scope), Problem> {
    let mut connection = app.pool.acquire().await?;
    let row = campaigns::by_id(&mut connection, CampaignId(id)).await?;
    drop(connection);
    let row = row.ok_or_else(|| Problem::not_found("campaign"))?;
    let company = CompanyId(row.company_id);
    let scope = caller.scope_of(app, company, "campaign").await?;
    Ok((row, scope))
}

fn check(body: CampaignBody) -> Result<CampaignChanges, Problem> {
    let mut errors = FieldErrors::default();
    let name = body
        .name
        .and_then(|name| checked(&mut errors, "name", text::line(&name, 200)).map(str::to_owned));
    let status = body.status.and_then(|status| {
        let status = CampaignStatus::from_code(&status);
        checked(&mut errors, "status", status.ok_or(STATUSES))
    });
    let source = |id: i64| {
        if id > 0 {
            Ok(SourceId(id))
        } else {
            Err("must be a positive id")
        }
    };
    let changes = CampaignChanges {
        name,
        status,
        source_id: checked_change(&mut errors, "source_id", body.source_id, source),
        start_date: checked_change(&mut errors, "start_date", body.start_date, day),
        end_date: checked_change(&mut errors, "end_date", body.end_date, day),
    };
    if errors.is_empty() {
        Ok(changes)
    } else {
        Err(errors.into())
    }
}

const STATUSES: &str = "must be active, paused or ended";

async fn one(app: &App, id: i64) -> Result<Json<CampaignEnvelope>, Problem> {
    let mut connection = app.pool.acquire().await?;
    let row = campaigns::by_id(&mut connection, CampaignId(id)).await?;
    let row = row.ok_or_else(|| Problem::not_found("campaign"))?;
    let company = CompanyId(row.company_id);
    let asked = questions::of_campaign(&mut connection, company, CampaignId(id)).await?;
    let mut campaign = CampaignView::from(row);
    campaign.questions = Some(asked.into_iter().map(QuestionView::from).collect());
    Ok(Json(CampaignEnvelope { campaign }))
}

/// Create a campaign for a company
#[utoipa::path(post, path = "/companies/{company_id}/campaigns", tag = "Campaigns", security(("bearer" = [])),
    params(("company_id" = i64, Path)), request_body = CampaignBody,
    responses((status = 201, description = "Campaign created successfully", body = CampaignEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company"), (status = 422, description = "Invalid")))]
async fn create_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Json(body): Json<CampaignBody>,
) -> Result<Response, Problem> {
    let company = CompanyId(company_id);
    let (scope, _) = caller.scope_with(&app, company, Right::Configure).await?;
    let changes = check(body)?;
    let name = changes
        .name
        .ok_or_else(|| FieldErrors::of("name", "is required"))?;
    let campaign = Campaign {
        name,
        status: changes.status.unwrap_or(CampaignStatus::Active),
        source_id: changes.source_id.apply(None),
        start_date: changes.start_date.apply(None),
        end_date: changes.end_date.apply(None),
    };
    let work = caller.work(move |unit| {
        known_source(unit, company, campaign.source_id)?;
        let campaign_id = CampaignId(unit.next_id(IdKind::Campaign));
        let create = CampaignCommand::Create {
            campaign_id,
            campaign: campaign.clone(),
        };
        unit.execute::<Company>(company_id, CompanyCommand::Campaigns(create))?;
        Ok(campaign_id.get())
    });
    let work = lineage::reading(work, &scope.company);
    let committed = app.ledger.commit(work).await?;
    let campaign = one(&app, committed.resource_id).await?;
    Ok((StatusCode::CREATED, campaign).into_response())
}

/// Update a campaign
///
/// Active and paused change into each other and into ended, which is for good. `If-Match` is the company's version.
#[utoipa::path(put, path = "/campaigns/{id}", tag = "Campaigns", security(("bearer" = [])), params(("id" = i64, Path), IfMatch),
    request_body = CampaignBody,
    responses((status = 200, description = "Campaign updated successfully", body = CampaignEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such campaign"), (status = 409, description = "Not at the version of If-Match"),
        (status = 422, description = "Invalid")))]
async fn update_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(body): Json<CampaignBody>,
) -> Result<Json<CampaignEnvelope>, Problem> {
    let (row, scope) = seen(&app, &caller, id).await?;
    scope.require(Right::Configure)?;
    let changes = check(body)?;
    let stream = StreamKey::new(StreamKind::Company, row.company_id);
    let if_match = caller.write.if_match.clone();
    let work = caller.work(move |unit| {
        if_match.check(unit, stream)?;
        known_source(unit, CompanyId(stream.id), changes.source_id.apply(None))?;
        let update = CampaignCommand::Update {
            campaign_id: CampaignId(id),
            changes: changes.clone(),
        };
        unit.execute::<Company>(stream.id, CompanyCommand::Campaigns(update))?;
        Ok(id)
    });
    let work = lineage::reading(work, &scope.company);
    app.ledger.commit(work).await?;
    one(&app, id).await
}

fn known_source(
    unit: &Unit<'_>,
    company: CompanyId,
    source: Option<SourceId>,
) -> Result<(), Refusal> {
    match source {
        Some(source) if !lead_routing::knows_source(unit, company, source) => {
            Err(Refusal::UnknownReference {
                field: "source_id",
                thing: "source",
            })
        }
        _ => Ok(()),
    }
}

/// List campaigns for a company
#[utoipa::path(get, path = "/companies/{company_id}/campaigns", tag = "Campaigns", security(("bearer" = [])),
    params(("company_id" = i64, Path), PageQuery, CampaignQuery),
    responses((status = 200, description = "List of campaigns", body = CampaignList), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 404, description = "No such company")))]
async fn list_campaigns(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(page): Query<PageQuery>,
    Query(query): Query<CampaignQuery>,
) -> Result<Json<CampaignList>, Problem> {
    let company = CompanyId(company_id);
    caller.scope(&app, company).await?;
    let wanted = page.check::<i64>()?;
    let status = query.status.as_deref().map(CampaignStatus::from_code);
    if status == Some(None) {
        return Err(Problem::malformed_query(FieldErrors::of(
            "status", STATUSES,
        )));
    }
    let text = query.search.as_deref();
    let mut connection = app.pool.acquire().await?;
    let (page, total) = campaigns::page(
        &mut connection,
        company,
        text,
        status.flatten(),
        &wanted.request,
    )
    .await?;
    let next = page.rows.last().map(|row| row.id).filter(|_| page.more);
    Ok(Json(CampaignList {
        meta: wanted.meta(total, next.as_ref()),
        campaigns: page.rows.into_iter().map(CampaignView::from).collect(),
    }))
}

/// Get campaign by id
#[utoipa::path(get, path = "/campaigns/{id}", tag = "Campaigns", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "Campaign found", body = CampaignEnvelope),
        (status = 401, description = "No or bad token"), (status = 404, description = "No such campaign")))]
async fn show_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<CampaignEnvelope>, Problem> {
    let (row, _) = seen(&app, &caller, id).await?;
    one(&app, row.id).await
}
