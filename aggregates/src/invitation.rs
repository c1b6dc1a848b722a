//! The Invitation aggregate: an e-mail address that may join a company in a role, for a while.
//!
//! Invariants
//! - An invitation is pending until it is accepted, revoked or expired, and ends once.
//! - It is accepted before it expires, by nobody or by one user.
//!
//! The code that an invited person shows is not here: it is derived from a secret of the installation, the id and the nonce, and
//! only its hash is kept. That nobody is invited twice at a time, and that whoever accepts is the invited one, is the caller's to check.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::Role;
use crate::email::Email;
use crate::ids::{CompanyId, InvitationId, UserAccessId, UserId};
use crate::{Decide, Personal};

/// What became of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It can be accepted.
    #[default]
    Pending,
    /// A user took it.
    Accepted,
    /// It was taken back.
    Revoked,
    /// Its time was over.
    Expired,
}

impl Status {
    /// `pending`, `accepted`, `revoked` or `expired`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

/// What an invitation offers to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Where.
    pub company_id: CompanyId,
    /// To whom.
    pub email: Personal<Email>,
    /// What.
    pub role: Role,
    /// Until when; not at that moment any more.
    pub expires_at: DateTime<Utc>,
}

/// The state that decisions need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    offer: Option<Offer>,
    status: Status,
}

impl Invitation {
    /// What it offers; `None` when there is no such invitation.
    #[must_use]
    pub fn offer(&self) -> Option<&Offer> {
        self.offer.as_ref()
    }

    /// Whether nothing has become of it yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.status == Status::Pending && self.offer.is_some()
    }

    /// Whether it can be accepted at this time.
    #[must_use]
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.status == Status::Pending
            && self
                .offer
                .as_ref()
                .is_some_and(|offer| now < offer.expires_at)
    }
}

/// A wish that concerns one invitation.
#[derive(Debug, Clone)]
pub enum InvitationCommand {
    /// Offer a role.
    Create(Box<CreateInvitation>),
    /// Take the offer.
    Accept {
        /// Who takes it.
        user_id: UserId,
        /// The access that they get for it.
        user_access_id: UserAccessId,
        /// When.
        now: DateTime<Utc>,
    },
    /// Take the offer back.
    Revoke,
    /// End the offer, if its time is over.
    Expire {
        /// When.
        now: DateTime<Utc>,
    },
}

/// See [`InvitationCommand::Create`].
#[derive(Debug, Clone)]
pub struct CreateInvitation {
    /// The new invitation's id.
    pub invitation_id: InvitationId,
    /// Where; the caller has checked that it exists.
    pub company_id: CompanyId,
    /// To whom.
    pub email: Email,
    /// What.
    pub role: Role,
    /// Who offers it.
    pub invited_by: UserId,
    /// The language tag that the offer is best made in, if it is known.
    pub language: Option<String>,
    /// Random text from which, with a secret, the code is derived.
    pub nonce: String,
    /// Hash of the code, to find the invitation by.
    pub code_hash: String,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// What happened to an invitation. These names and shapes are the storage format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvitationEvent {
    /// A role was offered. Carries all that a letter about it needs.
    InvitationCreated {
        /// Its id, also the stream's name.
        invitation_id: InvitationId,
        /// Where.
        company_id: CompanyId,
        /// To whom.
        email: Personal<Email>,
        /// What.
        role: Role,
        /// Who offers it.
        invited_by: UserId,
        /// The language tag that the offer is best made in, if it is known.
        language: Option<String>,
        /// Random text from which, with a secret, the code is derived.
        nonce: String,
        /// Hash of the code.
        code_hash: String,
        /// Until when.
        expires_at: DateTime<Utc>,
    },
    /// A user took the offer.
    InvitationAccepted {
        /// Where.
        company_id: CompanyId,
        /// Who.
        user_id: UserId,
        /// The access that they got for it.
        user_access_id: UserAccessId,
    },
    /// The offer was taken back.
    InvitationRevoked {
        /// Where.
        company_id: CompanyId,
    },
    /// The offer's time was over.
    InvitationExpired {
        /// Where.
        company_id: CompanyId,
        /// Since when.
        expired_at: DateTime<Utc>,
    },
}

