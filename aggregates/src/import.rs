//! The Import aggregate: one file of leads on its way into one company, row by row, and back out again when it is undone.
//!
//! Invariants
//! - Rows are processed in their order, each once: what is processed next begins where the last ended. Whoever works on the
//!   file, and however often it is taken up again, this stream decides.
//! - Every processed row has exactly one outcome: created, updated, skipped or failed.
//! - A finished import changes no more, except that it can be undone once.
//!
//! A row is named by its number among those in which something stands: the header is row 1. What a row says of a person is never part of these events; a
//! failed row has a code and the name of a column.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Decide;
use crate::ids::{CampaignId, CompanyId, LeadId, SourceId};

mod commands;
mod events;
mod row_outcomes;

pub use commands::{ImportCommand, ImportError, RequestImport};
pub use events::ImportEvent;
pub use row_outcomes::{CreatedRows, FailedRow, RowCounts, RowOutcomes, SkippedRow, UpdatedRow};

/// The row of the file that follows the header.
pub const FIRST_ROW: i64 = 2;
/// The most rows of one file.
pub const MAX_ROWS: i64 = 1_000_000;

/// What happens to a row that is like a lead of the company, or like a row before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicatePolicy {
    /// A lead comes of it all the same, which is a duplicate then.
    #[default]
    Create,
    /// Nothing comes of it.
    Skip,
    /// The lead that it is like is given what it lacks.
    Fill,
    /// The lead that it is like is given all that the row says.
    Overwrite,
}

impl DuplicatePolicy {
    /// Whether the lead that a row is like may change.
    #[must_use]
    pub const fn updates(self) -> bool {
        matches!(self, Self::Fill | Self::Overwrite)
    }
}

/// How a file is to be understood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOptions {
    /// Header to field, where the usual spellings do not say it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mapping: BTreeMap<String, String>,
    /// What happens to duplicates.
    #[serde(default)]
    pub duplicates: DuplicatePolicy,
    /// The source of rows that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<SourceId>,
    /// The campaign of rows that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign_id: Option<CampaignId>,
    /// The sheet of a workbook; the first when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
}

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedFile {
    /// Keyed hash of company and bytes, in hexadecimal: tells the same file again, and nothing about its content.
    pub hash: String,
    /// Bytes.
    pub size: i64,
}

/// A column of the file and what it is taken for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportColumn {
    /// As the header says.
    pub header: String,
    /// A field of leads, `extra`, `ignore`, or `question:` with its id.
    pub field: String,
}

/// Why a lead stays as it is although its import is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptReason {
    /// It was changed since.
    ChangedSince,
    /// A legal hold stands on it.
    LegalHold,
}

impl KeptReason {
    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ChangedSince => "changed_since",
            Self::LegalHold => "legal_hold",
        }
    }
}

/// A lead that stays as it is although its import is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLead {
    /// The row that touched it last.
    pub row: i64,
    /// The lead.
    pub lead_id: LeadId,
    /// Why it stays. None: it was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<KeptReason>,
}

/// What undoing did to leads whose ids followed each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoneLeads {
    /// The last of them; the next step goes on after it.
    pub through_lead_id: LeadId,
    /// How many were taken away again.
    pub removed: i64,
    /// How many are as they were before.
    pub restored: i64,
    /// Those that were left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptLead>,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportStatus {
    /// Waits for its turn.
    #[default]
    Pending,
    /// Its rows are being processed.
    Processing,
    /// Every row has its outcome.
    Completed,
    /// The file cannot be read to its end; what was processed stays.
    Failed,
    /// Somebody stopped it; what was processed stays.
    Cancelled,
    /// What it did is being taken back.
    Undoing,
    /// What it did is taken back.
    Undone,
}

impl ImportStatus {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Processing,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Undoing,
        Self::Undone,
    ];

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
        }
    }

    /// The status with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// Whether nothing more happens by itself.
    #[must_use]
    pub const fn is_at_rest(self) -> bool {
        !matches!(self, Self::Pending | Self::Processing | Self::Undoing)
    }
}

/// The state that decisions need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The company; `None` while the stream is empty.
    pub company_id: Option<CompanyId>,
    status: ImportStatus,
    counts: RowCounts,
    /// 0 when none was dealt with.
    undone_through: i64,
}

impl Import {
    /// How far it is.
    #[must_use]
    pub fn status(&self) -> ImportStatus {
        self.status
    }

    /// The row that comes next.
    #[must_use]
    pub fn next_row(&self) -> i64 {
        FIRST_ROW + self.counts.processed()
    }

    /// What became of its rows so far.
    #[must_use]
    pub fn counts(&self) -> RowCounts {
        self.counts
    }

    /// The last lead that undoing has dealt with; leads after it are still to come.
    #[must_use]
    pub fn undone_through(&self) -> LeadId {
        LeadId(self.undone_through)
    }

