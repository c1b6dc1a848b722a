//! Events as they are stored: sealed, written and hashed; and the part of the statement that inserts them.

use std::sync::Arc;

use aggregates::personal::FieldCipher;
use chrono::{DateTime, Utc};
use projections::Statement;

use super::leaf;
use super::provenance;
use super::stream;
use super::unit::Pending;

/// So many events are sealed and hashed sooner by a further thread than without it.
const WORTH_A_THREAD: usize = 150;
/// The most threads that do so.
const MOST_THREADS: usize = 4;

/// An event as it is stored.
struct Encoded {
    aggregate_type: &'static str,
    aggregate_id: String,
    sequence: i64,
    event_type: &'static str,
    event_version: &'static str,
    payload: String,
    metadata: String,
    company_id: Option<i64>,
    leaf_hash: Vec<u8>,
}

/// Seals, writes and hashes each event with its cipher; many of them on several cores, while nothing else goes on in the committer.
pub(super) fn encode(
    pending: &[Pending],
    ciphers: &[Arc<dyn FieldCipher>],
    recorded_at: DateTime<Utc>,
) -> Columns {
    let some = |(pending, ciphers): (&[Pending], &[Arc<dyn FieldCipher>])| -> Vec<Encoded> {
        let both = pending.iter().zip(ciphers);
        both.map(|(pending, cipher)| Encoded::of(pending, cipher, recorded_at))
            .collect()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (pending.len() / WORTH_A_THREAD).clamp(1, cores.min(MOST_THREADS));
    if threads == 1 {
        return some((pending, ciphers)).into_iter().collect();
    }
    let share = pending.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let mut shares = pending.chunks(share).zip(ciphers.chunks(share));
        let own = shares.next();
        let others: Vec<_> = shares
            .map(|share| scope.spawn(move || some(share)))
            .collect();
        let own = own.map(some).unwrap_or_default();
        let others = others.into_iter().flat_map(|other| match other.join() {
            Ok(more) => more,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        own.into_iter().chain(others).collect()
    })
}

impl FromIterator<Encoded> for Columns {
    fn from_iter<T: IntoIterator<Item = Encoded>>(events: T) -> Self {
        let mut columns = Self::default();
        for event in events {
            columns.push(event);
        }
        columns
    }
}

impl Encoded {
    fn of(pending: &Pending, cipher: &Arc<dyn FieldCipher>, recorded_at: DateTime<Utc>) -> Self {
        let stream = pending.stream;
        let payload = stream::encode(&pending.event, cipher.clone());
        let metadata = provenance::sealed(&pending.metadata, stream.kind, cipher.as_ref());
        let (event_type, event_version) = stream::type_and_version(&pending.event);
        let (aggregate_type, aggregate_id) = (stream.kind.name(), stream.id.to_string());
        let company_id = pending.company_id.map(aggregates::ids::CompanyId::get);
        let leaf_hash = leaf::hash(&leaf::Entry {
            aggregate_type,
            aggregate_id: &aggregate_id,
            sequence: pending.sequence,
            event_type,
            event_version,
            payload: &payload,
            metadata: &metadata,
            recorded_at,
            company_id,
        });
        Self {
            aggregate_type,
            aggregate_id,
            sequence: pending.sequence,
            event_type,
            event_version,
            payload,
            metadata: metadata.into_owned(),
            company_id,
            leaf_hash,
        }
    }
}

/// The columns of the table `events`.
#[derive(Default)]
pub(super) struct Columns {
    aggregate_type: Vec<&'static str>,
    aggregate_id: Vec<String>,
    sequence: Vec<i64>,
    event_type: Vec<&'static str>,
    event_version: Vec<&'static str>,
    payload: Vec<String>,
    metadata: Vec<String>,
    company_id: Vec<Option<i64>>,
    pub(super) leaf_hash: Vec<Vec<u8>>,
}

impl Columns {
    fn push(&mut self, event: Encoded) {
        self.aggregate_type.push(event.aggregate_type);
        self.aggregate_id.push(event.aggregate_id);
        self.sequence.push(event.sequence);
        self.event_type.push(event.event_type);
        self.event_version.push(event.event_version);
        self.payload.push(event.payload);
        self.metadata.push(event.metadata);
        self.company_id.push(event.company_id);
        self.leaf_hash.push(event.leaf_hash);
    }

    /// How many bytes the payload of each has.
    pub(super) fn payload_lengths(&self) -> impl Iterator<Item = usize> {
        self.payload.iter().map(String::len)
    }

    /// Adds the part that inserts them, at the positions after this one.
    pub(super) fn write(self, statement: &mut Statement, after: i64, recorded_at: DateTime<Utc>) {
        statement.part("new_events", |s| {
            s.sql(
                "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
                 metadata, position, recorded_at, company_id, leaf_hash) \
                 SELECT r.aggregate_type, r.aggregate_id, r.sequence, r.event_type, r.event_version, \
                 r.payload::json, r.metadata::json, ",
            )
            .bind(after)
            .sql(" + r.n, ")
            .bind(recorded_at)
            .sql(", r.company_id, r.leaf_hash FROM head, unnest(")
            .bind(self.aggregate_type)
            .also(self.aggregate_id)
            .also(self.sequence)
            .also(self.event_type)
            .also(self.event_version)
            .also(self.payload)
            .also(self.metadata)
            .also(self.company_id)
            .also(self.leaf_hash)
            .sql(
                ") WITH ORDINALITY AS r(aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
                 metadata, company_id, leaf_hash, n)",
            );
        });
    }
}
