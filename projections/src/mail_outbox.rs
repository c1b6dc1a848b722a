//! The mails that events cause, one row per event. What became of each is no read model and stands elsewhere.

use aggregates::invitation::InvitationEvent;
use aggregates::user::UserEvent;
use chrono::{DateTime, Utc};

use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

/// A link to a new password; the subject is the user.
pub const PASSWORD_RESET: &str = "password_reset";
/// A link that proves the e-mail; the subject is the user.
pub const EMAIL_PROOF: &str = "email_proof";

/// An offer of a role; the subject is the invitation.
pub const INVITATION: &str = "invitation";

/// Owns `mail_outbox`.
#[derive(Default)]
pub struct MailOutbox {
    positions: Vec<i64>,
    kinds: Vec<&'static str>,
    subjects: Vec<i64>,
    nonces: Vec<String>,
    expiries: Vec<DateTime<Utc>>,
}

impl Projection for MailOutbox {
    fn name(&self) -> &'static str {
        "mail_outbox"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "mail_outbox",
            key: &["position"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let (kind, nonce, expires_at) = match &recorded.event {
            DomainEvent::User(UserEvent::PasswordResetRequested { nonce, expires_at }) => {
                (PASSWORD_RESET, nonce.0.as_str(), expires_at)
            }
            DomainEvent::User(UserEvent::EmailProofRequested { nonce, expires_at }) => {
                (EMAIL_PROOF, nonce.0.as_str(), expires_at)
            }
            DomainEvent::Invitation(InvitationEvent::InvitationCreated {
                nonce,
                expires_at,
                ..
            }) => (INVITATION, nonce.as_str(), expires_at),
            _ => return,
        };
        self.positions.push(recorded.position);
        self.kinds.push(kind);
        self.subjects.push(recorded.aggregate_id);
        self.nonces.push(nonce.to_owned());
        self.expiries.push(*expires_at);
    }

    fn write(&mut self, statement: &mut Statement) {
        let rows = std::mem::take(self);
        if rows.positions.is_empty() {
            return;
        }
        statement.part("new_mails", |s| {
            s.sql("INSERT INTO mail_outbox (position, kind, subject_id, nonce, expires_at) SELECT r.* FROM head, unnest(")
                .bind(rows.positions)
                .also(rows.kinds)
                .also(rows.subjects)
                .also(rows.nonces)
                .also(rows.expiries)
                .sql(") AS r");
        });
    }
}
