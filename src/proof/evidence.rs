//! Evidence packs: one stream's whole history in one file, with everything that it takes to check it without us.
//!
//! [`EvidencePack::check`] is the verifier. It trusts nothing in the pack: only the keys that it is given from elsewhere.
//! What a file may say is anybody's: nothing in it may make the check panic.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Datelike as _, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::keys::TrustedKey;
use super::stream_map::{self, StreamEnd};
use super::strict_json::Unreadable;
use super::{Hash, hash_from_base64, merkle, strict_json};
use crate::ledger::leaf;

/// What this version of packs is called.
pub const FORMAT: &str = "leadledger.evidence.v1";

/// A pack. Additional members are passed over; what may be null must be there all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidencePack {
    /// `leadledger.evidence.v1`
    pub format: String,
    /// The kind of the stream, such as `lead`.
    pub aggregate_type: String,
    /// Which of its kind, such as the lead's id.
    pub aggregate_id: String,
    /// The signed note that everything is proved by.
    pub checkpoint: String,
    /// How many events the stream has.
    pub stream_events: u64,
    /// Proof that the checkpoint's map says so: base64 hashes, from the stream up.
    pub stream_proof: Vec<String>,
    /// The key that opens the sealed values, base64; null when it is destroyed or there never was one.
    #[serde(deserialize_with = "Option::deserialize")]
    pub subject_key: Option<String>,
    /// Every event of the stream, in their order.
    pub events: Vec<EventEvidence>,
}

/// One event, as it is stored, and the proof that it is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventEvidence {
    /// Place in the ledger, from 1.
    pub position: u64,
    /// Place in the stream, from 1.
    pub sequence: i64,
    /// Its name.
    pub event_type: String,
    /// Version of its shape.
    pub event_version: String,
    /// The stored JSON text, to the byte.
    pub payload: String,
    /// The stored JSON text, to the byte.
    pub metadata: String,
    /// When it was recorded: microseconds since 1970.
    pub recorded_at_micros: i64,
    /// The company that it belongs to, if any.
    #[serde(deserialize_with = "Option::deserialize")]
    pub company_id: Option<i64>,
    /// RFC 9162 inclusion proof: base64 hashes, from the leaf up.
    pub inclusion_path: Vec<String>,
}

