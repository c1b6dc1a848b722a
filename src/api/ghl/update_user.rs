//! Update User: only what is sent changes.

use std::collections::BTreeSet;

use aggregates::Change;
use aggregates::access::Role;
use aggregates::email::Email;
use aggregates::ids::{CompanyId, UserId};
use aggregates::user::account_settings::AccountKind;
use aggregates::user::{Access, UpdateProfile, User, UserCommand};
use axum::extract::{Path, State};
use axum::response::Response;
use projections::companies::CompanyRow;
use projections::user_profiles::list::UserProfileRow;

use super::account::{Account, AccountRole, resolve};
use super::bodies::UserChanges;
use super::client::Client;
use super::error::{ErrorBody, GhlError, OWNER_NEEDED};
use super::fields::Fields;
use super::reach::{self, RoleChange, wanted_roles};
use super::user_view::{self, UserView};
use crate::api::role_changes::LostLeads;
use crate::app::App;
use crate::ledger::{StreamKey, StreamKind};

/// Update User
///
/// `permissions` are merged, lists and `twilioPhone` replaced; the e-mail cannot be changed.
#[utoipa::path(put, path = "/users/{user_id}", operation_id = "update-user", tag = "Users v3", security(("bearer" = [])),
    params(("user_id" = String, Path), ("Version" = String, Header)), request_body = UserChanges,
    responses((status = 200, description = "The user", body = UserView), (status = 400, description = "Not JSON", body = ErrorBody),
        (status = 401, description = "No or bad token, or its scope is missing", body = ErrorBody),
        (status = 403, description = "Out of the token's reach", body = ErrorBody),
        (status = 404, description = "No such user", body = ErrorBody), (status = 422, description = "Invalid", body = ErrorBody)))]
pub async fn update_user(
    State(app): State<App>,
    client: Client,
    Path(user_id): Path<String>,
    mut fields: Fields,
) -> Result<Response, GhlError> {
    client.require("users.write")?;
    let named = fields.text("companyId");
    let company = client.company(&app, named.as_deref()).await?;
    let row = user_view::row_of(&app, &company, &user_id).await?;
    let email = fields.text("email");
    if email.is_some_and(|email| !is_email_of(&row, &email)) {
        fields.refuse("email can not be updated");
    }
    let region = client.region(&app, named.as_deref()).await?;
    let mut account = Account::read(&mut fields, region);
    fields.finish()?;
    let held = reach::reached(&app, &client, &row).await?;
    if account.password.is_some() && held.iter().any(|access| access.role == Role::Owner) {
        return Err(OWNER_NEEDED.into());
    }
    account.resolve_numbers(&app, &client, &company).await?;
    let roles = role_change(&app, &client, &company, &row, &held, &account).await?;
    commit(&app, &client, UserId(row.user_id), &held, account, roles).await?;
    user_view::answer(&app, &company, row.user_id).await
}

fn is_email_of(row: &UserProfileRow, sent: &str) -> bool {
    Email::parse(sent).is_ok_and(|sent| Some(sent.as_str()) == row.email.as_deref())
}

/// What the request does to roles, if it speaks of them; what it leaves out stays as the company sees it.
async fn role_change(
    app: &App,
    client: &Client,
    company: &CompanyRow,
    row: &UserProfileRow,
    held: &[Access],
    account: &Account,
) -> Result<Option<RoleChange>, GhlError> {
    if account.kind.is_none() && account.role.is_none() && account.location_ids.is_none() {
        return Ok(None);
    }
    let seen = AccountKind::from_code(&row.account_type).unwrap_or(AccountKind::Account);
    let kind = account.kind.unwrap_or(seen);
    let role = AccountRole::from_word(&row.role).unwrap_or(AccountRole::User);
    let role = account.role.unwrap_or(role);
    let locations = match &account.location_ids {
        Some(sent) => resolve(app, client, company, sent, "locationIds").await?,
        None => row.location_ids.iter().copied().map(CompanyId).collect(),
    };
    if kind == AccountKind::Account && locations.is_empty() {
        let message = "locationIds should not be empty for type account";
        return Err(GhlError::invalid(vec![message.to_owned()]));
    }
    let mut wanted = wanted_roles(company.id.into(), kind, role, &locations);
    // Roles beside the company, which the token reaches too, are not spoken of.
    for access in held {
        let at = app.company(access.company_id, client.caller.as_of).await?;
        if !at.is_some_and(|at| at.path.contains(&company.id)) {
            wanted.insert(access.company_id, access.role);
        }
    }
    let limits = reach::limits_of(app, client, wanted.keys()).await?;
    let user_id = UserId(row.user_id);
    Ok(Some(RoleChange::plan(user_id, held, wanted, limits)))
}

async fn commit(
    app: &App,
    client: &Client,
    user_id: UserId,
    held: &[Access],
    account: Account,
    roles: Option<RoleChange>,
) -> Result<(), GhlError> {
    let id = user_id.get();
    let stream = StreamKey::new(StreamKind::User, id);
    let keep = |name| Option::map_or(name, Change::Keep, Change::Set);
    let profile = UpdateProfile {
        first_name: keep(account.first_name),
        last_name: keep(account.last_name),
        phone_number: account.phone,
        ..UpdateProfile::default()
    };
    let password_hash = match account.password {
        Some(password) => Some(app.passwords.hash(password).await?),
        None => None,
    };
    let known: BTreeSet<CompanyId> = held.iter().map(|access| access.company_id).collect();
    let leads = LostLeads::default();
    let lost = roles.as_ref().map(RoleChange::lost_roles);
    let find = lost
        .filter(|lost| !lost.is_empty())
        .map(|lost| leads.find(lost));
    let settings = account.settings;
    let watched = roles.clone();
    let if_match = client.caller.write.if_match.clone();
    let mut work = client
        .caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            reach::check_known(unit.state::<User>(id).accesses(), &known)?;
            let update = UserCommand::UpdateProfile(Box::new(profile.clone()));
            unit.execute::<User>(id, update)?;
            let change = UserCommand::ChangeAccountSettings(Box::new(settings.clone()));
            unit.execute::<User>(id, change)?;
            if let Some(password_hash) = password_hash.clone() {
                unit.execute::<User>(id, UserCommand::SetPassword { password_hash })?;
            }
            if let Some(roles) = &roles {
                roles.execute(unit)?;
            }
            leads.unassign(unit)?;
            Ok(id)
        })
        .on(stream);
    for access in held {
        work = work.on(StreamKey::new(StreamKind::Company, access.company_id.get()));
    }
    if let Some(roles) = &watched {
        work = roles.watch(work);
    }
    if let Some(find) = find {
        work = work.sweeping(find);
    }
    app.ledger.commit(work).await?;
    Ok(())
}
