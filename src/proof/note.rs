//! Signed notes (C2SP `signed-note`): a text, and below it a line a signature, by Ed25519 keys that have names.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::merkle::sha256;
use super::to_base64;

/// The signature type of Ed25519.
const ED25519_TYPE: u8 = 1;
/// How a signature line begins: an em dash and a space.
const DASH: &str = "\u{2014} ";
/// More signature lines than this are nobody's.
const MOST_SIGNATURES: usize = 100;

/// Why something is no note, or one that is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a text, an empty line and signature lines.
    #[error("is not a signed note")]
    NotANote,
    /// None of its signatures is by a trusted key.
    #[error("is not signed by any of the given keys")]
    NotSigned,
    /// A trusted key's signature does not fit the text.
    #[error("has a signature of {0} that is wrong")]
    WrongSignature(String),
    /// A key is not written as `name+hash+base64`.
    #[error("is not a key of the form name+hash+base64")]
    NotAKey,
}

/// A public key and the name that it signs under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    /// The name.
    pub name: String,
    /// The Ed25519 public key.
    pub key: [u8; 32],
}

impl VerifierKey {
    /// The key in a text of the form `name+hash+base64`.
    ///
    /// # Errors
    /// [`NoteError::NotAKey`], also when the hash is not that of name and key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let read = || {
            let mut parts = text.splitn(3, '+');
            let (name, hash, encoded) = (parts.next()?, parts.next()?, parts.next()?);
            let bytes = STANDARD.decode(encoded).ok()?;
            let (&kind, key) = bytes.split_first()?;
            let key = Self {
                name: name.to_owned(),
                key: key.try_into().ok()?,
            };
            let right = is_name(name) && kind == ED25519_TYPE && key.hash_text() == hash;
            (right && is_canonical(&key.key)).then_some(key)
        };
        read().ok_or(NoteError::NotAKey)
    }

    /// The first four bytes of SHA-256 over name, line feed, signature type and key.
    #[must_use]
    pub fn hash(&self) -> [u8; 4] {
        let told = [self.name.as_bytes(), b"\n", &[ED25519_TYPE], &self.key].concat();
        let [a, b, c, d, ..] = sha256(&told);
        [a, b, c, d]
    }

    fn hash_text(&self) -> String {
        crate::digests::hexadecimal(&self.hash())
    }

    fn holds(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.key)
            .verify(text.as_bytes(), signature)
            .is_ok()
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = to_base64(&[&[ED25519_TYPE], self.key.as_slice()].concat());
        write!(f, "{}+{}+{key}", self.name, self.hash_text())
    }
}

/// Whether the point of a key is written as RFC 8032 writes it: verifiers differ in whether they read another spelling.
fn is_canonical(key: &[u8; 32]) -> bool {
    let (first, middle, last) = (key[0], &key[1..31], key[31]);
    let (sign, high) = (last >> 7, last & 0x7f);
    let from_prime =
        |above: u8| first >= above && middle.iter().all(|&b| b == 0xff) && high == 0x7f;
    let is_one = first == 1 && middle.iter().all(|&b| b == 0) && high == 0;
    // At 1 and at -1, which is 0xec, the other coordinate is 0, and has no sign.
    !from_prime(0xed) && (sign == 0 || !(is_one || from_prime(0xec)))
}

/// Whether a key may be called so: not empty, without white space and plus signs.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

/// A private key and the name that it signs under.
pub struct Signer {
    public: VerifierKey,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// From the 32 bytes of a seed; `None` when they are not 32, or the name is none.
    #[must_use]
    pub fn from_seed(name: &str, seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let key = pair.public_key().as_ref().try_into().ok()?;
        let name = is_name(name).then(|| name.to_owned())?;
        Some(Self {
            public: VerifierKey { name, key },
            pair,
        })
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn public(&self) -> &VerifierKey {
        &self.public
    }

    fn line(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let signed = [self.public.hash().as_slice(), signature.as_ref()].concat();
        format!("{DASH}{} {}\n", self.public.name, to_base64(&signed))
    }
}

/// The note of a text, which must end with a line feed, signed by each.
#[must_use]
pub fn sign(text: &str, signers: &[&Signer]) -> String {
    let lines: String = signers.iter().map(|signer| signer.line(text)).collect();
    format!("{text}\n{lines}")
}

/// The text of a note that one of the keys signed, and which key that is. Signatures by other keys are not looked at.
///
/// # Errors
/// See [`NoteError`].
pub fn open<'k>(
    note: &str,
    keys: &'k [VerifierKey],
) -> Result<(String, &'k VerifierKey), NoteError> {
    let (text, by) = open_by_all(note, keys)?;
    let first = by.first().copied().ok_or(NoteError::NotSigned)?;
    Ok((text, first))
}

