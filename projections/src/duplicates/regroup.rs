//! From what the tables say before a batch, and the keys that the batch gives and takes, to the rows that change. Pure.
//!
//! Leads and keys are a graph: a lead is joined to each of its keys, groups are the components with two leads or more. A
//! group falls apart only when a lead loses a key that it shares; all else makes groups grow and merge. So an existing
//! group is *closed* as a rule: one node of the graph, named by its oldest lead, whose members nobody loads, however many
//! they are. Only a group that loses a shared key is *opened*: its members are loaded and grouped anew.
//!
//! Why the answers to three small questions are enough:
//! - A changed lead's own row tells whether the key that it loses was shared: then `matched_on` names it.
//! - Of a key that a lead gains, any two earlier holders are as good as all of them. Two or more are in one group already,
//!   with the key in their `matched_on`; if that group is opened, all of them are loaded, else none of them loses the key.
//! - The other holders of any other key of a loaded lead are in that lead's group: opened, then they are loaded; or
//!   closed, then the lead's row says what it needs to know.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::keys::{Holder, Key, Keys, Kind, Known, MatchedOn, Row};

/// What the events of a batch say about one lead.
#[derive(Debug, Clone, Default)]
pub(super) struct Folded {
    /// The company, when the batch creates the lead.
    pub(super) created_in: Option<i64>,
    /// The keys after the batch.
    pub(super) keys: Keys,
}

/// The leads whose keys a batch touches, before and after.
#[derive(Debug, Default)]
pub(super) struct Regroup {
    touched: BTreeMap<i64, Touched>,
}

#[derive(Debug)]
struct Touched {
    company_id: i64,
    before: Keys,
    after: Keys,
    row: Option<Row>,
}

/// A row to insert or to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) lead_id: i64,
    pub(super) company_id: i64,
    pub(super) row: Row,
    pub(super) is_new: bool,
}

/// All rows of a group that go to another group, except those written one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Merge {
    pub(super) company_id: i64,
    pub(super) from: i64,
    pub(super) into: i64,
}

/// What a batch does to `duplicates`. No row is concerned by two of the lists.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) written: Vec<Written>,
    pub(super) merges: Vec<Merge>,
    pub(super) removed: Vec<i64>,
    /// Company to the change of its number of rows; never 0.
    pub(super) counts: BTreeMap<i64, i64>,
}

/// A group with the company that it belongs to.
pub(super) type Group = (i64, i64);

impl Regroup {
    /// Of these leads, `known` tells the state before the batch; a lead that is neither created nor known is left alone.
    pub(super) fn new(folded: BTreeMap<i64, Folded>, known: Vec<Known>) -> Self {
        let mut known: HashMap<i64, Known> = known
            .into_iter()
            .map(|known| (known.lead_id, known))
            .collect();
        let touched = folded.into_iter().filter_map(|(lead_id, folded)| {
            let (company_id, before, row) = match (known.remove(&lead_id), folded.created_in) {
                (Some(known), _) => (known.company_id, known.keys, known.row),
                (None, Some(company_id)) => (company_id, Keys::default(), None),
                (None, None) => return None,
            };
            let touched = Touched {
                company_id,
                before,
                after: folded.keys,
                row,
            };
            (touched.before != touched.after).then_some((lead_id, touched))
        });
        Self {
            touched: touched.collect(),
        }
    }

    /// The keys that some lead gains: any two of their holders before the batch are needed.
    pub(super) fn gained_keys(&self) -> BTreeSet<Key> {
        let touched = self.touched.values();
        touched
            .flat_map(|lead| {
                lead.after
                    .in_company(lead.company_id)
                    .filter(|key| lead.before.get(key.kind) != Some(key.value.as_str()))
            })
            .collect()
    }

    /// The groups in which some lead loses a shared key: all their members are needed.
    pub(super) fn opened_groups(&self) -> BTreeSet<Group> {
        let loses_shared = |lead: &Touched, row: Row| {
            [Kind::Email, Kind::Phone].into_iter().any(|kind| {
                row.matched_on.has(kind) && lead.before.get(kind) != lead.after.get(kind)
            })
        };
        let touched = self.touched.values();
        touched
            .filter_map(|lead| {
                lead.row
                    .filter(|row| loses_shared(lead, *row))
                    .map(|row| (lead.company_id, row.group))
            })
            .collect()
    }

    /// The rows that change, given two `holders` of each gained key (or all, if fewer) and the `members` of all opened
    /// groups.
    pub(super) fn changes(&self, holders: Vec<Holder>, members: Vec<Known>) -> Changes {
        let mut graph = Graph {
            opened: self.opened_groups(),
            ..Graph::default()
        };
        for (lead_id, lead) in &self.touched {
            graph.add_lead(*lead_id, lead.company_id, lead.row);
            for key in lead.after.in_company(lead.company_id) {
                graph.add_key(*lead_id, key);
            }
        }
        for member in members {
            if !self.touched.contains_key(&member.lead_id) {
                graph.add_lead(member.lead_id, member.company_id, member.row);
                for key in member.keys.in_company(member.company_id) {
                    graph.add_key(member.lead_id, key);
                }
            }
        }
        for holder in holders {
            // A touched lead may have lost the key; what it has now is in the graph.
            if !self.touched.contains_key(&holder.lead_id) {
                graph.add_lead(holder.lead_id, holder.key.company_id, holder.row);
                graph.add_key(holder.lead_id, holder.key);
            }
        }
        graph.join();
        graph.changes()
    }
}

