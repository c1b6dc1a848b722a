//! The groups after any history, in any batches, are those that the present keys make.

use proptest::prelude::*;

use super::*;

/// The tables, with the three look-ups and the writing as SQL does them.
#[derive(Default)]
struct Tables {
    leads: BTreeMap<i64, (i64, Keys)>,
    duplicates: BTreeMap<i64, (i64, Row)>,
    counts: BTreeMap<i64, i64>,
    /// How many rows the look-ups gave.
    read: usize,
}

impl Tables {
    fn row(&self, lead_id: i64) -> Option<Row> {
        self.duplicates.get(&lead_id).map(|(_, row)| *row)
    }

    fn known(&self, lead_id: i64) -> Option<Known> {
        self.leads.get(&lead_id).map(|(company_id, keys)| Known {
            lead_id,
            company_id: *company_id,
            keys: keys.clone(),
            row: self.row(lead_id),
        })
    }

    /// Two of the key's holders; which ones depends on `taste`.
    fn holders(&self, key: &Key, taste: usize) -> Vec<Holder> {
        let mut ids: Vec<i64> = self
            .leads
            .iter()
            .filter(|(_, (company, keys))| keys.in_company(*company).any(|held| held == *key))
            .map(|(id, _)| *id)
            .collect();
        if !ids.is_empty() {
            let by = taste % ids.len();
            ids.rotate_left(by);
        }
        ids.truncate(2);
        ids.into_iter()
            .map(|lead_id| Holder {
                key: key.clone(),
                lead_id,
                row: self.row(lead_id),
            })
            .collect()
    }

    fn take(&mut self, folded: BTreeMap<i64, Folded>, taste: usize) {
        let old = folded.iter().filter(|(_, f)| f.created_in.is_none());
        let known: Vec<_> = old.filter_map(|(id, _)| self.known(*id)).collect();
        let regroup = Regroup::new(folded.clone(), known);
        let gained = regroup.gained_keys();
        let holders: Vec<_> = gained
            .iter()
            .flat_map(|key| self.holders(key, taste))
            .collect();
        let opened = regroup.opened_groups();
        let rows = self.duplicates.iter();
        let members: Vec<_> = rows
            .filter(|(_, (company, row))| opened.contains(&(*company, row.group)))
            .filter_map(|(id, _)| self.known(*id))
            .collect();
        self.read += holders.len() + members.len();
        let changes = regroup.changes(holders, members);
        for (lead_id, folded) in folded {
            let lead = self.leads.entry(lead_id).or_default();
            lead.0 = folded.created_in.unwrap_or(lead.0);
            lead.1 = folded.keys;
        }
        self.write(&changes);
    }

    /// As the parts of one statement do: all see the rows of before, and none writes a row of another.
    fn write(&mut self, changes: &Changes) {
        let before = self.duplicates.clone();
        let mut concerned = BTreeSet::new();
        for merge in &changes.merges {
            for (lead_id, (company_id, row)) in &before {
                let written = changes.written.iter().any(|w| w.lead_id == *lead_id);
                if (*company_id, row.group) == (merge.company_id, merge.from) && !written {
                    assert!(concerned.insert(*lead_id));
                    let moved = Row {
                        group: merge.into,
                        ..*row
                    };
                    self.duplicates.insert(*lead_id, (*company_id, moved));
                }
            }
        }
        for written in &changes.written {
            assert!(concerned.insert(written.lead_id));
            let row = (written.company_id, written.row);
            let old = self.duplicates.insert(written.lead_id, row);
            assert_eq!(old.is_none(), written.is_new);
        }
        for lead_id in &changes.removed {
            assert!(concerned.insert(*lead_id));
            assert!(self.duplicates.remove(lead_id).is_some());
        }
        for (company_id, delta) in &changes.counts {
            *self.counts.entry(*company_id).or_default() += delta;
        }
        self.counts.retain(|_, count| *count != 0);
    }

    /// The rows by definition, from the keys alone.
    fn expected(&self) -> BTreeMap<i64, (i64, Row)> {
        let mut groups: BTreeMap<i64, i64> = self.leads.keys().map(|id| (*id, *id)).collect();
        let shared = |a: i64, b: i64, kind: Kind| {
            let (one, other) = (&self.leads[&a], &self.leads[&b]);
            a != b
                && one.0 == other.0
                && one.1.get(kind).is_some()
                && one.1.get(kind) == other.1.get(kind)
        };
        let alike = |a, b| shared(a, b, Kind::Email) || shared(a, b, Kind::Phone);
        loop {
            let old = groups.clone();
            for a in self.leads.keys() {
                for b in self.leads.keys().filter(|b| alike(*a, **b)) {
                    groups.insert(*a, groups[a].min(groups[b]));
                }
            }
            if groups == old {
                break;
            }
        }
        let matched = |a: i64, kind| self.leads.keys().any(|b| shared(a, *b, kind));
        let rows = self.leads.iter().map(|(id, (company_id, _))| {
            let matched_on = MatchedOn {
                email: matched(*id, Kind::Email),
                phone: matched(*id, Kind::Phone),
            };
            let group = groups[id];
            (*id, (*company_id, Row { group, matched_on }))
        });
        rows.filter(|(_, (_, row))| row.matched_on.any()).collect()
    }

