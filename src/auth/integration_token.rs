//! Private integration tokens: `pit-<uuid>`, kept nowhere but as a hash, and when they were last used.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aggregates::ids::IntegrationTokenId;
use aws_lc_rs::{digest, rand};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use uuid::Builder;

/// What every such token begins with.
pub const PREFIX: &str = "pit-";

/// A last use is written at most this often for a token and node.
const WRITTEN_EVERY: TimeDelta = TimeDelta::seconds(60);

/// A new token: 122 random bits in a uuid of version 4.
#[must_use]
pub fn generate() -> SecretString {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system's random source answers");
    let uuid = Builder::from_random_bytes(bytes).into_uuid();
    SecretString::from(format!("{PREFIX}{uuid}"))
}

/// What is kept of a token: SHA-256 in hexadecimal. No salt and no stretching, since nobody can guess 122 random bits.
#[must_use]
pub fn hash(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    let hex =
        |byte: &u8| [byte >> 4, byte & 15].map(|n| char::from(b"0123456789abcdef"[usize::from(n)]));
    digest.as_ref().iter().flat_map(hex).collect()
}

/// When this node last wrote down a token's use.
#[derive(Debug, Default)]
pub struct TokenUses(Mutex<HashMap<IntegrationTokenId, DateTime<Utc>>>);

impl TokenUses {
    /// Whether this use is to be written down; if so, the next ones of this minute are not.
    #[must_use]
    pub fn is_due(&self, token: IntegrationTokenId, now: DateTime<Utc>) -> bool {
        // Times are only replaced by later ones: a panic elsewhere leaves the map sound.
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = written
            .get(&token)
            .is_none_or(|last| now - *last >= WRITTEN_EVERY);
        if due {
            written.insert(token, now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn tokens_differ_and_look_like_what_clients_know() {
        let (one, other) = (generate(), generate());
        assert_ne!(one.expose_secret(), other.expose_secret());
        let uuid = one.expose_secret().strip_prefix(PREFIX).unwrap();
        assert_eq!(uuid.parse::<uuid::Uuid>().unwrap().get_version_num(), 4);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hash(""), empty);
    }

    #[test]
    fn a_use_is_written_once_a_minute() {
        let uses = TokenUses::default();
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let due = |token, seconds| {
            let now = start + TimeDelta::seconds(seconds);
            uses.is_due(IntegrationTokenId(token), now)
        };
        assert!(due(1, 0));
        assert!(!due(1, 59));
        assert!(due(2, 59));
        assert!(due(1, 60));
    }
}
