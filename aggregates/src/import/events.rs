//! What happened to an import, as it is stored: the events with their names and their version.
//!
//! No rule belongs here, and nothing that only today's code needs: what was stored once is read for ever. How a shape is
//! changed is written in `docs/events.md`.

use serde::{Deserialize, Serialize};

use super::{
    ImportColumn, ImportOptions, ImportStatus, ImportedFile, RowCounts, RowOutcomes, UndoneLeads,
};
use crate::Personal;
use crate::ids::{CompanyId, ImportId, UserId};

/// What happened to an import. These names and shapes are the storage format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImportEvent {
    /// A file was uploaded for import.
    ImportRequested {
        /// The import's id, also the stream's name.
        import_id: ImportId,
        /// The code by which it is asked for.
        import_code: String,
        /// Where the leads go.
        company_id: CompanyId,
        /// Who uploaded the file.
        user_id: Option<UserId>,
        /// What the file is called.
        name: Personal<String>,
        /// What is in it.
        import_type: String,
        /// The file.
        file: ImportedFile,
        /// How it is to be understood.
        options: ImportOptions,
    },
    /// Its rows began to be processed.
    ImportStarted {
        /// How many there are.
        total_rows: i64,
        /// What its columns are taken for.
        columns: Vec<ImportColumn>,
    },
    /// Rows were processed, in the commit that this event is part of.
    ImportRowsProcessed {
        /// What became of them.
        rows: RowOutcomes,
    },
    /// Every row has its outcome.
    ImportCompleted {
        /// What became of all rows.
        counts: RowCounts,
    },
    /// The file could not be read to its end.
    ImportFailed {
        /// Why.
        reason: String,
        /// What is wrong and where, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// It was stopped.
    ImportCancelled {
        /// The last row that was processed; 1, the header, when none was.
        after_row: i64,
    },
    /// What it did is to be taken back.
    ImportUndoRequested {
        /// How far it was.
        from: ImportStatus,
    },
    /// Leads were taken back, in the commit that this event is part of.
    ImportLeadsUndone {
        /// What was done to them.
        leads: UndoneLeads,
    },
    /// All that it did is taken back.
    ImportUndone {},
}

impl ImportEvent {
    /// The version of every shape above.
    pub const VERSION: &'static str = "1";

    /// The stored event type: the variant's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ImportRequested { .. } => "ImportRequested",
            Self::ImportStarted { .. } => "ImportStarted",
            Self::ImportRowsProcessed { .. } => "ImportRowsProcessed",
            Self::ImportCompleted { .. } => "ImportCompleted",
            Self::ImportFailed { .. } => "ImportFailed",
            Self::ImportCancelled { .. } => "ImportCancelled",
            Self::ImportUndoRequested { .. } => "ImportUndoRequested",
            Self::ImportLeadsUndone { .. } => "ImportLeadsUndone",
            Self::ImportUndone {} => "ImportUndone",
        }
    }
}
