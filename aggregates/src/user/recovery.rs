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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decide;
    use crate::email::Email;
    use crate::ids::UserId;
    use crate::testing::{assert_survives_storage, carry_out};
    use crate::user::{Profile, Register, UserCommand};

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn nonce(text: &str) -> Nonce {
        Nonce(text.to_owned())
    }

    fn registered(status: Status) -> User {
        let mut user = User::default();
        let register = Register {
            user_id: UserId(1),
            email: Email::parse("ana@example.com").unwrap(),
            profile: Profile::default(),
            password_hash: None,
            status,
            platform_owner: false,
        };
        carry_out(&mut user, UserCommand::Register(Box::new(register)));
        user
    }

    fn recover(user: &mut User, command: RecoveryCommand) -> Result<usize, UserError> {
        let events = user.decide(UserCommand::Recover(command))?;
        for event in &events {
            assert_survives_storage(event, &["argon2"]);
            user.evolve(event);
        }
        Ok(events.len())
    }

    fn ask_reset(name: &str, minute: i64) -> RecoveryCommand {
        RecoveryCommand::RequestPasswordReset {
            nonce: nonce(name),
            at: at(minute),
        }
    }

    fn reset(name: &str, minute: i64) -> RecoveryCommand {
        RecoveryCommand::ResetPassword {
            nonce: nonce(name),
            password_hash: "$argon2id$new".to_owned(),
            at: at(minute),
        }
    }

    fn ask_proof(name: &str, minute: i64) -> RecoveryCommand {
        RecoveryCommand::RequestEmailProof {
            nonce: nonce(name),
            at: at(minute),
        }
    }

    fn prove(name: &str, minute: i64) -> RecoveryCommand {
        RecoveryCommand::ProveEmailByLink {
            nonce: nonce(name),
            at: at(minute),
        }
    }

    #[test]
    fn a_reset_link_serves_once_and_proves_the_e_mail() {
        let mut user = registered(Status::Pending);
        let invalid = Err(UserError::InvalidLink);
        assert_eq!(recover(&mut user, reset("one", 0)), invalid);
        assert_eq!(recover(&mut user, ask_reset("one", 0)), Ok(1));
        assert_eq!(recover(&mut user, reset("two", 1)), invalid);
        assert_eq!(recover(&mut user, reset("one", 59)), Ok(2));
        assert_eq!((user.status, user.session_epoch), (Status::Active, 1));
        assert_eq!(recover(&mut user, reset("one", 59)), invalid);
    }

    #[test]
    fn a_reset_link_ends_with_its_hour_with_a_newer_one_and_with_any_new_password() {
        let invalid = Err(UserError::InvalidLink);
        let mut user = registered(Status::Active);
        assert_eq!(recover(&mut user, ask_reset("one", 0)), Ok(1));
        assert_eq!(recover(&mut user.clone(), reset("one", 60)), invalid);
        let mut newer = user.clone();
        assert_eq!(recover(&mut newer, ask_reset("two", 5)), Ok(1));
        assert_eq!(recover(&mut newer, reset("one", 6)), invalid);
        assert_eq!(recover(&mut newer, reset("two", 64)), Ok(1));
        let password_hash = "$argon2id$other".to_owned();
        carry_out(&mut user, UserCommand::SetPassword { password_hash });
        assert_eq!(recover(&mut user, reset("one", 6)), invalid);
    }

    #[test]
    fn a_proof_is_asked_for_once_a_minute_until_the_e_mail_is_proved() {
        let mut user = registered(Status::Pending);
        assert_eq!(recover(&mut user, ask_proof("one", 0)), Ok(1));
        let recently = Err(UserError::ProofRequestedRecently);
        assert_eq!(recover(&mut user, ask_proof("two", 0)), recently);
        assert_eq!(recover(&mut user, ask_proof("two", 1)), Ok(1));
        let invalid = Err(UserError::InvalidLink);
        assert_eq!(recover(&mut user, prove("one", 2)), invalid);
        assert_eq!(
            recover(&mut user.clone(), prove("two", 1 + 72 * 60)),
            invalid
        );
        assert_eq!(recover(&mut user, prove("two", 2)), Ok(1));
        assert_eq!(recover(&mut user, prove("two", 3)), Ok(0));
        assert_eq!(recover(&mut user, ask_proof("three", 9)), Ok(0));
    }

    #[test]
    fn a_link_of_one_kind_is_none_of_the_other() {
        let mut user = registered(Status::Pending);
        assert_eq!(recover(&mut user, ask_proof("one", 0)), Ok(1));
        let invalid = Err(UserError::InvalidLink);
        assert_eq!(recover(&mut user, reset("one", 1)), invalid);
        let nobody = User::default().decide(UserCommand::Recover(ask_proof("x", 0)));
        assert_eq!(nobody, Err(UserError::NotRegistered));
    }
}
