//! The User aggregate: a person who signs in, and the roles they hold.
//!
//! Invariants
//! - A user is registered once; the e-mail's uniqueness is a claim at the ledger, not a matter of one stream.
//! - At most one role per company; exactly one primary access while there is any. Removing or demoting the primary one
//!   promotes the oldest (contract decision "`user_access`").
//! - Every changed password starts a new session epoch, so that older tokens end.
//!
//! Passwords arrive as finished hashes. That an owner's role also stands on the company's stream is the caller's to keep.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::access::Role;
use crate::avatar::Avatar;
use crate::ids::{CompanyId, UserAccessId, UserId};
use crate::money::Currency;
use crate::person_name::PersonName;
use crate::phone::Phone;
use crate::{Decide, Personal};

pub mod account_settings;
mod commands;
mod events;
pub mod onboarding;
pub mod providers;
pub mod recovery;

use account_settings::{AccountSettings, AccountSettingsChange};
use onboarding::Onboarding;
use providers::Provider;
use recovery::Recovery;

pub use commands::{Register, UpdateProfile, UserCommand, UserError};
pub use events::UserEvent;

/// What a user tells about themselves. In events it is sealed as one value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Profile {
    /// Given name.
    pub first_name: Option<PersonName>,
    /// Family name.
    pub last_name: Option<PersonName>,
    /// Day of birth.
    pub birthdate: Option<NaiveDate>,
    /// The theme their client shows.
    pub theme: Option<String>,
    /// Language tag, such as `es-MX`.
    pub lang: Option<String>,
    /// The currency they reckon in.
    pub currency: Option<Currency>,
    /// Phone number.
    pub phone_number: Option<Phone>,
}

/// Whether the e-mail is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not yet; may sign in all the same.
    #[default]
    Pending,
    /// Proved.
    Active,
}

impl Status {
    /// `pending` or `active`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
        }
    }
}

/// A role held in a company.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The relation's id.
    pub id: UserAccessId,
    /// Where.
    pub company_id: CompanyId,
    /// What.
    pub role: Role,
}

/// The state that decisions need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    id: Option<UserId>,
    status: Status,
    profile: Personal<Profile>,
    session_epoch: i64,
    /// Oldest first.
    accesses: Vec<Access>,
    primary: Option<UserAccessId>,
    recovery: Recovery,
    onboarding: Onboarding,
    providers: Vec<Provider>,
    avatar: Option<Personal<Avatar>>,
    account_settings: AccountSettings,
    deleted: bool,
}

impl User {
    /// Whether the user has been registered, and not deleted since.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.id.is_some() && !self.deleted
    }

    /// The access with this id.
    #[must_use]
    pub fn access(&self, id: UserAccessId) -> Option<&Access> {
        self.accesses.iter().find(|access| access.id == id)
    }

    /// Every access, oldest first.
    #[must_use]
    pub fn accesses(&self) -> &[Access] {
        &self.accesses
    }

    /// Their picture.
    #[must_use]
    pub fn avatar(&self) -> Option<&Avatar> {
        self.avatar.as_ref().and_then(Personal::plain)
    }

    /// The access that a client lands on.
    #[must_use]
    pub fn primary(&self) -> Option<UserAccessId> {
        self.primary
    }
}

impl Decide for User {
    fn decide(&self, command: UserCommand) -> Result<Vec<UserEvent>, UserError> {
        if let UserCommand::Register(register) = command {
            return self.register(*register);
        }
        if !self.exists() {
            return Err(UserError::NotRegistered);
        }
        match command {
            UserCommand::Register(_) => Err(UserError::AlreadyRegistered),
            UserCommand::UpdateProfile(update) => self.update_profile(*update),
            UserCommand::SetPassword { password_hash } => Ok(vec![UserEvent::PasswordChanged {
                password_hash: password_hash.into(),
                session_epoch: self.session_epoch + 1,
            }]),
            UserCommand::ProveEmail => Ok(match self.status {
                Status::Pending => vec![UserEvent::EmailProved {}],
                Status::Active => vec![],
            }),
            UserCommand::GrantAccess {
                user_access_id,
                company_id,
                role,
                primary,
            } => self.grant(user_access_id, company_id, role, primary),
            UserCommand::ChangeAccess {
                user_access_id,
                company_id,
                role,
                primary,
            } => self.change_access(user_access_id, company_id, role, primary),
            UserCommand::RevokeAccess { user_access_id } => self.revoke(user_access_id),
            UserCommand::Recover(command) => self.recover(command),
            UserCommand::Onboard(command) => Ok(self.onboard(command)),
            UserCommand::Provide(command) => self.provide(command),
            UserCommand::SetAvatar(avatar) => Ok(self.set_avatar(avatar)),
            UserCommand::ChangeAccountSettings(change) => Ok(self.change_account_settings(*change)),
            UserCommand::Delete => Ok(self.delete()),
        }
    }

