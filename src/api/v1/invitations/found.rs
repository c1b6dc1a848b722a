//! The invitation that a code stands for, and whether the code proves that its bearer reads the invited e-mail.

use aggregates::ids::InvitationId;
use aggregates::invitation::Status;
use chrono::{DateTime, Utc};
use projections::invitations::{self, InvitationRow};

use crate::api::problem::Problem;
use crate::app::App;
use crate::auth::invitation_code;

/// An invitation found by one of its codes.
pub struct Found {
    pub row: InvitationRow,
    /// It is the code that was mailed.
    pub proves_email: bool,
}

impl Found {
    /// By either of its codes.
    ///
    /// # Errors
    /// What the database answers; a code of nothing is `None`.
    pub async fn by_code(app: &App, code: &str) -> Result<Option<Self>, Problem> {
        let mut connection = app.pool.acquire().await?;
        let Some(id) = invitation_code::named_by_shown(code) else {
            let hash = invitation_code::hash(code);
            let row = invitations::by_code_hash(&mut connection, &hash).await?;
            return Ok(row.map(|row| Self {
                row,
                proves_email: true,
            }));
        };
        let row = invitations::by_id(&mut connection, id.get()).await?;
        let codes = &app.invitation_codes;
        let row = row.filter(|row| codes.is_shown(code, InvitationId(row.id), &row.nonce));
        Ok(row.map(|row| Self {
            row,
            proves_email: false,
        }))
    }

    /// The problem of an invitation that is over.
    pub fn why_gone(&self, now: DateTime<Utc>) -> Option<Problem> {
        let gone = |code, detail: &'static str| Some(Problem::gone(code, detail));
        match self.row.status.as_str() {
            status if status == Status::Accepted.code() => {
                gone("invitation_used", "The invitation has been used.")
            }
            status if status == Status::Revoked.code() => {
                gone("invitation_revoked", "The invitation has been revoked.")
            }
            status if status == Status::Expired.code() || self.row.expires_at <= now => {
                gone("invitation_expired", "The invitation has expired.")
            }
            _ => None,
        }
    }
}