/// The rows of these leads, were there no others.
pub(super) fn among(leads: Vec<Known>) -> BTreeMap<i64, Row> {
    let mut graph = Graph::default();
    for lead in leads {
        graph.add_lead(lead.lead_id, lead.company_id, None);
        for key in lead.keys.in_company(lead.company_id) {
            graph.add_key(lead.lead_id, key);
        }
    }
    graph.join();
    let Graph {
        leads,
        mut components,
        ..
    } = graph;
    let alike = leads.iter().filter(|(_, lead)| lead.matched_on.any());
    alike
        .map(|(id, lead)| {
            let row = Row {
                group: components.oldest(*id),
                matched_on: lead.matched_on,
            };
            (*id, row)
        })
        .collect()
}

#[derive(Default)]
struct Graph {
    opened: BTreeSet<Group>,
    leads: BTreeMap<i64, Lead>,
    holders: HashMap<Key, BTreeSet<i64>>,
    components: Components,
}

struct Lead {
    company_id: i64,
    old: Option<Row>,
    /// The closed group that it is in before the batch and stays in.
    closed: Option<i64>,
    matched_on: MatchedOn,
}

impl Graph {
    fn add_lead(&mut self, lead_id: i64, company_id: i64, old: Option<Row>) {
        let kept = old.filter(|row| !self.opened.contains(&(company_id, row.group)));
        self.leads.entry(lead_id).or_insert(Lead {
            company_id,
            old,
            closed: kept.map(|row| row.group),
            matched_on: kept.map(|row| row.matched_on).unwrap_or_default(),
        });
    }

    fn add_key(&mut self, lead_id: i64, key: Key) {
        self.holders.entry(key).or_default().insert(lead_id);
    }

    fn join(&mut self) {
        for (key, holders) in &self.holders {
            let Some(first) = holders.first().filter(|_| holders.len() > 1) else {
                continue;
            };
            let first = node(*first, &self.leads);
            for holder in holders {
                self.components.join(first, node(*holder, &self.leads));
                if let Some(lead) = self.leads.get_mut(holder) {
                    lead.matched_on.add(key.kind);
                }
            }
        }
    }

    fn changes(mut self) -> Changes {
        let mut changes = Changes::default();
        let mut merges = BTreeMap::new();
        for (lead_id, lead) in &self.leads {
            let group = self.components.oldest(lead.closed.unwrap_or(*lead_id));
            if let Some(from) = lead.closed.filter(|closed| *closed != group) {
                merges.insert((lead.company_id, from), group);
            }
            let new = lead.matched_on.any().then_some(Row {
                group,
                matched_on: lead.matched_on,
            });
            let delta = i64::from(new.is_some()) - i64::from(lead.old.is_some());
            *changes.counts.entry(lead.company_id).or_default() += delta;
            match (lead.old, new) {
                (Some(_), None) => changes.removed.push(*lead_id),
                // Its group is the merge's business.
                (Some(old), Some(new))
                    if lead.closed.is_some() && old.matched_on == new.matched_on => {}
                (old, Some(new)) if old != Some(new) => changes.written.push(Written {
                    lead_id: *lead_id,
                    company_id: lead.company_id,
                    row: new,
                    is_new: old.is_none(),
                }),
                _ => {}
            }
        }
        changes.counts.retain(|_, delta| *delta != 0);
        changes.merges = merges
            .into_iter()
            .map(|((company_id, from), into)| Merge {
                company_id,
                from,
                into,
            })
            .collect();
        changes
    }
}

/// The node of a lead: the name of its closed group, else its own id. The two cannot be confused, because the lead whose
/// id names a closed group is in that group.
fn node(lead_id: i64, leads: &BTreeMap<i64, Lead>) -> i64 {
    leads
        .get(&lead_id)
        .and_then(|lead| lead.closed)
        .unwrap_or(lead_id)
}

/// Disjoint sets whose representative is always the smallest, which is the oldest.
#[derive(Default)]
struct Components {
    parents: HashMap<i64, i64>,
}

impl Components {
    fn oldest(&mut self, mut node: i64) -> i64 {
        while let Some(&parent) = self.parents.get(&node) {
            // Halves the path for the next walk.
            if let Some(&grandparent) = self.parents.get(&parent) {
                self.parents.insert(node, grandparent);
            }
            node = parent;
        }
        node
    }

    fn join(&mut self, one: i64, other: i64) {
        let (one, other) = (self.oldest(one), self.oldest(other));
        if one != other {
            self.parents.insert(one.max(other), one.min(other));
        }
    }
}

#[cfg(test)]
mod tests;
