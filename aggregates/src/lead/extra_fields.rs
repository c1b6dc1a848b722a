//! What a company keeps of a lead beyond the fields that every lead has, and how changes join what is there.
//!
//! Any name is taken as it is. Which names are parts of an address is for the company's territories to know.

use std::collections::BTreeMap;

use super::Lead;
use crate::Personal;

/// The most extra fields that one lead can hold.
pub const MAX_EXTRA_FIELDS: usize = 100;

/// Fields of the company's own that no column of ours holds: name to text.
pub type ExtraFields = BTreeMap<String, String>;

impl Lead {
    /// The company's own fields.
    #[must_use]
    pub fn extra(&self) -> &Personal<ExtraFields> {
        &self.extra
    }
}

pub(super) fn merge_extra(old: &ExtraFields, new: BTreeMap<String, Option<String>>) -> ExtraFields {
    let mut merged = old.clone();
    for (name, value) in new {
        match value {
            Some(value) => merged.insert(name, value),
            None => merged.remove(&name),
        };
    }
    merged
}
