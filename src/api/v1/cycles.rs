//! Cycles: create, list, and the company's flag.

use aggregates::access::Right;
use aggregates::company::cycles::{Cycle, CycleCommand, CycleError};
use aggregates::company::{Company, CompanyCommand};
use aggregates::ids::{CompanyId, CycleId};
use aggregates::text;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use garde::Validate;
use projections::cycles::{self, CycleRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::companies::{CompanyEnvelope, one};
use super::dates::day;
use super::pages::{Meta, PageQuery};
use super::users::checked;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::IfMatch;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, StreamKey, StreamKind};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(switch_cycles, create_cycle, list_cycles))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct CyclesFlag {
    /// Whether new leads are stamped with the open cycle.
    #[garde(skip)]
    cycles: bool,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct NewCycle {
    /// 1 to 200 characters.
    #[garde(skip)]
    name: String,
    /// The first day.
    #[garde(skip)]
    start_date: NaiveDate,
    /// The last day.
    #[garde(skip)]
    end_date: NaiveDate,
}

/// A working period of a company.
#[derive(Debug, Serialize, ToSchema)]
struct CycleView {
    id: i64,
    company_id: i64,
    name: String,
    start_date: NaiveDate,
    end_date: NaiveDate,
    /// Whether today, UTC, is one of its days.
    active: bool,
}

impl CycleView {
    fn on(today: NaiveDate, row: CycleRow) -> Self {
        Self {
            id: row.id,
            company_id: row.company_id,
            name: row.name,
            start_date: row.start_date,
            end_date: row.end_date,
            active: (row.start_date..=row.end_date).contains(&today),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct CycleEnvelope {
    cycle: CycleView,
}

#[derive(Debug, Serialize, ToSchema)]
struct CycleList {
    cycles: Vec<CycleView>,
    meta: Meta,
}

/// How a rule of cycles is answered.
pub fn refused(error: CycleError) -> Problem {
    let (code, field) = match error {
        CycleError::EndsBeforeStart => ("ends_before_start", "end_date"),
        CycleError::Overlaps => ("cycles_overlap", "start_date"),
    };
    let detail = error.to_string();
    Problem::refused(code, detail.clone()).with_error(field, detail)
}

/// Modify cycles flag in company
#[utoipa::path(put, path = "/companies/{company_id}/cycles", tag = "Cycles", security(("bearer" = [])),
    params(("company_id" = i64, Path), IfMatch), request_body = CyclesFlag,
    responses((status = 200, description = "Company cycles flag updated successfully", body = CompanyEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company"), (status = 409, description = "Not at the version of If-Match"),
        (status = 422, description = "Invalid")))]
async fn switch_cycles(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Json(body): Json<CyclesFlag>,
) -> Result<Response, Problem> {
    let company = CompanyId(company_id);
    caller.scope_with(&app, company, Right::Configure).await?;
    let stream = StreamKey::new(StreamKind::Company, company_id);
    let if_match = caller.write.if_match.clone();
    let work = caller.work(move |unit| {
        if_match.check(unit, stream)?;
        let switch = CompanyCommand::Cycles(CycleCommand::Switch(body.cycles));
        unit.execute::<Company>(company_id, switch)?;
        Ok(company_id)
    });
    app.ledger.commit(work.on(stream)).await?;
    one(&app, company).await
}

/// Create a cycle for company
#[utoipa::path(post, path = "/companies/{company_id}/cycles", tag = "Cycles", security(("bearer" = [])),
    params(("company_id" = i64, Path)), request_body = NewCycle,
    responses((status = 201, description = "Cycle created successfully", body = CycleEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company"),
        (status = 422, description = "Invalid, or sharing days with another cycle")))]
async fn create_cycle(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Json(body): Json<NewCycle>,
) -> Result<Response, Problem> {
    let company = CompanyId(company_id);
    caller.scope_with(&app, company, Right::Configure).await?;
    let mut errors = FieldErrors::default();
    let name = checked(&mut errors, "name", text::line(&body.name, 200)).map(str::to_owned);
    let start = checked(&mut errors, "start_date", day(body.start_date));
    let end = checked(&mut errors, "end_date", day(body.end_date));
    let (Some(name), Some(start_date), Some(end_date)) = (name, start, end) else {
        return Err(errors.into());
    };
    let work = caller.work(move |unit| {
        let cycle_id = CycleId(unit.next_id(IdKind::Cycle));
        let create = CycleCommand::Create(Cycle {
            cycle_id,
            name: name.clone(),
            start_date,
            end_date,
        });
        unit.execute::<Company>(company_id, CompanyCommand::Cycles(create))?;
        Ok(cycle_id.get())
    });
    let work = work.on(StreamKey::new(StreamKind::Company, company_id));
    let committed = app.ledger.commit(work).await?;
    let mut connection = app.pool.acquire().await?;
    let row = cycles::by_id(&mut connection, CycleId(committed.resource_id)).await?;
    let row = row.ok_or_else(|| Problem::not_found("cycle"))?;
    let cycle = CycleView::on(app.clock.now().date_naive(), row);
    Ok((StatusCode::CREATED, Json(CycleEnvelope { cycle })).into_response())
}

/// List cycles for a company
///
/// The earliest first.
#[utoipa::path(get, path = "/companies/{company_id}/cycles", tag = "Cycles", security(("bearer" = [])),
    params(("company_id" = i64, Path), PageQuery),
    responses((status = 200, description = "List of cycles", body = CycleList), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 404, description = "No such company")))]
async fn list_cycles(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<CycleList>, Problem> {
    let company = CompanyId(company_id);
    caller.scope(&app, company).await?;
    let wanted = page.check::<NaiveDate>()?;
    if let Some(Err(message)) = wanted.request.after().map(|after| day(*after)) {
        return Err(Problem::malformed_query(FieldErrors::of("cursor", message)));
    }
    let mut connection = app.pool.acquire().await?;
    let (page, total) = cycles::page(&mut connection, company, &wanted.request).await?;
    let next = page.rows.last().filter(|_| page.more);
    let next = next.map(|row| row.start_date);
    let today = app.clock.now().date_naive();
    let cycles = page.rows.into_iter();
    Ok(Json(CycleList {
        meta: wanted.meta(total, next.as_ref()),
        cycles: cycles.map(|row| CycleView::on(today, row)).collect(),
    }))
}
