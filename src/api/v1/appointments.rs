//! Appointments: list and get, create on a lead, update, cancel.

use aggregates::access::Right;
use aggregates::ids::{AppointmentId, CompanyId, UserId};
use aggregates::lead::appointments::{
    Appointment, AppointmentChanges, AppointmentCommand, AppointmentError, AppointmentStatus,
    AppointmentText, AppointmentWish,
};
use aggregates::lead::{Lead, LeadCommand, LeadError, OnlyOf};
use aggregates::text;
use aggregates::user::User;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SubsecRound, Utc};
use garde::Validate;
use projections::appointments::{self, AppointmentFilter, AppointmentRow};
use projections::page::{PageFrom, PageRequest};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dates::day;
use super::pages::{Meta, PageQuery, Wanted};
use super::users::{PersonView, checked, checked_change};
use super::writable_lead::writable;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Patch, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::{IfMatch, etag};
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{Committed, IdKind, Refusal, StreamKey, StreamKind, Unit};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_appointments))
        .routes(routes!(show_appointment, update_appointment))
        .routes(routes!(create_appointment))
        .routes(routes!(cancel_appointment))
}

/// An appointment to make, or the changes of one: what is absent stays, what is null is cleared.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
#[serde(default)]
struct AppointmentBody {
    /// 1 to 200 characters; needed for a new one.
    title: Option<String>,
    /// 1 to 10,000 characters.
    #[schema(value_type = Option<String>)]
    description: Patch<String>,
    /// 1 to 500 characters.
    #[schema(value_type = Option<String>)]
    location: Patch<String>,
    /// Needed for a new one.
    starts_at: Option<DateTime<Utc>>,
    /// After `starts_at`, by 31 days at most; needed for a new one.
    ends_at: Option<DateTime<Utc>>,
    /// Whose it is: a user with a role in the lead's company. The caller's own when nothing is said.
    user_id: Option<i64>,
    /// `scheduled`, `done` or `no_show`; to call it off, see `POST /appointments/{id}/cancel`.
    #[schema(example = "scheduled")]
    status: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AppointmentQuery {
    /// Starting at this time or later.
    from: Option<DateTime<Utc>>,
    /// Starting before this time.
    to: Option<DateTime<Utc>>,
    /// `scheduled`, `done`, `no_show` or `cancelled`.
    status: Option<String>,
    lead_id: Option<i64>,
}

/// An appointment.
#[derive(Debug, Serialize, ToSchema)]
struct AppointmentView {
    id: i64,
    title: String,
    description: Option<String>,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    status: String,
    location: Option<String>,
    lead: LeadNameView,
    company: CompanyNameView,
    user: PersonView,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// The user's other scheduled appointments at the same time, at most 100; only when a single one is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    overlapping_appointment_ids: Option<Vec<i64>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct LeadNameView {
    id: i64,
    full_name: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct CompanyNameView {
    id: i64,
    name: String,
    default: bool,
    parent_company_id: Option<i64>,
}

impl From<AppointmentRow> for AppointmentView {
    fn from(row: AppointmentRow) -> Self {
        Self {
            id: row.id,
            title: row.title,
            description: row.description,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            status: row.status,
            location: row.location,
            lead: LeadNameView {
                id: row.lead_id,
                full_name: row.lead_full_name,
            },
            company: CompanyNameView {
                id: row.company_id,
                name: row.company_name,
                default: row.company_default,
                parent_company_id: row.company_parent_id,
            },
            user: PersonView::new(
                row.user_id,
                row.user_full_name,
                row.user_email,
                row.user_avatar,
            ),
            created_at: row.created_at,
            updated_at: row.updated_at,
            overlapping_appointment_ids: None,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct AppointmentEnvelope {
    appointment: AppointmentView,
}

#[derive(Debug, Serialize, ToSchema)]
struct AppointmentList {
    appointments: Vec<AppointmentView>,
    meta: Meta,
}

/// How a rule of appointments is answered.
pub fn refused(error: AppointmentError) -> Problem {
    let (code, field) = match error {
        AppointmentError::Unknown => return Problem::not_found("appointment"),
        AppointmentError::EndsBeforeStart => ("ends_before_start", "ends_at"),
        AppointmentError::TooLong => ("appointment_too_long", "ends_at"),
        AppointmentError::Cancelled => ("appointment_cancelled", "status"),
        AppointmentError::NotScheduled => ("appointment_not_scheduled", "status"),
        AppointmentError::UserHasNoRole => ("user_has_no_role", "user_id"),
        AppointmentError::TooMany => ("too_many_appointments", "lead_id"),
    };
    let detail = error.to_string();
    Problem::refused(code, detail.clone()).with_error(field, detail)
}

fn check(body: AppointmentBody) -> Result<AppointmentChanges, Problem> {
    let mut errors = FieldErrors::default();
    let time = |errors: &mut FieldErrors, field, time: Option<DateTime<Utc>>| {
        // The tables keep microseconds.
        time.and_then(|time| checked(errors, field, moment(time)))
            .map(|time| time.trunc_subsecs(6))
    };
    let status = body.status.and_then(|code| {
        let status = AppointmentStatus::from_code(&code);
        let status = status.filter(|status| *status != AppointmentStatus::Cancelled);
        let status = status.ok_or("must be scheduled, done or no_show");
        checked(&mut errors, "status", status)
    });
    let title = body
        .title
        .and_then(|t| checked(&mut errors, "title", text::line(&t, 200)).map(str::to_owned));
    let block = |raw: String| text::block(&raw, 10_000).map(str::to_owned);
    let line = |raw: String| text::line(&raw, 500).map(str::to_owned);
    let changes = AppointmentChanges {
        user_id: body.user_id.map(UserId),
        title,
        description: checked_change(&mut errors, "description", body.description, block),
        location: checked_change(&mut errors, "location", body.location, line),
        starts_at: time(&mut errors, "starts_at", body.starts_at),
        ends_at: time(&mut errors, "ends_at", body.ends_at),
        status,
    };
    if errors.is_empty() {
        Ok(changes)
    } else {
        Err(errors.into())
    }
}

/// A time of a day that every part of the system can hold.
fn moment(time: DateTime<Utc>) -> Result<DateTime<Utc>, &'static str> {
    day(time.date_naive()).map(|_| time)
}

/// The changes as a new appointment, which needs a title and times.
fn whole(changes: AppointmentChanges, caller: UserId) -> Result<Appointment, Problem> {
    let mut errors = FieldErrors::default();
    let title = checked(&mut errors, "title", changes.title.ok_or("is required"));
    let starts = checked(
        &mut errors,
        "starts_at",
        changes.starts_at.ok_or("is required"),
    );
    let ends = checked(&mut errors, "ends_at", changes.ends_at.ok_or("is required"));
    let (Some(title), Some(starts_at), Some(ends_at)) = (title, starts, ends) else {
        return Err(errors.into());
    };
    let text = AppointmentText {
        title,
        description: changes.description.apply(None),
        location: changes.location.apply(None),
    };
    Ok(Appointment {
        user_id: changes.user_id.unwrap_or(caller),
        text: text.into(),
        starts_at,
        ends_at,
        status: changes.status.unwrap_or(AppointmentStatus::Scheduled),
    })
}

/// Decides inside the commit that the user holds a role in the company with this path from the root.
fn check_role(unit: &Unit<'_>, user: UserId, path: &[i64]) -> Result<(), Refusal> {
    let holds = unit.look_at(user.get(), |user: &User| {
        let mut accesses = user.accesses().iter();
        accesses.any(|access| path.contains(&access.company_id.get()))
    });
    if holds {
        Ok(())
    } else {
        Err(LeadError::from(AppointmentError::UserHasNoRole).into())
    }
}

async fn row(app: &App, id: i64) -> Result<AppointmentRow, Problem> {
    let mut connection = app.pool.acquire().await?;
    let row = appointments::by_id(&mut connection, AppointmentId(id)).await?;
    row.ok_or_else(|| Problem::not_found("appointment"))
}

async fn one(app: &App, caller: &Caller, id: i64) -> Result<Response, Problem> {
    let row = row(app, id).await?;
    let mut connection = app.pool.acquire().await?;
    let visible = caller.authority.visible();
    let overlapping = appointments::overlapping(&mut connection, &row, &visible).await?;
    let tag = [(header::ETAG, etag(row.lead_version))];
    let mut appointment = AppointmentView::from(row);
    appointment.overlapping_appointment_ids = Some(overlapping);
    Ok((tag, Json(AppointmentEnvelope { appointment })).into_response())
}

/// An appointment on a lead that the caller may change, and how far they may.
async fn changeable(
    app: &App,
    caller: &Caller,
    id: i64,
) -> Result<(AppointmentRow, OnlyOf), Problem> {
    let row = row(app, id).await?;
    match writable(app, caller, row.lead_id).await {
        Ok((_, only_of)) => Ok((row, only_of)),
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
            Err(Problem::not_found("appointment"))
        }
        Err(problem) => Err(problem),
    }
}

/// Create an appointment for a lead
///
/// One user's appointments may overlap: `overlapping_appointment_ids` of the answer tells with which.
#[utoipa::path(post, path = "/leads/{lead_id}/appointments", tag = "Appointments", security(("bearer" = [])),
    params(("lead_id" = i64, Path), IfMatch), request_body = AppointmentBody,
    responses((status = 201, description = "Appointment created successfully", body = AppointmentEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such lead"), (status = 409, description = "Not at the version of If-Match"),
        (status = 422, description = "Invalid")))]
async fn create_appointment(
    State(app): State<App>,
    caller: Caller,
    Path(lead_id): Path<i64>,
    Json(body): Json<AppointmentBody>,
) -> Result<Response, Problem> {
    let (lead, only_of) = writable(&app, &caller, lead_id).await?;
    let scope = caller.scope(&app, CompanyId(lead.company_id)).await?;
    let appointment = whole(check(body)?, caller.user_id)?;
    let user = appointment.user_id;
    // The platform's owner holds a role everywhere.
    let exempt = caller.authority.platform_owner && user == caller.user_id;
    let stream = StreamKey::new(StreamKind::Lead, lead_id);
    let if_match = caller.write.if_match.clone();
    let work = caller.work(move |unit| {
        if_match.check(unit, stream)?;
        if !exempt {
            check_role(unit, user, &scope.company.path)?;
        }
        let appointment_id = AppointmentId(unit.next_id(IdKind::Appointment));
        let schedule = AppointmentCommand {
            appointment_id,
            only_of: only_of.clone(),
            wish: AppointmentWish::Schedule(appointment.clone()),
        };
        unit.execute::<Lead>(lead_id, LeadCommand::Appointments(Box::new(schedule)))?;
        Ok(appointment_id.get())
    });
    let work = work
        .on(stream)
        .on(StreamKey::new(StreamKind::User, user.get()));
    let Committed { resource_id, .. } = app.ledger.commit(work).await?;
    let answer = one(&app, &caller, resource_id).await?;
    Ok((StatusCode::CREATED, answer).into_response())
}

/// Update an appointment
///
/// `If-Match` is the version of its lead. A cancelled appointment does not change any more.
#[utoipa::path(put, path = "/appointments/{id}", tag = "Appointments", security(("bearer" = [])), params(("id" = i64, Path), IfMatch),
    request_body = AppointmentBody,
    responses((status = 200, description = "Appointment updated successfully", body = AppointmentEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such appointment"), (status = 409, description = "Not at the version of If-Match"),
        (status = 422, description = "Invalid, or cancelled")))]
async fn update_appointment(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(body): Json<AppointmentBody>,
) -> Result<Response, Problem> {
    let (row, only_of) = changeable(&app, &caller, id).await?;
    let scope = caller.scope(&app, CompanyId(row.company_id)).await?;
    let changes = check(body)?;
    // Whose it is already may have lost their role since.
    let user = changes.user_id.filter(|user| user.get() != row.user_id);
    let stream = StreamKey::new(StreamKind::Lead, row.lead_id);
    let if_match = caller.write.if_match.clone();
    let mut work = caller.work(move |unit| {
        if_match.check(unit, stream)?;
        if let Some(user) = user {
            check_role(unit, user, &scope.company.path)?;
        }
        let update = AppointmentCommand {
            appointment_id: AppointmentId(id),
            only_of: only_of.clone(),
            wish: AppointmentWish::Update(changes.clone()),
        };
        unit.execute::<Lead>(stream.id, LeadCommand::Appointments(Box::new(update)))?;
        Ok(id)
    });
    if let Some(user) = user {
        work = work.on(StreamKey::new(StreamKind::User, user.get()));
    }
    let committed = app.ledger.commit(work.on(stream)).await?;
    let lead = (row.lead_id, row.company_id);
    caller.has_seen_unchanged(&app, committed, "PUT /appointments/{id}", lead);
    one(&app, &caller, id).await
}

/// Cancel an appointment
///
/// A repeat changes nothing.
#[utoipa::path(post, path = "/appointments/{id}/cancel", tag = "Appointments", security(("bearer" = [])), params(("id" = i64, Path), IfMatch),
    responses((status = 200, description = "Appointment cancelled", body = AppointmentEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such appointment"), (status = 409, description = "Not at the version of If-Match"),
        (status = 422, description = "It took place")))]
