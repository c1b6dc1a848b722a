//! Reading the past: which moment a reader means, and connections on which every read table is as it was then.
//!
//! What was replaced or removed is kept (migration 0016). On a connection of [`Reader::looking_back`] the schema `as_of` comes first in
//! the search path, so that every query answers as of the moment without knowing of it.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chrono::{DateTime, SecondsFormat, Utc};
use projections::plans;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Executor, PgConnection, PgPool, Postgres, Row, Transaction};

use crate::connection_pool;

/// The most connections for reading the past; they are opened when needed.
const CONNECTIONS: u32 = 8;
/// How many of them wait bound for the next read of their moment; the others are always there for any moment.
const WAITING: usize = 4;

/// A moment of the past as somebody names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// By ledger position.
    Position(i64),
    /// By the clock.
    Instant(DateTime<Utc>),
}

/// A moment of the past: the end of a commit, and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The last position that belongs to it; always the end of a commit, because nothing else was ever to be seen.
    pub position: i64,
    /// When that position was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The instant that was asked for; `None` when a position was.
    pub instant: Option<DateTime<Utc>>,
    /// Whether nothing more can come to belong to it. Of an instant that is so once something later was recorded: times never go
    /// backwards.
    pub settled: bool,
}

impl Moment {
    /// What the clock showed: the asked instant, or the time at which the asked position was recorded.
    #[must_use]
    pub fn clock(&self) -> DateTime<Utc> {
        self.instant.unwrap_or(self.recorded_at)
    }
}

/// Why there is nothing to be read as of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMoment {
    /// It has not come yet.
    Future,
    /// Nothing had happened.
    BeforeFirstEvent,
    /// A commit is seen as a whole, and this position lies in the first one.
    InsideFirstCommit {
        /// The position.
        position: i64,
        /// The last position of that commit.
        ends_at: i64,
    },
    /// The ledger is older than the keeping of versions, which begins at this position.
    BeforeVersions(i64),
}

impl std::fmt::Display for NoMoment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Future => f.write_str("is in the future"),
            Self::BeforeFirstEvent => f.write_str("is before the first event"),
            Self::InsideFirstCommit { position, ends_at } => write!(
                f,
                "position {position} lies inside the first commit, which ends at {ends_at}: nothing was to be read before"
            ),
            Self::BeforeVersions(beginning) => {
                write!(
                    f,
                    "is before position {beginning}, from which on the past is kept"
                )
            }
        }
    }
}

/// Finds the moment, for whoever reads no table of it.
///
/// # Errors
/// What the database answers.
pub async fn resolve(
    connection: &mut PgConnection,
    asked: Asked,
    now: DateTime<Utc>,
) -> Result<Result<Moment, NoMoment>, sqlx::Error> {
    bind_to(connection, asked, now, "{}").await
}

/// Finds the moment and binds the connection to it, in one round trip. A position inside a commit means the end of the commit before it.
async fn bind_to(
    connection: &mut PgConnection,
    asked: Asked,
    now: DateTime<Utc>,
    under: &str,
) -> Result<Result<Moment, NoMoment>, sqlx::Error> {
    let (position, instant) = match asked {
        Asked::Position(position) if position < 1 => return Ok(Err(NoMoment::BeforeFirstEvent)),
        Asked::Position(position) => (Some(position), None),
        Asked::Instant(instant) if instant > now => return Ok(Err(NoMoment::Future)),
        Asked::Instant(instant) => (None, Some(instant)),
    };
    // Where there is no such position, what is set is of no use, and is set anew before the next use.
    let row = sqlx::query(
        "SELECT h.position, b.position, e.position, e.recorded_at, \
         set_config('leadledger.as_of', e.position::text, false), \
         set_config('leadledger.as_of_at', e.recorded_at::text, false), \
         set_config('leadledger.as_of_clock', coalesce($2, e.recorded_at)::text, false), \
         set_config('leadledger.as_of_until', coalesce($2, 'infinity')::text, false), \
         set_config('leadledger.as_of_under', $3, false), \
         coalesce(h.recorded_at > $2, true) \
         FROM public.ledger_head h CROSS JOIN past.beginning b LEFT JOIN public.events e \
         ON e.position = (SELECT public.ledger_commit_end(coalesce($1, public.ledger_position_at($2))))",
    )
    .bind(position)
    .bind(instant)
    .bind(under)
    .fetch_one(&mut *connection)
    .await?;
    let (end, beginning): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if position.is_some_and(|position| position > end) {
        return Ok(Err(NoMoment::Future));
    }
    let found: Option<i64> = row.try_get(2)?;
    let Some(position) = found else {
        return Ok(Err(match position {
            Some(position) => NoMoment::InsideFirstCommit {
                position,
                ends_at: end_of_first_commit(connection).await?,
            },
            None => NoMoment::BeforeFirstEvent,
        }));
    };
    if position < beginning {
        return Ok(Err(NoMoment::BeforeVersions(beginning)));
    }
    Ok(Ok(Moment {
        position,
        recorded_at: row.try_get(3)?,
        instant,
        settled: row.try_get(9)?,
    }))
}

