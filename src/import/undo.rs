//! Taking an import back: how the leads that it touched are brought back to what they were.
//!
//! Leads are dealt with in the order of their ids, so that the last one dealt with tells where to go on. A lead that was changed
//! since, which its version tells in the commit, stays as it is and is listed; so does one that a legal hold stands on. What a lead was before is history and
//! cannot change: it is read before the commit.

use std::sync::Arc;

use aggregates::ids::{ImportId, LeadId};
use aggregates::import::{Import, ImportCommand, KeptLead, KeptReason, UndoneLeads};
use aggregates::lead::{Earlier, Lead, LeadCommand, StageEntered};
use chrono::{DateTime, Utc};
use projections::legal_holds::{self, Held};
use sqlx::PgConnection;

use super::as_left::as_left;
use super::decision::Common;
use super::engine::Imports;
use super::runner::RunError;
use super::running::Step;
use super::through;
use super::touched::{Touched, TouchedLeads};
use crate::ledger::{self, Provenance, Refusal, StreamKey, StreamKind, Unit, Work, lead_past};
use crate::legal_hold;

/// How many leads are taken back together.
const CHUNK: usize = 250;
/// How many leads are looked at together to foresee what would become of them.
const LOOKED_AT: usize = 5_000;

/// An import that is being taken back.
pub struct Undoing {
    common: Common,
    leads: TouchedLeads,
    through: i64,
}

/// A lead to take back.
#[derive(Clone)]
struct Former {
    touched: Touched,
    /// The version at which it is as the import left it; `None` when it was changed since.
    as_left: Option<i64>,
    /// What it was before, unless the import created it.
    earlier: Option<Earlier>,
}

impl Undoing {
    /// Reads what is to be taken back, and how far that is.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn plan(imports: &Imports, common: Common) -> Result<Self, RunError> {
        let mut connection = imports.pool.acquire().await?;
        let leads = TouchedLeads::of(&mut connection, common.import_id).await?;
        let through = ledger::import_state(&mut connection, ImportId(common.import_id)).await?;
        Ok(Self {
            common,
            leads,
            through: through.undone_through().get(),
        })
    }

    /// Takes the next leads back.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn step(&mut self, imports: &Imports) -> Result<Step, RunError> {
        let id = self.common.import_id;
        let provenance = Provenance {
            source: format!("import {} undo", self.common.code),
            ..self.common.provenance.clone()
        };
        let next = self.leads.after(self.through, CHUNK);
        let Some(last) = next.last().map(|touched| touched.lead_id) else {
            let prepare = |decision| Work::new(provenance, decision);
            imports
                .command(id, ImportCommand::FinishUndo, prepare)
                .await?;
            return Ok(Step::AtRest);
        };
        let mut connection = imports.pool.acquire().await?;
        let leads = former(&mut connection, next).await?;
        drop(connection);
        let held = leads
            .iter()
            .map(|lead| Held::Lead(LeadId(lead.touched.lead_id)));
        let held = held.collect();
        let taking_back = TakingBack {
            common: self.common.clone(),
            provenance: provenance.clone(),
            leads,
            last,
        };
        let taking_back = Arc::new(taking_back);
        let work = Work::new(provenance, move |unit| taking_back.decide(unit))
            .on(StreamKey::new(StreamKind::Import, id))
            .sweeping(legal_hold::finding(held));
        imports.ledger.commit(work).await?;
        self.through = last;
        Ok(Step::More)
    }
}

/// Reads what these leads were before.
async fn former(
    connection: &mut PgConnection,
    touched: Vec<Touched>,
) -> Result<Vec<Former>, sqlx::Error> {
    let as_left = as_left(connection, &touched).await?;
    let mut moments = Vec::new();
    for touched in &touched {
        if let Some(version) = as_left.get(&touched.lead_id) {
            moments.extend([
                (touched.lead_id, touched.before),
                (touched.lead_id, *version),
            ]);
        }
    }
    let entered = lead_past::stages_entered(connection, &moments).await?;
    let restored = touched.iter().filter(|touched| touched.before > 0);
    let restored = restored.filter(|touched| as_left.contains_key(&touched.lead_id));
    let restored: Vec<_> = restored.map(|t| (t.lead_id, t.before)).collect();
    let mut earlier = ledger::leads_at(connection, &restored).await?;
    let mut entered = entered.chunks_exact(2);
    let mut leads = Vec::with_capacity(touched.len());
    for touched in touched {
        let as_left = as_left.get(&touched.lead_id).copied();
        let stage_entered = match as_left.and_then(|_| entered.next()) {
            Some([Some(then), Some(now)]) => Some(StageEntered {
                then: *then,
                now: *now,
            }),
            _ => None,
        };
        let earlier = earlier.remove(&touched.lead_id).map(|lead| Earlier {
            lead,
            stage_entered,
        });
        leads.push(Former {
            touched,
            as_left,
            earlier,
        });
    }
    Ok(leads)
}

