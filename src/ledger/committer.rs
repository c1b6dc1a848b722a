//! The committer: one task per node through which every write goes.
//!
//! It takes whatever commands are waiting, never waiting for more, decides them one after the other on the state at hand, and
//! commits them as one statement. Two ways lead there:
//! - *alone*: the statement's guard checks that the ledger's end is where this node left it. One round trip, no lock wait.
//! - *in turn*: when another node or a stock program appended meanwhile, the append lock (the row lock on `ledger_head`) is
//!   taken first, the view refreshed under it, and the batch decided on that. It cannot go stale then.
//!
//! Whatever was decided on a stale view is decided again before anybody is answered, refusals included.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Postgres, Row, Transaction};
use tokio::sync::mpsc;

use super::append::Append;
use super::catch_up;
use super::deciding::{Outcome, decide};
use super::guess::Guess;
use super::head::View;
use super::inbox::{Inbox, Message};
use super::refusal::CommitError;
use super::stream::StreamKey;
use super::work::Job;
use crate::clock::Clock;

/// How long commands wait for a database that is away before their callers are told.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a commit waits for what a foreign transaction holds, such as the next place of a stream, while it keeps everybody else
/// waiting. The ledger's end itself is waited for without a limit: who holds it is at work.
const LOCK_TIMEOUT: &str = "3s";
/// After another node was seen appending, this many batches queue for the lock instead of guessing.
const TURNS_AFTER_CONTENTION: u32 = 16;
/// After a batch in which an assumption did not hold, this many batches look up first: duplicates come in swarms.
const LOOK_UPS_AFTER_SURPRISE: u32 = 16;

/// How much of the search's index may wait to be sorted in before a commit does it (`gin_pending_list_limit`): some hundred rows, or no
/// limit worth the name while a file goes in, when others do it.
const WAITS_FOR_SORTING: &str = "512kB";
const OTHERS_SORT: &str = "256MB";
/// So long after the last command of a file, others are taken to sort in.
const FILE_STAYS: Duration = Duration::from_secs(3);

/// See the module's text.
pub(super) struct Committer {
    options: PgConnectOptions,
    clock: Clock,
    connection: Option<(PgConnection, View)>,
    turns_left: u32,
    look_ups_left: u32,
    inbox: Inbox,
    /// What comes of the next sweeping command, decided beside the commit before it.
    guess: Option<Guess>,
    /// The last command of a file, while the connection leaves sorting to others.
    file: Option<Instant>,
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

impl Committer {
    pub fn new(options: PgConnectOptions, clock: Clock, queue: mpsc::Receiver<Message>) -> Self {
        Self {
            // Plans depend on nothing but the shape of the batch; planning each anew would cost more than running it.
            options: options.options([
                ("plan_cache_mode", "force_generic_plan"),
                ("jit", "off"),
                ("lock_timeout", LOCK_TIMEOUT),
                ("gin_pending_list_limit", WAITS_FOR_SORTING),
            ]),
            clock,
            connection: None,
            turns_left: 0,
            look_ups_left: 0,
            inbox: Inbox::new(queue),
            guess: None,
            file: None,
        }
    }

    /// Runs until every sender is gone and the queue is empty.
    pub async fn run(mut self) {
        // Known from the start: an alert on what never happened yet has nothing to look at otherwise.
        metrics::counter!("ledger_panics_total").increment(0);
        metrics::counter!("ledger_caught_up_events_total").increment(0);
        metrics::counter!("ledger_events_total").increment(0);
        loop {
            let Some((catch_up, jobs)) = self.inbox.take_batch().await else {
                return;
            };
            if catch_up {
                self.turns_left = self.turns_left.max(1);
            }
            if catch_up || !jobs.is_empty() {
                self.commit_or_recover(jobs).await;
            }
            // One at a time: whoever came meanwhile is next.
            if let Some(job) = self.inbox.take_sweeping() {
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
            self.file = None;
            let view = View::open(&mut connection).await?;
            self.connection = Some((connection, view));
            // What stock programs appended while nobody listened must come first.
            self.turns_left = self.turns_left.max(1);
        }
        Ok(())
    }

    async fn attempt(&mut self, jobs: &mut [Job]) -> Result<Vec<Outcome>, Failure> {
        let guess = self.guess.take_if(|guess| guess.is_of(jobs));
        let (connection, view) = self
            .connection
            .as_mut()
            .expect("connected() has just succeeded");
        let of_file = jobs.iter().any(|job| job.work.of_file);
        let limit = match self.file {
            None if of_file => Some(OTHERS_SORT),
            Some(last) if !of_file && last.elapsed() > FILE_STAYS => Some(WAITS_FOR_SORTING),
            _ => None,
        };
        if let Some(limit) = limit {
            let limit = format!("SET gin_pending_list_limit = '{limit}'");
            connection.execute(limit.as_str()).await?;
            self.file = None;
        }
        if of_file {
            self.file = Some(Instant::now());
        }
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
        let right = match guess {
            Some(guess) => {
                let right = guess.if_right(&mut transaction, view, jobs).await?;
                let counted = if right.is_some() { "right" } else { "wrong" };
                metrics::counter!("ledger_guesses_total", "guess" => counted).increment(1);
                right
            }
            None => None,
        };
        let (append, outcomes) = match right {
            Some(decided) => decided.append(&mut transaction, &view.head, false).await?,
            None => decide(&mut transaction, view, &self.clock, jobs, false).await?,
        };
        let next = self.inbox.take_next();
        let guessing = next.map(|job| Guess::begin(job, &append, view, &self.clock));
        let sent = send_and_commit(transaction, &append).await;
        if let Some(guessing) = guessing
            && let Some((job, guess)) = guessing.end().await
        {
            self.inbox.put_back(job);
            self.guess = guess;
        }
        match sent {
            Sent::Committed => {
                append.adopt(view, of_file);
                Ok(outcomes)
            }
            // A stock program slipped in after the catch-up; its event is taken with the next turn.
            Sent::Stale => {
                view.refresh(connection, false).await?;
                view.forget_all();
                Err(Failure::Stale)
            }
            Sent::Refused(error) => {
                view.forget_all();
                Err(error.into())
            }
            Sent::Unknown(error) => Err(lost_or(error, append, outcomes)),
        }
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
                append.adopt(view, false);
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

/// What became of an append in a transaction.
enum Sent {
    Committed,
    /// Rolled back: the view it was decided on was not current.
    Stale,
    /// Rolled back: the database did not take the statement.
    Refused(sqlx::Error),
    /// The commit was not confirmed.
    Unknown(sqlx::Error),
}

async fn send_and_commit(mut transaction: Transaction<'_, Postgres>, append: &Append) -> Sent {
    match send(&mut transaction, append).await {
        Ok(true) => match transaction.commit().await {
            Ok(()) => Sent::Committed,
            Err(error) => Sent::Unknown(error),
        },
        Ok(false) => match transaction.rollback().await {
            Ok(()) => Sent::Stale,
            Err(error) => Sent::Refused(error),
        },
        Err(error) => Sent::Refused(error),
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
