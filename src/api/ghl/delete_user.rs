//! Delete User: every role goes, nobody signs in any more, the e-mail is free; the history stays.

use std::collections::BTreeSet;

use aggregates::email::Email;
use aggregates::ids::{CompanyId, UserId};
use aggregates::user::{User, UserCommand};
use axum::extract::{Path, State};
use projections::legal_holds::Held;
use projections::user_profiles::list::UserProfileRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::client::Client;
use super::error::{ErrorBody, GhlError};
use super::{reach, user_view};
use crate::api::extract::Json;
use crate::api::role_changes::LostLeads;
use crate::app::App;
use crate::ledger::{StreamKey, StreamKind};
use crate::legal_hold::{self, FormerRoles};

/// Both spellings: clients of the former version read the latter.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsersV3Deleted)]
pub struct Deleted {
    succeeded: bool,
    succeded: bool,
    message: String,
}

impl Deleted {
    fn of(row: &UserProfileRow) -> Self {
        let email = row.email.as_deref().unwrap_or_default();
        Self {
            succeeded: true,
            succeded: true,
            message: format!("Deleted user with e-mail {email} and name {}.", row.name),
        }
    }
}

/// Delete User
///
/// Takes effect at once; leads that were assigned to the user become unassigned.
#[utoipa::path(delete, path = "/users/{user_id}", operation_id = "delete-user", tag = "Users v3", security(("bearer" = [])),
    params(("user_id" = String, Path), ("Version" = String, Header)),
    responses((status = 200, description = "Deleted", body = Deleted),
        (status = 401, description = "No or bad token, or its scope is missing", body = ErrorBody),
        (status = 403, description = "Out of the token's reach", body = ErrorBody), (status = 404, description = "No such user", body = ErrorBody),
        (status = 422, description = "The last owner of a company, or a legal hold stands on one in which the user holds a role, or held one since it was placed", body = ErrorBody)))]
pub async fn delete_user(
    State(app): State<App>,
    client: Client,
    Path(user_id): Path<String>,
) -> Result<Json<Deleted>, GhlError> {
    client.require("users.write")?;
    let company = client.company(&app, None).await?;
    let row = user_view::row_of(&app, &company, &user_id).await?;
    let held = reach::reached(&app, &client, &row).await?;
    let id = row.user_id;
    let stream = StreamKey::new(StreamKind::User, id);
    let email = row
        .email
        .as_deref()
        .and_then(|email| Email::parse(email).ok());
    let claim = email.map(|email| app.ledger.email_claim(&email));
    let claimed = claim.clone();
    let known: BTreeSet<CompanyId> = held.iter().map(|access| access.company_id).collect();
    let leads = LostLeads::default();
    let companies = held.iter().map(|access| Held::Company(access.company_id));
    let find = legal_hold::also_finding(leads.find(reach::lost_roles(&held)), companies.collect());
    let former = FormerRoles::default();
    let find = former.also_finding(find, UserId(id));
    let if_match = client.caller.write.if_match.clone();
    let work = client.caller.work(move |unit| {
        if_match.check(unit, stream)?;
        let held = unit.state::<User>(id).accesses().to_vec();
        reach::check_known(&held, &known)?;
        for access in &held {
            legal_hold::refuse_if_company_held(unit, access.company_id)?;
        }
        former.refuse_if_held(unit, UserId(id))?;
        for access in &held {
            reach::give_up(unit, UserId(id), access)?;
        }
        unit.execute::<User>(id, UserCommand::Delete)?;
        leads.unassign(unit)?;
        if let Some(claim) = &claimed {
            unit.release(claim, id);
        }
        Ok(id)
    });
    let mut work = work.on(stream).sweeping(find);
    for access in &held {
        work = work.on(StreamKey::new(StreamKind::Company, access.company_id.get()));
    }
    if let Some(claim) = claim {
        work = work.claiming(claim);
    }
    app.ledger.commit(work).await?;
    Ok(Json(Deleted::of(&row)))
}
