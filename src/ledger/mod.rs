//! The ledger: the one door for writes. Commands go in through [`Ledger::commit`]; events and read rows come to be in one
//! transaction, in one total order without gaps.
//!
//! SQL of the ledger's own tables lives in this folder, that of the read tables in `projections`.

pub mod answers;
mod append;
mod catch_up;
pub mod certificates;
pub mod checkpoints;
mod committer;
mod count_spans;
mod deciding;
mod encoding;
pub mod erasure;
pub mod evidence;
pub mod former_roles;
mod guess;
mod head;
pub mod history;
pub mod import_locks;
mod inbox;
pub mod lead_past;
pub mod lead_reads;
pub mod leaf;
pub mod likenesses;
mod load;
pub mod mail_deliveries;
pub mod moment;
pub mod proofs;
mod provenance;
pub mod rebuild;
mod refusal;
pub mod rehearsal;
pub mod replay;
pub mod reset_requests;
pub(crate) mod sealing;
pub mod search_index;
mod secrets;
pub mod snapshots;
pub mod statistics;
mod stream;
mod stream_map;
pub mod subject;
pub mod tree;
mod unit;
pub mod verify;
mod verify_careful;
pub mod verify_claims;
mod verify_commits;
mod verify_compaction;
mod verify_erasures;
mod verify_events;
mod verify_head;
mod verify_kept;
mod verify_marks;
pub mod verify_past;
pub mod verify_proofs;
mod verify_tiles;
mod verify_told;
mod verify_versions;
pub mod versions;
mod work;
pub mod zone_maps;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aggregates::email::Email;
use aws_lc_rs::hmac;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use committer::Committer;
use inbox::Message;
use lead_reads::{LeadReads, ReadLog};

pub use load::{import_state, leads_at};
pub(crate) use provenance::SEALED_REASON;
pub use provenance::{Actor, Provenance, reason_of};
pub use refusal::{CommitError, Refusal};
pub use secrets::Secrets;
pub use stream::{StreamKey, StreamKind};
pub use unit::{Claim, IdKind, Unit};
pub use work::{Committed, Decision, FindStreams, Foresee, IdempotencyKey, MoreStreams, Work};

/// How many commands may wait. At 64 or 256 requests in flight the queue is nearly empty; full means overload.
pub const QUEUE_LIMIT: usize = 10_000;

/// A handle to this node's committer. Cheap to clone; the committer ends when the last one is gone.
#[derive(Clone)]
pub struct Ledger {
    queue: mpsc::Sender<Message>,
    submitted: Arc<AtomicU64>,
    claim_key: hmac::Key,
    clock: Clock,
    pool: PgPool,
    read_log: ReadLog,
}

/// The tasks behind a [`Ledger`], to be awaited at shutdown once every handle is dropped.
pub struct LedgerTasks {
    committer: JoinHandle<()>,
    listener: JoinHandle<()>,
    read_log: JoinHandle<()>,
}

impl LedgerTasks {
    /// Waits until what was queued is committed.
    pub async fn finished(self) {
        self.listener.abort();
        if self.committer.await.is_err() {
            tracing::error!("the committer ended by a panic");
        }
        if self.read_log.await.is_err() {
            tracing::error!("the log of reads ended by a panic");
        }
    }
}

impl Ledger {
    /// Starts the committer on a migrated database.
    ///
    /// # Errors
    /// What the database answers to the first connections.
    pub async fn open(
        pool: &PgPool,
        options: &PgConnectOptions,
        secrets: &Secrets,
        clock: Clock,
    ) -> Result<(Self, LedgerTasks), sqlx::Error> {
        let (queue, waiting) = mpsc::channel(QUEUE_LIMIT);
        let committer = tokio::spawn(Committer::new(options.clone(), clock.clone(), waiting).run());
        // Whatever was appended while no node ran gets its place now.
        let _ = queue.send(Message::CatchUp).await;
        let listener = tokio::spawn(listen(pool.clone(), queue.downgrade()));
        let (read_log, read_log_task) = ReadLog::open(pool, clock.clone()).await?;
        Ok((
            Self {
                queue,
                submitted: Arc::default(),
                claim_key: hmac::Key::new(hmac::HMAC_SHA256, secrets.claims()),
                clock,
                pool: pool.clone(),
                read_log,
            },
            LedgerTasks {
                committer,
                listener,
                read_log: read_log_task,
            },
        ))
    }

