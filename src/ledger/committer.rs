//! The committer: one task per node through which every write goes.
//!
//! It takes whatever commands are waiting, never waiting for more, decides them one after the other on the state at hand, and
//! commits them as one statement. Two ways lead there:
//! - *alone*: the statement's guard checks that the ledger's end is where this node left it. One round trip, no lock wait.
//! - *in turn*: when another node or a stock program appended meanwhile, the append lock (the row lock on `ledger_head`) is
//!   taken first, the view refreshed under it, and the batch decided on that. It cannot go stale then.
//!
//! Whatever was decided on a stale view is decided again before anybody is answered, refusals included.

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use projections::{Batch, facts};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row};
use tokio::sync::mpsc;

use super::append::{Append, Place, UsedKey};
use super::catch_up;
use super::head::View;
use super::load;
use super::refusal::{CommitError, Refusal};
use super::stream::{StreamKey, StreamKind};
use super::unit::{Changes, Claim, Unit};
use super::work::{Committed, Job, Work};
use crate::clock::Clock;

/// The most commands in one batch: beyond this, waiting commands gain nothing by travelling together.
const MOST_COMMANDS: usize = 1_000;
/// How long commands wait for a database that is away before their callers are told.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a commit waits for what a foreign transaction holds, such as the next place of a stream, while it keeps everybody else
/// waiting. The ledger's end itself is waited for without a limit: who holds it is at work.
const LOCK_TIMEOUT: &str = "3s";
/// After another node was seen appending, this many batches queue for the lock instead of guessing.
const TURNS_AFTER_CONTENTION: u32 = 16;
/// After a batch in which an assumption did not hold, this many batches look up first: duplicates come in swarms.
const LOOK_UPS_AFTER_SURPRISE: u32 = 16;

/// What a committer is told.
pub(super) enum Message {
    Commit(Box<Job>),
    /// A stock program appended something.
    CatchUp,
}

/// See the module's text.
pub(super) struct Committer {
    options: PgConnectOptions,
    clock: Clock,
    connection: Option<(PgConnection, View)>,
    turns_left: u32,
    look_ups_left: u32,
}

/// Why an attempt did not commit.
enum Failure {
    /// The view was stale: decide again.
    Stale,
    /// The answer to the commit was lost; the append tells how to find out.
    Lost(Box<Append>, Vec<Outcome>),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

type Outcome = Result<Committed, Refusal>;

impl Committer {
    pub fn new(options: PgConnectOptions, clock: Clock) -> Self {
        Self {
            // Plans depend on nothing but the shape of the batch; planning each anew would cost more than running it.
            options: options.options([
                ("plan_cache_mode", "force_generic_plan"),
                ("jit", "off"),
                ("lock_timeout", LOCK_TIMEOUT),
            ]),
            clock,
            connection: None,
            turns_left: 0,
            look_ups_left: 0,
        }
    }