impl InvitationEvent {
    /// The version of every shape above.
    pub const VERSION: &'static str = "1";

    /// The stored event type: the variant's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvitationCreated { .. } => "InvitationCreated",
            Self::InvitationAccepted { .. } => "InvitationAccepted",
            Self::InvitationRevoked { .. } => "InvitationRevoked",
            Self::InvitationExpired { .. } => "InvitationExpired",
        }
    }
}

/// A rule that a command would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// The stream is empty.
    #[error("there is no such invitation")]
    NotCreated,
    /// The id is taken.
    #[error("the invitation exists already")]
    AlreadyCreated,
    /// Somebody took it.
    #[error("the invitation has been used")]
    Used,
    /// It was taken back.
    #[error("the invitation has been revoked")]
    Revoked,
    /// Its time is over.
    #[error("the invitation has expired")]
    Expired,
}

impl Decide for Invitation {
    fn decide(&self, command: InvitationCommand) -> Result<Vec<InvitationEvent>, InvitationError> {
        let command = match command {
            InvitationCommand::Create(_) if self.offer.is_some() => {
                return Err(InvitationError::AlreadyCreated);
            }
            InvitationCommand::Create(create) => return Ok(vec![created(*create)]),
            command => command,
        };
        let offer = self.offer.as_ref().ok_or(InvitationError::NotCreated)?;
        let company_id = offer.company_id;
        match (command, self.status) {
            (InvitationCommand::Create(_), _) => Err(InvitationError::AlreadyCreated),
            (
                InvitationCommand::Accept {
                    user_id,
                    user_access_id,
                    now,
                },
                Status::Pending,
            ) => {
                if now >= offer.expires_at {
                    return Err(InvitationError::Expired);
                }
                Ok(vec![InvitationEvent::InvitationAccepted {
                    company_id,
                    user_id,
                    user_access_id,
                }])
            }
            (InvitationCommand::Revoke, Status::Pending) => {
                Ok(vec![InvitationEvent::InvitationRevoked { company_id }])
            }
            (InvitationCommand::Expire { now }, Status::Pending) if now >= offer.expires_at => {
                Ok(vec![InvitationEvent::InvitationExpired {
                    company_id,
                    expired_at: offer.expires_at,
                }])
            }
            (InvitationCommand::Expire { .. }, _)
            | (InvitationCommand::Revoke, Status::Revoked) => Ok(vec![]),
            (_, Status::Accepted) => Err(InvitationError::Used),
            (_, Status::Revoked) => Err(InvitationError::Revoked),
            (_, Status::Expired) => Err(InvitationError::Expired),
        }
    }

    fn evolve(&mut self, event: &InvitationEvent) {
        match event {
            InvitationEvent::InvitationCreated {
                company_id,
                email,
                role,
                expires_at,
                ..
            } => {
                self.offer = Some(Offer {
                    company_id: *company_id,
                    email: email.clone(),
                    role: *role,
                    expires_at: *expires_at,
                });
            }
            InvitationEvent::InvitationAccepted { .. } => self.status = Status::Accepted,
            InvitationEvent::InvitationRevoked { .. } => self.status = Status::Revoked,
            InvitationEvent::InvitationExpired { .. } => self.status = Status::Expired,
        }
    }
}

fn created(create: CreateInvitation) -> InvitationEvent {
    InvitationEvent::InvitationCreated {
        invitation_id: create.invitation_id,
        company_id: create.company_id,
        email: create.email.into(),
        role: create.role,
        invited_by: create.invited_by,
        language: create.language,
        nonce: create.nonce,
        code_hash: create.code_hash,
        expires_at: create.expires_at,
    }
}

crate::bridge_to_cqrs_es!(
    Invitation,
    "invitation",
    InvitationCommand,
    InvitationEvent,
    InvitationError
);

#[cfg(test)]
mod tests;