    fn assert_as_expected(&self) {
        let expected = self.expected();
        assert_eq!(self.duplicates, expected);
        let mut counts = BTreeMap::new();
        for (company_id, _) in expected.values() {
            *counts.entry(*company_id).or_insert(0) += 1;
        }
        assert_eq!(self.counts, counts);
    }
}

fn keys(email: Option<u8>, phone: Option<u8>) -> Keys {
    Keys {
        email: email.map(|n| n.to_string()),
        phone: phone.map(|n| n.to_string()),
    }
}

fn created(company_id: i64, email: Option<u8>, phone: Option<u8>) -> Folded {
    Folded {
        created_in: Some(company_id),
        keys: keys(email, phone),
    }
}

fn changed(email: Option<u8>, phone: Option<u8>) -> Folded {
    Folded {
        created_in: None,
        keys: keys(email, phone),
    }
}

#[derive(Debug, Clone)]
enum Step {
    Create(i64, Option<u8>, Option<u8>),
    /// The lead is picked among those that there are by then.
    Change(usize, Option<u8>, Option<u8>),
    Erase(usize),
    EndOfBatch,
}

fn step() -> impl Strategy<Value = Step> {
    // So few keys that most are shared, so many that some are not.
    let key = || proptest::option::weighted(0.8, 0..7_u8);
    prop_oneof![
        6 => (1..3_i64, key(), key()).prop_map(|(c, e, p)| Step::Create(c, e, p)),
        4 => (any::<usize>(), key(), key()).prop_map(|(n, e, p)| Step::Change(n, e, p)),
        1 => any::<usize>().prop_map(Step::Erase),
        3 => Just(Step::EndOfBatch),
    ]
}

fn run(steps: Vec<Step>, taste: usize, id: impl Fn(usize) -> i64) -> Tables {
    let mut tables = Tables::default();
    let mut ids = Vec::new();
    let mut folded: BTreeMap<i64, Folded> = BTreeMap::new();
    for step in steps.into_iter().chain([Step::EndOfBatch]) {
        match step {
            Step::Create(company, email, phone) => {
                ids.push(id(ids.len()));
                folded.insert(ids[ids.len() - 1], created(company, email, phone));
            }
            Step::Change(n, email, phone) if !ids.is_empty() => {
                folded.entry(ids[n % ids.len()]).or_default().keys = keys(email, phone);
            }
            Step::Erase(n) if !ids.is_empty() => {
                folded.entry(ids[n % ids.len()]).or_default().keys = Keys::default();
            }
            Step::Change(..) | Step::Erase(_) => {}
            Step::EndOfBatch => {
                tables.take(std::mem::take(&mut folded), taste);
                tables.assert_as_expected();
            }
        }
    }
    tables
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn after_every_batch_the_rows_are_those_of_the_present_keys(
        steps in proptest::collection::vec(step(), 1..60),
        taste in any::<usize>(),
    ) {
        run(steps, taste, |n| i64::try_from(n).unwrap() + 1);
    }

    #[test]
    fn it_does_not_matter_whether_ids_grow(
        steps in proptest::collection::vec(step(), 1..40),
        taste in any::<usize>(),
    ) {
        run(steps, taste, |n| i64::try_from(n * 61 % 101).unwrap() + 1);
    }
}

#[test]
fn a_chain_of_different_keys_is_one_group() {
    let mut tables = Tables::default();
    let batch = [
        (1, created(1, Some(1), None)),
        (2, created(1, Some(1), Some(2))),
        (3, created(1, None, Some(2))),
        (4, created(2, Some(1), Some(2))),
    ];
    tables.take(batch.into(), 0);
    tables.assert_as_expected();
    let groups: Vec<_> = tables
        .duplicates
        .iter()
        .map(|(id, (_, row))| (*id, row.group, row.matched_on.email, row.matched_on.phone))
        .collect();
    assert_eq!(
        groups,
        [(1, 1, true, false), (2, 1, true, true), (3, 1, false, true)]
    );
    tables.take([(2, changed(Some(9), None))].into(), 0);
    assert!(tables.duplicates.is_empty() && tables.counts.is_empty());
}

#[test]
fn joining_and_merging_big_groups_reads_a_few_rows_only() {
    let mut tables = Tables::default();
    let phones = (1..=1000).map(|n| (n, created(1, None, Some(u8::from(n > 500)))));
    tables.take(phones.collect(), 0);
    let before = tables.read;
    tables.take([(1001, created(1, Some(7), Some(0)))].into(), 0);
    tables.take([(1002, created(1, Some(7), Some(1)))].into(), 0);
    tables.take([(3, changed(Some(7), Some(0)))].into(), 0);
    assert!(tables.read - before <= 8);
    assert!(tables.duplicates.values().all(|(_, row)| row.group == 1));
    assert_eq!(
        tables.duplicates[&3].1.matched_on,
        MatchedOn {
            email: true,
            phone: true
        }
    );
    assert_eq!(tables.counts, [(1, 1002)].into());
}
