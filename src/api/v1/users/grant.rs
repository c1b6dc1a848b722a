//! A role on its way to be given: the check that the caller may give it, and the giving, within the plan's limits.
//!
//! No requests and no answers: a role is given with a new user, to a user there is, and for an invitation.

use aggregates::access::{Right, Role};
use aggregates::company::{Company, CompanyCommand};
use aggregates::ids::{CompanyId, UserAccessId, UserId};
use aggregates::user::{User, UserCommand};
use axum::http::StatusCode;

use crate::api::caller::Caller;
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, Refusal, Unit};
use crate::plan_limits::PlanLimits;

/// A role to give, checked.
#[derive(Debug, Clone, Copy)]
pub struct Grant {
    pub company_id: CompanyId,
    pub role: Role,
    pub primary: bool,
    pub limits: PlanLimits,
}

impl Grant {
    /// Grants on the user's stream, and on the company's when it is an owner's.
    pub fn execute(&self, unit: &mut Unit<'_>, user_id: UserId) -> Result<UserAccessId, Refusal> {
        let user_access_id = UserAccessId(unit.next_id(IdKind::UserAccess));
        self.execute_as(unit, user_id, user_access_id)?;
        Ok(user_access_id)
    }

    /// As [`Grant::execute`], with an id that was given already.
    pub fn execute_as(
        &self,
        unit: &mut Unit<'_>,
        user_id: UserId,
        user_access_id: UserAccessId,
    ) -> Result<(), Refusal> {
        self.limits.add_user(unit, user_id)?;
        unit.execute::<User>(
            user_id.get(),
            UserCommand::GrantAccess {
                user_access_id,
                company_id: self.company_id,
                role: self.role,
                primary: self.primary,
            },
        )?;
        if self.role == Role::Owner {
            unit.execute::<Company>(
                self.company_id.get(),
                CompanyCommand::AddOwner {
                    user_access_id,
                    user_id,
                },
            )?;
        }
        Ok(())
    }
}

/// Checks that the caller may give this role in this company: an administrator may give any but an owner's.
///
/// # Errors
/// 422 for a role or company that is not there for the caller; 403 when the right is missing.
pub async fn check_grant(
    app: &App,
    caller: &Caller,
    field: &str,
    company_id: i64,
    access_id: i64,
    primary: bool,
) -> Result<Grant, Problem> {
    let role = Role::from_id(access_id)
        .ok_or_else(|| FieldErrors::of(format!("{field}access_id"), "is not an access"))?;
    let company_id = CompanyId(company_id);
    let scope = caller.scope(app, company_id).await.map_err(|problem| {
        if problem.status() == StatusCode::NOT_FOUND {
            FieldErrors::of(
                format!("{field}company_id"),
                "is not a company that you can see",
            )
            .into()
        } else {
            problem
        }
    })?;
    scope.require(Right::Administer)?;
    if role == Role::Owner {
        scope.require(Right::Govern)?;
    }
    Ok(Grant {
        company_id,
        role,
        primary,
        limits: PlanLimits::of(&scope.company),
    })
}