    fn evolve(&mut self, event: &UserEvent) {
        self.recovery.evolve(event);
        self.onboarding.evolve(event);
        self.evolve_providers(event);
        match event {
            UserEvent::UserRegistered {
                user_id,
                profile,
                status,
                ..
            } => {
                self.id = Some(*user_id);
                self.profile = profile.clone();
                self.status = *status;
            }
            UserEvent::ProfileChanged { to, .. } => self.profile = to.clone(),
            UserEvent::PasswordChanged { session_epoch, .. } => {
                self.session_epoch = *session_epoch;
            }
            UserEvent::EmailProved {} => self.status = Status::Active,
            UserEvent::AccessGranted {
                user_access_id,
                company_id,
                role,
            } => self.accesses.push(Access {
                id: *user_access_id,
                company_id: *company_id,
                role: *role,
            }),
            UserEvent::AccessChanged {
                user_access_id,
                to_company_id,
                to_role,
                ..
            } => {
                for access in &mut self.accesses {
                    if access.id == *user_access_id {
                        access.company_id = *to_company_id;
                        access.role = *to_role;
                    }
                }
            }
            UserEvent::AccessRevoked { user_access_id, .. } => {
                self.accesses.retain(|access| access.id != *user_access_id);
            }
            UserEvent::PrimaryAccessChanged { to, .. } => self.primary = *to,
            UserEvent::UserAvatarChanged { to, .. } => self.avatar.clone_from(to),
            UserEvent::PasswordResetRequested { .. }
            | UserEvent::EmailProofRequested { .. }
            | UserEvent::OnboardingCompleted { .. }
            | UserEvent::LegalTermsApproved { .. }
            | UserEvent::ProviderLinked { .. }
            | UserEvent::ProviderUnlinked { .. } => {}
            UserEvent::AccountSettingsChanged { to, .. } => {
                self.account_settings = to.as_ref().clone();
            }
            UserEvent::UserDeleted { .. } => {
                self.deleted = true;
                self.accesses.clear();
                self.primary = None;
            }
        }
    }
}

impl User {
    fn register(&self, register: Register) -> Result<Vec<UserEvent>, UserError> {
        if self.id.is_some() {
            return Err(UserError::AlreadyRegistered);
        }
        Ok(vec![UserEvent::UserRegistered {
            user_id: register.user_id,
            email: register.email.into(),
            profile: register.profile.into(),
            password_hash: register.password_hash.map(Personal::from),
            status: register.status,
            platform_owner: register.platform_owner,
        }])
    }

    fn update_profile(&self, update: UpdateProfile) -> Result<Vec<UserEvent>, UserError> {
        let old = self.profile.plain().ok_or(UserError::Erased)?.clone();
        let profile = Profile {
            first_name: update.first_name.apply(old.first_name.clone()),
            last_name: update.last_name.apply(old.last_name.clone()),
            birthdate: update.birthdate.apply(old.birthdate),
            theme: update.theme.apply(old.theme.clone()),
            lang: update.lang.apply(old.lang.clone()),
            currency: update.currency.apply(old.currency),
            phone_number: update.phone_number.apply(old.phone_number.clone()),
        };
        Ok(if profile == old {
            vec![]
        } else {
            vec![UserEvent::ProfileChanged {
                from: old.into(),
                to: profile.into(),
            }]
        })
    }

