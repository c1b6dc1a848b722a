//! That nobody is invited twice at a time, nor where they are already.

use std::sync::{Arc, Mutex, PoisonError};

use aggregates::email::Email;
use aggregates::ids::CompanyId;
use aggregates::invitation::{Invitation, InvitationCommand};
use aggregates::user::User;
use projections::invitations;
use projections::users::list;

use crate::ledger::{FindStreams, Refusal, StreamKey, StreamKind, Unit};

/// What the invited address has with the company already, found under the append lock.
#[derive(Clone, Default)]
pub struct Others(Arc<Mutex<(Vec<i64>, Option<i64>)>>);

impl Others {
    /// Reads it under the append lock.
    pub fn find(&self, company: CompanyId, email: Email) -> FindStreams {
        let found = self.clone();
        Arc::new(move |connection| {
            let (found, email) = (found.clone(), email.clone());
            Box::pin(async move {
                let open = invitations::not_ended(connection, company, email.as_str()).await?;
                let user = list::by_email(connection, email.as_str()).await?;
                let user = user.map(|row| row.id);
                let invitations = open
                    .iter()
                    .map(|id| StreamKey::new(StreamKind::Invitation, *id));
                let user_stream = user.map(|id| StreamKey::new(StreamKind::User, id));
                let streams = invitations.chain(user_stream).collect();
                *found.0.lock().unwrap_or_else(PoisonError::into_inner) = (open, user);
                Ok(streams)
            })
        })
    }

    /// Refuses when there is anything; an invitation whose time is over is ended on the way.
    ///
    /// # Errors
    /// Invited already, or a member already.
    pub fn check(&self, unit: &mut Unit<'_>, company: CompanyId) -> Result<(), Refusal> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (open, user) = &*found;
        if let Some(user) = user {
            let user = unit.state::<User>(*user);
            if user.accesses().iter().any(|a| a.company_id == company) {
                return Err(Refusal::AlreadyMember);
            }
        }
        let now = unit.now();
        for id in open {
            if unit.state::<Invitation>(*id).is_open(now) {
                return Err(Refusal::AlreadyInvited);
            }
            unit.execute::<Invitation>(*id, InvitationCommand::Expire { now })?;
        }
        Ok(())
    }
}
