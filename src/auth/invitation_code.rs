//! The codes of invitations: derived from a secret of the installation wherever they are shown, and stored nowhere.

use aggregates::ids::InvitationId;
use aws_lc_rs::{digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Derives codes. Cheap to clone.
#[derive(Clone)]
pub struct InvitationCodes(hmac::Key);

impl InvitationCodes {
    /// With this secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The code of an invitation: 256 bits in URL-safe base64.
    #[must_use]
    pub fn code(&self, invitation: InvitationId, nonce: &str) -> String {
        let text = format!("{invitation} {nonce}");
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, text.as_bytes()))
    }
}

/// What an invitation is found by: it tells nothing about the code.
#[must_use]
pub fn hash(code: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, code.as_bytes()))
}

/// A new random nonce of 128 bits.
#[must_use]
pub fn nonce() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system's random source answers");
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_depends_on_the_secret_the_invitation_and_the_nonce() {
        let codes = InvitationCodes::new(b"secret");
        let code = codes.code(InvitationId(1), "n");
        assert_eq!(code.len(), 43);
        assert_eq!(codes.code(InvitationId(1), "n"), code);
        for other in [
            codes.code(InvitationId(2), "n"),
            codes.code(InvitationId(1), "m"),
            InvitationCodes::new(b"other").code(InvitationId(1), "n"),
        ] {
            assert_ne!(other, code);
        }
        assert_ne!(hash(&code), code);
        assert_ne!(nonce(), nonce());
    }
}
