//! Makes zone maps (`projections::zone_maps`) in the background: of the lists whose past was found slow to read.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aggregates::ids::CompanyId;
use projections::leads::past::PastPage;
use projections::zone_maps::{ZonedList, build};
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::sync::mpsc;

use super::moment::Moment;

/// A list of the past that had to be read as a whole, and took so long, is worth a map.
const SLOW: Duration = Duration::from_millis(5);
/// What fewer rows and versions than these have is slow for another reason.
const FEWEST_ROWS: i64 = 2_000;
/// The same map is not made anew for this long, nor for so many times as long as it took to make.
const REST: Duration = Duration::from_secs(10);
const REST_TIMES: u32 = 50;
/// So many wait; who is not taken asks again.
const WAITING: usize = 64;

/// A page that was slow.
struct Slow {
    company: CompanyId,
    list: &'static ZonedList,
    /// The position as of which it was read.
    moment: i64,
}

/// Where slow pages are told. Cheap to clone; the work ends when all clones are gone.
#[derive(Debug, Clone)]
pub struct ZoneMaps {
    slow: mpsc::Sender<Slow>,
    waiting: Waiting,
}

/// The lists that wait for a map, so that each waits once.
type Waiting = Arc<Mutex<HashSet<Which>>>;
type Which = (CompanyId, &'static str);

impl std::fmt::Debug for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.list.name, self.company)
    }
}

impl ZoneMaps {
    /// Begins to listen.
    #[must_use]
    pub fn start(pool: &PgPool) -> Self {
        let (slow, told) = mpsc::channel(WAITING);
        let waiting = Waiting::default();
        tokio::spawn(run(pool.clone(), told, waiting.clone()));
        Self { slow, waiting }
    }

    /// Tells how long the reading of a page of this moment took. Never waits.
    pub fn took(&self, company: CompanyId, read: &PastPage, moment: Moment, time: Duration) {
        let Some(list) = read.unmapped.filter(|_| time >= SLOW) else {
            return;
        };
        let slow = Slow {
            company,
            list,
            moment: moment.position,
        };
        let mut waiting = lock(&self.waiting);
        // Where too many wait, this one will be as slow the next time.
        if waiting.insert(slow.which()) && self.slow.try_send(slow).is_err() {
            waiting.remove(&(company, list.name));
        }
    }
}

impl Slow {
    const fn which(&self) -> Which {
        (self.company, self.list.name)
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashSet<Which>> {
    // One call inserts or removes one: a panic elsewhere leaves it sound.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(pool: PgPool, mut told: mpsc::Receiver<Slow>, waiting: Waiting) {
    let mut resting: HashMap<Which, Instant> = HashMap::new();
    while let Some(slow) = told.recv().await {
        let which = slow.which();
        lock(&waiting).remove(&which);
        let begun = Instant::now();
        resting.retain(|_, until| *until > begun);
        if resting.contains_key(&which) {
            continue;
        }
        match make(&pool, &slow).await {
            Ok(false) => {}
            Ok(true) => {
                let (company, list) = (slow.company.get(), slow.list.name);
                tracing::info!(company, list, time = ?begun.elapsed(), "made a zone map");
            }
            Err(error) => tracing::warn!(%error, ?slow, "a zone map was not made"),
        }
        let rest = REST.max(begun.elapsed() * REST_TIMES);
        resting.insert(which, Instant::now() + rest);
    }
}

/// Whether one was made: not where there is one that tells about the moment, or there are few rows, or another node makes it.
async fn make(pool: &PgPool, slow: &Slow) -> Result<bool, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    transaction
        .execute("SET LOCAL statement_timeout = '10min'; SET LOCAL work_mem = '32MB'; SET LOCAL jit = off")
        .await?;
    if !build::is_wanted(&mut transaction, slow.company, slow.list, slow.moment).await? {
        return Ok(false);
    }
    let made = make_now(&mut transaction, slow).await?;
    transaction.commit().await?;
    Ok(made)
}

async fn make_now(connection: &mut PgConnection, slow: &Slow) -> Result<bool, sqlx::Error> {
    let rows = build::rows(connection, slow.company, slow.list).await?;
    if rows < FEWEST_ROWS {
        return Ok(false);
    }
    build::build(connection, slow.company, slow.list, build::ZONE_ROWS).await?;
    Ok(true)
}
