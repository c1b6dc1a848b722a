//! Certificates of erasures: signed notes (C2SP `signed-note`) by the key that signs checkpoints, each made once and kept.
//!
//! What a certificate says comes from the event alone, after it was proved to be in the ledger that a checkpoint signs. The register of
//! destroyed keys, which anybody with rights on the database can change, is only asked which event that is; where it says anything
//! else than the event, nothing is signed. So it does not matter when a certificate is made: also after a crash between
//! the erasure and its certificate.

use aggregates::lead::LeadEvent;
use chrono::{DateTime, SecondsFormat, Utc};
use projections::DomainEvent;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::checkpoints::{self, ProofError};
use super::sealing::DestroyedKey;
use super::stream::{self, StreamKind};
use super::tree::unsigned;
use super::{leaf, proofs, provenance};
use crate::proof::checkpoint::Checkpoint;
use crate::proof::keys::TrustedKey;
use crate::proof::note;
use crate::proof::{Hash, merkle, to_base64};

/// The first line of a certificate.
const CERTIFICATE: &str = "leadledger erasure certificate v1";
/// Under which the metadata of the event names the key that it destroys: nothing else in the ledger would prove which that was. Older
/// events do not have it.
const KEY: &str = "destroyed_key";
/// That there was none.
const NO_KEY: &str = "none";
/// How many are made in one round of the background work.
const AT_MOST: i64 = 100;

/// The metadata of an event that destroys its stream's key, naming the key.
pub(super) fn naming_key(metadata: &str, key: Option<Uuid>) -> String {
    provenance::saying(metadata, KEY, &key_text(key))
}

fn key_text(key: Option<Uuid>) -> String {
    key.map_or_else(|| NO_KEY.to_owned(), |id| id.to_string())
}

/// What the register of destroyed keys says of a finished erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The lead.
    pub lead: i64,
    /// Position of `LeadErased`.
    pub position: i64,
    /// The id of the key that was destroyed; none when the stream never had one.
    pub key_id: Option<Uuid>,
    /// When the key was destroyed.
    pub destroyed_at: DateTime<Utc>,
    /// When what stands outside of the ledger and the read tables was cleared for the last time.
    pub cleared_at: Option<DateTime<Utc>>,
    /// The signed certificate, once it is made.
    pub certificate: Option<String>,
}

/// The columns of [`Registered`], of a table `d`.
pub(super) const REGISTERED: &str =
    "d.aggregate_id, d.position, d.key_id, d.destroyed_at, d.cleared_at, d.certificate";

impl Registered {
    /// The row that begins with [`REGISTERED`].
    pub(super) fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            lead: row.try_get(0)?,
            position: row.try_get(1)?,
            key_id: row.try_get(2)?,
            destroyed_at: row.try_get(3)?,
            cleared_at: row.try_get(4)?,
            certificate: row.try_get(5)?,
        })
    }
}

/// What the register says of the erasure of this lead.
///
/// # Errors
/// What the database answers.
pub async fn of_lead(
    connection: &mut PgConnection,
    lead: i64,
) -> Result<Option<Registered>, sqlx::Error> {
    let row = sqlx::query(&format!(
        "SELECT {REGISTERED} FROM destroyed_keys d WHERE d.aggregate_type = $1 AND d.aggregate_id = $2"
    ))
    .bind(StreamKind::Lead.name())
    .bind(lead)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(Registered::of).transpose()
}

/// The erasures that have no certificate yet, as far as one round goes, while they are not cleared: later ones wait to be asked for.
///
/// # Errors
/// What the database answers.
pub async fn missing(pool: &PgPool) -> Result<Vec<Registered>, sqlx::Error> {
    let rows = sqlx::query(&format!(
        "SELECT {REGISTERED} FROM destroyed_keys d WHERE d.cleared_at IS NULL AND d.aggregate_type = $1 \
         AND d.certificate IS NULL ORDER BY d.destroyed_at LIMIT $2"
    ))
    .bind(StreamKind::Lead.name())
    .bind(AT_MOST)
    .fetch_all(pool)
    .await?;
    rows.iter().map(Registered::of).collect()
}

