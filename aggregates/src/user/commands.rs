//! The wishes that concern one user, with what each is made of, and the rules for which one is refused.
//!
//! What a wish leads to is decided beside the state. What is stored of it are events, and never the wish.

use chrono::NaiveDate;

use super::account_settings::AccountSettingsChange;
use super::onboarding::OnboardingCommand;
use super::providers::ProviderCommand;
use super::recovery::RecoveryCommand;
use super::{Profile, Status};
use crate::access::Role;
use crate::avatar::Avatar;
use crate::change::Change;
use crate::email::Email;
use crate::ids::{CompanyId, UserAccessId, UserId};
use crate::money::Currency;
use crate::person_name::PersonName;
use crate::phone::Phone;

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
    /// See [`recovery`](super::recovery).
    Recover(RecoveryCommand),
    /// See [`onboarding`](super::onboarding).
    Onboard(OnboardingCommand),
    /// See [`providers`](super::providers).
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
