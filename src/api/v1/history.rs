//! The history of leads, users, companies, invitations and memberships: every change, with who, when, from where, through what
//! and why, and old and new value of each field.

mod formats;
mod view;

use std::collections::BTreeSet;

use aggregates::access::{Reach, Right};
use aggregates::ids::{CompanyId, UserId};
use aggregates::user::UserEvent;
use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::Response;
use projections::{DomainEvent, invitations};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::lead_on_record::LeadOnRecord;
use super::users::require_visible;
use crate::api::caller::Caller;
use crate::api::extract::{Path, Query};
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::history::{self, Entry};
use crate::ledger::{StreamKey, StreamKind};
use formats::Format;
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
/// who was deleted while they worked there, that too.
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
    let audited = audited_of_user(&app, &caller, UserId(id)).await?;
    wanted.filter.up_to = audited.up_to;
    let stream = StreamKey::new(StreamKind::User, id);
    let keep = |entry: &mut Entry| concerns(entry, audited.companies.as_ref());
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

/// What of a user's history the caller may read.
struct Audited {
    /// Roles in these companies; in all, when absent.
    companies: Option<BTreeSet<i64>>,
    /// Up to here: when the user left the last of them.
    up_to: Option<i64>,
}

/// Whoever may read the history of a company may read that of its people, also when they have left or were deleted, up to then.
async fn audited_of_user(app: &App, caller: &Caller, user: UserId) -> Result<Audited, Problem> {
    // The ledger knows them also when they were deleted; of a moment before they came to be it does not.
    let stream = StreamKey::new(StreamKind::User, user.get());
    if !history::is_known(&mut *app.pool.acquire().await?, stream).await? {
        return Err(Problem::not_found("user"));
    }
    if caller.authority.platform_owner {
        return Ok(Audited {
            companies: None,
            up_to: None,
        });
    }
    let today = app.today();
    let mut connection = today.pool.acquire().await?;
    let held = history::roles_held(&mut connection, user.get()).await?;
    drop(connection);
    let mut audited = BTreeSet::new();
    for id in held.companies() {
        let company = today.company(CompanyId(id), caller.as_of).await?;
        let reach = company.and_then(|c| caller.authority.reach(&c.path, Right::Audit));
        if reach == Some(Reach::All) {
            audited.insert(id);
        }
    }
    if audited.is_empty() {
        require_visible(app, caller, user).await?;
        let detail = "Your roles do not allow reading this user's history.";
        return Err(Problem::forbidden(detail));
    }
    Ok(Audited {
        up_to: held.left(&audited),
        companies: Some(audited),
    })
}

/// Whether the user's event says nothing of companies beyond these; of a deletion, what it says of others is taken out.
fn concerns(entry: &mut Entry, companies: Option<&BTreeSet<i64>>) -> bool {
    let Some(companies) = companies else {
        return true;
    };
    let Some(DomainEvent::User(event)) = &entry.event else {
        return true;
    };
    match event {
        UserEvent::AccessGranted { company_id, .. }
        | UserEvent::AccessRevoked { company_id, .. } => companies.contains(&company_id.get()),
        UserEvent::AccessChanged {
            from_company_id,
            to_company_id,
            ..
        } => [from_company_id, to_company_id]
            .iter()
            .all(|company| companies.contains(&company.get())),
        UserEvent::UserDeleted { accesses } => {
            for access in accesses {
                if !companies.contains(&access.company_id.get()) {
                    let field = format!("user_accesses[{}]", access.id);
                    entry.changes.retain(|change| !change.is_of(&field));
                }
            }
            true
        }
        _ => true,
    }
}
