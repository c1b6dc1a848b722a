//! How a refused command is answered in this dialect.

use aggregates::company::CompanyError;
use aggregates::lead::LeadError;
use aggregates::user::UserError;

use crate::api::idempotency;
use crate::api::problem::Problem;
use crate::auth::password::Busy;
use crate::ledger::{CommitError, Refusal};

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(refusal) => refusal.into(),
            CommitError::QueueFull => Self::queue_full(1),
            CommitError::Unavailable => Self::unavailable(1),
            CommitError::Broken(why) => Self::internal(anyhow::anyhow!("commit broken: {why}")),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Lead(LeadError::NotCreated) => Self::not_found("lead"),
            Refusal::Lead(LeadError::UnknownNote) => Self::not_found("note"),
            Refusal::Lead(LeadError::NotAssignedToCaller) => {
                Self::forbidden("Your role reaches only leads that are assigned to you.")
            }
            Refusal::Lead(LeadError::NoContact) => Self::refused("no_contact", detail)
                .with_error("email", "is needed, or a name, or a phone number"),
            Refusal::Lead(LeadError::TooManyExtraFields) => {
                Self::refused("too_many_extra_fields", detail.clone()).with_error("extra", detail)
            }
            Refusal::Lead(LeadError::TooManyAnswers) => {
                Self::refused("too_many_answers", detail.clone()).with_error("answers", detail)
            }
            Refusal::Lead(LeadError::Erased) | Refusal::User(UserError::Erased) => {
                Self::refused("erased", detail)
            }
            Refusal::User(UserError::NotRegistered) => Self::not_found("user"),
            Refusal::User(UserError::UnknownAccess) => Self::not_found("user access"),
            Refusal::User(UserError::AlreadyHasAccess) => {
                Self::refused("already_has_access", detail).with_error(
                    "company_id",
                    "is a company where the user already has an access",
                )
            }
            Refusal::Company(CompanyError::NotCreated) => Self::not_found("company"),
            Refusal::Company(CompanyError::UnknownIntegrationToken) => {
                Self::not_found("integration token")
            }
            Refusal::Company(CompanyError::LastOwner) => Self::refused("last_owner", detail),
            Refusal::Lead(LeadError::AlreadyCreated)
            | Refusal::User(UserError::AlreadyRegistered)
            | Refusal::Company(CompanyError::AlreadyCreated) => {
                Self::internal(anyhow::anyhow!("an id was given twice"))
            }
            Refusal::EmailTaken => {
                Self::refused("email_taken", detail).with_error("email", "has already been taken")
            }
            Refusal::VersionConflict { .. } => Self::conflict("version_conflict", detail),
            Refusal::IdempotencyKeyReused => idempotency::reused(),
            Refusal::Rule(code) => Self::refused(code, code.replace('_', " ")),
        }
    }
}

impl From<Busy> for Problem {
    fn from(_: Busy) -> Self {
        Self::queue_full(1)
    }
}
