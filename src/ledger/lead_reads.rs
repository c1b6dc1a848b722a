//! The log of who read the personal data of leads: written behind the answers, in batches, so that no read waits for it.
//!
//! What the log promises is in `docs/audit.md`: nothing is left out silently. A read that finds the queue full is counted as lost, and the count
//! is written. A server that dies leaves its row in `lead_read_writers` open, which says until when its reads are complete.
//! While the database is away, reads wait in the queue.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use projections::page::{Page, PageRequest};
use sqlx::{FromRow, PgConnection, PgPool};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::clock::Clock;

/// How many answers may wait to be written down.
const QUEUE_LIMIT: usize = 20_000;
/// About how many reads are written down at once.
const AT_ONCE: usize = 10_000;
/// How often an idle server says that its log is complete.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long after its last word a server counts as dead.
const DEAD_AFTER: TimeDelta = TimeDelta::seconds(60);
/// A read is stamped a moment before it is in the queue.
const MARGIN: TimeDelta = TimeDelta::seconds(1);
/// How long a reader of the log waits for what is in the queue.
const PATIENCE: Duration = Duration::from_secs(2);

/// What one answer showed to whom.
#[derive(Debug, Clone)]
pub struct LeadReads {
    /// When.
    pub read_at: DateTime<Utc>,
    /// Lead and company of each.
    pub leads: Vec<(i64, i64)>,
    /// Such as `user:7` or `token:3`.
    pub reader: String,
    /// Such as `GET /leads/{id}`.
    pub operation: Cow<'static, str>,
    /// The request.
    pub request_id: Option<String>,
}

enum Message {
    Read(LeadReads),
    /// Answers when everything before it is written.
    Flush(oneshot::Sender<()>),
}

/// Where reads are noted. The writer ends when the last handle is gone.
#[derive(Clone)]
pub(super) struct ReadLog {
    queue: mpsc::Sender<Message>,
    lost: Arc<AtomicU64>,
}

impl ReadLog {
    /// Starts the writer.
    ///
    /// # Errors
    /// What the database answers to the writer's first word.
    pub async fn open(pool: &PgPool, clock: Clock) -> Result<(Self, JoinHandle<()>), sqlx::Error> {
        let (queue, waiting) = mpsc::channel(QUEUE_LIMIT);
        let lost = Arc::<AtomicU64>::default();
        let writer = Writer {
            id: clock.new_id(),
            pool: pool.clone(),
            clock,
            lost: lost.clone(),
        };
        sqlx::query(
            "INSERT INTO lead_read_writers (writer, opened_at, written_until) VALUES ($1, $2, $2)",
        )
        .bind(writer.id)
        .bind(writer.clock.now())
        .execute(pool)
        .await?;
        Ok((Self { queue, lost }, tokio::spawn(writer.run(waiting))))
    }

    /// Notes what an answer showed. Never waits.
    pub fn note(&self, reads: LeadReads) {
        let count = reads.leads.len() as u64;
        if count > 0 && self.queue.try_send(Message::Read(reads)).is_err() {
            self.lose(count);
        }
    }

    /// Counts reads of which it is not known whose data they showed.
    pub fn lose(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
        metrics::counter!("lead_reads_lost_total").increment(count);
    }

    /// Waits a little until what is noted is written.
    pub async fn flush(&self) {
        let (done, waiting) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Message::Flush(done)).await.is_ok() {
                let _ = waiting.await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, flushed).await;
    }
}

struct Writer {
    id: Uuid,
    pool: PgPool,
    clock: Clock,
    lost: Arc<AtomicU64>,
}

impl Writer {
    async fn run(self, mut queue: mpsc::Receiver<Message>) {
        loop {
            let next = tokio::time::timeout(SAY_EVERY, queue.recv()).await;
            let first = match next {
                Ok(Some(message)) => Some(message),
                Ok(None) => break,
                Err(_) => None,
            };
            let drained_at = self.clock.now();
            let (mut reads, mut waiting) = (Vec::new(), Vec::new());
            let (mut next, mut count) = (first, 0);
            while let Some(message) = next {
                match message {
                    Message::Read(read) => {
                        count += read.leads.len();
                        reads.push(read);
                    }
                    Message::Flush(done) => waiting.push(done),
                }
                next = (count < AT_ONCE).then(|| queue.try_recv().ok()).flatten();
            }
            // Where more waits, what is in the queue may be as old as the first of it.
            let until = if queue.is_empty() {
                Some(drained_at)
            } else {
                reads.last().map(|read| read.read_at)
            };
            self.write_patiently(&reads, until.map(|until| until - MARGIN), None)
                .await;
            for done in waiting {
                let _ = done.send(());
            }
        }
        let now = self.clock.now();
        // At the end the database is asked once more, not for ever.
        if let Err(error) = self.write(&[], Some(now), Some(now)).await {
            tracing::warn!(%error, "the log of reads was not closed");
        }
    }

