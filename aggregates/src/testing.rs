//! What the aggregates' tests share: folding histories, and storing events plain and sealed.

use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Decide;
use crate::personal::{FieldCipher, with_cipher};

/// Seals by writing the bytes backwards, in hexadecimal.
struct Backwards;

impl FieldCipher for Backwards {
    fn seal(&self, plain: &[u8]) -> String {
        let hex = |byte: &u8| {
            [byte >> 4, byte & 15].map(|n| char::from(b"0123456789abcdef"[usize::from(n)]))
        };
        plain.iter().rev().flat_map(hex).collect()
    }

    fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let byte = |at: usize| u8::from_str_radix(sealed.get(at..at + 2)?, 16).ok();
        (0..sealed.len()).step_by(2).rev().map(byte).collect()
    }
}

/// Opens nothing, as when the key is destroyed.
struct Lost;

impl FieldCipher for Lost {
    fn seal(&self, _plain: &[u8]) -> String {
        String::new()
    }

    fn open(&self, _sealed: &str) -> Option<Vec<u8>> {
        None
    }
}

/// The event as it is stored, and as it is read back; also that no `secret` is in the sealed text.
pub(crate) fn assert_survives_storage<E>(event: &E, secrets: &[&str])
where
    E: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let plain = serde_json::to_string(event).unwrap();
    assert_eq!(&serde_json::from_str::<E>(&plain).unwrap(), event);

    let sealed = with_cipher(Arc::new(Backwards), || {
        serde_json::to_string(event).unwrap()
    });
    for secret in secrets {
        assert!(!sealed.contains(secret), "{secret} is readable in {sealed}");
    }
    let opened: E = with_cipher(Arc::new(Backwards), || {
        serde_json::from_str(&sealed).unwrap()
    });
    assert_eq!(&opened, event);

    // A stock program has no cipher: it must carry the sealed text through as it is.
    let carried: E = serde_json::from_str(&sealed).unwrap();
    assert_eq!(serde_json::to_string(&carried).unwrap(), sealed);
}

/// The event as a reader has it who lost the key, and as one who never had it.
pub(crate) fn unreadable<E: Serialize + DeserializeOwned>(event: &E) -> [E; 2] {
    let sealed = with_cipher(Arc::new(Backwards), || {
        serde_json::to_string(event).unwrap()
    });
    [
        with_cipher(Arc::new(Lost), || serde_json::from_str(&sealed).unwrap()),
        serde_json::from_str(&sealed).unwrap(),
    ]
}

/// The state after these events.
pub(crate) fn folded<A: Decide>(events: &[A::Event]) -> A {
    let mut state = A::default();
    for event in events {
        state.evolve(event);
    }
    state
}

/// Decides and folds; answers the events, none when a rule refused.
pub(crate) fn carry_out<A: Decide>(state: &mut A, command: A::Command) -> Vec<A::Event> {
    let events = state.decide(command).unwrap_or_default();
    for event in &events {
        state.evolve(event);
    }
    events
}
