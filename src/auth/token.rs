//! Tokens: JWT (RFC 7519), HS256. A token carries the user's session epoch; a changed password starts a new epoch and so
//! ends every older token.

use aggregates::ids::UserId;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;

/// The shortest secret that an operator may set: HS256 needs a key as long as its hash (RFC 7518, section 3.2).
pub const MIN_SECRET_BYTES: usize = 32;

/// How long a token holds.
const LIFETIME: TimeDelta = TimeDelta::hours(24);
const ISSUER: &str = "leadledger";

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: i64,
    exp: i64,
    jti: String,
    epoch: i64,
}

/// What a good token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub user_id: UserId,
    /// The session epoch that it was issued in.
    pub epoch: i64,
}

/// Issues and checks tokens.
#[derive(Clone)]
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    clock: Clock,
}

impl Tokens {
    /// Signing with this secret.
    #[must_use]
    pub fn new(secret: &[u8], clock: Clock) -> Self {
        // Only the process's first call succeeds; the others find the same provider in place.
        let _ = DEFAULT_PROVIDER.install_default();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "sub", "iss"]);
        // The crate would ask the system for the time; `verify` asks the clock that tests can set.
        validation.validate_exp = false;
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            clock,
        }
    }

    /// A new token and when it ends.
    #[must_use]
    pub fn issue(&self, session: Session) -> (String, DateTime<Utc>) {
        let now = self.clock.now();
        let expires_at = now + LIFETIME;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: session.user_id.to_string(),
            iat: now.timestamp(),
            exp: expires_at.timestamp(),
            jti: self.clock.new_id().to_string(),
            epoch: session.epoch,
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .expect("claims of text and integers always encode, and HMAC takes any key");
        (token, expires_at)
    }

    /// What the token says, if it is one of ours and still holds.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Session> {
        let claims = decode::<Claims>(token, &self.decoding, &self.validation)
            .ok()?
            .claims;
        if claims.exp <= self.clock.now().timestamp() {
            return None;
        }
        Some(Session {
            user_id: UserId(claims.sub.parse().ok()?),
            epoch: claims.epoch,
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_token_holds_until_its_end_and_only_under_its_secret() {
        let clock = Clock::fixed(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let tokens = Tokens::new(b"one secret", clock.clone());
        let session = Session {
            user_id: UserId(5),
            epoch: 2,
        };
        let (token, expires_at) = tokens.issue(session);
        assert_eq!(tokens.verify(&token), Some(session));
        assert_eq!(Tokens::new(b"another", clock.clone()).verify(&token), None);
        assert_eq!(tokens.verify("not.a.token"), None);
        clock.set(expires_at);
        assert_eq!(tokens.verify(&token), None);
    }

    fn tokens() -> Tokens {
        let clock = Clock::fixed(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        Tokens::new(b"0123456789abcdef0123456789abcdef", clock)
    }

    #[test]
    fn any_changed_character_ends_it() {
        let (token, _) = tokens().issue(Session {
            user_id: UserId(5),
            epoch: 2,
        });
        // The last character of a part may carry bits that base64 ignores.
        let ends = |place: usize| token[place..].find('.').is_none_or(|next| next <= 1);
        for place in (0..token.len() - 1).filter(|place| !ends(*place)) {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(tokens().verify(&changed), None, "{place}");
        }
    }

    #[test]
    fn another_algorithm_none_at_all_and_wrong_claims_are_refused() {
        let good = json!({
            "iss": ISSUER, "sub": "7", "iat": 0, "exp": 4_000_000_000_u32, "jti": "x", "epoch": 0
        });
        let sign = |algorithm, claims: &Value| {
            encode(&Header::new(algorithm), claims, &tokens().encoding).unwrap()
        };
        assert!(tokens().verify(&sign(Algorithm::HS256, &good)).is_some());
        assert!(tokens().verify(&sign(Algorithm::HS512, &good)).is_none());
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let unsigned = [part(&json!({"alg": "none", "typ": "JWT"})), part(&good)].join(".") + ".";
        assert!(tokens().verify(&unsigned).is_none());
        for (claim, wrong) in [
            ("iss", json!("other")),
            ("sub", json!("x")),
            ("epoch", json!("1")),
            ("exp", json!("never")),
            ("exp", json!(-1)),
        ] {
            let mut claims = good.clone();
            claims[claim] = wrong;
            let token = sign(Algorithm::HS256, &claims);
            assert!(tokens().verify(&token).is_none(), "{claim}");
        }
    }
}
