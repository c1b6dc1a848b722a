//! Whether a legal hold stands: the one check before anything is erased, undone or deleted.
//!
//! A hold stands on a lead, or on a company and then on everything below it. It is decided inside the commit, on the streams
//! of the lead, its company and all above, which are found under the append lock: neither a new hold nor a move of a
//! company slips in between.
//!
//! Who works in a held company is part of the matter, and stays so when their role is taken away: [`FormerRoles`] tells of those who held
//! one after the hold was placed.
//!
//! A work calls [`finding`] (or [`also_finding`], if it sweeps for other reasons) for what it is about to destroy, and in its decision
//! [`refuse_if_held`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use aggregates::company::Company;
use aggregates::ids::{CompanyId, LeadId, LegalHoldId, UserId};
use aggregates::lead::Lead;
use projections::legal_holds::{self, Held};
use sqlx::PgConnection;

use crate::ledger::{FindStreams, Refusal, StreamKey, StreamKind, Unit, former_roles};
use crate::lineage;

/// Finds the streams that tell whether any of these is held; to be given to [`crate::ledger::Work::sweeping`].
#[must_use]
pub fn finding(things: Vec<Held>) -> FindStreams {
    Arc::new(move |connection| {
        let things = things.clone();
        Box::pin(async move { streams(connection, &things).await })
    })
}

/// Finds these streams besides those that `find` does.
#[must_use]
pub fn also_finding(find: FindStreams, things: Vec<Held>) -> FindStreams {
    Arc::new(move |connection| {
        let (find, things) = (find.clone(), things.clone());
        Box::pin(async move {
            let mut found = find(&mut *connection).await?;
            found.extend(streams(connection, &things).await?);
            Ok(found)
        })
    })
}

/// The streams that tell whether any of these is held. For works that find out under the append lock what they destroy.
///
/// # Errors
/// What the database answers.
pub async fn streams(
    connection: &mut PgConnection,
    things: &[Held],
) -> Result<Vec<StreamKey>, sqlx::Error> {
    let companies = legal_holds::companies_above(connection, things).await?;
    let mut streams: Vec<StreamKey> = companies
        .into_iter()
        .map(|company| StreamKey::new(StreamKind::Company, company))
        .collect();
    streams.extend(things.iter().filter_map(|thing| match thing {
        Held::Lead(lead) => Some(StreamKey::new(StreamKind::Lead, lead.get())),
        Held::Company(_) => None,
    }));
    Ok(streams)
}

/// Refuses when a hold stands on the lead, on its company, or on one above.
///
/// # Errors
/// [`Refusal::LegalHold`].
pub fn refuse_if_held(unit: &Unit<'_>, lead: LeadId) -> Result<(), Refusal> {
    let now = unit.now();
    let (own, company) = unit.look_at(lead.get(), |state: &Lead| {
        (state.holds().standing_at(now), state.company_id)
    });
    if let Some(legal_hold_id) = own {
        return Err(Refusal::LegalHold {
            legal_hold_id,
            held: format!("lead {lead}"),
        });
    }
    company.map_or(Ok(()), |company| refuse_if_company_held(unit, company))
}

/// Refuses when a hold stands on the company or on one above.
///
/// # Errors
/// [`Refusal::LegalHold`].
pub fn refuse_if_company_held(unit: &Unit<'_>, company: CompanyId) -> Result<(), Refusal> {
    refuse_if_any_held(unit, &lineage::upwards(unit, company))
}

/// Refuses when a company that comes to stand under `to` (or alone) leaves a hold behind: one on a company above its present place that
/// is not above the new one too.
///
/// # Errors
/// [`Refusal::LegalHold`].
pub fn refuse_if_left_behind(
    unit: &Unit<'_>,
    company: CompanyId,
    to: Option<CompanyId>,
) -> Result<(), Refusal> {
    let still = to.map_or_else(Vec::new, |to| lineage::upwards(unit, to));
    let left: Vec<CompanyId> = lineage::upwards(unit, company)
        .into_iter()
        .skip(1)
        .filter(|above| !still.contains(above))
        .collect();
    refuse_if_any_held(unit, &left)
}

/// Where a user held a role that ended, and since when the holds above there stand; found under the append lock.
#[derive(Clone, Default)]
pub struct FormerRoles(Arc<Mutex<Former>>);

#[derive(Default)]
struct Former {
    /// The position at which the last role in the company ended.
    ended: BTreeMap<CompanyId, i64>,
    placed: HashMap<LegalHoldId, i64>,
}

impl FormerRoles {
    /// Finds them besides what `find` does.
    #[must_use]
    pub fn also_finding(&self, find: FindStreams, user: UserId) -> FindStreams {
        let found = self.clone();
        Arc::new(move |connection| {
            let (found, find) = (found.clone(), find.clone());
            Box::pin(async move {
                let mut streams = find(&mut *connection).await?;
                let mut former = Former {
                    ended: former_roles::of_user(connection, user).await?,
                    ..Former::default()
                };
                if !former.ended.is_empty() {
                    let places: Vec<Held> =
                        former.ended.keys().copied().map(Held::Company).collect();
                    let above = legal_holds::companies_above(connection, &places).await?;
                    former.placed = former_roles::holds_placed(connection, &above).await?;
                    let company = |id| StreamKey::new(StreamKind::Company, id);
                    streams.extend(above.into_iter().map(company));
                }
                *found.0.lock().unwrap_or_else(PoisonError::into_inner) = former;
                Ok(streams)
            })
        })
    }

    /// Refuses when a hold stands over a company in which the user held a role after it was placed. The place is not told: whoever asks may
    /// be of another company.
    ///
    /// No company leaves a hold, so the way up from where it is now leads past every hold that it came under; also past one that it came
    /// under after the role had ended, where the user is kept too.
    ///
    /// # Errors
    /// [`Refusal::LegalHold`].
    pub fn refuse_if_held(&self, unit: &Unit<'_>, user: UserId) -> Result<(), Refusal> {
        let now = unit.now();
        let former = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (company, ended) in &former.ended {
            let since = |hold: &LegalHoldId| former.placed.get(hold).is_none_or(|at| at < ended);
            for above in lineage::upwards(unit, *company) {
                let standing = unit.look_at(above.get(), |state: &Company| {
                    state.holds().all_standing_at(now).find(since)
                });
                if let Some(legal_hold_id) = standing {
                    return Err(Refusal::LegalHold {
                        legal_hold_id,
                        held: format!("user {user}"),
                    });
                }
            }
        }
        Ok(())
    }
}

fn refuse_if_any_held(unit: &Unit<'_>, companies: &[CompanyId]) -> Result<(), Refusal> {
    let now = unit.now();
    for company in companies {
        let standing = unit.look_at(company.get(), |state: &Company| {
            state.holds().standing_at(now)
        });
        if let Some(legal_hold_id) = standing {
            return Err(Refusal::LegalHold {
                legal_hold_id,
                held: format!("company {company}"),
            });
        }
    }
    Ok(())
}