async fn end_of_first_commit(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(min(last_position), 1) FROM public.ledger_commits")
        .fetch_one(connection)
        .await
}

/// Where reads get their connections: of today, or bound to a moment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    live: PgPool,
    past: PgPool,
    waiting: Arc<Waiting>,
    at: Option<BoundTo>,
}

/// A moment, and the companies that have a place in it: what a connection is bound to.
type BoundTo = (Moment, Arc<str>);

/// Connections that are bound and not in use, those that were used last at the end: one after the other, the reads of a request share one,
/// and the moments that were asked for last keep theirs for the next request.
#[derive(Debug, Default)]
struct Waiting(Mutex<VecDeque<Bound>>);

#[derive(Debug)]
struct Bound {
    to: BoundTo,
    connection: PoolConnection<Postgres>,
    since: Instant,
}

impl Bound {
    /// The connection, if it still answers.
    async fn alive(mut self) -> Option<PoolConnection<Postgres>> {
        let rested = self.since.elapsed();
        let answers = connection_pool::answers_after(&mut self.connection, rested);
        answers.await.is_ok().then_some(self.connection)
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Bound>> {
        // An entry is only ever added or taken as a whole: a panic elsewhere leaves it sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, to: &BoundTo) -> Option<Bound> {
        let mut waiting = self.lock();
        let found = waiting.iter().rposition(|bound| bound.to == *to)?;
        waiting.remove(found)
    }

    /// One that still answers.
    async fn take_alive(&self, to: &BoundTo) -> Option<PoolConnection<Postgres>> {
        while let Some(bound) = self.take(to) {
            if let Some(connection) = bound.alive().await {
                return Some(connection);
            }
        }
        None
    }

    /// One that still answers, whatever it is bound to: the one that waits longest.
    async fn take_any_alive(&self) -> Option<PoolConnection<Postgres>> {
        loop {
            let longest = self.lock().pop_front();
            if let Some(connection) = longest?.alive().await {
                return Some(connection);
            }
        }
    }

    fn put(&self, to: BoundTo, connection: PoolConnection<Postgres>) {
        let since = Instant::now();
        let mut waiting = self.lock();
        waiting.push_back(Bound {
            to,
            connection,
            since,
        });
        let too_many = waiting.len() > WAITING;
        let longest = too_many.then(|| waiting.pop_front()).flatten();
        drop(waiting);
        // Back to the pool, for any moment.
        drop(longest);
    }
}

impl Reader {
    /// Of today. `options` open the connections to the past, when some are needed.
    #[must_use]
    pub fn new(live: PgPool, options: &PgConnectOptions) -> Self {
        let options = options.clone().options([
            ("search_path", "as_of,public"),
            ("jit", "off"),
            // No plan depends on the moment (migration 0036), and to make one takes longer than to carry it out.
            ("plan_cache_mode", "force_generic_plan"),
        ]);
        let past = connection_pool::settings(CONNECTIONS).connect_lazy_with(options);
        Self {
            live,
            past,
            waiting: Arc::default(),
            at: None,
        }
    }

    /// The same, bound to the moment that is meant. Of companies, only those of the array `under` and those below them, as they lie today,
    /// have a place in their trees there (`{}`: all): whoever does not see a company today does not see its past.
    ///
    /// # Errors
    /// What the database answers, outside; why there is no such moment, inside.
    pub async fn looking_back(
        &self,
        asked: Asked,
        now: DateTime<Utc>,
        under: Arc<str>,
    ) -> Result<Result<Self, NoMoment>, sqlx::Error> {
        let mut connection = self.unbound().await?;
        let moment = bind_to(&mut connection, asked, now, &under).await?;
        Ok(moment.map(|moment| {
            self.waiting.put((moment, under.clone()), connection);
            Self {
                at: Some((moment, under)),
                ..self.clone()
            }
        }))
    }

