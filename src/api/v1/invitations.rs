//! Invitations: list those of a company, find by code, create, accept, delete, list those of an e-mail.

mod found;
mod offered;
mod others;
mod page;
mod view;

use aggregates::access::{Right, Role};
use aggregates::email::Email;
use aggregates::ids::{CompanyId, InvitationId};
use aggregates::invitation::{CreateInvitation, Invitation, InvitationCommand, InvitationError};
use aggregates::user::{User, UserCommand};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use garde::Validate;
use projections::invitations;
use projections::users::list;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accesses::role_of;
use super::nothing::Nothing;
use super::pages::{Meta, PageQuery};
use super::user_access::{UserAccessView, access_view};
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::{IfMatch, etag};
use crate::api::problem::Problem;
use crate::app::App;
use crate::auth::invitation_code;
use crate::ledger::{IdKind, StreamKey, StreamKind};
use found::Found;
use others::Others;
use view::{InvitationView, right_to_give};

pub use offered::Offered;

/// How long an invitation can be accepted.
const LIFETIME: TimeDelta = TimeDelta::days(7);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_company_invitations))
        .routes(routes!(create_invitation))
        .routes(routes!(list_pending_invitations))
        .routes(routes!(show_invitation, delete_invitation))
        .routes(routes!(accept_invitation))
        .merge(page::routes())
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct NewInvitation {
    #[garde(skip)]
    #[schema(example = "user@example.com")]
    email: String,
    #[garde(skip)]
    company_id: i64,
    /// The role: an id of `GET /accesses`.
    #[garde(skip)]
    access_id: i64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EmailQuery {
    email: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct InvitationEnvelope {
    invitation: InvitationView,
}

#[derive(Debug, Serialize, ToSchema)]
struct InvitationPage {
    invitations: Vec<InvitationView>,
    meta: Meta,
}

#[derive(Debug, Serialize, ToSchema)]
struct InvitationList {
    invitations: Vec<InvitationView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Accepted {
    user_access: UserAccessView,
}

/// Get all pending invitations for a company
#[utoipa::path(get, path = "/companies/{company_id}/invitations", tag = "Invitations", security(("bearer" = [])),
    params(("company_id" = i64, Path), PageQuery),
    responses((status = 200, description = "Pending invitations", body = InvitationPage), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company")))]
async fn list_company_invitations(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<InvitationPage>, Problem> {
    let company = CompanyId(company_id);
    caller.scope_with(&app, company, Right::Administer).await?;
    let wanted = page.check::<i64>()?;
    let mut connection = app.pool.acquire().await?;
    let now = app.clock.now();
    let (page, total) =
        invitations::pending_page(&mut connection, company, now, &wanted.request).await?;
    let next = page.rows.last().map(|row| row.id).filter(|_| page.more);
    let rows = page.rows.into_iter();
    Ok(Json(InvitationPage {
        meta: wanted.meta(total, next.as_ref()),
        invitations: rows
            .map(|row| InvitationView::for_administrator(&app, &caller, row))
            .collect(),
    }))
}

/// Creates user invitation
///
/// It is mailed, and can be accepted for seven days. The `code` that is answered opens it too, but does not prove the e-mail as
/// the mailed one does.
#[utoipa::path(post, path = "/invitations", tag = "Invitations", security(("bearer" = [])), request_body = NewInvitation,
    responses((status = 201, description = "Invitation created successfully", body = InvitationEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company"), (status = 409, description = "Invited already, or a member already"),
        (status = 422, description = "Invalid")))]
async fn create_invitation(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<NewInvitation>,
) -> Result<Response, Problem> {
    let company_id = CompanyId(body.company_id);
    let scope = caller.scope(&app, company_id).await?;
    scope.require(Right::Administer)?;
    let mut errors = FieldErrors::default();
    let email = super::users::checked(&mut errors, "email", Email::parse(&body.email));
    let role = Role::from_id(body.access_id);
    if role.is_none() {
        errors.add("access_id", "is not an access");
    }
    let (Some(email), Some(role)) = (email, role) else {
        return Err(errors.into());
    };
    scope.require(right_to_give(Some(role)))?;
    let language = language_for(&app, &caller, &email).await?;
    let others = Others::default();
    let find = others.find(company_id, email.clone());
    let (codes, nonce) = (app.invitation_codes.clone(), invitation_code::nonce());
    let invited_by = caller.user_id;
    let work = caller
        .work(move |unit| {
            others.check(unit, company_id)?;
            let invitation_id = InvitationId(unit.next_id(IdKind::Invitation));
            let code = codes.mailed(invitation_id, &nonce);
            let create = CreateInvitation {
                invitation_id,
                company_id,
                email: email.clone(),
                role,
                invited_by,
                language: language.clone(),
                nonce: nonce.clone(),
                code_hash: invitation_code::hash(&code),
                expires_at: unit.now() + LIFETIME,
            };
            let create = InvitationCommand::Create(Box::new(create));
            unit.execute::<Invitation>(invitation_id.get(), create)?;
            Ok(invitation_id.get())
        })
        .sweeping(find);
    let committed = app.ledger.commit(work).await?;
    let mut connection = app.pool.acquire().await?;
    let row = invitations::by_id(&mut connection, committed.resource_id)
        .await?
        .ok_or_else(|| Problem::not_found("invitation"))?;
    let tag = [(header::ETAG, etag(row.version))];
    let invitation = InvitationView::for_administrator(&app, &caller, row);
    Ok((
        StatusCode::CREATED,
        tag,
        Json(InvitationEnvelope { invitation }),
    )
        .into_response())
}

/// The language that a letter to this address is best written in: its user's, or else that of who writes.
async fn language_for(
    app: &App,
    caller: &Caller,
    email: &Email,
) -> Result<Option<String>, Problem> {
    let mut connection = app.pool.acquire().await?;
    let reader = list::by_email(&mut connection, email.as_str()).await?;
    if let Some(lang) = reader.and_then(|row| row.lang) {
        return Ok(Some(lang));
    }
    let writer = list::by_id(&mut connection, caller.user_id).await?;
    Ok(writer.and_then(|row| row.lang))
}

/// Get pending invitations by email
///
/// One's own once the e-mail is proved; those of others as far as one administers their companies.
#[utoipa::path(get, path = "/invitations/pending", tag = "Invitations", security(("bearer" = [])), params(EmailQuery),
    responses((status = 200, description = "Pending invitations", body = InvitationList), (status = 401, description = "No or bad token"),
        (status = 403, description = "Neither one's own proved e-mail nor an administrator")))]
async fn list_pending_invitations(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<EmailQuery>,
) -> Result<Json<InvitationList>, Problem> {
    let email = Email::parse(&query.email)
        .map_err(|error| Problem::malformed_query(FieldErrors::of("email", error.to_string())))?;
    let mut connection = app.pool.acquire().await?;
    let me = list::by_id(&mut connection, caller.user_id).await?;
    let own =
        me.is_some_and(|me| me.email.as_deref() == Some(email.as_str()) && me.status == "active");
    let administers = caller.authority.platform_owner
        || caller
            .authority
            .roles
            .iter()
            .any(|held| held.role.may(Right::Administer).is_some());
    if !own && !administers {
        return Err(Problem::forbidden(
            "Only invitations of your own proved e-mail, and of companies that you administer, are shown to you.",
        ));
    }
    let rows =
        invitations::pending_of_email(&mut connection, email.as_str(), app.clock.now()).await?;
    let invitations = rows.into_iter().filter_map(|row| {
        let reach = caller.authority.reach(&row.company_path, Right::Administer);
        if own {
            Some(InvitationView::with_code(&app, row))
        } else {
            reach.map(|_| InvitationView::for_administrator(&app, &caller, row))
        }
    });
    Ok(Json(InvitationList {
        invitations: invitations.collect(),
    }))
}

/// Get invitation by code (no auth required)
///
/// Shows the company's name, the role, the inviter's first name, the masked e-mail and the end.
#[utoipa::path(get, path = "/invitations/{code}", tag = "Invitations", params(("code" = String, Path)),
    responses((status = 200, description = "Invitation found", body = InvitationEnvelope),
        (status = 404, description = "No such invitation"), (status = 410, description = "Expired, revoked or used")))]
