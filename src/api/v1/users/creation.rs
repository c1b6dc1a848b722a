//! Creating a user: by themselves, with the code of an invitation, or by an administrator with roles.
//!
//! The rules of roles and of invitations are not here: see `grant`, and `Offered` of the invitations.

use std::collections::BTreeSet;

use aggregates::email::Email;
use aggregates::ids::UserId;
use aggregates::person_name::PersonName;
use aggregates::user::{Profile, Register, Status, User, UserCommand};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::email_proofs;
use super::super::invitations::Offered;
use super::grant::{Grant, check_grant};
use super::view::{UserEnvelope, envelope};
use super::{check_password, checked, row};
use crate::api::caller::{Anonymous, Caller};
use crate::api::extract::Json;
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, Refusal, StreamKey, StreamKind, Unit, Work};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_user))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct NewUser {
    /// 1 to 100 characters.
    #[garde(skip)]
    first_name: String,
    #[garde(skip)]
    last_name: Option<String>,
    #[garde(skip)]
    #[schema(example = "user@example.com")]
    email: String,
    /// At least 12 characters with upper, lower, digit and special. Without one nobody can sign in yet.
    #[garde(skip)]
    password: Option<String>,
    /// Roles to grant; takes an administrator of each company, or an invitation code.
    #[garde(length(max = 50))]
    user_accesses_attributes: Option<Vec<NewUserAccess>>,
    #[garde(skip)]
    invitation_code: Option<String>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
struct NewUserAccess {
    company_id: i64,
    access_id: i64,
    #[serde(default)]
    primary: Option<bool>,
}

/// Create a user
///
/// Works without a token. Roles are granted only by an administrator of their companies, or for the code of a pending
/// invitation, which is accepted in the same commit; the code that was mailed proves the e-mail too.
#[utoipa::path(post, path = "/users", tag = "Users", security((), ("bearer" = [])), request_body = NewUser,
    responses((status = 201, description = "User created successfully", body = UserEnvelope), (status = 401, description = "Bad token"),
        (status = 403, description = "Not an administrator of a company that a role is given in"), (status = 422, description = "Invalid")))]
async fn create_user(
    State(app): State<App>,
    caller: Option<Caller>,
    Anonymous(anonymous): Anonymous,
    Json(body): Json<NewUser>,
) -> Result<Response, Problem> {
    let mut errors = FieldErrors::default();
    let first_name = checked(
        &mut errors,
        "first_name",
        PersonName::parse(&body.first_name),
    );
    let last_name = body
        .last_name
        .as_deref()
        .filter(|name| !name.trim().is_empty());
    let last_name =
        last_name.and_then(|name| checked(&mut errors, "last_name", PersonName::parse(name)));
    let email = checked(&mut errors, "email", Email::parse(&body.email));
    check_password(&mut errors, body.password.as_deref());
    let wanted = body.user_accesses_attributes.unwrap_or_default();
    let (offered, grants) = match (body.invitation_code, &email) {
        (Some(code), Some(email)) => {
            let offered = check_offer(&app, &code, email, &wanted, &mut errors).await?;
            (offered, Vec::new())
        }
        // Without an e-mail nobody can tell whose code it is; the e-mail's own error is told.
        (Some(_), None) => (None, Vec::new()),
        (None, _) => {
            let grants = check_grants(&app, caller.as_ref(), wanted, &mut errors).await?;
            (None, grants)
        }
    };
    let (Some(first_name), Some(email), true) = (first_name, email, errors.is_empty()) else {
        return Err(errors.into());
    };
    let password_hash = match body.password {
        Some(password) => Some(app.passwords.hash(password).await?),
        None => None,
    };

    let claim = app.ledger.email_claim(&email);
    let write = caller.map_or(anonymous, |caller| caller.write);
    let given = grants.clone();
    let taken = claim.clone();
    let profile = Profile {
        first_name: Some(first_name),
        last_name,
        ..Profile::default()
    };
    let mut work = Work::new(write.provenance, move |unit| {
        let user_id = UserId(unit.next_id(IdKind::User));
        unit.claim(&taken, user_id.get(), Refusal::EmailTaken)?;
        let register = Register {
            user_id,
            email: email.clone(),
            profile: profile.clone(),
            password_hash: password_hash.clone(),
            status: match offered {
                Some(offered) if offered.proves_email => Status::Active,
                _ => Status::Pending,
            },
            platform_owner: false,
        };
        unit.execute::<User>(user_id.get(), UserCommand::Register(Box::new(register)))?;
        email_proofs::request_proof(unit, user_id.get())?;
        for grant in &grants {
            grant.execute(unit, user_id)?;
        }
        if let Some(offered) = offered {
            accept_on_sign_up(&offered, unit, user_id)?;
        }
        Ok(user_id.get())
    })
    .once(write.once)
    .claiming(claim);
    for grant in given {
        work = work.on(StreamKey::new(StreamKind::Company, grant.company_id.get()));
        work = grant.limits.watch_users(work);
    }
    if let Some(offered) = offered {
        work = offered.watch(work);
    }
    let committed = app.ledger.commit(work).await?;
    // Whoever creates a user sees every role that they gave.
    let row = row(&app, UserId(committed.resource_id)).await?;
    let user = envelope(row.version, row.into());
    Ok((StatusCode::CREATED, user).into_response())
}