    async fn write_patiently(
        &self,
        reads: &[LeadReads],
        until: Option<DateTime<Utc>>,
        closed_at: Option<DateTime<Utc>>,
    ) {
        let mut wait = Duration::from_millis(100);
        while let Err(error) = self.write(reads, until, closed_at).await {
            tracing::warn!(%error, "the log of reads waits for the database");
            // Something is wrong with the rows and not with the database: they are counted, or they would stop the log.
            if matches!(error, sqlx::Error::Database(_)) && self.pool.acquire().await.is_ok() {
                let count: u64 = reads.iter().map(|read| read.leads.len() as u64).sum();
                self.lost.fetch_add(count, Ordering::Relaxed);
                return;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
    }

    async fn write(
        &self,
        reads: &[LeadReads],
        until: Option<DateTime<Utc>>,
        closed_at: Option<DateTime<Utc>>,
    ) -> Result<(), sqlx::Error> {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let written = self.try_write(reads, lost, until, closed_at).await;
        if written.is_err() {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
        written
    }

    async fn try_write(
        &self,
        reads: &[LeadReads],
        lost: u64,
        until: Option<DateTime<Utc>>,
        closed_at: Option<DateTime<Utc>>,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let (mut times, mut leads, mut companies) = (Vec::new(), Vec::new(), Vec::new());
        let (mut readers, mut operations, mut requests) = (Vec::new(), Vec::new(), Vec::new());
        for read in reads {
            for (lead, company) in &read.leads {
                times.push(read.read_at);
                leads.push(*lead);
                companies.push(*company);
                readers.push(read.reader.as_str());
                operations.push(read.operation.clone().into_owned());
                requests.push(read.request_id.as_deref());
            }
        }
        if !times.is_empty() {
            sqlx::query(
                "INSERT INTO lead_reads (read_at, lead_id, company_id, reader, operation, request_id) SELECT * FROM \
                 unnest($1::timestamptz[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[])",
            )
            .bind(times)
            .bind(leads)
            .bind(companies)
            .bind(readers)
            .bind(operations)
            .bind(requests)
            .execute(&mut *transaction)
            .await?;
        }
        if lost > 0 {
            sqlx::query(
                "INSERT INTO lead_reads_lost (writer, lost_until, count) VALUES ($1, $2, $3)",
            )
            .bind(self.id)
            .bind(self.clock.now())
            .bind(i64::try_from(lost).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query(
            "UPDATE lead_read_writers SET written_until = greatest(written_until, $2), closed_at = $3 WHERE writer = $1",
        )
        .bind(self.id)
        .bind(until)
        .bind(closed_at)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }
}

/// A line of the log.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `lead_reads`, by the same names"
)]
pub struct LeadReadRow {
    pub id: i64,
    pub read_at: DateTime<Utc>,
    pub reader: String,
    pub operation: String,
    pub request_id: Option<String>,
    /// Of a user who is still known.
    pub full_name: Option<String>,
}

/// A stretch of time in which reads may be missing from the log.
#[derive(Debug, Clone, FromRow)]
pub struct Gap {
    /// From when; unknown for reads that were counted.
    pub since: Option<DateTime<Utc>>,
    /// Until when; unknown for a server that died.
    pub until: Option<DateTime<Utc>>,
    /// How many, where they were counted.
    pub lost: Option<i64>,
}

/// A page of the reads of a lead, the latest first, and how many there are.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    lead: i64,
    request: &PageRequest<i64>,
) -> Result<(Page<LeadReadRow>, i64), sqlx::Error> {
    let total = sqlx::query_scalar("SELECT count(*) FROM lead_reads WHERE lead_id = $1")
        .bind(lead)
        .fetch_one(&mut *connection)
        .await?;
    let rows = sqlx::query_as(
        "SELECT r.id, r.read_at, r.reader, r.operation, r.request_id, u.full_name FROM lead_reads r \
         LEFT JOIN users u ON r.reader = 'user:' || u.id \
         WHERE r.lead_id = $1 AND r.id < $2 ORDER BY r.id DESC LIMIT $3 OFFSET $4",
    )
    .bind(lead)
    .bind(request.after().copied().unwrap_or(i64::MAX))
    .bind(request.per_page + 1)
    .bind(request.offset())
    .fetch_all(connection)
    .await?;
    Ok((Page::from_overfetch(rows, request.per_page), total))
}

/// When reads of any lead may be missing, the latest first, at most 100.
///
/// # Errors
/// What the database answers.
pub async fn gaps(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Vec<Gap>, sqlx::Error> {
    sqlx::query_as(
        "SELECT since, until, lost FROM ( \
         SELECT written_until AS since, NULL::timestamptz AS until, NULL::bigint AS lost, written_until AS at \
         FROM lead_read_writers WHERE closed_at IS NULL AND written_until < $1 \
         UNION ALL SELECT NULL, lost_until, count, lost_until FROM lead_reads_lost) AS g ORDER BY at DESC LIMIT 100",
    )
    .bind(now - DEAD_AFTER)
    .fetch_all(connection)
    .await
}