async fn cancel_appointment(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    let (row, only_of) = changeable(&app, &caller, id).await?;
    let stream = StreamKey::new(StreamKind::Lead, row.lead_id);
    let if_match = caller.write.if_match.clone();
    let work = caller.work(move |unit| {
        if_match.check(unit, stream)?;
        let cancel = AppointmentCommand {
            appointment_id: AppointmentId(id),
            only_of: only_of.clone(),
            wish: AppointmentWish::Cancel,
        };
        unit.execute::<Lead>(stream.id, LeadCommand::Appointments(Box::new(cancel)))?;
        Ok(id)
    });
    let committed = app.ledger.commit(work.on(stream)).await?;
    let lead = (row.lead_id, row.company_id);
    caller.has_seen_unchanged(&app, committed, "POST /appointments/{id}/cancel", lead);
    one(&app, &caller, id).await
}

/// Get appointment by id
///
/// Whoever may read the lead may read it, and whose it is.
#[utoipa::path(get, path = "/appointments/{id}", tag = "Appointments", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "Appointment found", body = AppointmentEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such appointment")))]
async fn show_appointment(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    let row = row(&app, id).await?;
    let company = CompanyId(row.company_id);
    let scope = caller.scope_of(&app, company, "appointment").await?;
    scope.require(Right::ReadLeads)?;
    if row.user_id != caller.user_id.get() {
        caller
            .require_readable(&app, row.company_id, row.lead_user_access_id)
            .await?;
    }
    caller.has_read(
        &app,
        "GET /appointments/{id}",
        [(row.lead_id, row.company_id)],
    );
    one(&app, &caller, id).await
}

