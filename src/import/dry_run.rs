//! A dry run: every row of a file decided as in an import, by the same decision, and nothing of it kept.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError};

use aggregates::ids::CompanyId;
use aggregates::import::{FIRST_ROW, RowOutcomes};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::decision::{self, Common, Decided, Imagined};
use super::engine::{ImportRefusal, Imports, NewImport, OpenFile, Wanted};
use super::files::{FileError, Spooled};
use super::known_keys::Chunk;
use super::reading::{self, Ahead};
use super::rows::{ReadyRow, resolve};
use crate::ledger::rehearsal::Rehearsal;
use crate::ledger::{CommitError, IdKind, Provenance};

/// The most rows of a dry run: what became of each has to be in memory.
pub const MOST_ROWS: i64 = 100_000;

/// All dry runs of the process together have about as many rows as one of the largest; one that finds no room waits.
static ROOM: Semaphore = Semaphore::const_new(MOST_PERMITS as usize);
const MOST_PERMITS: u32 = 100;
/// So many rows, or bytes where the rows are not counted, are a permit.
const ROWS_A_PERMIT: u64 = 1_000;
const BYTES_A_PERMIT: u64 = 100_000;

/// What an import would do.
#[derive(Debug)]
pub struct DryRun {
    /// What would become of the rows.
    pub outcomes: Vec<RowOutcomes>,
    /// The rows that are like a lead or an earlier row, and that lead.
    pub like: BTreeMap<i64, i64>,
    /// Leads with a higher id are imagined.
    pub last_lead_id: i64,
    /// To be kept as long as the outcomes, or what is made of them.
    pub room: Option<SemaphorePermit<'static>>,
}

/// In which row of the file an e-mail or a phone number stands last: what is imagined of a lead need not be kept for longer.
#[derive(Default)]
struct LastRows {
    hasher: RandomState,
    rows: HashMap<u64, i64>,
    count: i64,
}

impl LastRows {
    async fn of(mut ahead: Ahead) -> Result<Self, ImportRefusal> {
        let mut last = Self::default();
        while let Some(rows) = ahead.recv().await {
            for read in rows.map_err(ImportRefusal::Unreadable)? {
                last.count += 1;
                if last.count > MOST_ROWS {
                    return Err(ImportRefusal::TooManyForDryRun);
                }
                let keys = read.said.map(|said| said.keys()).unwrap_or_default();
                for key in keys.email.iter().chain(&keys.phone) {
                    last.rows
                        .insert(last.hasher.hash_one(key.as_str()), read.row);
                }
            }
        }
        Ok(last)
    }

    fn is_after(&self, key: &str, row: i64) -> bool {
        let last = self.rows.get(&self.hasher.hash_one(key));
        last.is_some_and(|last| *last > row)
    }
}

impl Imports {
    /// What importing the file would do.
    ///
    /// # Errors
    /// See [`ImportRefusal`].
    pub async fn rehearse(
        &self,
        new: NewImport,
        spooled: &Spooled,
    ) -> Result<DryRun, ImportRefusal> {
        let file = || spooled.open().map_err(FileError::from);
        let open = async || {
            let opening = self.open(file()?, Wanted::Rows, &new.company, &new.options);
            opening.await
        };
        let first = open().await?;
        let weight = match first.reader.total() {
            Some(rows) => rows / ROWS_A_PERMIT,
            None => spooled.size / BYTES_A_PERMIT,
        };
        let weight = u32::try_from(weight + 1).unwrap_or(u32::MAX);
        let room = ROOM.acquire_many(weight.min(MOST_PERMITS)).await.ok();
        let last_rows = LastRows::of(reading::ahead(
            first.reader,
            first.columns,
            first.region,
            FIRST_ROW,
        ));
        let last_rows = last_rows.await?;
        let OpenFile {
            reader,
            columns,
            region,
        } = open().await?;
        let catalogue = self.catalogue(&new.company).await?;
        let mut ahead = reading::ahead(reader, columns.clone(), region, FIRST_ROW);
        let mut rehearsal = Rehearsal::begin(&self.pool, &self.clock).await?;
        let imagined: Imagined = Arc::default();
        let common = Common {
            import_id: 0,
            code: "dry run".into(),
            company: new.company.clone(),
            policy: new.options.duplicates,
            provenance: Provenance::system("import dry run"),
        };
        let mut run = DryRun {
            outcomes: Vec::new(),
            last_lead_id: rehearsal.last_id(IdKind::Lead),
            like: BTreeMap::new(),
            room,
        };
        while let Some(rows) = ahead.recv().await {
            let rows = VecDeque::from(rows.map_err(ImportRefusal::Unreadable)?);
            let last = rows.back().map_or(0, |read| read.row);
            let company = CompanyId(new.company.id);
            let ready = rows.into_iter().map(|read| ReadyRow {
                row: read.row,
                lead: read
                    .said
                    .and_then(|said| resolve(said, &columns, &catalogue, company, &new.options)),
            });
            let chunk = Chunk {
                rows: Arc::new(ready.collect()),
                decided: Decided::default(),
            };
            let (decided, memory) = (chunk.decided.clone(), Some(imagined.clone()));
            let mut work = decision::work(common.clone(), chunk, memory, None);
            let outcome = rehearsal.decide(&mut work).await?;
            outcome.map_err(CommitError::Refused)?;
            let wanted: HashSet<i64> = {
                let mut imagined = imagined.lock().unwrap_or_else(PoisonError::into_inner);
                imagined.fresh.keep(|key| last_rows.is_after(key, last));
                imagined.fresh.leads().collect()
            };
            rehearsal.keep_leads(&wanted);
            let decided = decided.lock().unwrap_or_else(PoisonError::into_inner);
            run.outcomes.extend(decided.clone());
        }
        let mut imagined = imagined.lock().unwrap_or_else(PoisonError::into_inner);
        run.like = std::mem::take(&mut imagined.like);
        Ok(run)
    }
}
