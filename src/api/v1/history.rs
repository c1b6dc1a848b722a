//! The history of leads, users, companies, invitations and memberships: every change, with who, when, from where, through what
//! and why, and old and new value of each field.

mod formats;
mod of_user;
mod view;

use aggregates::access::Right;
use aggregates::ids::{CompanyId, UserId};
use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::Response;
use projections::invitations;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::lead_on_record::LeadOnRecord;
use crate::api::caller::Caller;
use crate::api::extract::{Path, Query};
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::history::{self, Entry};
use crate::ledger::{StreamKey, StreamKind};
use formats::Format;
use of_user::Audited;
use view::{History, HistoryQuery, Wanted};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(lead_history))
        .routes(routes!(user_history))
        .routes(routes!(company_history))
        .routes(routes!(invitation_history))
        .routes(routes!(membership_history))
}

/// The history of a lead
///
/// Notes and appointments are parts of it. With `format` (or `Accept`): JSON, CSV with a line a field, or `CloudEvents` 1.0 as
/// JSON lines; the next page of the latter two is in the header `Link`.
#[utoipa::path(get, path = "/leads/{id}/history", tag = "History", security(("bearer" = [])),
    params(("id" = i64, Path), HistoryQuery),
    responses((status = 200, description = "The changes of the lead", body = History), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such lead")))]
async fn lead_history(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(query): Query<HistoryQuery>,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let mut wanted = query.check(&headers, &uri)?;
    let lead = LeadOnRecord::find(&app, &caller, id).await?;
    lead.require(Right::Audit)?;
    // What is blocked is opened by nobody but those who may erase it, also as of an earlier moment.
    wanted.filter.sealed = lead.hidden && !lead.allows(Right::Govern);
    caller.has_read(&app, "GET /leads/{id}/history", [(id, lead.company.get())]);
    answer(&app, StreamKey::new(StreamKind::Lead, id), wanted, |_| true).await
}

/// The history of a user
///
/// Of their roles, those in companies whose history the caller may read; of somebody who left these, what was until then, and of somebody
/// who was deleted while they worked there, that too. Who did something for another company, and why, is not told.
#[utoipa::path(get, path = "/users/{id}/history", tag = "History", security(("bearer" = [])),
    params(("id" = i64, Path), HistoryQuery),
    responses((status = 200, description = "The changes of the user", body = History), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such user, or none that the caller sees")))]
async fn user_history(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(query): Query<HistoryQuery>,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let mut wanted = query.check(&headers, &uri)?;
    let audited = Audited::find(&app, &caller, UserId(id)).await?;
    wanted.filter.up_to = audited.up_to();
    let stream = StreamKey::new(StreamKind::User, id);
    let keep = |entry: &mut Entry| audited.tells(entry);
    answer(&app, stream, wanted, keep).await
}

/// The history of a company
///
/// Its sources, territories, questions, campaigns, cycles and integration tokens are parts of it.
#[utoipa::path(get, path = "/companies/{id}/history", tag = "History", security(("bearer" = [])),
    params(("id" = i64, Path), HistoryQuery),
    responses((status = 200, description = "The changes of the company", body = History), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company, or none that the caller sees")))]
async fn company_history(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(query): Query<HistoryQuery>,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let wanted = query.check(&headers, &uri)?;
    may_audit(&app, &caller, id, "company").await?;
    let stream = StreamKey::new(StreamKind::Company, id);
    answer(&app, stream, wanted, |_| true).await
}

/// The history of an invitation
///
/// The segment is the invitation's id.
#[utoipa::path(get, path = "/invitations/{code}/history", tag = "History", security(("bearer" = [])),
    params(("code" = i64, Path, description = "The invitation's id"), HistoryQuery),
    responses((status = 200, description = "The changes of the invitation", body = History), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such invitation, or none that the caller sees")))]
async fn invitation_history(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(query): Query<HistoryQuery>,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let wanted = query.check(&headers, &uri)?;
    let mut connection = app.pool.acquire().await?;
    let row = invitations::by_id(&mut connection, id).await?;
    drop(connection);
    let row = row.ok_or_else(|| Problem::not_found("invitation"))?;
    may_audit(&app, &caller, row.company_id, "invitation").await?;
    let stream = StreamKey::new(StreamKind::Invitation, id);
    answer(&app, stream, wanted, |_| true).await
}

/// The history of a company's membership
///
/// All its subscriptions, one after the other.
#[utoipa::path(get, path = "/companies/{company_id}/membership/history", tag = "History", security(("bearer" = [])),
    params(("company_id" = i64, Path), HistoryQuery),
    responses((status = 200, description = "The changes of the membership", body = History), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company, or none that the caller sees")))]
async fn membership_history(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(query): Query<HistoryQuery>,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let wanted = query.check(&headers, &uri)?;
    may_audit(&app, &caller, company_id, "company").await?;
    let stream = StreamKey::new(StreamKind::Subscription, company_id);
    answer(&app, stream, wanted, |_| true).await
}

async fn answer(
    app: &App,
    stream: StreamKey,
    wanted: Wanted,
    keep: impl FnMut(&mut Entry) -> bool,
) -> Result<Response, Problem> {
    let mut connection = app.pool.acquire().await?;
    let part = wanted.part;
    let read = history::read(&mut connection, stream, &wanted.filter, part, keep).await?;
    let last = read.entries.last().filter(|_| read.more);
    let next = last.map(|entry| entry.sequence);
    let entries = view::entries(&mut connection, read.entries).await?;
    drop(connection);
    let written = match wanted.format {
        Format::Json => return Ok(view::page(entries, &wanted, next)),
        Format::Csv => formats::csv(&entries)?,
        Format::CloudEvents => formats::cloud_events(&entries, stream, &wanted.source),
    };
    Ok(formats::response(wanted.format, written, &wanted, next))
}

/// Asks that the caller may read the history of what belongs to this company.
async fn may_audit(app: &App, caller: &Caller, company: i64, what: &str) -> Result<(), Problem> {
    let scope = caller.scope_of(app, CompanyId(company), what).await?;
    scope.require(Right::Audit)?;
    Ok(())
}
