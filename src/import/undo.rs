//! Taking an import back: which leads it touched, and how they are brought back to what they were.
//!
//! Leads are dealt with in the order of their ids, so that the last one dealt with tells where to go on. A lead that was changed
//! since, which its version tells in the commit, stays as it is and is listed; so does one that a legal hold stands on. What a lead was before is history and
//! cannot change: it is read before the commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use aggregates::ids::{ImportId, LeadId};
use aggregates::import::{CreatedRows, ImportCommand, KeptLead, UndoneLeads};
use aggregates::lead::{Lead, LeadCommand};
use projections::imports::list;
use projections::legal_holds::Held;
use sqlx::PgConnection;

use super::decision::Common;
use super::engine::Imports;
use super::runner::RunError;
use super::running::Step;
use crate::ledger::{self, Provenance, Refusal, StreamKey, StreamKind, Unit, Work};
use crate::legal_hold;

/// How many leads are taken back together.
const CHUNK: usize = 250;
/// How many chunks of outcomes are read together.
const READ_TOGETHER: i64 = 200;

/// What an import did to one lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touched {
    /// The lead.
    pub lead_id: i64,
    /// The row that touched it last.
    pub row: i64,
    /// The lead's version before the import; 0 when the import created it.
    pub before: i64,
    /// The lead's version when the import had touched it last.
    pub after: i64,
}

/// Every lead that an import touched.
#[derive(Debug, Default)]
pub struct TouchedLeads {
    created: Vec<CreatedRows>,
    changed: BTreeMap<i64, Touched>,
}

impl TouchedLeads {
    /// Of this import.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn of(connection: &mut PgConnection, import: i64) -> Result<Self, sqlx::Error> {
        let mut all = Self::default();
        let mut after = 0;
        loop {
            let chunks = list::outcomes_after(connection, import, after, READ_TOGETHER).await?;
            let Some(last) = chunks.last() else { break };
            after = last.first_row;
            for chunk in chunks {
                all.created.extend(chunk.created);
                for row in chunk.updated {
                    let touched = Touched {
                        lead_id: row.lead_id.get(),
                        row: row.row,
                        before: row.from_version,
                        after: row.to_version,
                    };
                    let known = all.changed.entry(row.lead_id.get()).or_insert(touched);
                    (known.row, known.after) = (touched.row, touched.after);
                }
            }
        }
        all.created.sort_unstable_by_key(|run| run.lead_id);
        Ok(all)
    }

    /// The next leads after this one, in the order of their ids.
    #[must_use]
    pub fn after(&self, lead: i64, at_most: usize) -> Vec<Touched> {
        let first = self
            .created
            .partition_point(|run| run.lead_id.get() + run.count - 1 <= lead);
        let created = self.created[first..].iter().flat_map(|run| {
            (0..run.count).map(|n| Touched {
                lead_id: run.lead_id.get() + n,
                row: run.row + n,
                before: 0,
                after: 1,
            })
        });
        let created = created
            .filter(|touched| touched.lead_id > lead)
            .take(at_most);
        let mut next: BTreeMap<i64, Touched> = created.map(|t| (t.lead_id, t)).collect();
        for touched in self.changed.range(lead + 1..).take(at_most).map(|(_, t)| t) {
            next.entry(touched.lead_id)
                // One that the import itself had created.
                .and_modify(|known| (known.row, known.after) = (touched.row, touched.after))
                .or_insert(*touched);
        }
        next.into_values().take(at_most).collect()
    }
}

/// An import that is being taken back.
pub struct Undoing {
    common: Common,
    leads: TouchedLeads,
    through: i64,
}

/// A lead to take back, with what it was before unless the import created it.
#[derive(Clone)]
struct Former {
    touched: Touched,
    state: Option<Lead>,
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
        let source = format!("import {} undo", self.common.code);
        let provenance = Provenance {
            source,
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
        let mut leads = Vec::with_capacity(next.len());
        let mut connection = imports.pool.acquire().await?;
        for touched in next {
            let lead = LeadId(touched.lead_id);
            let state = match touched.before {
                0 => None,
                before => Some(ledger::lead_at(&mut connection, lead, before).await?),
            };
            leads.push(Former { touched, state });
        }
        drop(connection);
        let mut work = Work::new(provenance, {
            let leads = Arc::new(leads.clone());
            move |unit| take_back(unit, id, &leads, last)
        });
        let held = leads
            .iter()
            .map(|lead| Held::Lead(LeadId(lead.touched.lead_id)));
        work = work
            .on(StreamKey::new(StreamKind::Import, id))
            .sweeping(legal_hold::finding(held.collect()));
        imports.ledger.commit(work).await?;
        self.through = last;
        Ok(Step::More)
    }
}

fn take_back(
    unit: &mut Unit<'_>,
    import: i64,
    leads: &[Former],
    last: i64,
) -> Result<i64, Refusal> {
    let mut undone = UndoneLeads {
        through_lead_id: LeadId(last),
        removed: 0,
        restored: 0,
        kept: Vec::new(),
    };
    for Former { touched, state } in leads {
        let stream = StreamKey::new(StreamKind::Lead, touched.lead_id);
        let command = match state {
            None => LeadCommand::Remove {
                import_id: ImportId(import),
            },
            Some(state) => LeadCommand::Restore(Box::new(state.clone())),
        };
        let unchanged = unit.version(stream) == touched.after;
        let done = unchanged
            && unit
                .attempt(|unit| {
                    legal_hold::refuse_if_held(unit, LeadId(touched.lead_id))?;
                    unit.execute::<Lead>(touched.lead_id, command)
                })
                .is_ok();
        match (done, state) {
            (false, _) => undone.kept.push(KeptLead {
                row: touched.row,
                lead_id: LeadId(touched.lead_id),
            }),
            (true, None) => undone.removed += 1,
            (true, Some(_)) => undone.restored += 1,
        }
    }
    let command = ImportCommand::UndoLeads(Box::new(undone));
    unit.execute::<aggregates::import::Import>(import, command)?;
    Ok(import)
}

/// What taking an import back would do now.
#[derive(Debug, Default)]
pub struct Foreseen {
    /// Leads that would go.
    pub removed: i64,
    /// Leads that would be as before.
    pub restored: i64,
    /// Leads that were changed since: lead and row.
    pub kept: Vec<(i64, i64)>,
}

/// What taking the import back would do now.
///
/// # Errors
/// What the database answers.
pub async fn foresee(connection: &mut PgConnection, import: i64) -> Result<Foreseen, sqlx::Error> {
    let leads = TouchedLeads::of(connection, import).await?;
    let mut foreseen = Foreseen::default();
    let mut through = 0;
    loop {
        let next = leads.after(through, 5_000);
        let Some(last) = next.last() else {
            return Ok(foreseen);
        };
        through = last.lead_id;
        let ids: Vec<i64> = next.iter().map(|touched| touched.lead_id).collect();
        let versions = list::lead_versions(connection, &ids).await?;
        let versions: std::collections::HashMap<i64, i64> = versions.into_iter().collect();
        for touched in next {
            if versions.get(&touched.lead_id) != Some(&touched.after) {
                foreseen.kept.push((touched.lead_id, touched.row));
            } else if touched.before == 0 {
                foreseen.removed += 1;
            } else {
                foreseen.restored += 1;
            }
        }
    }
}