async fn show_invitation(
    State(app): State<App>,
    Path(code): Path<String>,
) -> Result<Json<InvitationEnvelope>, Problem> {
    let found = by_code(&app, &code).await?;
    if let Some(problem) = found.why_gone(app.clock.now()) {
        return Err(problem);
    }
    let invitation = InvitationView::for_bearer(found.row);
    Ok(Json(InvitationEnvelope { invitation }))
}

async fn by_code(app: &App, code: &str) -> Result<Found, Problem> {
    let found = Found::by_code(app, code).await?;
    found.ok_or_else(|| Problem::not_found("invitation"))
}

/// Accept an invitation
///
/// Gives the role in the same commit. Only for the user of the invited e-mail, which the code that was mailed proves too.
#[utoipa::path(post, path = "/invitations/{code}/accept", tag = "Invitations", security(("bearer" = [])),
    params(("code" = String, Path)),
    responses((status = 200, description = "Invitation accepted", body = Accepted), (status = 401, description = "No or bad token"),
        (status = 403, description = "Not the invited e-mail"), (status = 404, description = "No such invitation"),
        (status = 410, description = "Expired, revoked or used"), (status = 422, description = "A member already, or the plan's limit")))]
async fn accept_invitation(
    State(app): State<App>,
    caller: Caller,
    Path(code): Path<String>,
) -> Result<Json<Accepted>, Problem> {
    let Found { row, proves_email } = by_code(&app, &code).await?;
    let mut connection = app.pool.acquire().await?;
    let me = list::by_id(&mut connection, caller.user_id).await?;
    drop(connection);
    if me
        .and_then(|me| me.email)
        .is_none_or(|email| row.email != Some(email))
    {
        return Err(Problem::forbidden(
            "The invitation is for another e-mail than yours.",
        ));
    }
    let offered = Offered::of(&app, &row, caller.as_of).await?;
    let user_id = caller.user_id;
    let work = caller
        .work(move |unit| {
            let user_access_id = offered.accept(unit, user_id)?;
            if proves_email {
                unit.execute::<User>(user_id.get(), UserCommand::ProveEmail)?;
            }
            Ok(user_access_id.get())
        })
        .on(StreamKey::new(StreamKind::User, user_id.get()));
    let committed = app.ledger.commit(offered.watch(work)).await?;
    let user_access = access_view(&app, committed.resource_id).await?;
    Ok(Json(Accepted { user_access }))
}

