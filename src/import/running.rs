//! One import that this node has taken: its file, how far it is read, and the next step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use aggregates::ids::{CompanyId, UserId};
use aggregates::import::{ImportCommand, ImportOptions, ImportStatus};
use futures::future::BoxFuture;
use projections::companies;
use projections::imports::catalogue::Catalogue;
use projections::imports::list::{self, ImportRow};

use super::columns::Columns;
use super::decision::{self, Common, Decided};
use super::engine::{ImportRefusal, Imports, OpenFile, Wanted};
use super::files::{FileError, Spooled};
use super::known_keys::{Chunk, KnownKeys};
use super::pace::{self, Pace};
use super::reading::{self, Ahead, CHUNK_BYTES, Read};
use super::rows::{ReadyRow, resolve};
use super::runner::RunError;
use super::undo::Undoing;
use crate::ledger::{
    self, Actor, CommitError, Committed, Provenance, Refusal, StreamKey, StreamKind, Work,
};
use crate::tabular::TabularError;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    More,
    /// Nothing more happens by itself.
    AtRest,
    /// This node's object store does not have the file.
    NotHere,
}

/// Why a file fails as a whole.
struct Fault {
    /// A stable code.
    reason: &'static str,
    /// What is wrong and where, in words.
    detail: Option<String>,
}

impl Fault {
    fn of(reason: &'static str) -> Self {
        Self {
            reason,
            detail: None,
        }
    }

    /// What is wrong with the file itself; the error is when that is the disk, which is tried again.
    fn of_file(error: TabularError) -> Result<Self, RunError> {
        match error {
            TabularError::Io(error) => Err(FileError::from(error).into()),
            error => Ok(Self {
                reason: "unreadable_file",
                detail: Some(format!("the file {error}")),
            }),
        }
    }

    fn into_command(self) -> ImportCommand {
        ImportCommand::Fail {
            reason: self.reason.to_owned(),
            detail: self.detail,
        }
    }
}

/// See the module's text.
pub struct Running {
    id: i64,
    stage: Stage,
}

enum Stage {
    /// Nothing is known of it but its id.
    Unknown,
    Rows(Box<Rows>),
    Undoing(Box<Undoing>),
}

/// An import whose rows are being processed.
struct Rows {
    /// Keeps the file.
    _file: Spooled,
    columns: Columns,
    options: ImportOptions,
    common: Common,
    ahead: Ahead,
    waiting: VecDeque<Read>,
    /// Why the file cannot be read on.
    fault: Option<TabularError>,
    under_way: VecDeque<Sent>,
    /// When the last chunk was known to be on disk.
    committed_at: Option<Instant>,
    /// `None` for a short file.
    known: Option<KnownKeys>,
    catalogue: Catalogue,
    /// The ledger position of the last event that touched catalogues, when the catalogue was read.
    catalogue_as_of: i64,
}

/// How many chunks are with the ledger at a time: one that is written, one that is decided, and one that waits, so that the ledger need not.
const UNDER_WAY: usize = 3;

/// A chunk that is with the ledger.
struct Sent {
    chunk: Chunk,
    answer: BoxFuture<'static, Result<Committed, CommitError>>,
    at: Instant,
    /// How many its cells have.
    bytes: usize,
}

impl Running {
    /// An import that was just taken.
    #[must_use]
    pub fn new(id: i64) -> Self {
        Self {
            id,
            stage: Stage::Unknown,
        }
    }

    /// The import.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Begins again from what the ledger says, after something went wrong.
    pub fn forget(&mut self) {
        self.stage = Stage::Unknown;
    }

    /// Does a little of it: one commit.
    ///
    /// # Errors
    /// See [`RunError`]; the step may be made again after [`Running::forget`].
    pub async fn step(&mut self, imports: &Imports, pace: &mut Pace) -> Result<Step, RunError> {
        let outcome = match &mut self.stage {
            Stage::Unknown => self.open(imports).await,
            Stage::Rows(rows) => rows.step(imports, pace).await,
            Stage::Undoing(undoing) => undoing.step(imports).await,
        };
        match outcome {
            // It was cancelled, or somebody else went on with it: the ledger tells.
            Err(RunError::Ledger(CommitError::Refused(Refusal::Import(_)))) => {
                self.forget();
                Ok(Step::More)
            }
            // A defect: it would meet the same rows for ever.
            Err(RunError::Ledger(CommitError::Broken(why))) => {
                tracing::error!(import = self.id, why, "an import cannot go on");
                command(imports, self.id, Fault::of("internal").into_command()).await?;
                Ok(Step::AtRest)
            }
            outcome => outcome,
        }
    }

