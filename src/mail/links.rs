//! The links in mails. A link's token is not stored anywhere: it is derived from the nonce in its event and a secret of the
//! installation, once when it is mailed and again when somebody brings it back.
//!
//! A token is URL-safe base64 of user id (8 bytes), nonce (16) and HMAC-SHA-256 over purpose, id and nonce (32).

use aggregates::ids::UserId;
use aggregates::user::recovery::Nonce;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::digests;
use crate::ledger::Secrets;

const NONCE_BYTES: usize = 16;

/// What a link is for; one link never serves for another purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Choosing a new password.
    PasswordReset,
    /// Proving the e-mail.
    EmailProof,
}

impl Purpose {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::PasswordReset => b"password reset\0",
            Self::EmailProof => b"email proof\0",
        }
    }
}

/// Makes and reads tokens.
#[derive(Clone)]
pub struct Links(hmac::Key);

impl Links {
    /// With the installation's secret.
    #[must_use]
    pub fn new(secrets: &Secrets) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secrets.links()))
    }

    /// The token of a link; `None` when the nonce is not one of [`fresh_nonce`]'s.
    #[must_use]
    pub fn token(&self, purpose: Purpose, user: UserId, nonce: &Nonce) -> Option<String> {
        let nonce = bytes(nonce)?;
        let mut token = [user.get().to_be_bytes().as_slice(), &nonce].concat();
        let tag = hmac::sign(&self.0, &[purpose.name(), &token].concat());
        token.extend_from_slice(tag.as_ref());
        Some(URL_SAFE_NO_PAD.encode(token))
    }

    /// Whose link it is, and its nonce; `None` for a token that was not made here for this purpose.
    #[must_use]
    pub fn read(&self, purpose: Purpose, token: &str) -> Option<(UserId, Nonce)> {
        let token = URL_SAFE_NO_PAD.decode(token.trim()).ok()?;
        let (told, tag) = token.split_at_checked(8 + NONCE_BYTES)?;
        hmac::verify(&self.0, &[purpose.name(), told].concat(), tag).ok()?;
        let (id, nonce) = told.split_first_chunk::<8>()?;
        Some((UserId(i64::from_be_bytes(*id)), hexadecimal(nonce)))
    }

    /// The signature of an upload's address.
    #[must_use]
    pub fn sign_upload(&self, told: &str) -> String {
        let tag = hmac::sign(&self.0, &[b"upload\0", told.as_bytes()].concat());
        URL_SAFE_NO_PAD.encode(tag)
    }

    /// Whether the signature is that of this upload's address.
    #[must_use]
    pub fn is_upload(&self, told: &str, signature: &str) -> bool {
        let tag = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        hmac::verify(&self.0, &[b"upload\0", told.as_bytes()].concat(), &tag).is_ok()
    }

    /// A short name of this installation, for message ids.
    #[must_use]
    pub fn installation(&self) -> String {
        let tag = hmac::sign(&self.0, b"installation");
        digests::hexadecimal(&tag.as_ref()[..6])
    }
}

/// A random value for a new link.
#[must_use]
pub fn fresh_nonce() -> Nonce {
    let mut nonce = [0; NONCE_BYTES];
    aws_lc_rs::rand::fill(&mut nonce).expect("the system's random source answers");
    hexadecimal(&nonce)
}

fn hexadecimal(bytes: &[u8]) -> Nonce {
    Nonce(digests::hexadecimal(bytes))
}

fn bytes(nonce: &Nonce) -> Option<Vec<u8>> {
    let digits = nonce.0.as_bytes();
    let pairs = digits.chunks_exact(2);
    let read = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Vec<u8> = pairs.map(read).collect::<Option<_>>()?;
    (digits.len() == 2 * NONCE_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(key: u8) -> Links {
        Links(hmac::Key::new(hmac::HMAC_SHA256, &[key; 32]))
    }

    #[test]
    fn a_token_is_read_for_its_own_purpose_under_its_own_secret_only() {
        let (user, nonce) = (UserId(7), fresh_nonce());
        let token = links(1)
            .token(Purpose::PasswordReset, user, &nonce)
            .unwrap();
        assert_eq!(
            links(1).read(Purpose::PasswordReset, &token),
            Some((user, nonce.clone()))
        );
        assert_eq!(links(1).read(Purpose::EmailProof, &token), None);
        assert_eq!(links(2).read(Purpose::PasswordReset, &token), None);
        assert!(
            token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        );
    }

    #[test]
    fn no_changed_or_cut_token_is_read() {
        let token = links(1)
            .token(Purpose::EmailProof, UserId(1), &fresh_nonce())
            .unwrap();
        for at in 0..token.len() {
            let other = if token.as_bytes()[at] == b'A' {
                "B"
            } else {
                "A"
            };
            let mut changed = token.clone();
            changed.replace_range(at..=at, other);
            assert_eq!(links(1).read(Purpose::EmailProof, &changed), None, "{at}");
            assert_eq!(links(1).read(Purpose::EmailProof, &token[..at]), None);
        }
    }

    #[test]
    fn a_foreign_nonce_gives_no_token() {
        for nonce in ["", "abc", "zz", "é"] {
            let nonce = Nonce(nonce.to_owned());
            assert_eq!(links(1).token(Purpose::EmailProof, UserId(1), &nonce), None);
        }
    }
}
