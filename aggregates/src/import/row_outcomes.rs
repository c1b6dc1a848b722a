//! What became of the rows of a file, one by one and counted. Parts of the events, and so of the storage format.
//!
//! Which outcome a row has is not decided here, and nothing that a row says of a person may stand here.

use serde::{Deserialize, Serialize};

use crate::ids::LeadId;

/// Rows that followed each other and became leads whose ids follow each other too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedRows {
    /// The first of the rows.
    pub row: i64,
    /// The first of the leads.
    pub lead_id: LeadId,
    /// How many.
    pub count: i64,
}

/// A row that changed a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdatedRow {
    /// The row.
    pub row: i64,
    /// The lead.
    pub lead_id: LeadId,
    /// The lead's version before.
    pub from_version: i64,
    /// The lead's version after.
    pub to_version: i64,
}

/// A row of which nothing came, because a lead has it all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedRow {
    /// The row.
    pub row: i64,
    /// The lead that it is like.
    pub lead_id: LeadId,
}

/// A row that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRow {
    /// The row.
    pub row: i64,
    /// Why: a stable code.
    pub code: String,
    /// The header of the column that is to blame, when one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

/// What became of rows that followed each other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RowOutcomes {
    /// The first of them.
    pub first_row: i64,
    /// The last of them.
    pub last_row: i64,
    /// Those that became leads, in runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub created: Vec<CreatedRows>,
    /// Those that changed a lead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub updated: Vec<UpdatedRow>,
    /// Those that were passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedRow>,
    /// Those that were refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedRow>,
    /// How many of them were like a lead or a row before; counted whatever came of them.
    #[serde(default)]
    pub duplicates: i64,
}

impl RowOutcomes {
    /// Of no rows yet, the next being `row`.
    #[must_use]
    pub fn from(row: i64) -> Self {
        Self {
            first_row: row,
            last_row: row - 1,
            ..Self::default()
        }
    }

    /// The next row became this lead.
    pub fn push_created(&mut self, lead_id: LeadId) {
        self.last_row += 1;
        let row = self.last_row;
        match self.created.last_mut() {
            Some(run)
                if run.row + run.count == row && run.lead_id.get() + run.count == lead_id.get() =>
            {
                run.count += 1;
            }
            _ => self.created.push(CreatedRows {
                row,
                lead_id,
                count: 1,
            }),
        }
    }

    /// The next row changed this lead.
    pub fn push_updated(&mut self, lead_id: LeadId, from_version: i64, to_version: i64) {
        self.last_row += 1;
        self.updated.push(UpdatedRow {
            row: self.last_row,
            lead_id,
            from_version,
            to_version,
        });
    }

    /// The next row was passed over for this lead.
    pub fn push_skipped(&mut self, lead_id: LeadId) {
        self.last_row += 1;
        self.skipped.push(SkippedRow {
            row: self.last_row,
            lead_id,
        });
    }

    /// The next row was refused.
    pub fn push_failed(&mut self, code: &str, column: Option<String>) {
        self.last_row += 1;
        self.failed.push(FailedRow {
            row: self.last_row,
            code: code.to_owned(),
            column,
        });
    }

    /// How much of each.
    #[must_use]
    pub fn counts(&self) -> RowCounts {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        RowCounts {
            imported: self.created.iter().map(|run| run.count).sum(),
            updated: count(self.updated.len()),
            skipped: count(self.skipped.len()),
            failed: count(self.failed.len()),
            duplicates: self.duplicates,
        }
    }
}

/// How many rows had which outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RowCounts {
    /// Became leads.
    pub imported: i64,
    /// Changed a lead.
    pub updated: i64,
    /// Passed over.
    pub skipped: i64,
    /// Refused.
    pub failed: i64,
    /// Were like a lead or a row before; each of them is in one of the others too.
    pub duplicates: i64,
}

impl RowCounts {
    /// All rows that have an outcome.
    #[must_use]
    pub const fn processed(&self) -> i64 {
        self.imported + self.updated + self.skipped + self.failed
    }

    pub(super) fn add(&mut self, more: Self) {
        self.imported += more.imported;
        self.updated += more.updated;
        self.skipped += more.skipped;
        self.failed += more.failed;
        self.duplicates += more.duplicates;
    }
}