    /// Whether rows from this one on may be processed now.
    ///
    /// # Errors
    /// [`ImportError::NotProcessing`] and [`ImportError::NotNext`].
    pub fn expects(&self, first_row: i64) -> Result<(), ImportError> {
        if self.status != ImportStatus::Processing {
            return Err(ImportError::NotProcessing);
        }
        if first_row == self.next_row() {
            Ok(())
        } else {
            Err(ImportError::NotNext)
        }
    }
}

impl Decide for Import {
    fn decide(&self, command: ImportCommand) -> Result<Vec<ImportEvent>, ImportError> {
        if let ImportCommand::Request(request) = command {
            return self.request(*request);
        }
        if self.company_id.is_none() {
            return Err(ImportError::NotRequested);
        }
        match command {
            ImportCommand::Request(_) => Err(ImportError::AlreadyRequested),
            ImportCommand::Start {
                total_rows,
                columns,
            } => match self.status {
                ImportStatus::Pending => Ok(vec![ImportEvent::ImportStarted {
                    total_rows,
                    columns,
                }]),
                _ => Err(ImportError::NotPending),
            },
            ImportCommand::Process(rows) => {
                self.expects(rows.first_row)?;
                Ok(vec![ImportEvent::ImportRowsProcessed { rows: *rows }])
            }
            ImportCommand::Complete => match self.status {
                ImportStatus::Processing => Ok(vec![ImportEvent::ImportCompleted {
                    counts: self.counts,
                }]),
                _ => Err(ImportError::NotProcessing),
            },
            ImportCommand::Fail { reason, detail } => match self.status {
                ImportStatus::Pending | ImportStatus::Processing => {
                    Ok(vec![ImportEvent::ImportFailed { reason, detail }])
                }
                _ => Err(ImportError::NotProcessing),
            },
            ImportCommand::Cancel => match self.status {
                ImportStatus::Pending | ImportStatus::Processing => {
                    Ok(vec![ImportEvent::ImportCancelled {
                        after_row: self.next_row() - 1,
                    }])
                }
                ImportStatus::Cancelled => Ok(vec![]),
                _ => Err(ImportError::NotProcessing),
            },
            ImportCommand::RequestUndo => match self.status {
                ImportStatus::Pending | ImportStatus::Processing => Err(ImportError::StillUnderWay),
                ImportStatus::Undoing | ImportStatus::Undone => Ok(vec![]),
                from => Ok(vec![ImportEvent::ImportUndoRequested { from }]),
            },
            ImportCommand::UndoLeads(leads) => {
                if self.status != ImportStatus::Undoing {
                    return Err(ImportError::NotUndoing);
                }
                if leads.through_lead_id <= self.undone_through() {
                    return Err(ImportError::NotNext);
                }
                Ok(vec![ImportEvent::ImportLeadsUndone { leads: *leads }])
            }
            ImportCommand::FinishUndo => match self.status {
                ImportStatus::Undoing => Ok(vec![ImportEvent::ImportUndone {}]),
                _ => Err(ImportError::NotUndoing),
            },
        }
    }

    fn evolve(&mut self, event: &ImportEvent) {
        match event {
            ImportEvent::ImportRequested { company_id, .. } => {
                *self = Self {
                    company_id: Some(*company_id),
                    ..Self::default()
                };
            }
            ImportEvent::ImportStarted { .. } => self.status = ImportStatus::Processing,
            ImportEvent::ImportRowsProcessed { rows } => self.counts.add(rows.counts()),
            ImportEvent::ImportCompleted { .. } => self.status = ImportStatus::Completed,
            ImportEvent::ImportFailed { .. } => self.status = ImportStatus::Failed,
            ImportEvent::ImportCancelled { .. } => self.status = ImportStatus::Cancelled,
            ImportEvent::ImportUndoRequested { .. } => self.status = ImportStatus::Undoing,
            ImportEvent::ImportLeadsUndone { leads } => {
                self.undone_through = leads.through_lead_id.get();
            }
            ImportEvent::ImportUndone {} => self.status = ImportStatus::Undone,
        }
    }
}

impl Import {
    fn request(&self, request: RequestImport) -> Result<Vec<ImportEvent>, ImportError> {
        if self.company_id.is_some() {
            return Err(ImportError::AlreadyRequested);
        }
        Ok(vec![ImportEvent::ImportRequested {
            import_id: request.import_id,
            import_code: request.import_code,
            company_id: request.company_id,
            user_id: request.user_id,
            name: request.name.into(),
            import_type: request.import_type,
            file: request.file,
            options: request.options,
        }])
    }
}

crate::bridge_to_cqrs_es!(Import, "import", ImportCommand, ImportEvent, ImportError);

#[cfg(test)]
mod tests;
