//! Duplicates: the leads of one company that share an e-mail or a phone number, directly or through others.
//!
//! `duplicates` has a row for every lead in a group of two or more; the group is named by its oldest lead. The rows depend
//! on the present keys of the leads alone, not on the way there. What changes is worked out in `regroup`, which is pure;
//! `facts` asks the tables what it needs to know, `rows` writes what it says.

mod facts;
pub mod hidden;
mod keys;
pub mod list;
mod regroup;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use aggregates::Personal;
use aggregates::lead::{Contact, LeadEvent};
use sqlx::PgConnection;

use crate::projection::{LookUp, Projection, Table, Unheld};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;
pub use hidden::Hidden;
use keys::Keys;
pub use list::{page, page_of_past, total, total_of_past};
use regroup::{Changes, Folded, Regroup};

/// See the module's text. Owns `duplicates` and `duplicate_counts`; its look-ups read `leads`.
#[derive(Default)]
pub struct Duplicates {
    leads: BTreeMap<i64, Folded>,
    changes: Changes,
    unheld: Option<Unheld>,
}

impl Projection for Duplicates {
    fn name(&self) -> &'static str {
        "duplicates"
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "duplicates",
                key: &["lead_id"],
                counts_when: "true",
                looked_up_by: &["duplicates_group"],
            },
            Table {
                name: "duplicate_counts",
                key: &["company_id"],
                counts_when: "count <> 0",
                looked_up_by: &[],
            },
        ]
    }

    fn reads(&self) -> &'static [&'static str] {
        &["leads"]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let DomainEvent::Lead(event) = &recorded.event else {
            return;
        };
        let lead_id = recorded.aggregate_id;
        match event {
            LeadEvent::LeadCreated {
                company_id,
                contact,
                ..
            } => {
                let folded = Folded {
                    created_in: Some(company_id.get()),
                    keys: Keys::of(contact),
                };
                self.leads.insert(lead_id, folded);
            }
            LeadEvent::LeadContactChanged { from, to }
                if self.leads.contains_key(&lead_id) || may_change_keys(from, to) =>
            {
                self.leads.entry(lead_id).or_default().keys = Keys::of(to);
            }
            // Whoever is blocked, erased or not there any more is like nobody.
            LeadEvent::LeadBlocked { .. }
            | LeadEvent::LeadErased { .. }
            | LeadEvent::LeadRemoved { .. } => {
                self.leads.entry(lead_id).or_default().keys = Keys::default();
            }
            LeadEvent::LeadUnblocked { contact, .. } => {
                self.leads.entry(lead_id).or_default().keys = Keys::of(contact);
            }
            _ => {}
        }
    }

    fn can_assume(&self) -> bool {
        let mut seen = BTreeSet::new();
        self.leads.values().all(|lead| {
            lead.created_in
                .is_some_and(|company| lead.keys.in_company(company).all(|key| seen.insert(key)))
        })
    }

    /// Most leads resemble no other: then there is nothing to write, and the guard only has to find nobody.
    fn assume(&mut self, guard: &mut Statement) {
        let leads = std::mem::take(&mut self.leads);
        let keys = leads.values().flat_map(|lead| {
            let company = lead.created_in.into_iter();
            company.flat_map(|company| lead.keys.in_company(company))
        });
        facts::nobody_has(guard, keys);
    }

    fn know(&mut self, unheld: &Unheld) {
        self.unheld = Some(unheld.clone());
    }

    fn look_up<'a>(&'a mut self, connection: &'a mut PgConnection) -> LookUp<'a> {
        Box::pin(async move {
            let leads = std::mem::take(&mut self.leads);
            if !leads.is_empty() {
                self.changes = regroup(leads, self.unheld.as_ref(), connection).await?;
            }
            Ok(())
        })
    }

    fn write(&mut self, statement: &mut Statement) {
        rows::write(statement, std::mem::take(&mut self.changes));
    }
}

/// Whether the event can concern this projection. Where the person is erased, the event does not tell what the keys were;
/// `leads` does.
fn may_change_keys(from: &Personal<Contact>, to: &Personal<Contact>) -> bool {
    from.plain().is_none() || Keys::of(from) != Keys::of(to)
}

/// One query when the batch only adds leads; a second one when keys change, and a third when a group may fall apart.
async fn regroup(
    leads: BTreeMap<i64, Folded>,
    unheld: Option<&Unheld>,
    connection: &mut PgConnection,
) -> Result<Changes, sqlx::Error> {
    let changed = leads.iter().filter(|(_, lead)| lead.created_in.is_none());
    let changed = changed.map(|(id, _)| *id).collect();
    // The keys before the batch are those of the row and not those in the event, which may have been erased since.
    let known = facts::leads(connection, changed).await?;
    let regroup = Regroup::new(leads, known);
    let mut gained = regroup.gained_keys();
    if let Some(unheld) = unheld {
        gained.retain(|key| !unheld(key.company_id, &key.value));
    }
    let holders = facts::holders(connection, gained).await?;
    let members = facts::members(connection, regroup.opened_groups()).await?;
    Ok(regroup.changes(holders, members))
}
