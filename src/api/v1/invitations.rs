//! Invitations: list those of a company, find by code, create, accept, delete, list those of an e-mail.

use std::sync::{Arc, Mutex, PoisonError};

use aggregates::access::{Right, Role};
use aggregates::email::Email;
use aggregates::ids::{CompanyId, InvitationId, UserAccessId, UserId};
use aggregates::invitation::{
    CreateInvitation, Invitation, InvitationCommand, InvitationError, Status,
};
use aggregates::user::{User, UserCommand};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use garde::Validate;
use projections::invitations::{self, InvitationRow};
use projections::users::list;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accesses::{AccessView, role_of};
use super::lead_notes::Nothing;
use super::pages::{Meta, PageQuery};
use super::user_access::{UserAccessView, access_view};
use super::users::{Grant, PersonView};
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::etag;
use crate::api::problem::Problem;
use crate::app::App;
use crate::auth::invitation_code;
use crate::ledger::{FindStreams, IdKind, Refusal, StreamKey, StreamKind, Unit, Work};
use crate::plan_limits::PlanLimits;

/// How long an invitation can be accepted.
const LIFETIME: TimeDelta = TimeDelta::days(7);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_company_invitations))
        .routes(routes!(create_invitation))
        .routes(routes!(list_pending_invitations))
        .routes(routes!(show_invitation, delete_invitation))
        .routes(routes!(accept_invitation))
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