    fn set_avatar(&self, avatar: Option<Avatar>) -> Vec<UserEvent> {
        let to = avatar.map(Personal::from);
        if to == self.avatar {
            return vec![];
        }
        vec![UserEvent::UserAvatarChanged {
            from: self.avatar.clone(),
            to,
        }]
    }

    fn grant(
        &self,
        user_access_id: UserAccessId,
        company_id: CompanyId,
        role: Role,
        primary: bool,
    ) -> Result<Vec<UserEvent>, UserError> {
        self.has_none_in(company_id)?;
        // It may have moved to another company since it was granted.
        if self.access(user_access_id).is_some() {
            return Err(UserError::AlreadyHasAccess);
        }
        let mut events = vec![UserEvent::AccessGranted {
            user_access_id,
            company_id,
            role,
        }];
        if primary || self.primary.is_none() {
            events.extend(self.move_primary(Some(user_access_id)));
        }
        Ok(events)
    }

    fn change_access(
        &self,
        user_access_id: UserAccessId,
        company_id: Option<CompanyId>,
        role: Option<Role>,
        primary: Option<bool>,
    ) -> Result<Vec<UserEvent>, UserError> {
        let old = self
            .access(user_access_id)
            .ok_or(UserError::UnknownAccess)?;
        let to_company_id = company_id.unwrap_or(old.company_id);
        let to_role = role.unwrap_or(old.role);
        let mut events = Vec::new();
        if to_company_id != old.company_id {
            self.has_none_in(to_company_id)?;
        }
        if (to_company_id, to_role) != (old.company_id, old.role) {
            events.push(UserEvent::AccessChanged {
                user_access_id,
                from_company_id: old.company_id,
                to_company_id,
                from_role: old.role,
                to_role,
            });
        }
        match primary {
            Some(true) => events.extend(self.move_primary(Some(user_access_id))),
            Some(false) if self.primary == Some(user_access_id) => {
                // There is always exactly one: without another to promote, this one stays.
                if let Some(heir) = self.oldest_but(user_access_id) {
                    events.extend(self.move_primary(Some(heir)));
                }
            }
            _ => {}
        }
        Ok(events)
    }

    fn revoke(&self, user_access_id: UserAccessId) -> Result<Vec<UserEvent>, UserError> {
        let access = self
            .access(user_access_id)
            .ok_or(UserError::UnknownAccess)?;
        let mut events = vec![UserEvent::AccessRevoked {
            user_access_id,
            company_id: access.company_id,
            role: access.role,
        }];
        if self.primary == Some(user_access_id) {
            events.extend(self.move_primary(self.oldest_but(user_access_id)));
        }
        Ok(events)
    }

    fn change_account_settings(&self, change: AccountSettingsChange) -> Vec<UserEvent> {
        let to = self.account_settings.changed(change);
        if to == self.account_settings {
            return vec![];
        }
        vec![UserEvent::AccountSettingsChanged {
            from: Box::new(self.account_settings.clone()),
            to: Box::new(to),
        }]
    }

    fn delete(&self) -> Vec<UserEvent> {
        let revoked = self.accesses.iter().map(|access| UserEvent::AccessRevoked {
            user_access_id: access.id,
            company_id: access.company_id,
            role: access.role,
        });
        let mut events: Vec<_> = revoked.collect();
        events.extend(self.move_primary(None));
        events.push(UserEvent::UserDeleted {
            accesses: self.accesses.clone(),
        });
        events
    }

    fn has_none_in(&self, company_id: CompanyId) -> Result<(), UserError> {
        let taken = self.accesses.iter().any(|a| a.company_id == company_id);
        if taken {
            return Err(UserError::AlreadyHasAccess);
        }
        Ok(())
    }

    fn oldest_but(&self, id: UserAccessId) -> Option<UserAccessId> {
        self.accesses
            .iter()
            .map(|a| a.id)
            .find(|other| *other != id)
    }

    fn move_primary(&self, to: Option<UserAccessId>) -> Option<UserEvent> {
        (self.primary != to).then_some(UserEvent::PrimaryAccessChanged {
            from: self.primary,
            to,
        })
    }
}

crate::bridge_to_cqrs_es!(User, "user", UserCommand, UserEvent, UserError);

#[cfg(test)]
mod profile_tests;
#[cfg(test)]
mod tests;
