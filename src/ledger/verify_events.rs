//! Which event is the first that is not what was recorded: all that tells of it, put together.
//!
//! Some changes are known to the position: a leaf hash that is not the event's, a position that is missing. Of others (two events in each
//! other's place, one removed and the rest moved up, one changed together with its leaf hash) only a range is known: from what was
//! signed and still holds to what was signed and does not, within what a node of the tree covers, up to an event that cannot follow the
//! one before.

use chrono::{DateTime, Utc};

use super::replay::{Leaf, Step};
use super::tree::unsigned;

/// What was signed of the ledger's first events.
#[derive(Debug, Default)]
struct Signed {
    /// The last size that holds, before any that does not.
    holds: u64,
    /// The first size that does not hold.
    broken: Option<u64>,
}

impl Signed {
    /// Sizes come in their order, each once.
    fn take(&mut self, size: u64, holds: bool) {
        if self.broken.is_some() {
            return;
        }
        if holds {
            self.holds = size;
        } else {
            self.broken = Some(size);
        }
    }
}

/// What is wrong with the events, under collection.
#[derive(Debug, Default)]
pub(super) struct WrongEvents {
    /// By position, in words.
    named: Vec<(u64, String)>,
    /// The first that is certainly wrong.
    certain: Option<u64>,
    /// The first that cannot follow the events before it.
    out_of_order: Option<u64>,
    before: Option<DateTime<Utc>>,
    /// What the database has signed.
    listed: Signed,
    /// What was signed and lies outside the database.
    witnessed: Signed,
    /// The first positions that a stored node covers and is not the root of.
    node: Option<(u64, u64)>,
    /// The last event that was read.
    last: i64,
}

impl WrongEvents {
    /// Names an event.
    pub fn blame(&mut self, position: i64, what: &str) {
        let position = unsigned(position);
        let told = format!("events: position {position}: {what}");
        self.named.push((position, told));
    }

    /// What can be seen of each event of a step by itself.
    pub fn take(&mut self, step: &Step) {
        for position in &step.wrong_leaves {
            self.blame(*position, "the leaf hash is not that of the event");
        }
        for position in &step.gaps {
            self.blame(*position, "missing");
        }
        let certain = step.wrong_leaves.iter().chain(&step.gaps).min();
        if let Some(position) = certain {
            self.certain.get_or_insert(unsigned(*position));
        }
        self.last = step.last;
    }

    /// The next event, which should be the stream's `nth`. The first that cannot follow is named: those after it may be shifted by it.
    pub fn in_order(&mut self, leaf: &Leaf, nth: u64) {
        let older = self.before.is_some_and(|before| leaf.recorded_at < before);
        self.before = Some(leaf.recorded_at);
        let strays = unsigned(leaf.sequence) != nth;
        if self.out_of_order.is_some() || !(older || strays) {
            return;
        }
        self.out_of_order = Some(unsigned(leaf.position));
        if strays {
            let what = format!(
                "is number {} of its stream, where number {nth} follows",
                leaf.sequence
            );
            self.blame(leaf.position, &what);
        } else {
            self.blame(leaf.position, "was recorded earlier than the one before it");
        }
    }

    /// Of so many events something was signed, in the database or outside of it, which holds or not. Sizes come in their order.
    pub fn signed(&mut self, size: u64, listed: Option<bool>, witnessed: Option<bool>) {
        if let Some(holds) = listed {
            self.listed.take(size, holds);
        }
        if let Some(holds) = witnessed {
            self.witnessed.take(size, holds);
        }
    }

    /// The last size that holds, and the first that does not. Whoever has the keys signs anew what the database lists: where what lies
    /// outside does not hold, that alone tells what does.
    fn signatures(&self) -> (u64, Option<u64>) {
        if self.witnessed.broken.is_some() {
            return (self.witnessed.holds, self.witnessed.broken);
        }
        let holds = self.witnessed.holds.max(self.listed.holds);
        (holds, self.listed.broken.filter(|size| *size > holds))
    }

    /// The first node of the tree that is not the root of its events.
    pub fn unlike_the_tree(&mut self, first: u64, last: u64) {
        self.node.get_or_insert((first, last));
    }

    /// More was signed than these first events.
    pub fn cut_off_after(&mut self, size: u64) {
        let position = i64::try_from(size + 1).unwrap_or(i64::MAX);
        self.certain.get_or_insert(size + 1);
        self.blame(position, "missing, and what was signed has it");
    }

    /// All of it, by position. `end` is where the ledger says that it ends, if it does.
    pub fn told(mut self, end: Option<i64>) -> Vec<String> {
        match self.range() {
            // Named already.
            Some((first, last)) if first == last && self.out_of_order == Some(first) => {}
            Some((first, last)) => {
                let place = if first == last {
                    format!("position {first}")
                } else {
                    format!("position {first} to {last}")
                };
                let told = "something else was recorded here, or in another order";
                self.named
                    .insert(0, (first, format!("events: {place}: {told}")));
            }
            None => {}
        }
        let last = self.last;
        let (position, told) = match end {
            None => (
                last,
                format!("ledger_head: is missing; the ledger ends at position {last}"),
            ),
            Some(end) => (
                last.min(end),
                format!("events: the ledger ends at position {last}, its head says {end}"),
            ),
        };
        if end != Some(last) {
            self.named.push((unsigned(position) + 1, told));
        }
        self.named.sort_by_key(|(position, _)| *position);
        self.named.into_iter().map(|(_, told)| told).collect()
    }

    /// Where the first event is that differs from what was recorded, unless it is known to the position.
    fn range(&self) -> Option<(u64, u64)> {
        let (holds, broken) = self.signatures();
        // What was signed and holds proves the events, and so the node wrong.
        let node = self.node.filter(|(_, last)| *last > holds);
        let first = holds + 1;
        let within = |position: &Option<u64>| position.filter(|position| *position >= first);
        let (certain, out_of_order) = (within(&self.certain), within(&self.out_of_order));
        let bounds = [broken, node.map(|(_, last)| last)];
        let last = bounds.into_iter().flatten().min()?;
        let last = last.min(out_of_order.unwrap_or(last));
        if certain.is_some_and(|certain| certain <= last) {
            return None;
        }
        let first = match node {
            Some((begins, _)) if begins <= last => begins.max(first),
            _ => first,
        };
        Some((first, last))
    }
}