/// The text of a note, and every one of the keys that signed it, at least one. Signatures by other keys are not looked at.
///
/// # Errors
/// See [`NoteError`].
pub fn open_by_all<'k>(
    note: &str,
    keys: impl IntoIterator<Item = &'k VerifierKey>,
) -> Result<(String, Vec<&'k VerifierKey>), NoteError> {
    // The format allows none, and readers differ in which of them end a line.
    if note.contains(|c: char| c < ' ' && c != '\n') {
        return Err(NoteError::NotANote);
    }
    let end = note.rfind("\n\n").ok_or(NoteError::NotANote)?;
    let (text, signatures) = (&note[..=end], &note[end + 2..]);
    if !signatures.ends_with('\n') {
        return Err(NoteError::NotANote);
    }
    let keys: Vec<&VerifierKey> = keys.into_iter().collect();
    let mut by = Vec::new();
    for (number, line) in signatures.lines().enumerate() {
        let parts = line
            .strip_prefix(DASH)
            .and_then(|line| line.split_once(' '));
        let (name, encoded) = parts.ok_or(NoteError::NotANote)?;
        let signed = STANDARD.decode(encoded).map_err(|_| NoteError::NotANote)?;
        let (hash, signature) = signed.split_first_chunk().ok_or(NoteError::NotANote)?;
        if number >= MOST_SIGNATURES || !is_name(name) {
            return Err(NoteError::NotANote);
        }
        let mut known = keys.iter().copied();
        if let Some(key) = known.find(|key| key.name == name && key.hash() == *hash) {
            if !key.holds(text, signature) {
                return Err(NoteError::WrongSignature(key.to_string()));
            }
            by.push(key);
        }
    }
    if by.is_empty() {
        return Err(NoteError::NotSigned);
    }
    Ok((text.to_owned(), by))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // The example of Go's `golang.org/x/mod/sumdb/note`, from which the format came.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SEED: &str = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM=";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn the_published_note_is_made_and_opened() {
        let key = VerifierKey::parse(KEY).unwrap();
        assert_eq!(key.to_string(), KEY);
        assert_eq!(
            open(NOTE, std::slice::from_ref(&key)),
            Ok((TEXT.to_owned(), &key))
        );
        let signer = Signer::from_seed("PeterNeumann", &STANDARD.decode(SEED).unwrap()).unwrap();
        assert_eq!(signer.public(), &key);
        assert_eq!(sign(TEXT, &[&signer]), NOTE);
    }

    #[test]
    fn a_changed_note_and_a_strange_key_are_refused() {
        let key = VerifierKey::parse(KEY).unwrap();
        let changed = NOTE.replace("think", "thank");
        assert_eq!(
            open(&changed, std::slice::from_ref(&key)),
            Err(NoteError::WrongSignature(KEY.to_owned()))
        );
        let other = Signer::from_seed("PeterNeumann", &[7; 32]).unwrap();
        let others = [other.public().clone()];
        assert_eq!(open(NOTE, &others), Err(NoteError::NotSigned));
        // Signed by both, either key opens it.
        let signer = Signer::from_seed("PeterNeumann", &STANDARD.decode(SEED).unwrap()).unwrap();
        let both = sign(TEXT, &[&signer, &other]);
        assert_eq!(open(&both, &others).unwrap().1, other.public());
        for text in [
            "",
            "+",
            "a+b",
            "a+00000000+AQ==",
            &KEY.replace("c74f", "c74e"),
            &KEY.replace("Peter", "Pe ter"),
        ] {
            assert_eq!(VerifierKey::parse(text), Err(NoteError::NotAKey), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_note_or_refused(note in "(\n|\u{2014} |PeterNeumann |x08go/ZJ|=|[a-z ]){0,40}") {
            let keys = [VerifierKey::parse(KEY).unwrap()];
            prop_assert!(open(&note, &keys).is_err());
        }
    }
}
