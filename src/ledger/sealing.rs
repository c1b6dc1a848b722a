//! Keys of data subjects, and the cipher that seals their values inside stored events.
//!
//! AES-256-GCM with a random nonce; the stream's name is authenticated with every value, so that sealed text cannot be
//! moved to another subject. A subject is a stream: destroying its key makes every sealed value of it unreadable.

use std::sync::Arc;

use aggregates::personal::FieldCipher;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use uuid::Uuid;

use super::stream::StreamKey;

/// The key of one data subject.
#[derive(Clone)]
pub struct SubjectKey {
    bytes: [u8; 32],
    /// As it is stored under; only the ledger's own writes ask for it.
    id: Option<Uuid>,
    cipher: Arc<StreamCipher>,
}

struct StreamCipher {
    key: LessSafeKey,
    subject: String,
}

impl SubjectKey {
    /// A new random key for the subject.
    #[must_use]
    pub fn random(stream: StreamKey) -> Self {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source answers");
        Self::from_bytes(stream, bytes)
    }

    /// The key as it was stored.
    #[must_use]
    pub fn from_bytes(stream: StreamKey, bytes: [u8; 32]) -> Self {
        Self {
            bytes,
            id: None,
            cipher: Arc::new(StreamCipher::new(stream.to_string(), &bytes)),
        }
    }

    /// The key under the id that it is stored with.
    #[must_use]
    pub fn with_id(self, id: Uuid) -> Self {
        Self {
            id: Some(id),
            ..self
        }
    }

    /// The id that it is stored with, where that was read.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        self.id
    }

    /// The bytes to store.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The cipher to lend to `aggregates::personal::with_cipher`.
    #[must_use]
    pub fn cipher(&self) -> Arc<dyn FieldCipher> {
        self.cipher.clone()
    }
}

impl StreamCipher {
    fn new(subject: String, key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes make an AES-256 key");
        Self {
            key: LessSafeKey::new(key),
            subject,
        }
    }
}

/// The cipher of a subject by its name, such as `lead/7`, which somebody else says: it need be none of ours.
#[must_use]
pub fn cipher_of(subject: String, key: &[u8; 32]) -> Arc<dyn FieldCipher> {
    Arc::new(StreamCipher::new(subject, key))
}

impl FieldCipher for StreamCipher {
    fn seal(&self, plain: &[u8]) -> String {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).expect("the system's random source answers");
        let mut sealed = plain.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.subject.as_bytes()),
                &mut sealed,
            )
            .expect("a field's value is far below the cipher's limit of 64 GiB");
        let mut stored = nonce.to_vec();
        stored.append(&mut sealed);
        STANDARD_NO_PAD.encode(stored)
    }

    fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let stored = STANDARD_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = stored.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = sealed.to_vec();
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(self.subject.as_bytes()), &mut buffer)
            .ok()?;
        Some(plain.to_vec())
    }
}

/// The cipher of a subject whose key is destroyed: opens nothing. Seals nothing either, because no command can add
/// personal data to an erased stream.
pub struct DestroyedKey;

impl FieldCipher for DestroyedKey {
    fn seal(&self, _plain: &[u8]) -> String {
        String::new()
    }

    fn open(&self, _sealed: &str) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::{StreamKey, StreamKind};
    use super::SubjectKey;

    #[test]
    fn sealed_text_opens_only_under_its_own_subject_and_unchanged() {
        let stream = StreamKey::new(StreamKind::Lead, 7);
        let key = SubjectKey::random(stream);
        let sealed = key.cipher().seal(b"ana@example.com");
        assert!(!sealed.contains("ana"));
        assert_eq!(key.cipher().open(&sealed).unwrap(), b"ana@example.com");

        let other = SubjectKey::from_bytes(StreamKey::new(StreamKind::Lead, 8), *key.bytes());
        assert_eq!(other.cipher().open(&sealed), None);
        let mut changed = sealed.into_bytes();
        changed[20] = if changed[20] == b'A' { b'B' } else { b'A' };
        assert_eq!(
            key.cipher().open(&String::from_utf8(changed).unwrap()),
            None
        );
    }
}