/// Delete an invitation
///
/// Its code holds no longer. The segment is the invitation's id.
#[utoipa::path(delete, path = "/invitations/{code}", tag = "Invitations", security(("bearer" = [])),
    params(("code" = i64, Path, description = "The invitation's id"), IfMatch),
    responses((status = 200, description = "Invitation deleted successfully", body = Nothing), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such pending invitation")))]
async fn delete_invitation(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<Nothing>, Problem> {
    let mut connection = app.pool.acquire().await?;
    let row = invitations::by_id(&mut connection, id).await?;
    drop(connection);
    let row = row
        .filter(|row| caller.authority.sees(&row.company_path))
        .ok_or_else(|| Problem::not_found("invitation"))?;
    let scope = caller.scope(&app, CompanyId(row.company_id)).await?;
    scope.require(Right::Administer)?;
    scope.require(right_to_give(role_of(&row.role)))?;
    let stream = StreamKey::new(StreamKind::Invitation, id);
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            if !unit.state::<Invitation>(id).is_pending() {
                return Err(InvitationError::NotCreated.into());
            }
            unit.execute::<Invitation>(id, InvitationCommand::Revoke)?;
            Ok(id)
        })
        .on(stream);
    app.ledger.commit(work).await?;
    Ok(Json(Nothing {}))
}
