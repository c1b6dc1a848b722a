//! What happened to a user, as it is stored: the events with their names and their version.
//!
//! No rule belongs here, and nothing that only today's code needs: what was stored once is read for ever. How a shape is
//! changed is written in `docs/events.md`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::account_settings::AccountSettings;
use super::recovery::Nonce;
use super::{Access, Profile, Status};
use crate::Personal;
use crate::access::Role;
use crate::avatar::Avatar;
use crate::email::Email;
use crate::ids::{CompanyId, LegalTermId, ProviderId, UserAccessId, UserId};

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
