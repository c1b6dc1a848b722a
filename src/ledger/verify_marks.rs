//! The part of `verify` that is about what was written outside the database: whether what the database marks as witnessed lies there.
//!
//! Checkpoints are written and marked in the order in which they were made.

use std::collections::HashSet;

use super::verify_proofs::Witnessed;
use super::verify_told::Told;
use crate::proof::Hash;
use crate::proof::merkle::sha256;

/// The checkpoints of the database, in their order, beside those that lie outside.
pub(super) struct Marks {
    outside: HashSet<Hash>,
    listed: HashSet<Hash>,
    complete_to: Option<i64>,
    /// Those that are not marked, and stand before any that is.
    unmarked: Vec<i64>,
    wrong: Told,
}

impl Marks {
    /// Of these that lie outside.
    pub fn new(witnessed: &Witnessed) -> Self {
        let outside = witnessed.notes.iter();
        Self {
            outside: outside.map(|(_, note)| sha256(note.as_bytes())).collect(),
            listed: HashSet::new(),
            complete_to: witnessed.complete_to,
            unmarked: Vec::new(),
            wrong: Told::of("checkpoints"),
        }
    }

    /// The next checkpoint of the database.
    pub fn take(&mut self, id: i64, note: &str, marked: bool) {
        let hash = sha256(note.as_bytes());
        let lies_outside = self.outside.contains(&hash);
        if lies_outside {
            self.listed.insert(hash);
        }
        if !marked {
            self.unmarked.push(id);
            return;
        }
        for before in self.unmarked.drain(..) {
            self.wrong.tell(format_args!(
                "id={before}: is not marked as witnessed, and a later one is"
            ));
        }
        if self.complete_to.is_some_and(|last| id <= last) && !lies_outside {
            self.wrong.tell(format_args!(
                "id={id}: is marked as witnessed, and is not among the witnessed checkpoints"
            ));
        }
    }

    /// Whether the database lists this one that lies outside.
    pub fn is_listed(&self, note: &str) -> bool {
        self.listed.contains(&sha256(note.as_bytes()))
    }

    /// What is wrong.
    pub fn told(self) -> Vec<String> {
        self.wrong.into_lines()
    }
}
