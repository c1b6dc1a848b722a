//! Makes zone maps (`projections::zone_maps`) in the background: of the lists that have become large, before anybody looks back, and of those
//! whose past was found slow to read. It is also from here that counters of the past are put together now and then (`count_spans`).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aggregates::ids::CompanyId;
use projections::leads::past::PastPage;
use projections::zone_maps::survey::{self, Maps};
use projections::zone_maps::{ZonedList, build};
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::sync::mpsc;

use super::count_spans;
use super::erasure::UNDER_WAY;
use super::moment::Moment;

/// A list of the past that had to be read as a whole, and took so long, is worth a map.
const SLOW: Duration = Duration::from_millis(5);
/// What fewer rows and versions than these have is slow for another reason.
const FEWEST_ROWS: i64 = 2_000;
/// The same map is not made anew for this long, nor for so many times as long as it took to make.
const REST: Duration = Duration::from_secs(10);
const REST_TIMES: u32 = 50;
/// A list with so many rows and versions gets its map before anybody asks, and so do as many more before it is made anew: what fewer are
/// takes about as long to walk through as the rest of a request.
const LARGE: i64 = 5_000;
/// How often it is looked for such lists, while something happens. An import is waited for.
const SURVEY: Duration = Duration::from_secs(30);
/// So many wait; who is not taken asks again.
const WAITING: usize = 64;

/// A map that is to be made.
struct Wanted {
    company: CompanyId,
    list: &'static ZonedList,
    /// The position that it is to tell about: the one as of which a page was slow, or whichever is the last.
    moment: i64,
}

/// Where slow pages are told. Cheap to clone; the work ends when all clones are gone.
#[derive(Debug, Clone)]
pub struct ZoneMaps {
    slow: mpsc::Sender<Wanted>,
    waiting: Waiting,
}

/// The lists that wait for a map, so that each waits once.
type Waiting = Arc<Mutex<HashSet<Which>>>;
type Which = (CompanyId, &'static str);

impl std::fmt::Debug for Wanted {
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
        tokio::spawn(look_around_now_and_then(pool.clone(), slow.downgrade()));
        Self { slow, waiting }
    }

    /// Tells how long the reading of a page of this moment took. Never waits.
    pub fn took(&self, company: CompanyId, read: &PastPage, moment: Moment, time: Duration) {
        let Some(list) = read.unmapped.filter(|_| time >= SLOW) else {
            return;
        };
        let wanted = Wanted {
            company,
            list,
            moment: moment.position,
        };
        let mut waiting = lock(&self.waiting);
        // Where too many wait, this one will be as slow the next time.
        if waiting.insert(wanted.which()) && self.slow.try_send(wanted).is_err() {
            waiting.remove(&(company, list.name));
        }
    }
}

impl Wanted {
    const fn which(&self) -> Which {
        (self.company, self.list.name)
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashSet<Which>> {
    // One call inserts or removes one: a panic elsewhere leaves it sound.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(pool: PgPool, mut told: mpsc::Receiver<Wanted>, waiting: Waiting) {
    let mut resting: HashMap<Which, Instant> = HashMap::new();
    while let Some(wanted) = told.recv().await {
        let which = wanted.which();
        lock(&waiting).remove(&which);
        let begun = Instant::now();
        resting.retain(|_, until| *until > begun);
        if resting.contains_key(&which) {
            continue;
        }
        make_and_tell(&pool, &wanted).await;
        let rest = REST.max(begun.elapsed() * REST_TIMES);
        resting.insert(which, Instant::now() + rest);
    }
}

/// Makes the maps of lists that have become large, and puts many counters together, as long as somebody is there to tell of slow lists.
async fn look_around_now_and_then(pool: PgPool, telling: mpsc::WeakSender<Wanted>) {
    let mut seen = None;
    let mut counters = count_spans::Seen::default();
    loop {
        tokio::time::sleep(SURVEY).await;
        if telling.upgrade().is_none() {
            break;
        }
        match look_around(&pool, &mut seen).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "it was not looked for lists without zone maps"),
        }
        match count_spans::look_around(&pool, &mut counters).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "counters of the past were not put together"),
        }
    }
}

/// What there was when it was looked around last. As long as little happens, and none of these maps is missing, nothing is to be made: some go with an
/// erasure or a rebuild.
struct Seen {
    position: i64,
    maps: Maps,
}

async fn look_around(pool: &PgPool, seen: &mut Option<Seen>) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let (position, mut maps) = survey::now(&mut connection).await?;
    let is_same = |seen: &Seen| seen.maps.is_subset(&maps) && position - seen.position < LARGE;
    if seen.as_ref().is_some_and(is_same) || imports_are_under_way(&mut connection).await? {
        return Ok(());
    }
    let lists = survey::wanted(&mut connection, LARGE).await?;
    drop(connection);
    for (company, list) in lists {
        let wanted = Wanted {
            company,
            list,
            moment: i64::MAX,
        };
        let begun = Instant::now();
        if make_and_tell(pool, &wanted).await {
            // One that is deleted before the last is made is missed the next time.
            maps.insert((company.get(), list.name.to_owned()));
        }
        // Others want to work, too.
        tokio::time::sleep(begun.elapsed()).await;
        if imports_are_under_way(&mut *pool.acquire().await?).await? {
            return Ok(());
        }
    }
    *seen = Some(Seen { position, maps });
    Ok(())
}

pub(super) async fn imports_are_under_way(
    connection: &mut PgConnection,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(&format!(
        "SELECT EXISTS (SELECT 1 FROM imports WHERE status IN ({UNDER_WAY}))"
    ))
    .fetch_one(connection)
    .await
}

/// Whether one was made.
async fn make_and_tell(pool: &PgPool, wanted: &Wanted) -> bool {
    let begun = Instant::now();
    match make(pool, wanted).await {
        Ok(false) => false,
        Ok(true) => {
            let (company, list) = (wanted.company.get(), wanted.list.name);
            tracing::info!(company, list, time = ?begun.elapsed(), "made a zone map");
            true
        }
        Err(error) => {
            tracing::warn!(%error, ?wanted, "a zone map was not made");
            false
        }
    }
}

/// Whether one was made: not where there is one that tells about the moment, or there are few rows, or another node makes it.
async fn make(pool: &PgPool, wanted: &Wanted) -> Result<bool, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    transaction
        .execute("SET LOCAL statement_timeout = '10min'; SET LOCAL work_mem = '32MB'; SET LOCAL jit = off")
        .await?;
    if !build::is_wanted(&mut transaction, wanted.company, wanted.list, wanted.moment).await? {
        return Ok(false);
    }
    let made = make_now(&mut transaction, wanted).await?;
    transaction.commit().await?;
    Ok(made)
}

async fn make_now(connection: &mut PgConnection, wanted: &Wanted) -> Result<bool, sqlx::Error> {
    let rows = build::rows(connection, wanted.company, wanted.list).await?;
    if rows < FEWEST_ROWS {
        return Ok(false);
    }
    build::build(connection, wanted.company, wanted.list, build::ZONE_ROWS).await?;
    Ok(true)
}
