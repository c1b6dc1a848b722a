//! What a link in a mail stands for: choosing a new password, and proving the e-mail.
//!
//! Invariants
//! - A link is known by its nonce; the link itself is derived from that with a secret that the domain never sees.
//! - Only the latest link of each kind holds, and only until its time. A password changed by any way ends its link.
//! - Whoever resets the password has read the mail, so that the e-mail is proved too.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Status, User, UserError, UserEvent};

/// How long a link to a new password holds.
#[must_use]
pub fn reset_holds() -> TimeDelta {
    TimeDelta::hours(1)
}

/// How long a link that proves an e-mail holds.
#[must_use]
pub fn proof_holds() -> TimeDelta {
    TimeDelta::hours(72)
}

/// How long a user waits before another mail with a proof is sent.
#[must_use]
pub fn proof_again_after() -> TimeDelta {
    TimeDelta::minutes(1)
}

/// A random value that tells one link from another, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub String);

/// A link that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Link {
    nonce: Nonce,
    expires_at: DateTime<Utc>,
}

/// The links that hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    reset: Option<Link>,
    proof: Option<Link>,
}

/// A wish that concerns a link.
#[derive(Debug, Clone)]
pub enum RecoveryCommand {
    /// Send a link to a new password.
    RequestPasswordReset {
        /// Freshly random.
        nonce: Nonce,
        /// Now.
        at: DateTime<Utc>,
    },
    /// Replace the password by means of a link.
    ResetPassword {
        /// The link's.
        nonce: Nonce,
        /// A finished hash in PHC text form.
        password_hash: String,
        /// Now.
        at: DateTime<Utc>,
    },
    /// Send a link that proves the e-mail; nothing to do when it is proved.
    RequestEmailProof {
        /// Freshly random.
        nonce: Nonce,
        /// Now.
        at: DateTime<Utc>,
    },
    /// Prove the e-mail by means of a link. Using the link again does no harm.
    ProveEmailByLink {
        /// The link's.
        nonce: Nonce,
        /// Now.
        at: DateTime<Utc>,
    },
}

impl User {
    pub(super) fn recover(&self, command: RecoveryCommand) -> Result<Vec<UserEvent>, UserError> {
        let links = &self.recovery;
        match command {
            RecoveryCommand::RequestPasswordReset { nonce, at } => {
                Ok(vec![UserEvent::PasswordResetRequested {
                    nonce,
                    expires_at: at + reset_holds(),
                }])
            }
            RecoveryCommand::ResetPassword {
                nonce,
                password_hash,
                at,
            } => {
                require(links.reset.as_ref(), &nonce, at)?;
                let mut events = vec![UserEvent::PasswordChanged {
                    password_hash: password_hash.into(),
                    session_epoch: self.session_epoch + 1,
                }];
                if self.status == Status::Pending {
                    events.push(UserEvent::EmailProved {});
                }
                Ok(events)
            }
            RecoveryCommand::RequestEmailProof { nonce, at } => {
                if self.status == Status::Active {
                    return Ok(vec![]);
                }
                let last = links.proof.as_ref();
                if last.is_some_and(|l| l.expires_at - proof_holds() + proof_again_after() > at) {
                    return Err(UserError::ProofRequestedRecently);
                }
                Ok(vec![UserEvent::EmailProofRequested {
                    nonce,
                    expires_at: at + proof_holds(),
                }])
            }
            RecoveryCommand::ProveEmailByLink { nonce, at } => {
                require(links.proof.as_ref(), &nonce, at)?;
                Ok(match self.status {
                    Status::Pending => vec![UserEvent::EmailProved {}],
                    Status::Active => vec![],
                })
            }
        }
    }
}

fn require(link: Option<&Link>, nonce: &Nonce, at: DateTime<Utc>) -> Result<(), UserError> {
    match link {
        Some(link) if link.nonce == *nonce && at < link.expires_at => Ok(()),
        _ => Err(UserError::InvalidLink),
    }
}

impl Recovery {
    pub(super) fn evolve(&mut self, event: &UserEvent) {
        let link = |nonce: &Nonce, expires_at: &DateTime<Utc>| {
            Some(Link {
                nonce: nonce.clone(),
                expires_at: *expires_at,
            })
        };
        match event {
            UserEvent::PasswordResetRequested { nonce, expires_at } => {
                self.reset = link(nonce, expires_at);
            }
            UserEvent::EmailProofRequested { nonce, expires_at } => {
                self.proof = link(nonce, expires_at);
            }
            UserEvent::PasswordChanged { .. } => self.reset = None,
            _ => {}
        }
    }
}
