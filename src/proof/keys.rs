//! The keys that somebody trusts, and when each signed: a key that is retired proves nothing that is said to be signed later.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::note::VerifierKey;
use super::rfc3339;

/// What stands between words.
const SPACE: [char; 2] = [' ', '\t'];

/// A key, and the time within which what it signs counts: in whole seconds, as checkpoints tell theirs, with both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: VerifierKey,
    /// Since when; `None`: always.
    pub from: Option<DateTime<Utc>>,
    /// Until when; `None`: it did not end.
    pub until: Option<DateTime<Utc>>,
}

impl From<VerifierKey> for TrustedKey {
    /// A key of which nothing else is known.
    fn from(key: VerifierKey) -> Self {
        Self {
            key,
            from: None,
            until: None,
        }
    }
}

impl TrustedKey {
    /// Whether the key had ended by then.
    #[must_use]
    pub fn ended_before(&self, time: DateTime<Utc>) -> bool {
        self.until
            .is_some_and(|until| time.timestamp() > until.timestamp())
    }

    /// Whether the key had not begun by then.
    #[must_use]
    pub fn begins_after(&self, time: DateTime<Utc>) -> bool {
        self.from
            .is_some_and(|from| time.timestamp() < from.timestamp())
    }

    /// The key in a line: `name+hash+base64`, and behind it since when and until when, where that is said. `-` is no end.
    fn parse(line: &str) -> Result<Self, String> {
        if line.starts_with(SPACE) {
            return Err(format!("{line:?} begins with white space"));
        }
        let mut words = line
            .split(SPACE)
            .filter(|word| !word.is_empty())
            .take_while(|word| !word.starts_with('#'));
        let word = words.next().unwrap_or_default();
        let key = VerifierKey::parse(word).map_err(|error| format!("{word:?} {error}"))?;
        let mut time = || match words.next() {
            None | Some("-") => Ok(None),
            Some(word) => rfc3339::read(word)
                .map(Some)
                .ok_or_else(|| format!("{word:?} behind a key is no time")),
        };
        let (from, until) = (time()?, time()?);
        match words.next() {
            None => Ok(Self { key, from, until }),
            Some(word) => Err(format!("{word:?} stands behind the times of a key")),
        }
    }
}

/// The keys in a text, one at the very beginning of each line that is not empty and no comment (`#`), with their times if they
/// are there.
///
/// # Errors
/// The first line that is no key.
pub fn keys_in(text: &str) -> Result<Vec<TrustedKey>, String> {
    let lines = text.split('\n');
    // Some editors end lines with a carriage return.
    let lines = lines.map(|line| line.trim_end_matches([' ', '\t', '\r']));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(TrustedKey::parse).collect()
}

/// A key for which another of these can be taken: signatures name theirs by its name and hash alone.
#[must_use]
pub fn ambiguous(keys: &[TrustedKey]) -> Option<&TrustedKey> {
    let mut named = HashMap::new();
    keys.iter().find(|trusted| {
        let key = &trusted.key;
        *named.entry((&key.name, key.hash())).or_insert(key) != key
    })
}

/// Each of these keys within the times that it has here and wherever else it is among them, or among the others: a key that is
/// given without its end has one all the same, where one is known.
#[must_use]
pub fn narrowed(keys: &[TrustedKey], others: &[TrustedKey]) -> Vec<TrustedKey> {
    let known = |key: &TrustedKey| {
        let of = key.key.clone();
        let all = keys.iter().chain(others);
        all.filter(move |other| other.key == of)
    };
    let narrow = |key: &TrustedKey| TrustedKey {
        key: key.key.clone(),
        from: known(key).filter_map(|other| other.from).max(),
        until: known(key).filter_map(|other| other.until).min(),
    };
    keys.iter().map(narrow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_key_has_the_times_of_its_line() {
        let text = format!(
            "# key, valid from, valid until\n\n{KEY} 2026-01-01T00:00:00Z 2026-02-01T00:00:00Z\n\
             {KEY} 2026-01-01T00:00:00Z -\n{KEY}\n{KEY} # as in the contract\n"
        );
        let keys = keys_in(&text).unwrap();
        let from = Some(time("2026-01-01T00:00:00Z"));
        let until = Some(time("2026-02-01T00:00:00Z"));
        let times: Vec<_> = keys.iter().map(|key| (key.from, key.until)).collect();
        let none = (None, None);
        assert_eq!(times, [(from, until), (from, None), none, none]);
        for key in narrowed(&keys[2..], &keys) {
            assert_eq!((key.from, key.until), (from, until));
        }
        assert!(keys_in(&format!("{KEY} yesterday")).is_err());
        assert!(keys_in("# none\nkey").is_err());
    }

    #[test]
    fn both_ends_count_by_the_second() {
        let key = TrustedKey {
            key: VerifierKey::parse(KEY).unwrap(),
            from: Some(time("2026-01-01T00:00:00.9Z")),
            until: Some(time("2026-02-01T00:00:00.1Z")),
        };
        assert!(!key.begins_after(time("2026-01-01T00:00:00Z")));
        assert!(key.begins_after(time("2025-12-31T23:59:59Z")));
        assert!(!key.ended_before(time("2026-02-01T00:00:00.9Z")));
        assert!(key.ended_before(time("2026-02-01T00:00:01Z")));
    }
}