/// A filter, and which part of what it leaves.
type Narrowed = (AppointmentFilter, PageRequest<(DateTime<Utc>, i64)>);

/// The checked filter and place of a list.
fn narrowed(
    query: &AppointmentQuery,
    wanted: &Wanted<(i64, i64)>,
) -> Result<Narrowed, FieldErrors> {
    let time = |field: &str, time: Option<DateTime<Utc>>| {
        let time = time.map(moment).transpose();
        time.map_err(|message| FieldErrors::of(field, message))
    };
    let status = query.status.as_deref().map(|code| {
        AppointmentStatus::from_code(code).ok_or_else(|| {
            FieldErrors::of("status", "must be scheduled, done, no_show or cancelled")
        })
    });
    let filter = AppointmentFilter {
        from: time("from", query.from)?,
        to: time("to", query.to)?,
        status: status.transpose()?,
        lead_id: query.lead_id,
    };
    let from = match wanted.request.after() {
        None => PageFrom::Offset(wanted.request.offset()),
        Some((micros, id)) => {
            let time = DateTime::from_timestamp_micros(*micros).map(moment);
            let Some(Ok(time)) = time else {
                return Err(FieldErrors::of("cursor", "is not a cursor of this list"));
            };
            PageFrom::After((time, *id))
        }
    };
    let per_page = wanted.request.per_page;
    Ok((filter, PageRequest { per_page, from }))
}

/// List appointments for the current user
///
/// The earliest first.
#[utoipa::path(get, path = "/appointments", tag = "Appointments", security(("bearer" = [])), params(PageQuery, AppointmentQuery),
    responses((status = 200, description = "List of appointments", body = AppointmentList), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token")))]
async fn list_appointments(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageQuery>,
    Query(query): Query<AppointmentQuery>,
) -> Result<Json<AppointmentList>, Problem> {
    let wanted = page.check::<(i64, i64)>()?;
    let (filter, request) = narrowed(&query, &wanted).map_err(Problem::malformed_query)?;
    let visible = caller.authority.visible();
    let mut connection = app.pool.acquire().await?;
    let (page, total) =
        appointments::page(&mut connection, caller.user_id, &visible, &filter, &request).await?;
    let next = page.rows.last().filter(|_| page.more);
    let next = next.map(|row| (row.starts_at.timestamp_micros(), row.id));
    let leads = page.rows.iter().map(|row| (row.lead_id, row.company_id));
    caller.has_read(&app, "GET /appointments", leads);
    Ok(Json(AppointmentList {
        meta: wanted.meta(total, next.as_ref()),
        appointments: page.rows.into_iter().map(AppointmentView::from).collect(),
    }))
}