/// `LeadErased` as the ledger has it.
#[derive(Debug)]
pub(super) struct ErasureEvent {
    lead: i64,
    position: i64,
    sequence: i64,
    leaf: Vec<u8>,
    recorded_at: DateTime<Utc>,
    company: Option<i64>,
    actor: Option<String>,
    reason: &'static str,
    /// As the event names it; nothing where it was recorded before events did, or by a stock program.
    key: Option<String>,
}

/// The columns of [`ErasureEvent`], of a table `e`.
pub(super) const EVENT: &str = "e.aggregate_type, e.aggregate_id, e.position, e.sequence, e.event_type, e.event_version, e.payload::text, \
     e.metadata::text, e.recorded_at, e.company_id";

impl ErasureEvent {
    /// The event in the columns from `first` on, if it erases a lead.
    pub(super) fn of(row: &PgRow, first: usize) -> Result<Option<Self>, sqlx::Error> {
        let Some(aggregate_type) = row.try_get::<Option<&str>, _>(first)? else {
            return Ok(None);
        };
        let aggregate_id: &str = row.try_get(first + 1)?;
        let metadata: &str = row.try_get(first + 7)?;
        let entry = leaf::Entry {
            aggregate_type,
            aggregate_id,
            sequence: row.try_get(first + 3)?,
            event_type: row.try_get(first + 4)?,
            event_version: row.try_get(first + 5)?,
            payload: row.try_get(first + 6)?,
            metadata,
            recorded_at: row.try_get(first + 8)?,
            company_id: row.try_get(first + 9)?,
        };
        let of_lead = aggregate_type == StreamKind::Lead.name();
        let Some(lead) = aggregate_id.parse().ok().filter(|_| of_lead) else {
            return Ok(None);
        };
        let nothing = std::sync::Arc::new(DestroyedKey);
        let event = stream::decode(StreamKind::Lead, entry.stored(), nothing);
        let Ok(DomainEvent::Lead(LeadEvent::LeadErased { reason })) = event else {
            return Ok(None);
        };
        let metadata: serde_json::Value = serde_json::from_str(metadata).unwrap_or_default();
        let text = |name: &str| metadata[name].as_str().map(str::to_owned);
        let is_key = |text: &String| text == NO_KEY || Uuid::parse_str(text).is_ok();
        Ok(Some(Self {
            lead,
            position: row.try_get(first + 2)?,
            sequence: entry.sequence,
            leaf: leaf::hash(&entry),
            recorded_at: entry.recorded_at,
            company: entry.company_id,
            actor: text("actor"),
            reason: reason.code(),
            key: text(KEY).filter(is_key),
        }))
    }

    /// What the register says otherwise than the event.
    pub(super) fn unlike(&self, registered: &Registered) -> Option<&'static str> {
        if (self.lead, self.position) != (registered.lead, registered.position) {
            return Some("is not of the event that erased it");
        }
        if self.recorded_at != registered.destroyed_at {
            return Some("was not destroyed when the event says");
        }
        let key = key_text(registered.key_id);
        if self.key.as_ref().is_some_and(|named| *named != key) {
            return Some("names another key than the event");
        }
        None
    }

    fn text(&self, origin: &str, key: &str, size: &str, root: &str) -> String {
        let Self {
            lead,
            position,
            sequence,
            reason,
            ..
        } = self;
        let company = self
            .company
            .map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        let at = self
            .recorded_at
            .to_rfc3339_opts(SecondsFormat::Micros, true);
        let actor = self.actor.as_deref().unwrap_or("unknown");
        let leaf = to_base64(&self.leaf);
        format!(
            "{CERTIFICATE}\norigin: {origin}\nlead: {lead}\ncompany: {company}\n\
             event: LeadErased at position {position}, number {sequence} of stream lead/{lead}\nleaf hash: {leaf}\n\
             erased at: {at}\nby: {actor}\nreason: {reason}\ndestroyed key: {key}\n\
             tree size: {size}\ntree root: {root}\n"
        )
    }

    /// The size and root of the tree in a certificate that one of the keys signed for this event, when it says nothing else than the
    /// event does. Of a key that the event does not name, it says what the register says, or nothing.
    pub(super) fn certified_in(
        &self,
        certificate: &str,
        registered: &Registered,
        keys: &[TrustedKey],
    ) -> Option<(i64, String)> {
        let all = keys.iter().map(|trusted| &trusted.key);
        let (text, by) = note::open_by_all(certificate, all).ok()?;
        let signed = keys.iter().find(|trusted| {
            by.contains(&&trusted.key) && !trusted.ended_before(self.recorded_at)
        })?;
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let (size, root) = (line("tree size: ")?, line("tree root: ")?);
        let named = match &self.key {
            Some(key) => vec![key.clone()],
            None => vec![key_text(registered.key_id), UNKNOWN_KEY.to_owned()],
        };
        let origin = &signed.key.name;
        let says = named
            .iter()
            .any(|key| self.text(origin, key, size, root) == text);
        let size: i64 = size.parse().ok()?;
        (says && size >= self.position).then(|| (size, root.to_owned()))
    }
}

