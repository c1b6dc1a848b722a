//! The leaf hash of an event: what the ledger's Merkle tree is built of.
//!
//! SHA-256 over `0x00` (the leaf prefix of RFC 9162, section 2.1.1) and the event's entry. The entry is the text
//! `leadledger.event.v1` and the stored columns in the order below, each as its length in bytes (eight, big endian) and its
//! bytes: text as UTF-8, integers in decimal, the time as microseconds since 1970 in decimal, an absent company as
//! the empty text. The position is not part of it: it is the leaf's index in the tree. Payload and metadata count as
//! they are stored, with personal data sealed, so that a destroyed key leaves every hash as it was.

use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, Utc};

use super::stream::Stored;

/// The stored columns that the hash covers.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of `events`, by the same names")]
pub struct Entry<'a> {
    pub aggregate_type: &'a str,
    pub aggregate_id: &'a str,
    pub sequence: i64,
    pub event_type: &'a str,
    pub event_version: &'a str,
    pub payload: &'a str,
    pub metadata: &'a str,
    pub recorded_at: DateTime<Utc>,
    pub company_id: Option<i64>,
}

impl<'a> Entry<'a> {
    /// What the payload is decoded from.
    #[must_use]
    pub const fn stored(&self) -> Stored<'a> {
        Stored {
            event_type: self.event_type,
            event_version: self.event_version,
            payload: self.payload,
        }
    }
}

/// The 32-byte leaf hash.
#[must_use]
pub fn hash(entry: &Entry<'_>) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    let mut field = |bytes: &[u8]| {
        let length = u64::try_from(bytes.len()).expect("a length fits in 64 bits");
        context.update(&length.to_be_bytes());
        context.update(bytes);
    };
    field(b"leadledger.event.v1");
    field(entry.aggregate_type.as_bytes());
    field(entry.aggregate_id.as_bytes());
    field(entry.sequence.to_string().as_bytes());
    field(entry.event_type.as_bytes());
    field(entry.event_version.as_bytes());
    field(entry.payload.as_bytes());
    field(entry.metadata.as_bytes());
    field(entry.recorded_at.timestamp_micros().to_string().as_bytes());
    field(
        entry
            .company_id
            .map(|id| id.to_string())
            .unwrap_or_default()
            .as_bytes(),
    );
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_known_event_never_changes() {
        let entry = Entry {
            aggregate_type: "lead",
            aggregate_id: "1",
            sequence: 1,
            event_type: "LeadNoteRemoved",
            event_version: "1",
            payload: r#"{"LeadNoteRemoved":{"note_id":5}}"#,
            metadata: "{}",
            recorded_at: DateTime::UNIX_EPOCH,
            company_id: Some(3),
        };
        assert_eq!(hash(&entry), EXPECTED);
        let moved = Entry {
            company_id: None,
            ..entry
        };
        assert_ne!(hash(&moved), hash(&entry));
    }

    // Computed independently with a few lines of Python's hashlib over the layout in the module's text.
    const EXPECTED: [u8; 32] = [
        0x73, 0xf7, 0x2a, 0x0b, 0x9b, 0xc7, 0x37, 0x7a, 0x46, 0x0b, 0xeb, 0x0b, 0xc2, 0x11, 0xe5,
        0xc7, 0x8c, 0x05, 0x9c, 0x7f, 0x28, 0xf7, 0x60, 0x36, 0xbc, 0x83, 0x88, 0xc6, 0xc5, 0xb8,
        0xdc, 0x62,
    ];
}