    /// A connection to be bound. Before another one is opened, one that waits bound to something else is taken: a new one has to learn
    /// every table and every statement first, which takes longer than many a read.
    async fn unbound(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        if self.past.num_idle() == 0
            && let Some(connection) = self.waiting.take_any_alive().await
        {
            return Ok(connection);
        }
        self.past.acquire().await
    }

    /// The pool of today.
    #[must_use]
    pub fn today(&self) -> &PgPool {
        &self.live
    }

    /// The moment that reads are bound to; `None` for today.
    #[must_use]
    pub fn moment(&self) -> Option<Moment> {
        self.at.as_ref().map(|(moment, _)| *moment)
    }

    /// The companies that have a place in the past, as text: part of what a read of the past depends on.
    #[must_use]
    pub fn under(&self) -> Option<Arc<str>> {
        self.at.as_ref().map(|(_, under)| under.clone())
    }

    /// A connection on which the read tables are those of the moment, or of today.
    ///
    /// # Errors
    /// When none comes free in time, and what the database answers.
    pub async fn acquire(&self) -> Result<ReadConnection, sqlx::Error> {
        let Some(to) = &self.at else {
            return Ok(ReadConnection {
                connection: Some(self.live.acquire().await?),
                back_to: None,
            });
        };
        let connection = if let Some(connection) = self.waiting.take_alive(to).await {
            connection
        } else {
            let mut connection = self.unbound().await?;
            set_on(&mut connection, to).await?;
            connection
        };
        Ok(ReadConnection {
            connection: Some(connection),
            back_to: Some((self.waiting.clone(), to.clone())),
        })
    }

    /// A transaction that begins with this statement, on such a connection.
    ///
    /// # Errors
    /// As [`Reader::acquire`].
    pub async fn begin_with(
        &self,
        statement: &'static str,
    ) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let Some(to) = &self.at else {
            return self.live.begin_with(statement).await;
        };
        // It may last: nobody else is to wait for a connection that waits meanwhile.
        drop(self.waiting.take(to));
        let mut transaction = self.past.begin_with(statement).await?;
        set_on(&mut transaction, to).await?;
        // What lasts is worth a plan of its own.
        transaction.execute(plans::FOR_VALUES).await?;
        Ok(transaction)
    }
}

/// A connection for reads. When it is dropped, it goes back to where it came from.
pub struct ReadConnection {
    /// `Some` until it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    back_to: Option<(Arc<Waiting>, BoundTo)>,
}

impl Deref for ReadConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("there until it is dropped")
    }
}

impl DerefMut for ReadConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("there until it is dropped")
    }
}

impl Drop for ReadConnection {
    fn drop(&mut self) {
        if let (Some((waiting, to)), Some(connection)) =
            (self.back_to.take(), self.connection.take())
        {
            waiting.put(to, connection);
        }
    }
}

/// Tells the connection's views which moment is meant, until it is told another.
async fn set_on(
    connection: &mut PgConnection,
    (moment, under): &BoundTo,
) -> Result<(), sqlx::Error> {
    let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let until = moment.instant.map_or_else(|| "infinity".to_owned(), text);
    sqlx::query(
        "SELECT set_config('leadledger.as_of', $1, false), set_config('leadledger.as_of_at', $2, false), \
         set_config('leadledger.as_of_clock', $3, false), set_config('leadledger.as_of_under', $4, false), \
         set_config('leadledger.as_of_until', $5, false)",
    )
    .bind(moment.position.to_string())
    .bind(text(moment.recorded_at))
    .bind(text(moment.clock()))
    .bind(under.as_ref())
    .bind(until)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// The position that is meant, whether or not the past of the read tables reaches back to it; 0 when nothing had happened.
///
/// # Errors
/// What the database answers.
pub async fn position_of(connection: &mut PgConnection, asked: Asked) -> Result<i64, sqlx::Error> {
    let (position, instant) = match asked {
        Asked::Position(position) => (Some(position), None),
        Asked::Instant(instant) => (None, Some(instant)),
    };
    sqlx::query_scalar("SELECT ledger_commit_end(coalesce($1, ledger_position_at($2)))")
        .bind(position)
        .bind(instant)
        .fetch_one(connection)
        .await
}