/// Of a key that the event does not name.
const UNKNOWN_KEY: &str = "unknown";

/// The certificate of a finished erasure. It names no person, and a checkpoint's size and root of the ledger that the erasure is in.
///
/// # Errors
/// See [`ProofError`]: [`ProofError::Damaged`] when the register says otherwise than the ledger proves.
pub async fn certificate(
    pool: &PgPool,
    registered: &Registered,
    now: DateTime<Utc>,
) -> Result<String, ProofError> {
    if let Some(certificate) = &registered.certificate {
        return Ok(certificate.clone());
    }
    let kept = checkpoints::make(pool, now).await?;
    let mut connection = pool.acquire().await?;
    let row = sqlx::query(&format!(
        "SELECT {EVENT} FROM events e WHERE e.position = $1"
    ))
    .bind(registered.position)
    .fetch_optional(&mut *connection)
    .await?;
    let event = row.map(|row| ErasureEvent::of(&row, 0)).transpose()?;
    let event = event.flatten().ok_or(ProofError::Damaged(
        "a destroyed key is not registered with an erasure",
    ))?;
    if event.unlike(registered).is_some() {
        return Err(ProofError::Damaged(
            "a destroyed key is registered otherwise than the erasure says",
        ));
    }
    let keys = checkpoints::trusted(&mut connection).await?;
    let checkpoint = Checkpoint::open(&kept.note, &keys)
        .map_err(|_| ProofError::Damaged("the latest checkpoint is not signed by its keys"))?;
    prove(&mut connection, &event, &checkpoint).await?;
    drop(connection);
    let key = event.key.as_deref().unwrap_or(UNKNOWN_KEY);
    let (size, root) = (checkpoint.size.to_string(), to_base64(&checkpoint.root));
    let note = checkpoints::sign_text(pool, now, |origin| event.text(origin, key, &size, &root));
    let note = note.await?;
    // Two that make it at once keep the same one.
    let kept = sqlx::query_scalar(
        "UPDATE destroyed_keys SET certificate = coalesce(certificate, $3) \
         WHERE aggregate_type = $1 AND aggregate_id = $2 RETURNING certificate",
    )
    .bind(StreamKind::Lead.name())
    .bind(registered.lead)
    .bind(note)
    .fetch_one(pool)
    .await?;
    Ok(kept)
}

/// Asks that the event, as it is stored now, is in the ledger that was signed.
async fn prove(
    connection: &mut PgConnection,
    event: &ErasureEvent,
    checkpoint: &Checkpoint,
) -> Result<(), ProofError> {
    let (position, size) = (unsigned(event.position), checkpoint.size);
    let damaged = ProofError::Damaged("an erasure is not what was signed");
    if position == 0 || position > size {
        return Err(damaged);
    }
    let end = i64::try_from(size).unwrap_or(i64::MAX);
    let path = proofs::inclusion(connection, event.position, end)
        .await?
        .path;
    let leaf: Option<Hash> = event.leaf.as_slice().try_into().ok();
    let holds = leaf.is_some_and(|leaf| {
        merkle::verify_inclusion(position - 1, size, &leaf, &path, &checkpoint.root)
    });
    if holds { Ok(()) } else { Err(damaged) }
}
