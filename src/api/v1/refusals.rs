//! How a refused command is answered in this dialect.

use aggregates::company::CompanyError;
use aggregates::company::sources::SourceError;
use aggregates::company::territories::TerritoryError;
use aggregates::invitation::InvitationError;
use aggregates::lead::LeadError;
use aggregates::legal_hold::HoldError;
use aggregates::subscription::SubscriptionError;
use aggregates::user::UserError;

use super::{appointments, campaigns, cycles, imports, questions};
use crate::api::field_errors::FieldErrors;
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
            Refusal::Lead(error) => lead(&error, detail),
            Refusal::Company(CompanyError::Hold(error)) => hold(error, detail),
            Refusal::User(UserError::Erased) => Self::refused("erased", detail),
            Refusal::LegalHold { .. } => Self::refused("legal_hold", detail),
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
            Refusal::User(UserError::AlreadyRegistered)
            | Refusal::Company(CompanyError::AlreadyCreated)
            | Refusal::Invitation(InvitationError::AlreadyCreated) => {
                Self::internal(anyhow::anyhow!("an id was given twice"))
            }
            Refusal::Invitation(InvitationError::NotCreated) => Self::not_found("invitation"),
            Refusal::Invitation(InvitationError::Used) => Self::gone("invitation_used", detail),
            Refusal::Invitation(InvitationError::Revoked) => {
                Self::gone("invitation_revoked", detail)
            }
            Refusal::Invitation(InvitationError::Expired) => {
                Self::gone("invitation_expired", detail)
            }
            Refusal::NotInvited => Self::unprocessable(FieldErrors::of("invitation_code", detail)),
            Refusal::AlreadyInvited => Self::conflict("already_invited", detail),
            Refusal::AlreadyMember => Self::conflict("already_member", detail),
            Refusal::Subscription(SubscriptionError::NotSubscribed) => {
                Self::refused("not_subscribed", detail)
            }
            Refusal::Import(error) => imports::refused(error),
            // The engine says which import that was.
            Refusal::ImportedBefore { .. } => Self::refused("imported_before", detail),
            Refusal::PlanLimit { limited, .. } => {
                Self::refused("plan_limit", detail.clone()).with_error(limited.name(), detail)
            }
            Refusal::Company(CompanyError::Question(error)) => questions::refused(error),
            Refusal::Company(CompanyError::Campaign(error)) => campaigns::refused(error),
            Refusal::Company(CompanyError::Cycle(error)) => cycles::refused(error),
            Refusal::Company(CompanyError::Answer { entry, fault }) => {
                let field = format!("answers[{entry}].{}", fault.field());
                Self::refused("answer_refused", detail).with_error(field, fault.to_string())
            }
            Refusal::Company(CompanyError::UnderItself) => Self::refused("cycle", detail)
                .with_error("parent_company_id", "is the company itself or one below it"),
            Refusal::Company(CompanyError::NoOwner) => {
                Self::refused("no_owner", detail.clone()).with_error("parent_company_id", detail)
            }
            Refusal::Company(CompanyError::Source(error)) => source(error, detail),
            Refusal::Company(CompanyError::Territory(TerritoryError::TooMany)) => {
                Self::refused("too_many_territories", detail.clone())
                    .with_error("territories", detail)
            }
            Refusal::UnknownReference { field, thing } => {
                Self::refused("unknown_reference", detail).with_error(
                    field,
                    format!("is not a {thing} of this company or of one above it"),
                )
            }
            Refusal::EmailTaken => {
                Self::refused("email_taken", detail).with_error("email", "has already been taken")
            }
            Refusal::IdentityTaken => Self::refused("identity_taken", detail)
                .with_error("id_token", "is of an identity that another user has linked"),
            Refusal::NotCurrentTerms => Self::refused("not_current_terms", detail)
                .with_error("legal_term_id", "must be the id of the current legal terms"),
            Refusal::User(UserError::InvalidLink) => Self::refused("invalid_token", detail)
                .with_error("token", "is wrong, expired or used"),
            Refusal::User(UserError::ProofRequestedRecently) => {
                Self::conflict("requested_recently", detail).retry_after(60)
            }
            Refusal::User(UserError::UnknownProvider) => Self::not_found("provider"),
            Refusal::Company(CompanyError::VersionPublished) => {
                Self::refused("version_published", detail)
                    .with_error("version", "is published already")
            }
            Refusal::VersionConflict { .. } => Self::conflict("version_conflict", detail),
            Refusal::StaleAuthority => Self::stale_authority(),
            Refusal::IdempotencyKeyReused => idempotency::reused(),
            Refusal::Rule(code) => Self::refused(code, code.replace('_', " ")),
        }
    }
}

fn lead(error: &LeadError, detail: String) -> Problem {
    match error {
        LeadError::NotCreated => Problem::not_found("lead"),
        LeadError::AlreadyCreated => Problem::internal(anyhow::anyhow!("an id was given twice")),
        LeadError::UnknownNote => Problem::not_found("note"),
        LeadError::NotAssignedToCaller => {
            Problem::forbidden("Your role reaches only leads that are assigned to you.")
        }
        LeadError::NoContact => Problem::refused("no_contact", detail)
            .with_error("email", "is needed, or a name, or a phone number"),
        LeadError::TooManyExtraFields => {
            Problem::refused("too_many_extra_fields", detail.clone()).with_error("extra", detail)
        }
        LeadError::TooManyAnswers => {
            Problem::refused("too_many_answers", detail.clone()).with_error("answers", detail)
        }
        LeadError::Erased => Problem::refused("erased", detail),
        LeadError::Blocked => Problem::refused("blocked", detail),
        LeadError::NotBlocked => {
            Problem::refused("not_blocked", detail.clone()).with_error("step", detail)
        }
        LeadError::Hold(error) => hold(*error, detail),
        LeadError::Appointment(error) => appointments::refused(*error),
    }
}

fn hold(error: HoldError, detail: String) -> Problem {
    match error {
        HoldError::Unknown => Problem::not_found("legal hold"),
        HoldError::TooMany => Problem::refused("too_many_legal_holds", detail),
    }
}

fn source(error: SourceError, detail: String) -> Problem {
    match error {
        SourceError::Unknown => Problem::not_found("source"),
        SourceError::NotAssigned => Problem::not_found("user access on this source"),
        SourceError::NameTaken => Problem::refused("name_taken", detail)
            .with_error("name", "is the name of another source of this company"),
        SourceError::IncompleteOrder => Problem::refused("incomplete_order", detail).with_error(
            "source_ids",
            "must name every source of the company exactly once",
        ),
        SourceError::TooMany => {
            Problem::refused("too_many_sources", detail.clone()).with_error("name", detail)
        }
        SourceError::TooManyAccesses => Problem::refused("too_many_accesses", detail.clone())
            .with_error("user_access_id", detail),
    }
}

impl From<Busy> for Problem {
    fn from(_: Busy) -> Self {
        Self::queue_full(1)
    }
}
