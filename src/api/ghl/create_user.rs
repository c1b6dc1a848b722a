//! Create User.

use aggregates::Change;
use aggregates::email::Email;
use aggregates::ids::UserId;
use aggregates::user::account_settings::AccountKind;
use aggregates::user::{Profile, Register, Status, User, UserCommand};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::account::{Account, resolve};
use super::bodies::NewUser;
use super::client::Client;
use super::error::{ErrorBody, GhlError};
use super::fields::Fields;
use super::reach::{self, wanted_roles};
use super::user_view::{self, UserView};
use crate::app::App;
use crate::ledger::{IdKind, Refusal};

/// Create User
///
/// The role is given at the company itself (`agency`) or at each of the locations (`account`).
#[utoipa::path(post, path = "/users/", operation_id = "create-user", tag = "Users v3", security(("bearer" = [])), params(("Version" = String, Header)),
    request_body = NewUser,
    responses((status = 201, description = "The user", body = UserView), (status = 400, description = "Not JSON, or the e-mail is taken", body = ErrorBody),
        (status = 401, description = "No or bad token, or its scope is missing", body = ErrorBody),
        (status = 403, description = "Another company or location", body = ErrorBody), (status = 422, description = "Invalid", body = ErrorBody)))]
pub async fn create_user(
    State(app): State<App>,
    client: Client,
    mut fields: Fields,
) -> Result<Response, GhlError> {
    client.require("users.write")?;
    for name in ["firstName", "lastName", "password", "type", "role"] {
        if !fields.has(name) {
            fields.refuse(format!("{name} should not be empty"));
        }
    }
    if !fields.has("locationIds") {
        fields.refuse("locationIds must be an array");
    }
    let company = fields.required_text("companyId");
    let email = fields.required_text("email");
    let email = email.and_then(|email| {
        let parsed = Email::parse(&email).ok();
        if parsed.is_none() {
            fields.refuse("email must be an email");
        }
        parsed
    });
    let region = client.region(&app, company.as_deref()).await?;
    let mut account = Account::read(&mut fields, region);
    if account.kind == Some(AccountKind::Account)
        && account.location_ids.as_ref().is_some_and(Vec::is_empty)
    {
        fields.refuse("locationIds should not be empty for type account");
    }
    fields.finish()?;
    let company = client.company(&app, company.as_deref()).await?;
    account.resolve_numbers(&app, &client, &company).await?;
    let sent = account.location_ids.take().unwrap_or_default();
    let locations = resolve(&app, &client, &company, &sent, "locationIds").await?;
    let (Some(email), Some(kind), Some(role), Some(password)) =
        (email, account.kind, account.role, account.password.take())
    else {
        // `finish` has refused a body without any of them.
        return Err(GhlError::bad_request("Bad Request"));
    };
    let wanted = wanted_roles(company.id.into(), kind, role, &locations);
    let password_hash = app.passwords.hash(password).await?;
    let claim = app.ledger.email_claim(&email);
    let taken = claim.clone();
    let profile = Profile {
        first_name: account.first_name,
        last_name: account.last_name,
        phone_number: match account.phone {
            Change::Set(phone) => Some(phone),
            Change::Keep | Change::Clear => None,
        },
        ..Profile::default()
    };
    let settings = account.settings;
    let limits = reach::limits_of(&app, &client, wanted.keys()).await?;
    let watched = limits.clone();
    let command = client.caller.work(move |unit| {
        let user_id = UserId(unit.next_id(IdKind::User));
        let id = user_id.get();
        unit.claim(&taken, id, Refusal::EmailTaken)?;
        let register = Register {
            user_id,
            email: email.clone(),
            profile: profile.clone(),
            password_hash: Some(password_hash.clone()),
            status: Status::Pending,
            platform_owner: false,
        };
        unit.execute::<User>(id, UserCommand::Register(Box::new(register)))?;
        let change = UserCommand::ChangeAccountSettings(Box::new(settings.clone()));
        unit.execute::<User>(id, change)?;
        for (company_id, role) in &wanted {
            reach::grant(unit, user_id, (*company_id, *role), &limits)?;
        }
        Ok(id)
    });
    let work = watched.into_values();
    let work = work.fold(command.claiming(claim), |work, limits| {
        limits.watch_users(work)
    });
    let committed = app.ledger.commit(work).await?;
    let answer = user_view::answer(&app, &company, committed.resource_id).await?;
    Ok((StatusCode::CREATED, answer).into_response())
}
