//! The codes of invitations: derived from a secret of the installation wherever they are needed, and stored nowhere.
//!
//! An invitation has two. The one that is mailed reaches nobody but the reader of that address, so that its use proves the
//! e-mail. The one that its company's administrators are shown opens the same invitation and proves nothing.

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

    /// The code that is mailed: 256 bits in URL-safe base64.
    #[must_use]
    pub fn mailed(&self, invitation: InvitationId, nonce: &str) -> String {
        let text = format!("{invitation} {nonce}");
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, text.as_bytes()))
    }

    /// The code that administrators are shown: the invitation's id and 256 bits in URL-safe base64.
    #[must_use]
    pub fn shown(&self, invitation: InvitationId, nonce: &str) -> String {
        let tag = hmac::sign(&self.0, &shown_text(invitation, nonce));
        let id = invitation.get().to_be_bytes();
        URL_SAFE_NO_PAD.encode([id.as_slice(), tag.as_ref()].concat())
    }

    /// Whether this is the code that administrators are shown of this invitation.
    #[must_use]
    pub fn is_shown(&self, code: &str, invitation: InvitationId, nonce: &str) -> bool {
        let Some((id, tag)) = parts_of_shown(code) else {
            return false;
        };
        let told = shown_text(invitation, nonce);
        id == invitation && hmac::verify(&self.0, &told, &tag).is_ok()
    }
}

fn shown_text(invitation: InvitationId, nonce: &str) -> Vec<u8> {
    // The other code's text begins with a digit.
    format!("shown {invitation} {nonce}").into_bytes()
}

fn parts_of_shown(code: &str) -> Option<(InvitationId, Vec<u8>)> {
    let bytes = URL_SAFE_NO_PAD.decode(code).ok()?;
    let (id, tag) = bytes.split_first_chunk::<8>()?;
    Some((InvitationId(i64::from_be_bytes(*id)), tag.to_vec()))
}

/// The invitation that a code of the shown kind names; whether it is one of ours is yet to be checked.
#[must_use]
pub fn named_by_shown(code: &str) -> Option<InvitationId> {
    let (id, tag) = parts_of_shown(code)?;
    (tag.len() == digest::SHA256_OUTPUT_LEN).then_some(id)
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
        let code = codes.mailed(InvitationId(1), "n");
        assert_eq!(code.len(), 43);
        assert_eq!(codes.mailed(InvitationId(1), "n"), code);
        for other in [
            codes.mailed(InvitationId(2), "n"),
            codes.mailed(InvitationId(1), "m"),
            InvitationCodes::new(b"other").mailed(InvitationId(1), "n"),
        ] {
            assert_ne!(other, code);
        }
        assert_ne!(hash(&code), code);
        assert_ne!(nonce(), nonce());
    }

    #[test]
    fn the_shown_code_is_another_and_holds_for_its_own_invitation_only() {
        let codes = InvitationCodes::new(b"secret");
        let (one, two) = (InvitationId(1), InvitationId(2));
        let shown = codes.shown(one, "n");
        assert_ne!(shown, codes.mailed(one, "n"));
        assert_eq!(named_by_shown(&shown), Some(one));
        assert_eq!(named_by_shown(&codes.mailed(one, "n")), None);
        assert!(codes.is_shown(&shown, one, "n"));
        for wrong in [
            codes.is_shown(&shown, two, "n"),
            codes.is_shown(&shown, one, "m"),
            codes.is_shown(&codes.shown(two, "n"), one, "n"),
            codes.is_shown(&codes.mailed(one, "n"), one, "n"),
            InvitationCodes::new(b"other").is_shown(&shown, one, "n"),
        ] {
            assert!(!wrong);
        }
    }
}
