//! The User aggregate: a person who signs in, and the roles they hold.
//!
//! Invariants
//! - A user is registered once; the e-mail's uniqueness is a claim at the ledger, not a matter of one stream.
//! - At most one role per company; exactly one primary access while there is any. Removing or demoting the primary one
//!   promotes the oldest (contract decision "`user_access`").
//! - Every changed password starts a new session epoch, so that older tokens end.
//!
//! Passwords arrive as finished hashes. That an owner's role also stands on the company's stream is the caller's to keep.

pub mod onboarding;
pub mod providers;
pub mod recovery;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use self::onboarding::{Onboarding, OnboardingCommand};
use self::providers::{Provider, ProviderCommand};
use self::recovery::{Nonce, Recovery, RecoveryCommand};
use crate::access::Role;
use crate::avatar::Avatar;
use crate::change::Change;
use crate::email::Email;
use crate::ids::{CompanyId, LegalTermId, ProviderId, UserAccessId, UserId};
use crate::money::Currency;
use crate::person_name::PersonName;
use crate::phone::Phone;
use crate::{Decide, Personal};

use self::account_settings::{AccountSettings, AccountSettingsChange};

pub mod account_settings;

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

/// A wish that concerns one user.
#[derive(Debug, Clone)]
pub enum UserCommand {
    /// Bring a user into being.
    Register(Box<Register>),
    /// Change what they tell about themselves.
    UpdateProfile(Box<UpdateProfile>),
    /// Replace the password.
    SetPassword {
        /// A finished hash in PHC text form.
        password_hash: String,
    },
    /// The e-mail is proved.
    ProveEmail,
    /// Give a role in a company.
    GrantAccess {
        /// The new relation's id.
        user_access_id: UserAccessId,
        /// Where.
        company_id: CompanyId,
        /// What.
        role: Role,
        /// Whether clients shall land there. The first access is primary in any case.
        primary: bool,
    },
    /// Change a role, its company, or which access is primary.
    ChangeAccess {
        /// Which one.
        user_access_id: UserAccessId,
        /// Another company.
        company_id: Option<CompanyId>,
        /// Another role.
        role: Option<Role>,
        /// `false` on the primary one promotes the oldest other, if there is one.
        primary: Option<bool>,
    },
    /// Take a role away.
    RevokeAccess {
        /// Which one.
        user_access_id: UserAccessId,
    },
    /// See [`recovery`].
    Recover(RecoveryCommand),
    /// See [`onboarding`].
    Onboard(OnboardingCommand),
    /// See [`providers`].
    Provide(ProviderCommand),
    /// Show this picture, or none.
    SetAvatar(Option<Avatar>),
    /// Change what their account is set to.
    ChangeAccountSettings(Box<AccountSettingsChange>),
    /// End the user: every role goes, and nobody can sign in any more. Their e-mail is the caller's to release.
    Delete,
}

/// See [`UserCommand::Register`].
#[derive(Debug, Clone)]
pub struct Register {
    /// The new user's id.
    pub user_id: UserId,
    /// Claimed by the caller in the same commit.
    pub email: Email,
    /// What they tell about themselves.
    pub profile: Profile,
    /// A finished hash in PHC text form; without one nobody can sign in yet.
    pub password_hash: Option<String>,
    /// Whether the e-mail is proved already.
    pub status: Status,
    /// Whether they run the installation and so see every company.
    pub platform_owner: bool,
}

/// See [`UserCommand::UpdateProfile`].
#[derive(Debug, Clone, Default)]
#[expect(
    missing_docs,
    reason = "the fields of `Profile`, each with a three-state wish"
)]
pub struct UpdateProfile {
    pub first_name: Change<PersonName>,
    pub last_name: Change<PersonName>,
    pub birthdate: Change<NaiveDate>,
    pub theme: Change<String>,
    pub lang: Change<String>,
    pub currency: Change<Currency>,
    pub phone_number: Change<Phone>,
}