/// The decision about leads whose ids follow each other.
struct TakingBack {
    common: Common,
    provenance: Provenance,
    leads: Vec<Former>,
    last: i64,
}

impl TakingBack {
    fn decide(&self, unit: &mut Unit<'_>) -> Result<i64, Refusal> {
        let id = self.common.import_id;
        let mut undone = UndoneLeads {
            through_lead_id: LeadId(self.last),
            removed: 0,
            restored: 0,
            kept: Vec::new(),
        };
        for former in &self.leads {
            let touched = former.touched;
            unit.set_provenance(&Provenance {
                source: through::undo_of_row(&self.common.code, touched.row),
                ..self.provenance.clone()
            });
            match self.take_back(unit, former) {
                Ok(()) if touched.before == 0 => undone.removed += 1,
                Ok(()) => undone.restored += 1,
                Err(reason) => undone.kept.push(KeptLead {
                    row: touched.row,
                    lead_id: LeadId(touched.lead_id),
                    reason: Some(reason),
                }),
            }
        }
        unit.set_provenance(&self.provenance);
        unit.execute::<Import>(id, ImportCommand::UndoLeads(Box::new(undone)))?;
        Ok(id)
    }

    fn take_back(&self, unit: &mut Unit<'_>, former: &Former) -> Result<(), KeptReason> {
        let lead = former.touched.lead_id;
        let version = unit.version(StreamKey::new(StreamKind::Lead, lead));
        // A hold is itself a change since: who asks why the lead stayed must hear of it first.
        let held = legal_hold::refuse_if_held(unit, LeadId(lead));
        if matches!(held, Err(Refusal::LegalHold { .. })) {
            return Err(KeptReason::LegalHold);
        }
        if former.as_left != Some(version) {
            return Err(KeptReason::ChangedSince);
        }
        let command = match &former.earlier {
            None => LeadCommand::Remove {
                import_id: ImportId(self.common.import_id),
            },
            Some(earlier) => LeadCommand::Restore(Box::new(earlier.clone())),
        };
        let taken_back = unit.attempt(|unit| unit.execute::<Lead>(lead, command));
        // What else forbids it (that the lead is blocked or erased) came to be after the import.
        taken_back.map_err(|_| KeptReason::ChangedSince)
    }
}

/// What taking an import back would do now.
#[derive(Debug, Default)]
pub struct Foreseen {
    /// Leads that would go.
    pub removed: i64,
    /// Leads that would be as before.
    pub restored: i64,
    /// Leads that would stay.
    pub kept: Vec<KeptLead>,
}

/// What taking the import back would do now, unless a hold stands on its company or one above.
///
/// # Errors
/// What the database answers.
pub async fn foresee(
    connection: &mut PgConnection,
    import: i64,
    now: DateTime<Utc>,
) -> Result<Foreseen, sqlx::Error> {
    let leads = TouchedLeads::of(connection, import).await?;
    let mut foreseen = Foreseen::default();
    let mut through = 0;
    loop {
        let next = leads.after(through, LOOKED_AT);
        let Some(last) = next.last() else {
            return Ok(foreseen);
        };
        through = last.lead_id;
        let as_left = as_left(connection, &next).await?;
        let ids: Vec<i64> = next.iter().map(|touched| touched.lead_id).collect();
        let held = legal_holds::held_leads(connection, &ids, now).await?;
        for touched in next {
            let reason = if held.contains(&touched.lead_id) {
                KeptReason::LegalHold
            } else if !as_left.contains_key(&touched.lead_id) {
                KeptReason::ChangedSince
            } else if touched.before == 0 {
                foreseen.removed += 1;
                continue;
            } else {
                foreseen.restored += 1;
                continue;
            };
            foreseen.kept.push(KeptLead {
                row: touched.row,
                lead_id: LeadId(touched.lead_id),
                reason: Some(reason),
            });
        }
    }
}
