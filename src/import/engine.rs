//! What importing works with, and how an import begins, is called off, and is taken back.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use aggregates::ids::{CompanyId, ImportId, UserId};
use aggregates::import::{Import, ImportCommand, ImportOptions, ImportedFile, RequestImport};
use aggregates::phone::Region;
use projections::companies::CompanyRow;
use projections::facts::Fact;
use projections::imports::catalogue::{self, Catalogue};
use projections::imports::{IMPORTS_OF_FILE, file_key, list};
use sqlx::PgPool;
use tokio::sync::{Notify, Semaphore};

use super::columns::{self, Columns, HeaderError};
use super::files::{FileError, ImportFiles, Spooled};
use crate::clock::Clock;
use crate::ledger::{
    CommitError, Committed, Decision, IdKind, Ledger, Refusal, StreamKey, StreamKind, Work,
};
use crate::lineage;
use crate::plan_limits::PlanLimits;
use crate::tabular::{self, TabularError};

/// The one type of import there is.
pub const LEADS: &str = "leads";

/// How many files are looked through at a time: each takes a thread, and its buffers.
static LOOKING: Semaphore = Semaphore::const_new(4);

/// How much of a file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Its header.
    Header,
    /// Its rows too. Those of a workbook are written to the disk first, so that it is not held in memory while they are worked on.
    Rows,
}

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct Imports {
    /// For reads.
    pub pool: PgPool,
    /// For writes.
    pub ledger: Ledger,
    /// The time.
    pub clock: Clock,
    /// The files.
    pub files: ImportFiles,
    /// Rouses this node's runner.
    pub wake: Arc<Notify>,
}

