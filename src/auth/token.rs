//! Tokens: JWT (RFC 7519), HS256. A token carries the user's session epoch; a changed password starts a new epoch and so
//! ends every older token.

use aggregates::ids::UserId;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;

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
    clock: Clock,
}

impl Tokens {
    /// Signing with this secret.
    #[must_use]
    pub fn new(secret: &[u8], clock: Clock) -> Self {
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
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
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "sub", "iss"]);
        // The end is checked below, against the clock that tests can set.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, &self.decoding, &validation)
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
}
