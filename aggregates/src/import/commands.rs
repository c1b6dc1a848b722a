//! The wishes that concern one import, with what each is made of, and the rules for which one is refused.
//!
//! What a wish leads to is decided beside the state. What is stored of it are events, and never the wish.

use super::{ImportColumn, ImportOptions, ImportedFile, RowOutcomes, UndoneLeads};
use crate::ids::{CompanyId, ImportId, UserId};

/// A wish that concerns one import.
#[derive(Debug, Clone)]
pub enum ImportCommand {
    /// Bring an import into being; its file is stored.
    Request(Box<RequestImport>),
    /// Begin to process its rows.
    Start {
        /// How many there are.
        total_rows: i64,
        /// What its columns are taken for.
        columns: Vec<ImportColumn>,
    },
    /// The next rows have these outcomes.
    Process(Box<RowOutcomes>),
    /// All rows are processed.
    Complete,
    /// The file cannot be read.
    Fail {
        /// Why: a stable code.
        reason: String,
        /// What is wrong and where, in words. Never what stands in a cell.
        detail: Option<String>,
    },
    /// Process no more rows.
    Cancel,
    /// Take back what it did.
    RequestUndo,
    /// The next leads are dealt with.
    UndoLeads(Box<UndoneLeads>),
    /// All leads are dealt with.
    FinishUndo,
}

/// See [`ImportCommand::Request`].
#[derive(Debug, Clone)]
pub struct RequestImport {
    /// The new import's id.
    pub import_id: ImportId,
    /// The code by which it is asked for: a UUID.
    pub import_code: String,
    /// Where the leads go.
    pub company_id: CompanyId,
    /// Who uploaded the file; nobody for a program.
    pub user_id: Option<UserId>,
    /// What the file is called.
    pub name: String,
    /// What is in it: `leads`.
    pub import_type: String,
    /// The file.
    pub file: ImportedFile,
    /// How it is to be understood.
    pub options: ImportOptions,
}

/// A rule that a command would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The stream is empty.
    #[error("there is no such import")]
    NotRequested,
    /// The id is taken.
    #[error("the import exists already")]
    AlreadyRequested,
    /// It does not wait any more.
    #[error("the import has begun already")]
    NotPending,
    /// Its rows are not being processed.
    #[error("the import is not under way")]
    NotProcessing,
    /// These rows were processed, or others come before them.
    #[error("other rows come next")]
    NotNext,
    /// Rows are still to come.
    #[error("the import is still under way; cancel it first")]
    StillUnderWay,
    /// What it did is not being taken back.
    #[error("the import is not being undone")]
    NotUndoing,
}
