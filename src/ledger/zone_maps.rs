//! Makes zone maps (`projections::zone_maps`) in the background: of the lists whose past was found slow to read.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aggregates::ids::CompanyId;
use projections::zone_maps::{ZonedList, build};
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::sync::mpsc;

/// A page of the past that took so long is worth a map.
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
}

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
        tokio::spawn(run(pool.clone(), told));
        Self { slow }
    }

    /// Tells how long the reading of a page of the past took. Never waits.
    pub fn took(&self, company: CompanyId, list: &'static ZonedList, moment: i64, time: Duration) {
        if time >= SLOW {
            // Where too many wait, this one will be as slow the next time.
            let _ = self.slow.try_send(Slow {
                company,
                list,
                moment,
            });
        }
    }
}

async fn run(pool: PgPool, mut told: mpsc::Receiver<Slow>) {
    let mut resting: HashMap<(CompanyId, &str), Instant> = HashMap::new();
    while let Some(slow) = told.recv().await {
        let begun = Instant::now();
        resting.retain(|_, until| *until > begun);
        let which = (slow.company, slow.list.name);
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
    // An erasure is cleared for the last time a minute after it: by then this is done, or given up.
    transaction
        .execute(
            "SET LOCAL statement_timeout = '10s'; SET LOCAL work_mem = '32MB'; SET LOCAL jit = off",
        )
        .await?;
    let there: bool = sqlx::query_scalar(
        "SELECT NOT pg_try_advisory_xact_lock(hashtextextended('zone map ' || $2, $1)) OR EXISTS (SELECT 1 \
         FROM past.zone_maps WHERE company_id = $1 AND list = $2 AND as_of >= $3)",
    )
    .bind(slow.company.get())
    .bind(slow.list.name)
    .bind(slow.moment)
    .fetch_one(&mut *transaction)
    .await?;
    if there {
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
    connection
        .execute("SET LOCAL statement_timeout = '40s'")
        .await?;
    build::build(connection, slow.company, slow.list, rows).await?;
    Ok(true)
}