/// An invitation. To who is not signed in, most of it is null.
#[derive(Debug, Serialize, ToSchema)]
struct InvitationView {
    id: Option<i64>,
    /// What the invited person shows. Null to whom that role is not to give.
    code: Option<String>,
    /// Masked to who is not signed in.
    email: Option<String>,
    status: Option<String>,
    company: InvitingCompany,
    access: Option<AccessView>,
    invited_by: Option<InviterView>,
    expires_at: DateTime<Utc>,
    created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct InvitingCompany {
    id: Option<i64>,
    name: String,
    default: Option<bool>,
    parent_company_id: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum InviterView {
    Known(PersonView),
    /// To who is not signed in.
    FirstName {
        id: Option<i64>,
        full_name: Option<String>,
        email: Option<String>,
        avatar_route: Option<String>,
    },
}

impl InvitationView {
    /// Complete, but for the code.
    fn of(row: InvitationRow) -> Self {
        let inviter = row.inviter_id.map(|id| {
            let name = row.inviter_full_name.unwrap_or_default();
            InviterView::Known(PersonView::new(id, name, row.inviter_email))
        });
        Self {
            id: Some(row.id),
            code: None,
            email: row.email,
            status: Some(row.status),
            company: InvitingCompany {
                id: Some(row.company_id),
                name: row.company_name,
                default: Some(row.company_is_default),
                parent_company_id: row.company_parent_id,
            },
            access: role_of(&row.role).map(AccessView::from),
            invited_by: inviter,
            expires_at: row.expires_at,
            created_at: Some(row.created_at),
        }
    }

    fn with_code(app: &App, row: InvitationRow) -> Self {
        let code = app.invitation_codes.code(InvitationId(row.id), &row.nonce);
        Self {
            code: Some(code),
            ..Self::of(row)
        }
    }

    /// For an administrator: with the code, unless it would make an owner and they are none.
    fn for_administrator(app: &App, caller: &Caller, row: InvitationRow) -> Self {
        let right = right_to_give(role_of(&row.role));
        if caller.authority.reach(&row.company_path, right).is_some() {
            Self::with_code(app, row)
        } else {
            Self::of(row)
        }
    }

    /// For whoever holds the code, who may be anybody.
    fn for_bearer(row: InvitationRow) -> Self {
        let email = row.email.as_deref().and_then(|e| Email::parse(e).ok());
        Self {
            id: None,
            code: None,
            email: email.map(|email| email.masked()),
            status: None,
            company: InvitingCompany {
                id: None,
                name: row.company_name,
                default: None,
                parent_company_id: None,
            },
            access: role_of(&row.role).map(AccessView::from),
            invited_by: Some(InviterView::FirstName {
                id: None,
                full_name: row.inviter_first_name,
                email: None,
                avatar_route: None,
            }),
            expires_at: row.expires_at,
            created_at: None,
        }
    }
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

/// What it takes to give this role: only an owner makes an owner.
fn right_to_give(role: Option<Role>) -> Right {
    match role {
        Some(Role::Owner) => Right::Govern,
        _ => Right::Administer,
    }
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
/// It can be accepted for seven days.
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
            let code = codes.code(invitation_id, &nonce);
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

/// What the invited address has with the company already, found under the append lock.
#[derive(Clone, Default)]
struct Others(Arc<Mutex<(Vec<i64>, Option<i64>)>>);

impl Others {
    fn find(&self, company: CompanyId, email: Email) -> FindStreams {
        let found = self.clone();
        Arc::new(move |connection| {
            let (found, email) = (found.clone(), email.clone());
            Box::pin(async move {
                let open = invitations::not_ended(connection, company, email.as_str()).await?;
                let user = list::by_email(connection, email.as_str()).await?;
                let user = user.map(|row| row.id);
                let invitations = open
                    .iter()
                    .map(|id| StreamKey::new(StreamKind::Invitation, *id));
                let user_stream = user.map(|id| StreamKey::new(StreamKind::User, id));
                let streams = invitations.chain(user_stream).collect();
                *found.0.lock().unwrap_or_else(PoisonError::into_inner) = (open, user);
                Ok(streams)
            })
        })
    }

    /// Refuses when there is anything; an invitation whose time is over is ended on the way.
    fn check(&self, unit: &mut Unit<'_>, company: CompanyId) -> Result<(), Refusal> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (open, user) = &*found;
        if let Some(user) = user {
            let user = unit.state::<User>(*user);
            if user.accesses().iter().any(|a| a.company_id == company) {
                return Err(Refusal::AlreadyMember);
            }
        }
        let now = unit.now();
        for id in open {
            if unit.state::<Invitation>(*id).is_open(now) {
                return Err(Refusal::AlreadyInvited);
            }
            unit.execute::<Invitation>(*id, InvitationCommand::Expire { now })?;
        }
        Ok(())
    }
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
    let row = by_code(&app, &code).await?;
    if let Some(problem) = why_gone(&row, app.clock.now()) {
        return Err(problem);
    }
    let invitation = InvitationView::for_bearer(row);
    Ok(Json(InvitationEnvelope { invitation }))
}

async fn by_code(app: &App, code: &str) -> Result<InvitationRow, Problem> {
    let mut connection = app.pool.acquire().await?;
    invitations::by_code_hash(&mut connection, &invitation_code::hash(code))
        .await?
        .ok_or_else(|| Problem::not_found("invitation"))
}

fn why_gone(row: &InvitationRow, now: DateTime<Utc>) -> Option<Problem> {
    let gone = |code, detail: &'static str| Some(Problem::gone(code, detail));
    match row.status.as_str() {
        status if status == Status::Accepted.code() => {
            gone("invitation_used", "The invitation has been used.")
        }
        status if status == Status::Revoked.code() => {
            gone("invitation_revoked", "The invitation has been revoked.")
        }
        status if status == Status::Expired.code() || row.expires_at <= now => {
            gone("invitation_expired", "The invitation has expired.")
        }
        _ => None,
    }
}

/// An invitation that somebody takes, and what they get for it.
#[derive(Debug, Clone, Copy)]
pub struct Offered {
    id: InvitationId,
    pub grant: Grant,
}

impl Offered {
    async fn of(app: &App, row: &InvitationRow, as_of: i64) -> Result<Self, Problem> {
        let company_id = CompanyId(row.company_id);
        let company = app.company(company_id, as_of).await?;
        let company = company.ok_or_else(|| Problem::not_found("invitation"))?;
        let role = role_of(&row.role).ok_or_else(|| Problem::not_found("invitation"))?;
        Ok(Self {
            id: InvitationId(row.id),
            grant: Grant {
                company_id,
                role,
                primary: false,
                limits: PlanLimits::of(&company),
            },
        })
    }

    /// The invitation that this code of somebody who signs up with this e-mail stands for. Whether it is still pending is
    /// decided by the commit, so that a repeated request finds what the first one did.
    ///
    /// # Errors
    /// What the database answers; a code of nothing or for another e-mail is `None`.
    pub async fn to_sign_up(app: &App, code: &str, email: &Email) -> Result<Option<Self>, Problem> {
        let mut connection = app.pool.acquire().await?;
        let hash = invitation_code::hash(code);
        let row = invitations::by_code_hash(&mut connection, &hash).await?;
        drop(connection);
        let Some(row) = row.filter(|row| row.email.as_deref() == Some(email.as_str())) else {
            return Ok(None);
        };
        let as_of = app.reads.authority_position.get(()).await?;
        Self::of(app, &row, as_of).await.map(Some)
    }

    /// The work reads what accepting depends on.
    #[must_use]
    pub fn watch(&self, work: Work) -> Work {
        let work = work
            .on(StreamKey::new(StreamKind::Invitation, self.id.get()))
            .on(StreamKey::new(
                StreamKind::Company,
                self.grant.company_id.get(),
            ));
        self.grant.limits.watch_users(work)
    }

    /// Takes the offer and gives the role for it.
    ///
    /// # Errors
    /// The rule that says no: somebody was faster, the time is over, the user has an access, the plan has no room.
    pub fn accept(&self, unit: &mut Unit<'_>, user_id: UserId) -> Result<UserAccessId, Refusal> {
        let user_access_id = UserAccessId(unit.next_id(IdKind::UserAccess));
        let accept = InvitationCommand::Accept {
            user_id,
            user_access_id,
            now: unit.now(),
        };
        unit.execute::<Invitation>(self.id.get(), accept)?;
        self.grant.execute_as(unit, user_id, user_access_id)?;
        Ok(user_access_id)
    }
}

/// Accept an invitation
///
/// Gives the role in the same commit, and proves the e-mail. Only for the user of the invited e-mail.
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
    let row = by_code(&app, &code).await?;
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
            unit.execute::<User>(user_id.get(), UserCommand::ProveEmail)?;
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
    params(("code" = i64, Path, description = "The invitation's id")),
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