/// The invitation that the code stands for, if it offers what is wanted and nothing else is wanted.
async fn check_offer(
    app: &App,
    code: &str,
    email: &Email,
    wanted: &[NewUserAccess],
    errors: &mut FieldErrors,
) -> Result<Option<Offered>, Problem> {
    let Some(mut offered) = Offered::to_sign_up(app, code, email).await? else {
        errors.add("invitation_code", Refusal::NotInvited.to_string());
        return Ok(None);
    };
    for (n, want) in wanted.iter().enumerate() {
        let field = format!("user_accesses_attributes[{n}]");
        if want.company_id != offered.grant.company_id.get() {
            errors.add(format!("{field}.company_id"), "is not the inviting company");
        } else if want.access_id != offered.grant.role.id() {
            errors.add(format!("{field}.access_id"), "is not the offered access");
        } else if n > 0 {
            errors.add(format!("{field}.company_id"), "appears twice");
        }
        offered.grant.primary |= want.primary.unwrap_or(false);
    }
    Ok(Some(offered))
}

/// An invitation that has ended makes a sign-up invalid, rather than being gone itself.
fn accept_on_sign_up(
    offered: &Offered,
    unit: &mut Unit<'_>,
    user_id: UserId,
) -> Result<(), Refusal> {
    match offered.accept(unit, user_id) {
        Ok(_) => Ok(()),
        Err(Refusal::Invitation(_)) => Err(Refusal::NotInvited),
        Err(refusal) => Err(refusal),
    }
}

async fn check_grants(
    app: &App,
    caller: Option<&Caller>,
    wanted: Vec<NewUserAccess>,
    errors: &mut FieldErrors,
) -> Result<Vec<Grant>, Problem> {
    let Some(caller) = caller else {
        if !wanted.is_empty() {
            errors.add(
                "user_accesses_attributes",
                "needs an administrator's token or an invitation_code",
            );
        }
        return Ok(Vec::new());
    };
    let mut grants = Vec::new();
    let mut seen = BTreeSet::new();
    for (n, want) in wanted.into_iter().enumerate() {
        let field = format!("user_accesses_attributes[{n}].");
        if !seen.insert(want.company_id) {
            errors.add(format!("{field}company_id"), "appears twice");
        }
        let primary = want.primary.unwrap_or(false);
        let grant = check_grant(
            app,
            caller,
            &field,
            want.company_id,
            want.access_id,
            primary,
        )
        .await?;
        grants.push(grant);
    }
    Ok(grants)
}
