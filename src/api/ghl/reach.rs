//! How far a token reaches into a user, and which roles a request asks for.
//!
//! A token changes and deletes only users whose every role is within its company, as an administrator in API V1 does: nobody
//! gets hold of an account through one of several companies. An owner's roles and sign-in are not for tokens.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::access::Role;
use aggregates::ids::{CompanyId, UserAccessId, UserId};
use aggregates::user::account_settings::AccountKind;
use aggregates::user::{Access, User, UserCommand};
use projections::user_profiles::list::UserProfileRow;

use super::account::AccountRole;
use super::client::Client;
use super::error::{CHANGED_MEANWHILE, GhlError, OWNER_NEEDED};
use crate::api::role_changes::{LostRole, keep_owners};
use crate::app::App;
use crate::ledger::{IdKind, Refusal, Unit, Work};
use crate::plan_limits::PlanLimits;

/// The user's roles, all of which the token reaches.
pub async fn reached(
    app: &App,
    client: &Client,
    row: &UserProfileRow,
) -> Result<Vec<Access>, GhlError> {
    let accesses = accesses(row);
    client.caller.write.judged.user(UserId(row.user_id));
    for access in &accesses {
        let company = app.company(access.company_id, client.caller.as_of).await?;
        if !company.is_some_and(|company| client.caller.authority.sees(&company.path)) {
            return Err(GhlError::forbidden(
                "The user also belongs to a company that is not accessible from this token",
            ));
        }
    }
    if row.platform_owner {
        return Err(OWNER_NEEDED.into());
    }
    Ok(accesses)
}

/// The roles that the row says the user holds.
pub fn accesses(row: &UserProfileRow) -> Vec<Access> {
    // Written by the projection, by the same type.
    serde_json::from_value(row.accesses.clone()).unwrap_or_default()
}

/// The roles that a request asks for, by company.
pub fn wanted_roles(
    company: CompanyId,
    kind: AccountKind,
    role: AccountRole,
    locations: &[CompanyId],
) -> BTreeMap<CompanyId, Role> {
    let role = match role {
        AccountRole::Admin => Role::Admin,
        AccountRole::User => Role::Agent,
    };
    let home = (kind == AccountKind::Agency).then_some(company);
    home.into_iter()
        .chain(locations.iter().copied())
        .map(|company| (company, role))
        .collect()
}

/// What the plans of these companies limit.
pub async fn limits_of(
    app: &App,
    client: &Client,
    companies: impl IntoIterator<Item = &CompanyId>,
) -> Result<BTreeMap<CompanyId, PlanLimits>, GhlError> {
    let mut limits = BTreeMap::new();
    for id in companies {
        if let Some(company) = app.company(*id, client.caller.as_of).await? {
            limits.insert(*id, PlanLimits::of(&company));
        }
    }
    Ok(limits)
}

/// Gives a role, if the company's plan has room for the user.
pub fn grant(
    unit: &mut Unit<'_>,
    user_id: UserId,
    (company_id, role): (CompanyId, Role),
    limits: &BTreeMap<CompanyId, PlanLimits>,
) -> Result<(), Refusal> {
    if let Some(limits) = limits.get(&company_id) {
        limits.add_user(unit, user_id)?;
    }
    let grant = UserCommand::GrantAccess {
        user_access_id: UserAccessId(unit.next_id(IdKind::UserAccess)),
        company_id,
        role,
        primary: false,
    };
    unit.execute::<User>(user_id.get(), grant)
}

/// From the roles that a user has to those that are wanted.
#[derive(Debug, Clone)]
pub struct RoleChange {
    user_id: UserId,
    wanted: BTreeMap<CompanyId, Role>,
    /// Those that are held without being wanted.
    pub lost: Vec<Access>,
    /// Where the user was seen to hold roles.
    known: BTreeSet<CompanyId>,
    /// Of the companies where roles are wanted.
    limits: BTreeMap<CompanyId, PlanLimits>,
}

impl RoleChange {
    /// Plans it.
    pub fn plan(
        user_id: UserId,
        held: &[Access],
        wanted: BTreeMap<CompanyId, Role>,
        limits: BTreeMap<CompanyId, PlanLimits>,
    ) -> Self {
        let lost = held.iter().filter(|a| !wanted.contains_key(&a.company_id));
        Self {
            user_id,
            lost: lost.copied().collect(),
            known: held.iter().map(|access| access.company_id).collect(),
            wanted,
            limits,
        }
    }

    /// The work reads what the plans depend on.
    pub fn watch(&self, work: Work) -> Work {
        let limits = self.limits.values();
        limits.fold(work, |work, limits| limits.watch_users(work))
    }

    /// The roles that go, as the search for their leads takes them.
    pub fn lost_roles(&self) -> Vec<LostRole> {
        lost_roles(&self.lost)
    }

    /// Carries it out. A role that already means what is wanted stays as it is: a manager is a `user` too.
    pub fn execute(&self, unit: &mut Unit<'_>) -> Result<(), Refusal> {
        let id = self.user_id.get();
        let held = unit.state::<User>(id).accesses().to_vec();
        check_known(&held, &self.known)?;
        for (company_id, role) in &self.wanted {
            match held.iter().find(|access| access.company_id == *company_id) {
                None => grant(unit, self.user_id, (*company_id, *role), &self.limits)?,
                Some(access) if is_admin(access.role) != is_admin(*role) => {
                    let before = Some((*company_id, access.role));
                    let after = Some((*company_id, *role));
                    keep_owners(unit, self.user_id, access.id, before, after)?;
                    not_an_owner(access)?;
                    let change = UserCommand::ChangeAccess {
                        user_access_id: access.id,
                        company_id: None,
                        role: Some(*role),
                        primary: None,
                    };
                    unit.execute::<User>(id, change)?;
                }
                Some(_) => {}
            }
        }
        for access in &self.lost {
            give_up(unit, self.user_id, access)?;
            let user_access_id = access.id;
            unit.execute::<User>(id, UserCommand::RevokeAccess { user_access_id })?;
        }
        Ok(())
    }
}

/// Lets the company decide whether it can do without this owner, before the token is told that it may not take one.
pub fn give_up(unit: &mut Unit<'_>, user_id: UserId, access: &Access) -> Result<(), Refusal> {
    let before = Some((access.company_id, access.role));
    keep_owners(unit, user_id, access.id, before, None)?;
    not_an_owner(access)
}

fn not_an_owner(access: &Access) -> Result<(), Refusal> {
    if access.role == Role::Owner {
        Err(OWNER_NEEDED)
    } else {
        Ok(())
    }
}

/// Refuses when the user holds a role elsewhere than it was looked.
pub fn check_known(held: &[Access], known: &BTreeSet<CompanyId>) -> Result<(), Refusal> {
    if held.iter().all(|access| known.contains(&access.company_id)) {
        Ok(())
    } else {
        Err(CHANGED_MEANWHILE)
    }
}

/// As the search for their leads takes them.
pub fn lost_roles(accesses: &[Access]) -> Vec<LostRole> {
    let lost = accesses.iter().map(|access| LostRole {
        access: access.id,
        company: access.company_id,
        still: None,
    });
    lost.collect()
}

fn is_admin(role: Role) -> bool {
    matches!(role, Role::Owner | Role::Admin)
}
