//! The background work of importing: every node runs some of the imports that are under way, a chunk of rows of one company after
//! the other.
//!
//! A node takes an import by an advisory lock that lives as long as a connection of its own; when the node dies, another goes on
//! after the last row that was committed. The lock spares double work, no more: which rows come next, the import's own stream
//! decides. A node whose object store does not have the file leaves the import to others.
//!
//! Fairness: companies take turns, and within a company its oldest import comes first; what is to be undone before others, the newest
//! first. One chunk is under way at a time, so that
//! whoever writes beside it waits for one chunk at most; and chunks are small while others write.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use projections::imports::list::{self, UnderWay};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::engine::Imports;
use super::files::FileError;
use super::pace::Pace;
use super::running::{Running, Step};
use super::search_index::Sorting;
use crate::ledger::{CommitError, import_locks};

/// How often a node looks for imports that others brought.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the lock's connection is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How long an import whose file this node does not have is left to others.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(5);
/// The most imports that a node has open at a time.
const MOST_OPEN: usize = 16;

/// Why a step could not be made; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database could not be read.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// A command was not committed.
    #[error("the ledger: {0}")]
    Ledger(#[from] CommitError),
    /// The file could not be fetched.
    #[error("the file: {0}")]
    File(#[from] FileError),
}

/// Works until it is dropped.
pub async fn run(imports: Imports, options: PgConnectOptions) {
    let options = options.application_name("leadledger imports");
    loop {
        if let Err(error) = work(&imports, &options, None).await {
            tracing::warn!(%error, "imports wait");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Runs this one import until it has come to rest, beside whatever nodes there are.
///
/// # Errors
/// What the database answers.
pub async fn run_one(
    imports: &Imports,
    options: &PgConnectOptions,
    import: i64,
) -> Result<(), RunError> {
    let options = options.clone().application_name("leadledger import");
    work(imports, &options, Some(import)).await
}

/// The imports that this node has, in the order in which they take turns.
#[derive(Default)]
struct Turns {
    companies: VecDeque<(i64, VecDeque<Running>)>,
    left_to_others: HashMap<i64, Instant>,
}

impl Turns {
    fn len(&self) -> usize {
        self.companies
            .iter()
            .map(|(_, imports)| imports.len())
            .sum()
    }

    fn has(&self, import: i64) -> bool {
        let mut all = self.companies.iter().flat_map(|(_, imports)| imports);
        all.any(|running| running.id() == import)
    }

    fn add(&mut self, company: i64, running: Running) {
        match self.companies.iter_mut().find(|(id, _)| *id == company) {
            Some((_, imports)) => imports.push_back(running),
            None => self
                .companies
                .push_back((company, VecDeque::from([running]))),
        }
    }

    /// Whose turn it is; it goes to the end of the row.
    fn next(&mut self) -> Option<&mut Running> {
        self.companies.retain(|(_, imports)| !imports.is_empty());
        self.companies
            .rotate_left(usize::from(self.companies.len() > 1));
        self.companies.back_mut()?.1.front_mut()
    }

    /// The one whose turn it was has ended here.
    fn drop_current(&mut self) {
        if let Some((_, imports)) = self.companies.back_mut() {
            imports.pop_front();
        }
    }
}

async fn work(
    imports: &Imports,
    options: &PgConnectOptions,
    only: Option<i64>,
) -> Result<(), RunError> {
    let mut locks = options.connect().await?;
    let mut turns = Turns::default();
    let mut pace = Pace::default();
    let mut looked: Option<Instant> = None;
    let mut pinged = Instant::now();
    let mut sorting: Option<Sorting> = None;
    loop {
        if looked.is_none_or(|at| at.elapsed() > LOOK_EVERY) {
            looked = Some(Instant::now());
            let under_way = list::under_way(&mut locks).await?;
            if let Some(only) = only
                && !under_way.iter().any(|import| import.id == only)
            {
                if let Some(sorting) = sorting.take() {
                    sorting.end().await;
                }
                return Ok(());
            }
            let wanted = |import: &&UnderWay| only.is_none_or(|only| import.id == only);
            for import in under_way.iter().filter(wanted) {
                take(&mut locks, &mut turns, *import).await?;
            }
        }
        if pinged.elapsed() > PING_EVERY {
            pinged = Instant::now();
            locks.ping().await?;
        }
        pace.shared_by(turns.len());
        let Some(running) = turns.next() else {
            if let Some(sorting) = sorting.take() {
                sorting.end().await;
            }
            let woken = tokio::time::timeout(LOOK_EVERY, imports.wake.notified()).await;
            if woken.is_ok() {
                looked = None;
            }
            continue;
        };
        sorting.get_or_insert_with(|| Sorting::begin(options));
        let id = running.id();
        match running.step(imports, &mut pace).await {
            Ok(Step::More) => {}
            Ok(Step::AtRest) => {
                turns.drop_current();
                import_locks::give_up(&mut locks, id).await?;
                looked = None;
            }
            Ok(Step::NotHere) => {
                turns.drop_current();
                turns.left_to_others.insert(id, Instant::now());
                import_locks::give_up(&mut locks, id).await?;
            }
            Err(error) => {
                tracing::warn!(%error, import = id, "an import waits");
                running.forget();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

async fn take(
    locks: &mut PgConnection,
    turns: &mut Turns,
    import: UnderWay,
) -> Result<(), sqlx::Error> {
    let left = turns.left_to_others.get(&import.id);
    if turns.has(import.id)
        || turns.len() >= MOST_OPEN
        || left.is_some_and(|at| at.elapsed() < LEFT_TO_OTHERS)
    {
        return Ok(());
    }
    let locked = import_locks::try_take(locks, import.id).await?;
    if locked {
        turns.left_to_others.remove(&import.id);
        turns.add(import.company_id, Running::new(import.id));
    }
    Ok(())
}
