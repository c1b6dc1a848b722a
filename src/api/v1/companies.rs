//! Companies: create, list, get.

use aggregates::access::{Right, Role};
use aggregates::company::{Company, CompanyCommand, CompanyName};
use aggregates::ids::{CompanyId, UserAccessId};
use aggregates::phone::Region;
use aggregates::user::{User, UserCommand};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use garde::Validate;
use projections::companies::{self, CompanyRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::pages::{Meta, PageQuery};
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::etag;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, StreamKey, StreamKind};
use crate::plan_limits::PlanLimits;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_company, list_companies))
        .routes(routes!(show_company))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct NewCompany {
    /// 1 to 200 characters.
    #[garde(skip)]
    name: String,
    /// Whether users land here when none of their accesses is primary.
    #[garde(skip)]
    #[serde(default)]
    default: Option<bool>,
    #[garde(skip)]
    parent_company_id: Option<i64>,
    /// ISO 3166 country in which phone numbers without a country code are read; the parent's when absent.
    #[garde(skip)]
    region: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CompanyQuery {
    /// Name contains.
    search: Option<String>,
    parent_company_id: Option<i64>,
}

/// A company.
#[derive(Debug, Serialize, ToSchema)]
pub struct CompanyView {
    id: i64,
    name: String,
    default: bool,
    parent_company_id: Option<i64>,
    avatar_route: Option<String>,
    cycles: bool,
    region: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<CompanyRow> for CompanyView {
    fn from(row: CompanyRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            default: row.is_default,
            parent_company_id: row.parent_company_id,
            avatar_route: None,
            cycles: row.cycles,
            region: row.region,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct CompanyEnvelope {
    company: CompanyView,
}

#[derive(Debug, Serialize, ToSchema)]
struct CompanyList {
    companies: Vec<CompanyView>,
    meta: Meta,
}

/// Create company
///
/// Whoever creates a top-level company becomes its owner; below another company it takes an administrator there.
#[utoipa::path(post, path = "/companies", tag = "Companies", security(("bearer" = [])), request_body = NewCompany,
    responses((status = 201, description = "Company created successfully", body = CompanyEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 422, description = "Invalid")))]
async fn create_company(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<NewCompany>,
) -> Result<Response, Problem> {
    let name = CompanyName::parse(&body.name)
        .map_err(|error| FieldErrors::of("name", error.to_string()))?;
    let parent = parent(&app, &caller, body.parent_company_id).await?;
    let region = match (&body.region, &parent) {
        (Some(text), _) => {
            Region::parse(text).map_err(|error| FieldErrors::of("region", error.to_string()))?
        }
        (None, Some(parent)) => Region::parse(&parent.region).unwrap_or(app.region),
        (None, None) => app.region,
    };
    let limits = parent.as_deref().map(PlanLimits::of);
    let parent_company_id = parent.map(|parent| CompanyId(parent.id));
    let (user_id, default) = (caller.user_id, body.default.unwrap_or(false));
    let mut work = caller
        .work(move |unit| {
            if let Some(limits) = limits {
                limits.add_company(unit)?;
            }
            let company_id = CompanyId(unit.next_id(IdKind::Company));
            unit.execute::<Company>(
                company_id.get(),
                CompanyCommand::Create {
                    company_id,
                    name: name.clone(),
                    default,
                    parent_company_id,
                    region,
                },
            )?;
            if parent_company_id.is_none() {
                let user_access_id = UserAccessId(unit.next_id(IdKind::UserAccess));
                unit.execute::<User>(
                    user_id.get(),
                    UserCommand::GrantAccess {
                        user_access_id,
                        company_id,
                        role: Role::Owner,
                        primary: false,
                    },
                )?;
                unit.execute::<Company>(
                    company_id.get(),
                    CompanyCommand::AddOwner {
                        user_access_id,
                        user_id,
                    },
                )?;
            }
            Ok(company_id.get())
        })
        .on(StreamKey::new(StreamKind::User, user_id.get()));
    if let Some(limits) = limits {
        work = limits.watch_companies(work);
    }
    let committed = app.ledger.commit(work).await?;
    let company = one(&app, CompanyId(committed.resource_id)).await?;
    Ok((StatusCode::CREATED, company).into_response())
}

async fn parent(
    app: &App,
    caller: &Caller,
    id: Option<i64>,
) -> Result<Option<std::sync::Arc<CompanyRow>>, Problem> {
    let Some(id) = id else {
        return Ok(None);
    };
    match caller.scope(app, CompanyId(id)).await {
        Ok(scope) => {
            scope.require(Right::Administer)?;
            Ok(Some(scope.company))
        }
        // An unknown id in a body is an invalid field, and so is one that the caller cannot see.
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
            Err(FieldErrors::of("parent_company_id", "is not a company that you can see").into())
        }
        Err(problem) => Err(problem),
    }
}

/// The company as it is answered, with its version.
///
/// # Errors
/// 404 for an unknown one.
pub async fn one(app: &App, id: CompanyId) -> Result<Response, Problem> {
    let mut connection = app.pool.acquire().await?;
    let row = companies::by_id(&mut connection, id)
        .await?
        .ok_or_else(|| Problem::not_found("company"))?;
    let tag = etag(row.version);
    let company = CompanyView::from(row);
    Ok(([(header::ETAG, tag)], Json(CompanyEnvelope { company })).into_response())
}

/// List companies
///
/// Those where the caller has a role, and all below them.
#[utoipa::path(get, path = "/companies", tag = "Companies", security(("bearer" = [])), params(PageQuery, CompanyQuery),
    responses((status = 200, description = "List of companies", body = CompanyList), (status = 401, description = "No or bad token")))]
async fn list_companies(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageQuery>,
    Query(query): Query<CompanyQuery>,
) -> Result<Json<CompanyList>, Problem> {
    let wanted = page.check::<i64>()?;
    let mut connection = app.pool.acquire().await?;
    let (page, total) = companies::page(
        &mut connection,
        &caller.authority.visible(),
        query.search.as_deref(),
        query.parent_company_id,
        &wanted.request,
    )
    .await?;
    let next = page.rows.last().map(|row| row.id).filter(|_| page.more);
    Ok(Json(CompanyList {
        meta: wanted.meta(total, next.as_ref()),
        companies: page.rows.into_iter().map(CompanyView::from).collect(),
    }))
}

/// Get an specific company
#[utoipa::path(get, path = "/companies/{id}", tag = "Companies", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "Company found", body = CompanyEnvelope), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such company, or none that the caller sees")))]
async fn show_company(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    let scope = caller.scope(&app, CompanyId(id)).await?;
    one(&app, CompanyId(scope.company.id)).await
}
