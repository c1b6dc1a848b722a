//! Personal data inside events: sealed when stored in the ledger, plain in memory.
//!
//! [`Personal`] only marks a value; how it is encrypted is the store's business, which lends a [`FieldCipher`] for the
//! length of one (de)serialisation through [`with_cipher`]. A field therefore cannot be forgotten: whatever is typed
//! `Personal` is sealed, because sealing happens in its serde implementation. Without a cipher a plain value is
//! written as it stands, as a stock `postgres-es` writer does, and a sealed one is carried through unread. A plain value
//! that looks like a sealed one, such as a map with the one name `sealed`, is wrapped to be told from it.

use std::cell::RefCell;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Encrypts and decrypts single field values of one subject.
pub trait FieldCipher: Send + Sync {
    /// Turns the JSON bytes of a value into printable sealed text.
    fn seal(&self, plain: &[u8]) -> String;

    /// Turns sealed text back; `None` when the subject's key is destroyed or the text was tampered with.
    fn open(&self, sealed: &str) -> Option<Vec<u8>>;
}

thread_local! {
    static CIPHER: RefCell<Option<Arc<dyn FieldCipher>>> = const { RefCell::new(None) };
}

/// Runs `work` with `cipher` sealing and opening every [`Personal`] value that is (de)serialised on this thread.
///
/// Nests; the former cipher comes back also when `work` panics.
pub fn with_cipher<R>(cipher: Arc<dyn FieldCipher>, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<Arc<dyn FieldCipher>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CIPHER.set(self.0.take());
        }
    }
    let _restore = Restore(CIPHER.replace(Some(cipher)));
    work()
}

/// A value about a person. See the module's text for what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Personal<T> {
    /// Readable.
    Plain(T),
    /// Encrypted text that nobody has opened: read without the subject's key at hand.
    Sealed(String),
    /// The subject's key is destroyed; nobody can read it any more.
    Erased,
}

impl<T> Personal<T> {
    /// The value, unless it is sealed or erased.
    #[must_use]
    pub fn plain(&self) -> Option<&T> {
        match self {
            Self::Plain(value) => Some(value),
            Self::Sealed(_) | Self::Erased => None,
        }
    }

    /// The value by move, unless it is sealed or erased.
    #[must_use]
    pub fn into_plain(self) -> Option<T> {
        match self {
            Self::Plain(value) => Some(value),
            Self::Sealed(_) | Self::Erased => None,
        }
    }
}

impl<T: Default> Default for Personal<T> {
    fn default() -> Self {
        Self::Plain(T::default())
    }
}

impl<T> From<T> for Personal<T> {
    fn from(value: T) -> Self {
        Self::Plain(value)
    }
}

const SEALED: &str = "sealed";
const ERASED: &str = "erased";
/// Wraps a plain value that could be taken for one of these three.
const PLAIN: &str = "plain";

impl<T: Serialize> Serialize for Personal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => {
                if let Some(cipher) = CIPHER.with_borrow(Clone::clone) {
                    let plain = serde_json::to_vec(value).map_err(S::Error::custom)?;
                    return one_entry(serializer, SEALED, &cipher.seal(&plain));
                }
                let plain = serde_json::to_value(value).map_err(S::Error::custom)?;
                match single_entry(&plain) {
                    Some((SEALED | ERASED | PLAIN, _)) => one_entry(serializer, PLAIN, &plain),
                    _ => value.serialize(serializer),
                }
            }
            Self::Sealed(text) => one_entry(serializer, SEALED, text),
            Self::Erased => one_entry(serializer, ERASED, &true),
        }
    }
}

fn one_entry<S: Serializer>(
    serializer: S,
    key: &str,
    value: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Personal<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        if let Some((key, inner)) = single_entry(&value) {
            match (key, inner) {
                (SEALED, serde_json::Value::String(text)) => return open(text),
                (ERASED, serde_json::Value::Bool(true)) => return Ok(Self::Erased),
                (PLAIN, inner @ serde_json::Value::Object(_)) => {
                    return T::deserialize(inner)
                        .map(Self::Plain)
                        .map_err(D::Error::custom);
                }
                _ => {}
            }
        }
        serde_json::from_value(value)
            .map(Self::Plain)
            .map_err(D::Error::custom)
    }
}

fn single_entry(value: &serde_json::Value) -> Option<(&str, &serde_json::Value)> {
    let map = value.as_object()?;
    let (key, inner) = map.iter().next()?;
    (map.len() == 1).then_some((key.as_str(), inner))
}

fn open<T: DeserializeOwned, E: serde::de::Error>(text: &str) -> Result<Personal<T>, E> {
    let Some(cipher) = CIPHER.with_borrow(Clone::clone) else {
        return Ok(Personal::Sealed(text.to_owned()));
    };
    match cipher.open(text) {
        Some(plain) => serde_json::from_slice(&plain)
            .map(Personal::Plain)
            .map_err(E::custom),
        None => Ok(Personal::Erased),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Reverse;
    impl FieldCipher for Reverse {
        fn seal(&self, plain: &[u8]) -> String {
            String::from_utf8_lossy(plain).chars().rev().collect()
        }
        fn open(&self, sealed: &str) -> Option<Vec<u8>> {
            (sealed != "gone").then(|| sealed.chars().rev().collect::<String>().into_bytes())
        }
    }

    #[test]
    fn without_a_cipher_a_plain_value_is_written_as_it_stands() {
        let value = Personal::from("Ana".to_owned());
        assert_eq!(serde_json::to_string(&value).unwrap(), r#""Ana""#);
    }

    #[test]
    fn with_a_cipher_it_is_sealed_and_comes_back() {
        let value = Personal::from("Ana".to_owned());
        let stored = with_cipher(Arc::new(Reverse), || serde_json::to_string(&value).unwrap());
        assert_eq!(stored, r#"{"sealed":"\"anA\""}"#);
        let unread: Personal<String> = serde_json::from_str(&stored).unwrap();
        assert_eq!(unread, Personal::Sealed("\"anA\"".into()));
        assert_eq!(serde_json::to_string(&unread).unwrap(), stored);
        let read: Personal<String> =
            with_cipher(Arc::new(Reverse), || serde_json::from_str(&stored).unwrap());
        assert_eq!(read, value);
    }

    #[test]
    fn a_plain_value_that_looks_sealed_is_told_from_a_sealed_one() {
        for name in [SEALED, ERASED, PLAIN] {
            let map = std::collections::BTreeMap::from([(name.to_owned(), "x".to_owned())]);
            let value = Personal::from(map);
            let stored = serde_json::to_string(&value).unwrap();
            assert_eq!(stored, format!(r#"{{"plain":{{"{name}":"x"}}}}"#));
            let read: Personal<_> = serde_json::from_str(&stored).unwrap();
            assert_eq!(read, value);
        }
    }

    #[test]
    fn a_destroyed_key_reads_as_erased() {
        let read: Personal<String> = with_cipher(Arc::new(Reverse), || {
            serde_json::from_str(r#"{"sealed":"gone"}"#).unwrap()
        });
        assert_eq!(read, Personal::Erased);
    }
}
