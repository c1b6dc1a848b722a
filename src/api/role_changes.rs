//! What follows from a changed role, in every dialect: owners repeated on the companies' streams, and leads that lose their
//! assignee.

use std::sync::{Arc, Mutex, PoisonError};

use aggregates::access::Role;
use aggregates::company::{Company, CompanyCommand};
use aggregates::ids::{CompanyId, UserAccessId, UserId};
use aggregates::lead::{Lead, LeadCommand};
use aggregates::user::{User, UserError};
use projections::users::list;

use crate::ledger::{FindStreams, Refusal, StreamKey, StreamKind, Unit};

/// Where an access of the user holds, and which role it is.
///
/// # Errors
/// When the user has no such access.
pub fn held(
    unit: &Unit<'_>,
    user_id: i64,
    access: UserAccessId,
) -> Result<(CompanyId, Role), Refusal> {
    let user = unit.state::<User>(user_id);
    let held = user.access(access).ok_or(UserError::UnknownAccess)?;
    Ok((held.company_id, held.role))
}

/// Makes the companies' streams follow what happened to a role; the company that would lose its last owner refuses.
///
/// # Errors
/// [`aggregates::company::CompanyError::LastOwner`].
pub fn keep_owners(
    unit: &mut Unit<'_>,
    user_id: UserId,
    user_access_id: UserAccessId,
    before: Option<(CompanyId, Role)>,
    after: Option<(CompanyId, Role)>,
) -> Result<(), Refusal> {
    let owned = |held: Option<(CompanyId, Role)>| {
        held.filter(|(_, role)| *role == Role::Owner)
            .map(|(company, _)| company)
    };
    let (before, after) = (owned(before), owned(after));
    if before == after {
        return Ok(());
    }
    if let Some(company) = before {
        let command = CompanyCommand::RemoveOwner {
            user_access_id,
            user_id,
        };
        unit.execute::<Company>(company.get(), command)?;
    }
    if let Some(company) = after {
        let command = CompanyCommand::AddOwner {
            user_access_id,
            user_id,
        };
        unit.execute::<Company>(company.get(), command)?;
    }
    Ok(())
}

/// A role that goes, or moves to another company.
#[derive(Debug, Clone, Copy)]
pub struct LostRole {
    /// Which.
    pub access: UserAccessId,
    /// Where it held.
    pub company: CompanyId,
    /// Where it goes on to hold.
    pub still: Option<CompanyId>,
}

/// The leads that lose their assignee together with roles, found under the append lock.
#[derive(Clone, Default)]
pub struct LostLeads(Arc<Mutex<Vec<(UserAccessId, i64)>>>);

impl LostLeads {
    /// Looks for them; to be given to [`crate::ledger::Work::sweeping`].
    #[must_use]
    pub fn find(&self, lost: Vec<LostRole>) -> FindStreams {
        let found = self.clone();
        Arc::new(move |connection| {
            let (found, lost) = (found.clone(), lost.clone());
            Box::pin(async move {
                let mut leads = Vec::new();
                for role in lost {
                    let access = role.access;
                    let assigned =
                        list::leads_assigned_to(connection, role.company, role.still, access.get());
                    leads.extend(assigned.await?.into_iter().map(|lead| (access, lead)));
                }
                let streams = leads
                    .iter()
                    .map(|(_, lead)| StreamKey::new(StreamKind::Lead, *lead))
                    .collect();
                *found.0.lock().unwrap_or_else(PoisonError::into_inner) = leads;
                Ok(streams)
            })
        })
    }

    /// Takes the assignee off each.
    ///
    /// # Errors
    /// What a lead refuses with.
    pub fn unassign(&self, unit: &mut Unit<'_>) -> Result<(), Refusal> {
        let leads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (user_access_id, lead) in leads.iter() {
            let user_access_id = *user_access_id;
            unit.execute::<Lead>(*lead, LeadCommand::Unassign { user_access_id })?;
        }
        Ok(())
    }
}