    async fn open(&mut self, imports: &Imports) -> Result<Step, RunError> {
        let mut connection = imports.pool.acquire().await?;
        let row = list::by_id(&mut connection, self.id).await?;
        drop(connection);
        let Some(row) = row else {
            return Ok(Step::AtRest);
        };
        match ImportStatus::from_code(&row.status) {
            Some(ImportStatus::Undoing) => {
                let common = common(imports, &row, "ImportUndoRequested").await?;
                let undoing = Undoing::plan(imports, common).await?;
                self.stage = Stage::Undoing(Box::new(undoing));
                Ok(Step::More)
            }
            Some(ImportStatus::Pending | ImportStatus::Processing) => {
                let Some(file) = imports.files.fetch(&row.import_code).await? else {
                    return missing(imports, &row).await;
                };
                match Rows::open(imports, &row, file).await? {
                    Ok(rows) => {
                        self.stage = Stage::Rows(Box::new(rows));
                        Ok(Step::More)
                    }
                    Err(fault) => {
                        command(imports, self.id, fault.into_command()).await?;
                        Ok(Step::AtRest)
                    }
                }
            }
            _ => Ok(Step::AtRest),
        }
    }
}

/// A file that no node has found for a day is gone.
async fn missing(imports: &Imports, row: &ImportRow) -> Result<Step, RunError> {
    if imports.clock.now() - row.created_at < chrono::TimeDelta::days(1) {
        return Ok(Step::NotHere);
    }
    command(imports, row.id, Fault::of("file_missing").into_command()).await?;
    Ok(Step::AtRest)
}

async fn common(imports: &Imports, row: &ImportRow, asked_by: &str) -> Result<Common, RunError> {
    let mut connection = imports.pool.acquire().await?;
    let company = companies::by_id(&mut connection, CompanyId(row.company_id)).await?;
    let company = company.ok_or(sqlx::Error::RowNotFound)?;
    let stream = StreamKey::new(StreamKind::Import, row.id);
    let asked = Provenance::of_last(&mut connection, stream, asked_by).await?;
    drop(connection);
    let options: ImportOptions = serde_json::from_value(row.options.clone()).unwrap_or_default();
    Ok(Common {
        import_id: row.id,
        code: row.import_code.as_str().into(),
        company: company.into(),
        policy: options.duplicates,
        provenance: provenance(asked, row),
    })
}

/// What an import, or its undo, does is done by who asked for it, from there and for that reason, whichever server runs it, and also after
/// a restart.
fn provenance(asked: Option<Provenance>, row: &ImportRow) -> Provenance {
    let user = || row.user_id.map(|id| Actor::User(UserId(id)));
    let source = format!("import {}", row.import_code);
    match asked {
        Some(asked) => Provenance { source, ..asked },
        None => Provenance {
            actor: user().unwrap_or(Actor::System),
            ..Provenance::system(&source)
        },
    }
}

async fn command(imports: &Imports, id: i64, command: ImportCommand) -> Result<(), CommitError> {
    let prepare = |decision| Work::new(Provenance::system("import"), decision);
    imports.command(id, command, prepare).await
}

impl Rows {
    /// Opens the file where the import is; the inner error is why it cannot be read.
    async fn open(
        imports: &Imports,
        row: &ImportRow,
        file: Spooled,
    ) -> Result<Result<Self, Fault>, RunError> {
        let common = common(imports, row, "ImportRequested").await?;
        let options: ImportOptions =
            serde_json::from_value(row.options.clone()).unwrap_or_default();
        let reopened = file.open().map_err(FileError::from)?;
        let opening = imports.open(reopened, Wanted::Rows, &common.company, &options);
        let opened = match opening.await {
            Ok(opened) => opened,
            Err(ImportRefusal::Database(error)) => return Err(error.into()),
            Err(ImportRefusal::Header(error)) => {
                return Ok(Err(Fault {
                    reason: "header_not_understood",
                    detail: Some(error.to_string()),
                }));
            }
            Err(ImportRefusal::Unreadable(error)) => return Fault::of_file(error).map(Err),
            Err(ImportRefusal::Storage(error)) => return Err(error.into()),
            Err(ImportRefusal::Commit(error)) => return Err(error.into()),
            Err(ImportRefusal::TooManyForDryRun | ImportRefusal::ImportedBefore { .. }) => {
                return Ok(Err(Fault::of("internal")));
            }
        };
        let OpenFile {
            reader,
            columns,
            region,
        } = opened;
        let mut total_rows = row.total_rows.unwrap_or_default();
        if row.started_at.is_none() {
            let counted = if let Some(total) = reader.total() {
                Ok(i64::try_from(total).unwrap_or(i64::MAX))
            } else {
                let counting = file.open().map_err(FileError::from)?;
                reading::count(imports, counting, &options).await
            };
            total_rows = match counted {
                Ok(total_rows) => total_rows,
                Err(error) => return Fault::of_file(error).map(Err),
            };
            let columns = columns.understood();
            let start = ImportCommand::Start {
                total_rows,
                columns,
            };
            let provenance = common.provenance.clone();
            let prepare = |decision| Work::new(provenance, decision);
            imports.command(row.id, start, prepare).await?;
        }
        let next = aggregates::import::FIRST_ROW + row.processed_rows();
        let known = {
            let mut connection = imports.pool.acquire().await?;
            let rows = total_rows - row.processed_rows();
            KnownKeys::load(&mut connection, common.company.id, rows).await?
        };
        Ok(Ok(Self {
            _file: file,
            ahead: reading::ahead(reader, columns.clone(), region, next),
            columns,
            options,
            common,
            waiting: VecDeque::new(),
            fault: None,
            under_way: VecDeque::new(),
            committed_at: None,
            known,
            catalogue: Catalogue::default(),
            catalogue_as_of: -1,
        }))
    }