/// Why a file is not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportRefusal {
    /// Too large, or the disk or the store fail.
    #[error(transparent)]
    Storage(#[from] FileError),
    /// It cannot be read.
    #[error("the file {0}")]
    Unreadable(TabularError),
    /// Its header is not understood.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// More rows than a dry run imagines.
    #[error("a dry run takes at most {} rows", super::dry_run::MOST_ROWS)]
    TooManyForDryRun,
    /// The company imported the same bytes before.
    #[error(
        "This company imported the same file before (import {code}); send force=true to import it again."
    )]
    ImportedBefore {
        /// The last import of them.
        code: String,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The ledger.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// What is to be imported.
#[derive(Debug, Clone)]
pub struct NewImport {
    /// Where the leads go.
    pub company: Arc<CompanyRow>,
    /// Who wants it; nobody for a program.
    pub user_id: Option<UserId>,
    /// What the file is called.
    pub name: String,
    /// How it is to be understood.
    pub options: ImportOptions,
    /// Also when the company imported the same file before.
    pub force: bool,
}

/// A file that is open, its header understood.
pub struct OpenFile {
    /// The rows.
    pub reader: tabular::Reader,
    /// What the columns are.
    pub columns: Columns,
    /// Where its phone numbers are read.
    pub region: Region,
}

impl Imports {
    /// What rows may name in the company.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn catalogue(&self, company: &CompanyRow) -> Result<Catalogue, sqlx::Error> {
        catalogue::of_path(&mut *self.pool.acquire().await?, &company.path).await
    }

    /// Opens the file and understands its header.
    ///
    /// # Errors
    /// What is wrong with the file, or with the mapping.
    pub async fn open(
        &self,
        file: File,
        wanted: Wanted,
        company: &CompanyRow,
        options: &ImportOptions,
    ) -> Result<OpenFile, ImportRefusal> {
        let catalogue = self.catalogue(company).await?;
        let reader = self.reader(file, wanted, options);
        let reader = reader.await.map_err(ImportRefusal::Unreadable)?;
        let columns = Columns::understand(reader.header(), &options.mapping, &catalogue)?;
        Ok(OpenFile {
            reader,
            columns,
            region: Region::parse(&company.region).unwrap_or_default(),
        })
    }

    /// Keeps the file and begins the import, which is the resource of what is answered. `prepare` makes the command of the decision, so that it carries
    /// who wants it.
    ///
    /// # Errors
    /// See [`ImportRefusal`]; then nothing is kept.
    pub async fn begin(
        &self,
        new: NewImport,
        spooled: &Spooled,
        prepare: impl FnOnce(Decision) -> Work,
    ) -> Result<Committed, ImportRefusal> {
        let opened = self.open(
            spooled.open().map_err(FileError::from)?,
            Wanted::Header,
            &new.company,
            &new.options,
        );
        drop(opened.await?);
        let code = self.clock.new_id().to_string();
        let hash = self.ledger.file_hash(new.company.id, &spooled.digest);
        let request = RequestImport {
            import_id: ImportId(0),
            import_code: code.clone(),
            company_id: CompanyId(new.company.id),
            user_id: new.user_id,
            name: new.name,
            import_type: LEADS.to_owned(),
            file: ImportedFile {
                size: i64::try_from(spooled.size).unwrap_or(i64::MAX),
                hash: hash.clone(),
            },
            options: new.options,
        };
        let same_file = Fact {
            kind: &IMPORTS_OF_FILE,
            id: file_key(&hash),
        };
        let limits = PlanLimits::of(&new.company);
        let force = new.force;
        let work = prepare(Box::new(move |unit| {
            let mut before = unit.fact(same_file);
            if let Some(import_id) = before.keys().last().copied().filter(|_| !force) {
                return Err(Refusal::ImportedBefore { import_id });
            }
            limits.add_import(unit)?;
            let import_id = unit.next_id(IdKind::Import);
            before.insert(import_id, 1);
            unit.set_fact(same_file, before);
            let request = RequestImport {
                import_id: ImportId(import_id),
                ..request.clone()
            };
            unit.execute::<Import>(import_id, ImportCommand::Request(Box::new(request)))?;
            Ok(import_id)
        }));
        let work = limits.watch_imports(lineage::reading(work.reading(same_file), &new.company));
        self.files.keep(&code, spooled).await?;
        match self.ledger.commit(work).await {
            Ok(committed) => {
                if committed.replayed {
                    self.files.remove(&code).await;
                }
                self.wake.notify_one();
                Ok(committed)
            }
            // Whether it is on record is not known: the file may be needed.
            Err(error @ CommitError::Unavailable) => Err(error.into()),
            Err(error) => {
                self.files.remove(&code).await;
                Err(match error {
                    CommitError::Refused(Refusal::ImportedBefore { import_id }) => {
                        self.imported_before(import_id).await?
                    }
                    error => error.into(),
                })
            }
        }
    }

    async fn imported_before(&self, import_id: i64) -> Result<ImportRefusal, sqlx::Error> {
        let before = list::by_id(&mut *self.pool.acquire().await?, import_id).await?;
        let code = before.map(|import| import.import_code).unwrap_or_default();
        Ok(ImportRefusal::ImportedBefore { code })
    }

    /// Carries a command about one import out.
    ///
    /// # Errors
    /// What the ledger answers.
    pub async fn command(
        &self,
        import_id: i64,
        command: ImportCommand,
        prepare: impl FnOnce(Decision) -> Work,
    ) -> Result<(), CommitError> {
        let work = prepare(Box::new(move |unit| {
            unit.execute::<Import>(import_id, command.clone())?;
            Ok(import_id)
        }));
        let stream = StreamKey::new(StreamKind::Import, import_id);
        self.ledger.commit(work.on(stream)).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// Opens a file of rows on a blocking thread; waits while others are opening as many as may be opened at a time.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub async fn reader(
        &self,
        file: File,
        wanted: Wanted,
        options: &ImportOptions,
    ) -> Result<tabular::Reader, TabularError> {
        let options = tabular::Options {
            sheet: options.sheet.clone(),
            usable: options.mapping.is_empty().then_some(columns::looks_usable),
            ..tabular::Options::default()
        };
        let folder: PathBuf = self.files.spool_folder().to_owned();
        // It is never closed; were it, reading on would be right.
        let _looking = LOOKING.acquire().await;
        let opening = tokio::task::spawn_blocking(move || {
            let reader = tabular::open(file, &options)?;
            match wanted {
                Wanted::Header => Ok(reader),
                Wanted::Rows => reader.settle(&folder),
            }
        });
        match opening.await {
            Ok(opened) => opened,
            // A reader that panics has met a damaged file.
            Err(_) => Err(TabularError::NoHeader),
        }
    }
}
