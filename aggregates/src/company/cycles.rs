//! The working periods of a company, and whether it works in such periods at all.
//!
//! Invariants
//! - A cycle does not end before it starts, and no two share a day.
//! - Only while the company's flag is on is there an open cycle.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::CompanyEvent;
use crate::ids::CycleId;

/// A working period, both days included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    /// Its id.
    pub cycle_id: CycleId,
    /// What it is called; checked by the caller.
    pub name: String,
    /// Its first day.
    pub start_date: NaiveDate,
    /// Its last day.
    pub end_date: NaiveDate,
}

impl Cycle {
    fn holds(&self, day: NaiveDate) -> bool {
        (self.start_date..=self.end_date).contains(&day)
    }
}

/// Every cycle of the company, by its first day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycles {
    on: bool,
    dated: Vec<Cycle>,
}

/// A wish that concerns a company's cycles.
#[derive(Debug, Clone)]
pub enum CycleCommand {
    /// Work in cycles, or no more.
    Switch(bool),
    /// Add one.
    Create(Cycle),
}

/// A rule of cycles that a command would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CycleError {
    /// The dates are the wrong way round.
    #[error("a cycle cannot end before it starts")]
    EndsBeforeStart,
    /// Some day is another cycle's already.
    #[error("the cycle shares days with another one")]
    Overlaps,
}

impl Cycles {
    /// Whether the company works in cycles.
    #[must_use]
    pub fn on(&self) -> bool {
        self.on
    }

    /// The cycle that new leads of this day are stamped with.
    #[must_use]
    pub fn open_on(&self, day: NaiveDate) -> Option<CycleId> {
        let open = self.dated.iter().find(|cycle| cycle.holds(day));
        open.filter(|_| self.on).map(|cycle| cycle.cycle_id)
    }

    pub(super) fn decide(&self, command: CycleCommand) -> Result<Vec<CompanyEvent>, CycleError> {
        match command {
            CycleCommand::Switch(to) => Ok(if self.on == to {
                vec![]
            } else {
                vec![CompanyEvent::CyclesSwitched { from: self.on, to }]
            }),
            CycleCommand::Create(cycle) => {
                if cycle.end_date < cycle.start_date {
                    return Err(CycleError::EndsBeforeStart);
                }
                let apart = |known: &Cycle| {
                    known.end_date < cycle.start_date || cycle.end_date < known.start_date
                };
                if !self.dated.iter().all(apart) {
                    return Err(CycleError::Overlaps);
                }
                Ok(vec![CompanyEvent::CycleCreated { cycle }])
            }
        }
    }

    pub(super) fn switched(&mut self, on: bool) {
        self.on = on;
    }

    pub(super) fn created(&mut self, cycle: &Cycle) {
        self.dated.push(cycle.clone());
        self.dated.sort_by_key(|known| known.start_date);
    }
}

#[cfg(test)]
#[path = "cycles_tests.rs"]
mod tests;
