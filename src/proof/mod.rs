//! Proofs about the ledger, pure: the Merkle tree over its events, the map of its streams, signed checkpoints, and evidence packs
//! with their verification.
//!
//! Nothing here knows a database, a server or a clock: what is in this folder is all that a verifier needs, and it must stay
//! so. `docs/audit.md` describes every format for people who write a verifier of their own.

pub mod checkpoint;
pub mod evidence;
pub mod history;
pub mod keys;
pub mod merkle;
pub mod note;
mod rfc3339;
pub mod stream_map;
mod strict_json;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// As proofs and checkpoints carry it: base64 with padding.
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The hash in a base64 text; `None` when it is anything else.
#[must_use]
pub fn hash_from_base64(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