/// The first thing that is wrong with a pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Not a pack at all.
    #[error("the file is not an evidence pack: {0}")]
    NotAPack(String),
    /// A pack of another version.
    #[error("the pack has the format {0:?}, and this program reads {FORMAT}")]
    OtherFormat(String),
    /// See [`CheckpointError`].
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    /// Something about one event, which is named by its place in the pack, from 1.
    #[error("event {0}: {1}")]
    Event(usize, &'static str),
    /// A text of one event, by its place and what it is, that could be taken for another.
    #[error("event {0}: its {1} {2}")]
    Unreadable(usize, &'static str, Unreadable),
    /// The history is not whole.
    #[error("{0}")]
    Incomplete(String),
    /// The key in the pack is none.
    #[error("the key of the personal data is not 32 bytes in base64")]
    Key,
}

impl EvidencePack {
    /// The pack in a file's text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, EvidenceError> {
        let no_pack = |what: &dyn std::fmt::Display| EvidenceError::NotAPack(what.to_string());
        let value = strict_json::read(text).map_err(|error| no_pack(&format!("it {error}")))?;
        // `serde` takes a list of the members for the struct as well.
        let events = value.get("events").and_then(Value::as_array);
        if !events.is_some_and(|events| events.iter().all(Value::is_object)) {
            return Err(no_pack(&"it has no list of events that are objects"));
        }
        let pack: Self = serde_json::from_value(value).map_err(|error| no_pack(&error))?;
        if pack.format == FORMAT {
            Ok(pack)
        } else {
            Err(EvidenceError::OtherFormat(pack.format))
        }
    }

    /// Checks everything but what is sealed: the checkpoint's signature and that its key held then, that each event is in the ledger as it stands here and says one thing
    /// only, that their numbers run from 1 without a gap and their times do not go back, and that there are no more of them.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, keys: &[TrustedKey]) -> Result<Checkpoint, EvidenceError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, keys)?;
        self.subject()?;
        let mut last = None;
        let mut before = 0;
        let mut earlier = i64::MIN;
        for (event, nth) in self.events.iter().zip(1..) {
            let wrong = |what| EvidenceError::Event(nth, what);
            if i64::try_from(nth) != Ok(event.sequence) {
                return Err(wrong(
                    "its number in the history is not the next one: an event before it is withheld",
                ));
            }
            if event.position <= before {
                return Err(wrong(
                    "its position is not after that of the event before it",
                ));
            }
            before = event.position;
            if event.recorded_at_micros < earlier {
                return Err(wrong("it was recorded earlier than the event before it"));
            }
            earlier = event.recorded_at_micros;
            let unreadable = |what| move |why| EvidenceError::Unreadable(nth, what, why);
            let content = event.content().map_err(unreadable("payload"))?;
            if content.is_none() {
                return Err(wrong(
                    "its payload is not a JSON object with one member, called as its type",
                ));
            }
            let provenance = event.provenance().map_err(unreadable("metadata"))?;
            if provenance.is_none() {
                return Err(wrong("its metadata are not a JSON object"));
            }
            let leaf = event.recorded_at().and_then(|_| self.leaf_of(event));
            let leaf = leaf.ok_or_else(|| wrong("its time is no time"))?;
            let path = hashes(&event.inclusion_path)
                .ok_or_else(|| wrong("its proof is not a list of hashes"))?;
            let index = event.position.wrapping_sub(1);
            let (size, root) = (checkpoint.size, &checkpoint.root);
            if !merkle::verify_inclusion(index, size, &leaf, &path, root) {
                return Err(wrong("it is not what the ledger has at this position"));
            }
            last = Some(leaf);
        }
        self.check_complete(&checkpoint, last)?;
        Ok(checkpoint)
    }

    /// The key of the personal data, if there is one.
    pub(super) fn subject(&self) -> Result<Option<[u8; 32]>, EvidenceError> {
        let bytes = self.subject_key.as_ref().map(|key| STANDARD.decode(key));
        let bytes = bytes.transpose().map_err(|_| EvidenceError::Key)?;
        let key = bytes.map(<[u8; 32]>::try_from).transpose();
        key.map_err(|_| EvidenceError::Key)
    }

    /// The place in the pack, from 1, of the first event that was recorded after the checkpoint was made, by the clocks of the servers. One
    /// that ran ahead can do that; so can whoever chooses the times. A checkpoint's are whole seconds.
    #[must_use]
    pub fn later_than(&self, checkpoint: &Checkpoint) -> Option<usize> {
        let end = (checkpoint.time.timestamp() + 1).saturating_mul(1_000_000);
        let later = |event: &EventEvidence| event.recorded_at_micros >= end;
        self.events.iter().position(later).map(|index| index + 1)
    }

    fn check_complete(
        &self,
        checkpoint: &Checkpoint,
        last: Option<Hash>,
    ) -> Result<(), EvidenceError> {
        let incomplete = |what: &str| EvidenceError::Incomplete(what.to_owned());
        let last_leaf = last.ok_or_else(|| incomplete("the pack has no events"))?;
        let shown = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        if shown != self.stream_events {
            return Err(EvidenceError::Incomplete(format!(
                "the history has {} events, and {shown} are shown",
                self.stream_events
            )));
        }
        let proof = hashes(&self.stream_proof)
            .ok_or_else(|| incomplete("the proof of the whole history is not a list of hashes"))?;
        let end = StreamEnd {
            key: stream_map::stream_key(&self.aggregate_type, &self.aggregate_id),
            events: shown,
            last_leaf,
        };
        if stream_map::verify(&end, &proof, &checkpoint.streams) {
            Ok(())
        } else {
            Err(incomplete(
                "the history is not whole: the ledger has another number of events of it, or another last one",
            ))
        }
    }

    fn leaf_of(&self, event: &EventEvidence) -> Option<Hash> {
        let hash = leaf::hash(&leaf::Entry {
            aggregate_type: &self.aggregate_type,
            aggregate_id: &self.aggregate_id,
            sequence: event.sequence,
            event_type: &event.event_type,
            event_version: &event.event_version,
            payload: &event.payload,
            metadata: &event.metadata,
            recorded_at: DateTime::from_timestamp_micros(event.recorded_at_micros)?,
            company_id: event.company_id,
        });
        hash.try_into().ok()
    }
}

impl EventEvidence {
    /// When it was recorded; `None` when that is not in the years 1 to 9999.
    #[must_use]
    pub fn recorded_at(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.recorded_at_micros)
            .filter(|time| (1..=9999).contains(&time.year()))
    }

    /// What happened, as stored: what the one member of the payload says, which is called as the type. `None` when the payload is any
    /// other JSON.
    pub(super) fn content(&self) -> Result<Option<Value>, Unreadable> {
        Ok(match strict_json::read(&self.payload)? {
            Value::Object(mut members) if members.len() == 1 => members.remove(&self.event_type),
            _ => None,
        })
    }

    /// The metadata; `None` when they are no object.
    pub(super) fn provenance(&self) -> Result<Option<Map<String, Value>>, Unreadable> {
        Ok(match strict_json::read(&self.metadata)? {
            Value::Object(members) => Some(members),
            _ => None,
        })
    }
}

fn hashes(texts: &[String]) -> Option<Vec<Hash>> {
    texts.iter().map(|text| hash_from_base64(text)).collect()
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