    /// Carries a command out. When it answers `Ok`, events and read rows are on disk.
    ///
    /// # Errors
    /// [`CommitError`]; nothing was written, except that `Unavailable` may leave it open.
    pub async fn commit(&self, work: Work) -> Result<Committed, CommitError> {
        self.submit(work)?.await
    }

    /// [`Ledger::commit`], for whoever sends more before the answer has come: commands of one kind, with or without
    /// [`Work::sweeping`], are carried out in the order in which they were submitted.
    ///
    /// # Errors
    /// When too many wait.
    pub fn submit(
        &self,
        work: Work,
    ) -> Result<impl Future<Output = Result<Committed, CommitError>> + Send + use<>, CommitError>
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(work::Job { work, reply });
        self.submitted.fetch_add(1, Ordering::Relaxed);
        self.queue
            .try_send(Message::Commit(job))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => CommitError::QueueFull,
                mpsc::error::TrySendError::Closed(_) => CommitError::Unavailable,
            })?;
        Ok(async move { answer.await.unwrap_or(Err(CommitError::Unavailable)) })
    }

    /// How many commands this node was given so far: tells whoever sends many whether others come meanwhile.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        self.submitted.load(Ordering::Relaxed)
    }

    /// Notes, behind the answer, what it showed of whom.
    pub fn note_reads(&self, reads: LeadReads) {
        self.read_log.note(reads);
    }

    /// Counts reads, behind the answer, of which it is not known whose data they showed: a gap on record.
    pub fn lose_reads(&self, count: u64) {
        self.read_log.lose(count);
    }

    /// Waits a little until the reads that were noted on this node are in the log.
    pub async fn flush_reads(&self) {
        self.read_log.flush().await;
    }

    /// Whether nothing has ever been appended.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn is_empty(&self) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("SELECT position = 0 FROM ledger_head")
            .fetch_one(&self.pool)
            .await
    }

    /// The claim that stands for a user's e-mail.
    #[must_use]
    pub fn email_claim(&self, email: &Email) -> Claim {
        unit::email_claim(&self.claim_key, email.as_str())
    }

    /// The claim that stands for an identity of an `OpenID` Connect provider.
    #[must_use]
    pub fn provider_claim(&self, provider: &str, uid: &str) -> Claim {
        unit::provider_claim(&self.claim_key, provider, uid)
    }

    /// What stands for a file that a company imports: the same bytes have the same, and it tells nothing about them.
    #[must_use]
    pub fn file_hash(&self, company: i64, digest: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.claim_key);
        context.update(b"import file");
        context.update(&company.to_be_bytes());
        context.update(digest);
        crate::digests::hexadecimal(context.sign().as_ref())
    }

    /// The clock that commits are stamped by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// The position of the last event that touched users, companies or roles.
///
/// # Errors
/// What the database answers.
pub async fn authority_position(connection: &mut sqlx::PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT authority_position FROM ledger_head")
        .fetch_one(connection)
        .await
}

/// Tells the committer of events that stock programs append, and of keys that are destroyed; asks for the former every few seconds
/// besides, should a notice be lost.
async fn listen(pool: PgPool, weak: mpsc::WeakSender<Message>) {
    const ASK_EVERY: Duration = Duration::from_secs(5);
    const KEY_DESTROYED: &str = "subject_key_destroyed";
    loop {
        if let Ok(mut listener) = PgListener::connect_with(&pool).await
            && listener
                .listen_all(["unsequenced_event", KEY_DESTROYED])
                .await
                .is_ok()
        {
            loop {
                let Some(queue) = weak.upgrade() else {
                    return;
                };
                // Asked before the first wait too: what came before anybody listened was announced to nobody.
                let waiting = sqlx::query_scalar::<_, bool>(
                    "SELECT EXISTS (SELECT 1 FROM events WHERE position IS NULL)",
                )
                .fetch_one(&pool)
                .await;
                // A full queue means commits are under way, and each of them looks for such events.
                if matches!(waiting, Ok(true)) {
                    let _ = queue.try_send(Message::CatchUp);
                }
                drop(queue);
                let notice = tokio::time::timeout(ASK_EVERY, listener.recv()).await;
                match notice {
                    Ok(Err(_)) => break,
                    // Catching up forgets the streams that moved, with their keys and what they opened, though no command comes.
                    Ok(Ok(notice)) if notice.channel() == KEY_DESTROYED => {
                        if let Some(queue) = weak.upgrade() {
                            let _ = queue.try_send(Message::CatchUp);
                        }
                    }
                    _ => {}
                }
            }
        }
        if weak.upgrade().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