    /// One chunk more is on disk after it. Others are under way behind it: the ledger decides each while the database writes the one before.
    async fn step(&mut self, imports: &Imports, pace: &mut Pace) -> Result<Step, RunError> {
        while self.has_room() && self.send(imports, pace).await? {}
        let id = self.common.import_id;
        let Some(sent) = self.under_way.pop_front() else {
            if let Some(error) = self.fault.take() {
                tracing::warn!(%error, import = id, "a file cannot be read to its end");
                command(imports, id, Fault::of_file(error)?.into_command()).await?;
                return Ok(Step::AtRest);
            }
            let provenance = self.common.provenance.clone();
            let prepare = |decision| Work::new(provenance, decision);
            imports
                .command(id, ImportCommand::Complete, prepare)
                .await?;
            return Ok(Step::AtRest);
        };
        let Sent {
            chunk, answer, at, ..
        } = sent;
        let committed = answer.await?;
        let began = self.committed_at.map_or(at, |before| before.max(at));
        self.committed_at = Some(Instant::now());
        pace.learn(&pace::Chunk {
            rows: chunk.rows.len(),
            took: began.elapsed(),
            events: chunk.events().unwrap_or_default(),
            position: committed.position,
            submitted: imports.ledger.submitted(),
        });
        Ok(Step::More)
    }

    /// Whether one more chunk may be under way: long rows go one after the other.
    fn has_room(&self) -> bool {
        let bytes: usize = self.under_way.iter().map(|sent| sent.bytes).sum();
        self.under_way.len() < UNDER_WAY && bytes <= CHUNK_BYTES
    }

    /// How many of the waiting rows make a chunk: as many as are wanted, or fewer when they are long; `None` when they do not fill one.
    fn ready(&self, wanted: usize) -> Option<usize> {
        let mut bytes = 0;
        let full = self.waiting.iter().position(|row| {
            bytes += row.bytes;
            bytes > CHUNK_BYTES
        });
        let full = full.map_or(wanted, |last| wanted.min(last + 1));
        (self.waiting.len() >= full).then_some(full)
    }

    /// Sends the next chunk on its way; whether there was one.
    async fn send(&mut self, imports: &Imports, pace: &mut Pace) -> Result<bool, RunError> {
        let wanted = pace.rows();
        while self.ready(wanted).is_none() && self.fault.is_none() {
            match self.ahead.recv().await {
                Some(Ok(rows)) => self.waiting.extend(rows),
                // What was read before the fault comes first.
                Some(Err(error)) => self.fault = Some(error),
                None => break,
            }
        }
        if self.waiting.is_empty() {
            return Ok(false);
        }
        self.refresh(imports).await?;
        let rows = self.ready(wanted).unwrap_or(self.waiting.len());
        let bytes = self.waiting.iter().take(rows).map(|read| read.bytes).sum();
        let chunk = self.waiting.drain(..rows);
        let (columns, catalogue, options) = (&self.columns, &self.catalogue, &self.options);
        let company = CompanyId(self.common.company.id);
        let chunk = chunk.map(|read| ReadyRow {
            row: read.row,
            lead: read
                .said
                .and_then(|said| resolve(said, columns, catalogue, company, options)),
        });
        let chunk = Chunk {
            rows: Arc::new(chunk.collect()),
            decided: Decided::default(),
        };
        let known = self.known.clone();
        let work = decision::work(self.common.clone(), chunk.clone(), None, known);
        let answer = imports.ledger.submit(work)?;
        pace.sent();
        self.under_way.push_back(Sent {
            chunk,
            answer: Box::pin(answer),
            at: Instant::now(),
            bytes,
        });
        Ok(true)
    }

    /// Reads company and catalogue anew when something that touches them has happened.
    async fn refresh(&mut self, imports: &Imports) -> Result<(), RunError> {
        let mut connection = imports.pool.acquire().await?;
        let as_of = ledger::authority_position(&mut connection).await?;
        if as_of == self.catalogue_as_of {
            return Ok(());
        }
        let id = CompanyId(self.common.company.id);
        let company = companies::by_id(&mut connection, id).await?;
        self.common.company = company.ok_or(sqlx::Error::RowNotFound)?.into();
        drop(connection);
        self.catalogue = imports.catalogue(&self.common.company).await?;
        self.catalogue_as_of = as_of;
        Ok(())
    }
}
