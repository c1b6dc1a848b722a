//! Why a command was not carried out.

use aggregates::company::CompanyError;
use aggregates::ids::LegalHoldId;
use aggregates::import::ImportError;
use aggregates::invitation::InvitationError;
use aggregates::lead::LeadError;
use aggregates::plan::Limited;
use aggregates::subscription::SubscriptionError;
use aggregates::user::UserError;

/// A rule that said no. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A rule of the Lead aggregate.
    #[error(transparent)]
    Lead(#[from] LeadError),
    /// A rule of the User aggregate.
    #[error(transparent)]
    User(#[from] UserError),
    /// A rule of the Company aggregate.
    #[error(transparent)]
    Company(#[from] CompanyError),
    /// A rule of the Invitation aggregate.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// A rule of the Subscription aggregate.
    #[error(transparent)]
    Subscription(#[from] SubscriptionError),
    /// A rule of the Import aggregate.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The company imported the same file before.
    #[error("this file was imported before")]
    ImportedBefore {
        /// The last import of the file.
        import_id: i64,
    },
    /// The plan that the company is subscribed to allows no more of this.
    #[error("the plan allows {limit} {limited}")]
    PlanLimit {
        /// Of what.
        limited: Limited,
        /// How much of it there may be.
        limit: i64,
    },
    /// The e-mail has a pending invitation of the company already.
    #[error("this e-mail has a pending invitation of the company already")]
    AlreadyInvited,
    /// Whoever signs up shows the code of no pending invitation.
    #[error("is not the code of a pending invitation for this e-mail")]
    NotInvited,
    /// The invited person holds an access in the company already.
    #[error("the user of this e-mail has an access in the company already")]
    AlreadyMember,
    /// Another user has this e-mail.
    #[error("this e-mail is taken")]
    EmailTaken,
    /// Another user has linked this identity.
    #[error("this identity is linked to another user")]
    IdentityTaken,
    /// The terms are not, or no longer, the current ones.
    #[error("these are not the current legal terms")]
    NotCurrentTerms,
    /// The stream is not at the version that the caller expects.
    #[error("the resource is at version {actual}, not at the expected one")]
    VersionConflict {
        /// Where it is.
        actual: i64,
    },
    /// Users, companies or roles have changed since the caller was let in: ask again who may do what.
    #[error("rights have changed meanwhile")]
    StaleAuthority,
    /// The idempotency key was used before, for another request.
    #[error("this idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// A field refers to something that is not the company's, nor of one above it, or is removed.
    #[error("{field} is not a {thing} of this company")]
    UnknownReference {
        /// The field, as on the wire.
        field: &'static str,
        /// What it should be, as `source`.
        thing: &'static str,
    },
    /// A legal hold stands on this, or on a company that it is of.
    #[error("legal hold {legal_hold_id} stands on {held}")]
    LegalHold {
        /// The oldest one that stands.
        legal_hold_id: LegalHoldId,
        /// On what, as `lead 7`.
        held: String,
    },
    /// A rule across aggregates, decided by the caller's own work; the text is a stable code.
    #[error("{0}")]
    Rule(&'static str),
}

/// Why a commit gave no outcome.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A rule said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The queue of waiting commands is full; nothing was done. Try again after a second.
    #[error("too many commands are waiting")]
    QueueFull,
    /// The database cannot be reached, or the answer of a commit was lost and could not be found out in time.
    #[error("the ledger cannot be reached")]
    Unavailable,
    /// The database refused the command's rows by themselves. A defect; nothing was written.
    #[error("the ledger refused the command: {0}")]
    Broken(String),
}