    /// Runs until every sender is gone and the queue is empty.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        while let Some(message) = queue.recv().await {
            let mut jobs = Vec::new();
            let mut sweeping = Vec::new();
            let mut catch_up = false;
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::CatchUp => catch_up = true,
                    Message::Commit(job) if job.work.find_streams.is_some() => sweeping.push(*job),
                    Message::Commit(job) => jobs.push(*job),
                }
                let full = jobs.len() + sweeping.len() >= MOST_COMMANDS;
                next = if full { None } else { queue.try_recv().ok() };
            }
            if catch_up {
                self.turns_left = self.turns_left.max(1);
            }
            if catch_up || !jobs.is_empty() {
                self.commit_or_recover(jobs).await;
            }
            for job in sweeping {
                self.turns_left = self.turns_left.max(1);
                self.commit_or_recover(vec![job]).await;
            }
        }
    }

    /// A fault in one command's decision must not end the writes of this node: those who shared its batch are told that it is
    /// open what became of theirs, and the next batch begins with a new connection and view.
    async fn commit_or_recover(&mut self, jobs: Vec<Job>) {
        let committed = AssertUnwindSafe(self.commit(jobs)).catch_unwind().await;
        if committed.is_err() {
            tracing::error!("a batch of commands panicked");
            metrics::counter!("ledger_panics_total").increment(1);
            self.connection = None;
        }
    }

    /// Commits the jobs together; when the database refuses the whole, each half by itself.
    async fn commit(&mut self, jobs: Vec<Job>) {
        let mut piles = vec![jobs];
        while let Some(mut jobs) = piles.pop() {
            let began = Instant::now();
            match self.commit_together(&mut jobs).await {
                Ok(outcomes) => {
                    metrics::histogram!("ledger_commit_duration_seconds").record(began.elapsed());
                    #[expect(clippy::cast_precision_loss, reason = "a batch has at most 1,000")]
                    metrics::histogram!("ledger_batch_commands").record(jobs.len() as f64);
                    for (job, outcome) in jobs.into_iter().zip(outcomes) {
                        job.answer(outcome.map_err(CommitError::Refused));
                    }
                }
                Err(CommitError::Broken(_)) if jobs.len() > 1 => {
                    let rest = jobs.split_off(jobs.len() / 2);
                    piles.push(rest);
                    piles.push(jobs);
                }
                Err(error) => {
                    tracing::error!(%error, commands = jobs.len(), "commands were not committed");
                    for job in jobs {
                        job.answer(Err(match &error {
                            CommitError::Broken(why) => CommitError::Broken(why.clone()),
                            _ => CommitError::Unavailable,
                        }));
                    }
                }
            }
        }
    }

    async fn commit_together(&mut self, jobs: &mut [Job]) -> Result<Vec<Outcome>, CommitError> {
        let began = Instant::now();
        let mut conflicts = 0;
        loop {
            let in_turn = self.turns_left > 0;
            let attempt = match self.connected().await {
                Ok(()) => self.attempt(jobs).await,
                Err(error) => Err(Failure::Database(error)),
            };
            let error = match attempt {
                Ok(outcomes) => return Ok(outcomes),
                Err(Failure::Stale) => {
                    self.turns_left = TURNS_AFTER_CONTENTION;
                    continue;
                }
                Err(Failure::Lost(append, outcomes)) => {
                    if self.find_out(&append, began).await? {
                        // The view is new after reconnecting; there is nothing to adopt.
                        return Ok(outcomes);
                    }
                    continue;
                }
                Err(Failure::Database(error)) => error,
            };
            if let sqlx::Error::Database(refused) = &error {
                // A stock program won a stream's next place, or a cached stream was behind: look again, in turn.
                // With the append lock in hand, only a foreign transaction can be what we waited for in vain: whoever
                // needs what it holds is found by halving, and told to come again.
                let waited = refused.code().as_deref() == Some("55P03");
                if waited && in_turn {
                    self.turns_left = TURNS_AFTER_CONTENTION;
                    if let Some((_, view)) = &mut self.connection {
                        view.forget_all();
                    }
                    return Err(if jobs.len() > 1 {
                        CommitError::Broken("a foreign transaction".to_owned())
                    } else {
                        CommitError::Unavailable
                    });
                }
                let conflict = refused.is_unique_violation()
                    || waited
                    || matches!(refused.code().as_deref(), Some("40001" | "40P01"));
                let away = refused
                    .code()
                    .is_some_and(|code| code.starts_with("57P") || code.starts_with("53"));
                if conflict && conflicts < 20 {
                    conflicts += 1;
                    self.turns_left = TURNS_AFTER_CONTENTION;
                    if let Some((_, view)) = &mut self.connection {
                        view.forget_all();
                    }
                    continue;
                }
                if !away {
                    self.connection = None;
                    return Err(CommitError::Broken(format!(
                        "{} {}",
                        refused.code().unwrap_or_default(),
                        refused.constraint().unwrap_or_default()
                    )));
                }
            }
            tracing::warn!(kind = %kind_of(&error), "the database is away");
            self.connection = None;
            if began.elapsed() > PATIENCE {
                return Err(CommitError::Unavailable);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn connected(&mut self) -> Result<(), sqlx::Error> {
        if self.connection.is_none() {
            let mut connection = self.options.connect().await?;
            let view = View::open(&mut connection).await?;
            self.connection = Some((connection, view));
            // What stock programs appended while nobody listened must come first.
            self.turns_left = self.turns_left.max(1);
        }
        Ok(())
    }

    async fn attempt(&mut self, jobs: &mut [Job]) -> Result<Vec<Outcome>, Failure> {
        let (connection, view) = self
            .connection
            .as_mut()
            .expect("connected() has just succeeded");
        if self.turns_left == 0 {
            return alone(connection, view, &self.clock, jobs, &mut self.look_ups_left).await;
        }
        self.turns_left -= 1;
        let mut transaction = connection.begin().await?;
        transaction.execute("SET LOCAL lock_timeout = 0").await?;
        view.refresh(&mut transaction, true).await?;
        let limited = format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'");
        transaction.execute(limited.as_str()).await?;
        let caught_up = catch_up::sequence_waiting(&mut transaction, view, &self.clock).await?;
        if caught_up > 0 {
            metrics::counter!("ledger_caught_up_events_total").increment(caught_up);
        }
        let (append, outcomes) = decide(&mut transaction, view, &self.clock, jobs, false).await?;
        let written = match send(&mut transaction, &append).await {
            Ok(written) => written,
            Err(error) => {
                drop(transaction);
                view.forget_all();
                return Err(error.into());
            }
        };
        if !written {
            // A stock program slipped in after the catch-up; its event is taken with the next turn.
            transaction.rollback().await?;
            view.refresh(connection, false).await?;
            view.forget_all();
            return Err(Failure::Stale);
        }
        if let Err(error) = transaction.commit().await {
            return Err(lost_or(error, append, outcomes));
        }
        append.adopt(view);
        Ok(outcomes)
    }

    /// After a lost answer: whether the append is on disk. Waits for the database to come back.
    async fn find_out(&mut self, append: &Append, began: Instant) -> Result<bool, CommitError> {
        let Some((stream, sequence, leaf)) = &append.first else {
            return Ok(false);
        };
        self.connection = None;
        loop {
            let found = match self.connected().await {
                Ok(()) => {
                    let (connection, _) = self
                        .connection
                        .as_mut()
                        .expect("connected() has just succeeded");
                    find_leaf(connection, *stream, *sequence, leaf).await
                }
                Err(error) => Err(error),
            };
            match found {
                Ok(found) => return Ok(found),
                Err(_) => self.connection = None,
            }
            if began.elapsed() > PATIENCE {
                return Err(CommitError::Unavailable);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn find_leaf(
    connection: &mut PgConnection,
    stream: StreamKey,
    sequence: i64,
    leaf: &[u8],
) -> Result<bool, sqlx::Error> {
    // A backend that outlived its client may still be committing: the append lock tells when it is done.
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT 1 FROM ledger_head FOR UPDATE")
        .execute(&mut *transaction)
        .await?;
    let stored: Option<Option<Vec<u8>>> = sqlx::query_scalar(
        "SELECT leaf_hash FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence = $3",
    )
    .bind(stream.kind.name())
    .bind(stream.id.to_string())
    .bind(sequence)
    .fetch_optional(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(stored.flatten().as_deref() == Some(leaf))
}

async fn alone(
    connection: &mut PgConnection,
    view: &mut View,
    clock: &Clock,
    jobs: &mut [Job],
    look_ups_left: &mut u32,
) -> Result<Vec<Outcome>, Failure> {
    loop {
        let assume = *look_ups_left == 0;
        *look_ups_left = look_ups_left.saturating_sub(1);
        let (append, mut outcomes) = decide(connection, view, clock, jobs, assume).await?;
        for committed in outcomes.iter_mut().flatten() {
            committed.as_assumed = append.assumed && !committed.replayed;
        }
        match send(connection, &append).await {
            Ok(true) => {
                append.adopt(view);
                return Ok(outcomes);
            }
            // Either the assumption was wrong or the view is stale: without the assumption, the next answer tells.
            Ok(false) if append.assumed => *look_ups_left = LOOK_UPS_AFTER_SURPRISE,
            Ok(false) => return Err(Failure::Stale),
            Err(error) => return Err(lost_or(error, append, outcomes)),
        }
    }
}

/// An error of the connection leaves open whether the commit happened; one of the statement does not.
fn lost_or(error: sqlx::Error, append: Append, outcomes: Vec<Outcome>) -> Failure {
    if matches!(error, sqlx::Error::Database(_)) {
        Failure::Database(error)
    } else {
        Failure::Lost(Box::new(append), outcomes)
    }
}

/// Sends the append; answers whether the view it was decided on was current.
async fn send(connection: &mut PgConnection, append: &Append) -> Result<bool, sqlx::Error> {
    let Some((sql, arguments)) = append.statement.clone() else {
        return sqlx::query_scalar(
            "SELECT position = $1 AND NOT EXISTS (SELECT 1 FROM events WHERE position IS NULL) FROM ledger_head",
        )
        .bind(append.head.position)
        .fetch_one(connection)
        .await;
    };
    let held: i64 = sqlx::query_with(&sql, arguments)
        .fetch_one(connection)
        .await?
        .try_get(0)?;
    metrics::counter!("ledger_events_total").increment(if held == 1 {
        append.events as u64
    } else {
        0
    });
    Ok(held == 1)
}

async fn decide(
    connection: &mut PgConnection,
    view: &mut View,
    clock: &Clock,
    jobs: &mut [Job],
    assume: bool,
) -> Result<(Append, Vec<Outcome>), sqlx::Error> {
    let recorded_at = clock.now().max(view.head.recorded_at);
    let mut changes = Changes {
        last_ids: view.head.last_ids.clone(),
        ..Changes::default()
    };
    bring_streams(connection, view, jobs, &mut changes).await?;
    let used_before = look_up_claims(connection, jobs, &mut changes).await?;
    let wanted = jobs.iter().flat_map(|job| &job.work.facts).copied();
    changes.facts = facts::read(connection, wanted).await?;

    let mut batch = Batch::default();
    // A sweeping work is alone in its batch: what it knows holds for all of it.
    if let [Job { work, .. }] = &*jobs
        && let (Some(_), Some(unheld)) = (&work.find_streams, &work.unheld)
    {
        batch.know(unheld);
    }
    let mut used_keys: Vec<UsedKey> = Vec::new();
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        let Work {
            decision,
            provenance,
            idempotency,
            authority_as_of,
            streams,
            ..
        } = &mut job.work;
        if authority_as_of
            .is_some_and(|as_of| as_of != view.head.authority_position || changes.authority_moved)
        {
            outcomes.push(Err(Refusal::StaleAuthority));
            continue;
        }
        if let Some(key) = idempotency {
            let earlier = used_keys
                .iter()
                .find(|used| used.key.user_id == key.user_id && used.key.key == key.key)
                .map(|used| (used.key.fingerprint.clone(), used.outcome))
                .or_else(|| used_before.get(&(key.user_id, key.key.clone())).cloned());
            if let Some((fingerprint, outcome)) = earlier {
                outcomes.push(if fingerprint == key.fingerprint {
                    Ok(Committed {
                        replayed: true,
                        ..outcome
                    })
                } else {
                    Err(Refusal::IdempotencyKeyReused)
                });
                continue;
            }
        }
        let metadata: Arc<str> = provenance.metadata(recorded_at).into();
        let mut unit = Unit::over(&mut changes, metadata, recorded_at);
        let outcome = decision(&mut unit);
        let outcome = match outcome {
            Ok(resource_id) => {
                let read = streams.iter().filter(|s| s.kind == StreamKind::Lead);
                let leads: BTreeSet<i64> = read.map(|s| s.id).chain(unit.changed_leads()).collect();
                unit.merge();
                let events = i64::try_from(changes.events.len())
                    .expect("a batch's events are counted in thousands");
                let committed = Committed {
                    resource_id,
                    position: view.head.position + events,
                    replayed: false,
                    as_assumed: false,
                };
                if let Some(key) = idempotency {
                    used_keys.push(UsedKey {
                        key: key.clone(),
                        outcome: committed,
                        leads: leads.into_iter().collect(),
                    });
                }
                Ok(committed)
            }
            Err(refusal) => Err(refusal),
        };
        outcomes.push(outcome);
    }

    let place = Place {
        head: &view.head,
        recorded_at,
        clock,
        assume,
    };
    let append = Append::build(connection, changes, used_keys, place, &mut batch).await?;
    Ok((append, outcomes))
}

/// Puts every stream that the jobs need into the changes, from what is at hand or from the ledger.
async fn bring_streams(
    connection: &mut PgConnection,
    view: &mut View,
    jobs: &mut [Job],
    changes: &mut Changes,
) -> Result<(), sqlx::Error> {
    let mut missing = Vec::new();
    for job in jobs {
        let found = match &job.work.find_streams {
            Some(find) => find(&mut *connection).await?,
            None => Vec::new(),
        };
        for stream in job.work.streams.iter().copied().chain(found) {
            if changes.streams.contains_key(&stream) {
                continue;
            }
            match view.streams.get(&stream) {
                Some(loaded) => {
                    changes.streams.insert(stream, loaded.clone());
                }
                None => missing.push(stream),
            }
        }
    }
    missing.sort_unstable();
    missing.dedup();
    for (stream, loaded) in load::streams(connection, &missing).await? {
        if loaded.version > 0 {
            view.streams.insert(stream, loaded.clone());
        }
        changes.streams.insert(stream, loaded);
    }
    Ok(())
}

type UsedBefore = HashMap<(i64, String), (Vec<u8>, Committed)>;

/// Reads who holds the wanted claims, and which idempotency keys were used before.
async fn look_up_claims(
    connection: &mut PgConnection,
    jobs: &[Job],
    changes: &mut Changes,
) -> Result<UsedBefore, sqlx::Error> {
    let wanted: Vec<&Claim> = jobs.iter().flat_map(|job| &job.work.claims).collect();
    if !wanted.is_empty() {
        let rows = sqlx::query(
            "SELECT c.value_hash, c.aggregate_id, w.n FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS w(k, v, n) \
             JOIN claims c ON c.kind = w.k AND c.value_hash = w.v",
        )
        .bind(wanted.iter().map(|claim| claim.kind).collect::<Vec<_>>())
        .bind(wanted.iter().map(|c| c.value_hash.clone()).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            let nth: i64 = row.try_get(2)?;
            let claim = usize::try_from(nth - 1).ok().and_then(|n| wanted.get(n));
            if let Some(claim) = claim {
                changes
                    .claims
                    .insert((*claim).clone(), Some(row.try_get(1)?));
            }
        }
    }
    let keys: Vec<_> = jobs
        .iter()
        .filter_map(|job| job.work.idempotency.as_ref())
        .collect();
    let mut used = UsedBefore::new();
    if !keys.is_empty() {
        let rows = sqlx::query(
            "SELECT i.user_id, i.key, i.fingerprint, i.resource_id, i.position \
             FROM unnest($1::bigint[], $2::text[]) AS w(u, k) \
             JOIN idempotency_keys i ON i.user_id = w.u AND i.key = w.k",
        )
        .bind(keys.iter().map(|key| key.user_id).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.key.clone()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        for row in rows {
            used.insert(
                (row.try_get(0)?, row.try_get(1)?),
                (
                    row.try_get(2)?,
                    Committed {
                        resource_id: row.try_get(3)?,
                        position: row.try_get(4)?,
                        replayed: true,
                        as_assumed: false,
                    },
                ),
            );
        }
    }
    Ok(used)
}

/// What kind of error it is, without its text, which may quote data.
fn kind_of(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => format!("io: {}", error.kind()),
        sqlx::Error::Database(error) => {
            format!("database: {}", error.code().unwrap_or_default())
        }
        _ => "connection".to_owned(),
    }
}
