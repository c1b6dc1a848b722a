//! Gathers the evidence pack of a stream from what is stored.

use std::ops::Range;

use chrono::{DateTime, Utc};
use sqlx::{Executor, PgConnection, PgPool, Row};

use super::checkpoints::{self, Kept, ProofError};
use super::proofs::range_roots;
use super::stream::StreamKey;
use super::tree::unsigned;
use super::{load, stream_map};
use crate::proof::evidence::{EventEvidence, EvidencePack, FORMAT};
use crate::proof::history::key_text;
use crate::proof::stream_map::{StreamMap, stream_key};
use crate::proof::{Hash, merkle, to_base64};

/// How often a checkpoint is made for a pack before its reader is asked to come back.
const ATTEMPTS: u32 = 5;

/// The pack of a stream as of the latest checkpoint, after making one if the stream went on since; `None` when it has no events.
///
/// # Errors
/// See [`ProofError`].
pub async fn pack(
    pool: &PgPool,
    stream: StreamKey,
    now: DateTime<Utc>,
) -> Result<Option<EvidencePack>, ProofError> {
    for _ in 0..ATTEMPTS {
        let mut transaction = pool.begin().await?;
        transaction
            .execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .await?;
        let end: Option<i64> = sqlx::query_scalar(
            "SELECT max(position) FROM events WHERE aggregate_type = $1 AND aggregate_id = $2",
        )
        .bind(stream.kind.name())
        .bind(stream.id.to_string())
        .fetch_one(&mut *transaction)
        .await?;
        let Some(end) = end else {
            return Ok(None);
        };
        let latest = checkpoints::latest(&mut transaction).await?;
        let taken_in = stream_map::size(&mut transaction).await?;
        if let Some(latest) = latest.filter(|latest| latest.size <= taken_in && latest.size >= end)
        {
            return Ok(Some(gather(&mut transaction, stream, latest).await?));
        }
        transaction.rollback().await?;
        checkpoints::make(pool, now).await?;
    }
    Err(ProofError::Busy)
}

/// Why there is no pack as of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPack {
    /// No checkpoint covered an event of the stream then.
    NotCovered,
    /// Evidence is kept from this size of the ledger on.
    NotKept(i64),
}

/// The pack of a stream as of the latest checkpoint of the moment that the connection is bound to. Nothing is made: what no checkpoint
/// covered then is not in it.
///
/// # Errors
/// See [`ProofError`].
pub async fn pack_then(
    connection: &mut PgConnection,
    stream: StreamKey,
) -> Result<Result<EvidencePack, NoPack>, ProofError> {
    let begun: Option<i64> = sqlx::query_scalar(
        "SELECT min(position) FROM events WHERE aggregate_type = $1 AND aggregate_id = $2",
    )
    .bind(stream.kind.name())
    .bind(stream.id.to_string())
    .fetch_one(&mut *connection)
    .await?;
    let latest = checkpoints::latest(connection).await?;
    let covering = latest.filter(|latest| begun.is_some_and(|begun| begun <= latest.size));
    let Some(covering) = covering else {
        return Ok(Err(NoPack::NotCovered));
    };
    let kept_from = stream_map::kept_from(connection).await?;
    if covering.size < kept_from {
        return Ok(Err(NoPack::NotKept(kept_from)));
    }
    // While the map is made anew it is behind.
    if covering.size > stream_map::size(connection).await? {
        return Err(ProofError::Busy);
    }
    Ok(Ok(gather(connection, stream, covering).await?))
}

async fn gather(
    connection: &mut PgConnection,
    stream: StreamKey,
    checkpoint: Kept,
) -> Result<EvidencePack, ProofError> {
    let (aggregate_type, aggregate_id) = (stream.kind.name(), stream.id.to_string());
    let mut map = StreamMap::default();
    let key = stream_key(aggregate_type, &aggregate_id);
    stream_map::bring(connection, &mut map, &[key], checkpoint.size).await?;
    let missing = ProofError::Damaged("the map lacks a stream");
    let (end, stream_proof) = map.prove(&key).ok_or(missing)?;
    let keys = load::keys(connection, &[stream]).await?;
    Ok(EvidencePack {
        format: FORMAT.to_owned(),
        aggregate_type: aggregate_type.to_owned(),
        stream_events: end.events,
        stream_proof: texts(&stream_proof),
        subject_key: keys.get(&stream).map(key_text),
        events: events(connection, aggregate_type, &aggregate_id, checkpoint.size).await?,
        aggregate_id,
        checkpoint: checkpoint.note,
    })
}

async fn events(
    connection: &mut PgConnection,
    aggregate_type: &str,
    aggregate_id: &str,
    size: i64,
) -> Result<Vec<EventEvidence>, ProofError> {
    let rows = sqlx::query(
        "SELECT position, sequence, event_type, event_version, payload::text, metadata::text, recorded_at, company_id \
         FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND position <= $3 ORDER BY position",
    )
    .bind(aggregate_type)
    .bind(aggregate_id)
    .bind(size)
    .fetch_all(&mut *connection)
    .await?;
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut ends = Vec::with_capacity(rows.len());
    for row in &rows {
        let index = unsigned(row.try_get::<i64, _>(0)? - 1);
        ranges.extend(merkle::inclusion_ranges(index, unsigned(size)));
        ends.push(ranges.len());
    }
    let roots = range_roots(connection, &ranges).await?;
    let mut events = Vec::with_capacity(rows.len());
    let mut start = 0;
    for (row, end) in rows.iter().zip(ends) {
        let recorded_at: DateTime<Utc> = row.try_get(6)?;
        events.push(EventEvidence {
            position: unsigned(row.try_get(0)?),
            sequence: row.try_get(1)?,
            event_type: row.try_get(2)?,
            event_version: row.try_get(3)?,
            payload: row.try_get(4)?,
            metadata: row.try_get(5)?,
            recorded_at_micros: recorded_at.timestamp_micros(),
            company_id: row.try_get(7)?,
            inclusion_path: texts(&roots[start..end]),
        });
        start = end;
    }
    Ok(events)
}

fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| to_base64(hash)).collect()
}