/// What happened to a user. These names and shapes are the storage format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserEvent {
    /// The user came into being.
    UserRegistered {
        /// Their id, also the stream's name.
        user_id: UserId,
        /// The claimed e-mail.
        email: Personal<Email>,
        /// What they tell about themselves.
        profile: Personal<Profile>,
        /// A credential, sealed like personal data so that it can be erased.
        password_hash: Option<Personal<String>>,
        /// Whether the e-mail was proved already.
        status: Status,
        /// Whether they run the installation.
        platform_owner: bool,
    },
    /// The profile changed; both are complete.
    ProfileChanged {
        /// Before.
        from: Personal<Profile>,
        /// After.
        to: Personal<Profile>,
    },
    /// The password changed. The old hash is deliberately not repeated.
    PasswordChanged {
        /// The new hash.
        password_hash: Personal<String>,
        /// Tokens of earlier epochs end.
        session_epoch: i64,
    },
    /// The e-mail was proved.
    EmailProved {},
    /// A role was given.
    AccessGranted {
        /// The relation.
        user_access_id: UserAccessId,
        /// Where.
        company_id: CompanyId,
        /// What.
        role: Role,
    },
    /// A role or its company changed.
    AccessChanged {
        /// The relation.
        user_access_id: UserAccessId,
        /// Company before.
        from_company_id: CompanyId,
        /// Company after.
        to_company_id: CompanyId,
        /// Role before.
        from_role: Role,
        /// Role after.
        to_role: Role,
    },
    /// A role was taken away.
    AccessRevoked {
        /// The relation.
        user_access_id: UserAccessId,
        /// Where it was held.
        company_id: CompanyId,
        /// What it was.
        role: Role,
    },
    /// Another access is primary now, or none.
    PrimaryAccessChanged {
        /// Before.
        from: Option<UserAccessId>,
        /// After.
        to: Option<UserAccessId>,
    },
    /// A link to a new password was asked for; a mail is to be sent.
    PasswordResetRequested {
        /// What the link is derived from.
        nonce: Nonce,
        /// From then on the link does not hold.
        expires_at: DateTime<Utc>,
    },
    /// A link that proves the e-mail was asked for; a mail is to be sent.
    EmailProofRequested {
        /// What the link is derived from.
        nonce: Nonce,
        /// From then on the link does not hold.
        expires_at: DateTime<Utc>,
    },
    /// The user shows another picture, or none.
    UserAvatarChanged {
        /// Before.
        from: Option<Personal<Avatar>>,
        /// After.
        to: Option<Personal<Avatar>>,
    },
    /// The onboarding is through.
    OnboardingCompleted {
        /// When.
        completed_at: DateTime<Utc>,
    },
    /// The user agreed to the legal terms of the time.
    LegalTermsApproved {
        /// Which text.
        legal_term_id: LegalTermId,
        /// How the text calls itself.
        version: String,
        /// SHA-256 of the text, in hexadecimal.
        content_hash: String,
        /// When.
        approved_at: DateTime<Utc>,
        /// The network address that they agreed from.
        ip: Option<Personal<String>>,
    },
    /// An identity of elsewhere was linked.
    ProviderLinked {
        /// The link.
        provider_id: ProviderId,
        /// The issuer as the installation calls it.
        provider: String,
        /// The issuer's own id of the person.
        uid: Personal<String>,
        /// The e-mail that the issuer vouches for.
        email: Option<Personal<Email>>,
    },
    /// A linked identity was forgotten.
    ProviderUnlinked {
        /// The link.
        provider_id: ProviderId,
        /// The issuer as the installation calls it.
        provider: String,
    },
    /// What the account is set to changed; both are complete.
    AccountSettingsChanged {
        /// Before.
        from: Box<AccountSettings>,
        /// After.
        to: Box<AccountSettings>,
    },
    /// The user was ended. The roles were revoked by the events before.
    UserDeleted {
        /// What they held until then, oldest first.
        accesses: Vec<Access>,
    },
}

impl UserEvent {
    /// The version of every shape above.
    pub const VERSION: &'static str = "1";

    /// The stored event type: the variant's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::UserRegistered { .. } => "UserRegistered",
            Self::ProfileChanged { .. } => "ProfileChanged",
            Self::PasswordChanged { .. } => "PasswordChanged",
            Self::EmailProved {} => "EmailProved",
            Self::AccessGranted { .. } => "AccessGranted",
            Self::AccessChanged { .. } => "AccessChanged",
            Self::AccessRevoked { .. } => "AccessRevoked",
            Self::PrimaryAccessChanged { .. } => "PrimaryAccessChanged",
            Self::PasswordResetRequested { .. } => "PasswordResetRequested",
            Self::EmailProofRequested { .. } => "EmailProofRequested",
            Self::UserAvatarChanged { .. } => "UserAvatarChanged",
            Self::OnboardingCompleted { .. } => "OnboardingCompleted",
            Self::LegalTermsApproved { .. } => "LegalTermsApproved",
            Self::ProviderLinked { .. } => "ProviderLinked",
            Self::ProviderUnlinked { .. } => "ProviderUnlinked",
            Self::AccountSettingsChanged { .. } => "AccountSettingsChanged",
            Self::UserDeleted { .. } => "UserDeleted",
        }
    }
}

/// A rule that a command would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The stream is empty.
    #[error("there is no such user")]
    NotRegistered,
    /// The id is taken.
    #[error("the user exists already")]
    AlreadyRegistered,
    /// One role per company.
    #[error("the user already has an access in this company")]
    AlreadyHasAccess,
    /// The relation never was, or is revoked.
    #[error("the user has no such access")]
    UnknownAccess,
    /// The person's data is erased.
    #[error("the user's personal data is erased")]
    Erased,
    /// Another one was asked for since, its time is over, or it was used.
    #[error("the link does not hold, or no longer")]
    InvalidLink,
    /// Less than a minute ago.
    #[error("a mail was asked for less than a minute ago")]
    ProofRequestedRecently,
    /// Never linked, or unlinked since.
    #[error("the user has no such provider")]
    UnknownProvider,
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
