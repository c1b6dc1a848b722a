//! Legal holds: while one stands on a lead or on a company, nothing of it may be erased, undone or deleted.
//!
//! Invariants
//! - A hold is placed once and released once; releasing it again changes nothing.
//! - It ends by itself at its end, or never; no event tells of that.
//!
//! A hold on a company holds everything below it: who asks whether a lead is held walks up from the lead, which is the
//! server's business.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::LegalHoldId;

/// The most holds that one lead or company can ever have had.
pub const MAX_HOLDS: usize = 100;

/// A wish that concerns the holds on one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldCommand {
    /// Place a hold.
    Place {
        /// The new hold's id.
        legal_hold_id: LegalHoldId,
        /// Why, 1 to 500 characters; checked by the caller.
        reason: String,
        /// When it ends by itself; the caller has checked that this is to come.
        until: Option<DateTime<Utc>>,
    },
    /// Lift a hold.
    Release {
        /// Which one.
        legal_hold_id: LegalHoldId,
    },
}

/// A rule of holds that a command would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// The hold never was on this.
    #[error("there is no such legal hold")]
    Unknown,
    /// More than [`MAX_HOLDS`].
    #[error("at most {MAX_HOLDS} legal holds can be placed on one thing")]
    TooMany,
}

/// What a command on holds comes to; the aggregate turns it into its own event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decided {
    Nothing,
    Place {
        legal_hold_id: LegalHoldId,
        reason: String,
        until: Option<DateTime<Utc>>,
    },
    Release {
        legal_hold_id: LegalHoldId,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Hold {
    until: Option<DateTime<Utc>>,
    released: bool,
}

/// Every hold that was ever placed on one thing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds(BTreeMap<LegalHoldId, Hold>);

impl Holds {
    /// The oldest hold that stands at this time.
    #[must_use]
    pub fn standing_at(&self, now: DateTime<Utc>) -> Option<LegalHoldId> {
        self.all_standing_at(now).next()
    }

    /// All holds that stand at this time, the oldest first.
    pub fn all_standing_at(&self, now: DateTime<Utc>) -> impl Iterator<Item = LegalHoldId> {
        let stands =
            move |hold: &Hold| !hold.released && hold.until.is_none_or(|until| until > now);
        self.0
            .iter()
            .filter(move |(_, hold)| stands(hold))
            .map(|(id, _)| *id)
    }

    pub(crate) fn decide(&self, command: HoldCommand) -> Result<Decided, HoldError> {
        match command {
            HoldCommand::Place {
                legal_hold_id,
                reason,
                until,
            } => {
                if self.0.contains_key(&legal_hold_id) {
                    return Ok(Decided::Nothing);
                }
                if self.0.len() >= MAX_HOLDS {
                    return Err(HoldError::TooMany);
                }
                Ok(Decided::Place {
                    legal_hold_id,
                    reason,
                    until,
                })
            }
            HoldCommand::Release { legal_hold_id } => {
                let hold = self.0.get(&legal_hold_id).ok_or(HoldError::Unknown)?;
                Ok(if hold.released {
                    Decided::Nothing
                } else {
                    Decided::Release { legal_hold_id }
                })
            }
        }
    }

    pub(crate) fn placed(&mut self, id: LegalHoldId, until: Option<DateTime<Utc>>) {
        let released = false;
        self.0.insert(id, Hold { until, released });
    }

    pub(crate) fn released(&mut self, id: LegalHoldId) {
        if let Some(hold) = self.0.get_mut(&id) {
            hold.released = true;
        }
    }
}
