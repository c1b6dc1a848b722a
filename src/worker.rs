//! Background work: what is due by time alone becomes events, though nobody asks.
//!
//! One loop a node; of all nodes on a database one at a time does the work, the one that holds an advisory lock, which another
//! takes over when its connection ends. The lock spares double work, no more: each task issues commands that decide again, so
//! that doing something twice adds nothing. Nothing is remembered between two rounds but what the tables say, and what the log was told.

mod checkpoints;
pub mod erasures;
mod invitations;
mod subscriptions;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::app::App;
use crate::ledger::CommitError;
use crate::ledger::checkpoints::ProofError;

/// How long after a round the next one begins; also how soon another node takes over.
const ROUND: Duration = Duration::from_secs(1);

/// The advisory lock of whoever works: the letters `leadwork`.
const LOCK: i64 = 0x6c65_6164_776f_726b;

/// What keeps a task from its work is told again so often, and at once when it is something else.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// At most so many things of one task in a round, so that no task keeps the others waiting.
const AT_MOST: i64 = 500;

/// Why a task could not finish; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The database could not be read.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// A command was not committed.
    #[error("the ledger: {0}")]
    Ledger(#[from] CommitError),
    /// There is no checkpoint of the ledger as it is.
    #[error("the ledger's proofs: {0}")]
    Proofs(#[from] ProofError),
    /// A checkpoint was not written outside the database.
    #[error("the witness: {0}")]
    Witness(#[from] object_store::Error),
}

/// Something that is due now and then.
pub struct Task {
    /// As the log names it.
    pub name: &'static str,
    /// Does what is due and answers how much that was.
    pub run: for<'a> fn(&'a App) -> BoxFuture<'a, Result<u64, TaskError>>,
}

/// Every task, in the order in which a round does them.
pub const TASKS: &[Task] = &[
    Task {
        name: "expire invitations",
        run: |app| Box::pin(invitations::expire(app)),
    },
    Task {
        name: "pass the time of subscriptions",
        run: |app| Box::pin(subscriptions::pass_time(app)),
    },
    Task {
        name: "certify erasures",
        run: |app| Box::pin(async { Ok(erasures::certify(app).await?) }),
    },
    Task {
        name: "clear after erasures",
        run: |app| Box::pin(async { Ok(erasures::clear(app).await?) }),
    },
    Task {
        name: "sign checkpoints",
        run: |app| Box::pin(checkpoints::sign(app)),
    },
    Task {
        name: "witness checkpoints",
        run: |app| Box::pin(checkpoints::witness(app)),
    },
];

/// Works until it is dropped.
pub async fn run(app: App, options: PgConnectOptions) {
    let options = options.application_name("leadledger worker");
    loop {
        if let Err(error) = work(&app, &options).await {
            tracing::warn!(%error, "background work waits for the database");
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// Gets the lock on a connection of its own and works as long as that lives.
async fn work(app: &App, options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut connection = options.connect().await?;
    while !try_lock(&mut connection).await? {
        tokio::time::sleep(ROUND).await;
    }
    tracing::info!("this node does the background work");
    let mut told = Told::default();
    loop {
        // The lock is held exactly as long as this connection answers.
        connection.ping().await?;
        round_telling(app, &mut told).await;
        tokio::time::sleep(ROUND).await;
    }
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(connection)
        .await
}

/// What the log was told of each task last, and when.
#[derive(Default)]
struct Told(HashMap<&'static str, (String, Instant)>);

impl Told {
    /// Whether the log is to be told this of the task now.
    fn is_news(&mut self, task: &'static str, error: String, now: Instant) -> bool {
        let known = self.0.get(task);
        let is_known = known.is_some_and(|(last, at)| *last == error && now - *at < TOLD_AGAIN);
        if !is_known {
            self.0.insert(task, (error, now));
        }
        !is_known
    }
}

/// Does everything that is due, as far as one round goes.
pub async fn round(app: &App) {
    round_telling(app, &mut Told::default()).await;
}

async fn round_telling(app: &App, told: &mut Told) {
    for task in TASKS {
        match (task.run)(app).await {
            Ok(0) => {}
            Ok(done) => tracing::debug!(task = task.name, done, "background work"),
            Err(error) => {
                if told.is_news(task.name, error.to_string(), Instant::now()) {
                    tracing::warn!(task = task.name, %error, "background work was not done");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_of_a_task_is_told_once_a_minute_and_another_at_once() {
        let mut told = Told::default();
        let begun = Instant::now();
        let mut is_told = |task, error: &str, seconds| {
            told.is_news(task, error.to_owned(), begun + Duration::from_secs(seconds))
        };
        assert!(is_told("sign", "no", 0));
        assert!(!is_told("sign", "no", 1));
        assert!(is_told("witness", "no", 1));
        assert!(is_told("sign", "nothing", 2));
        assert!(!is_told("sign", "nothing", 61));
        assert!(is_told("sign", "nothing", 62));
    }
}
