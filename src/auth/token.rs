//! Session tokens: JWT (RFC 7519) signed with HS256. A token says who logged in, when, and in which session epoch;
//! whether that epoch is still the user's is looked up by the caller of [`Tokens::verify`].

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long a token holds.
pub const LIFETIME: TimeDelta = TimeDelta::hours(24);

/// The shortest secret that is taken: HS256 needs a key as long as its hash (RFC 7518, 3.2).
pub const MIN_SECRET_BYTES: usize = 32;

const ISSUER: &str = "leadledger";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The user who logged in.
    pub user_id: i64,
    /// The user's session epoch at login. A changed password raises it, which ends the older tokens.
    pub epoch: i64,
    /// The token's own id.
    pub id: Uuid,
    /// When it was issued, in whole seconds.
    pub issued_at: DateTime<Utc>,
    /// The first second at which it no longer holds.
    pub expires_at: DateTime<Utc>,
}

/// A token as it goes to the client.
#[derive(Clone)]
pub struct Issued {
    /// The token. Whoever has it is the user.
    pub token: String,
    /// What it says.
    pub session: Session,
}

/// Why a token does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours, or changed on the way.
    #[error("the token is not valid")]
    Invalid,
    /// It was ours, and its time is over.
    #[error("the token has expired")]
    Expired,
}

/// The secret has fewer than [`MIN_SECRET_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret that signs tokens needs at least {MIN_SECRET_BYTES} bytes")]
pub struct ShortSecret;

/// Issues and verifies tokens with one key.
#[derive(Clone)]
pub struct Tokens {
    header: Header,
    signing_key: EncodingKey,
    verifying_key: DecodingKey,
    validation: Validation,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: i64,
    exp: i64,
    jti: Uuid,
    epoch: i64,
}

impl Tokens {
    /// Takes the key as the secret's bytes.
    ///
    /// # Errors
    /// [`ShortSecret`].
    pub fn try_new(secret: &[u8]) -> Result<Self, ShortSecret> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(ShortSecret);
        }
        // Only the first call of the process succeeds; the others find the same provider in place.
        let _already = DEFAULT_PROVIDER.install_default();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // The crate would ask the system for the time; `verify` compares with the time that it is given.
        validation.validate_exp = false;
        Ok(Self {
            header: Header::new(Algorithm::HS256),
            signing_key: EncodingKey::from_secret(secret),
            verifying_key: DecodingKey::from_secret(secret),
            validation,
        })
    }

    /// Issues a token that holds from `now` for [`LIFETIME`]. `id` comes from
    /// [`Clock::new_id`](crate::clock::Clock::new_id).
    ///
    /// # Panics
    /// Never: claims of text and integers serialise, and HMAC takes a key of any length.
    #[must_use]
    pub fn issue(&self, user_id: i64, epoch: i64, id: Uuid, now: DateTime<Utc>) -> Issued {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: user_id.to_string(),
            iat: now.timestamp(),
            exp: (now + LIFETIME).timestamp(),
            jti: id,
            epoch,
        };
        let token = encode(&self.header, &claims, &self.signing_key)
            .expect("claims of text and integers serialise, and HMAC takes a key of any length");
        let session = claims
            .session()
            .expect("the claims were made from a number and two times");
        Issued { token, session }
    }

    /// Reads a token, checks its signature, algorithm, issuer and form, and that `now` is before its end, to the second.
    ///
    /// # Errors
    /// [`TokenError`]; the client is told the same 401 for both.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Session, TokenError> {
        let decoded = decode::<Claims>(token, &self.verifying_key, &self.validation)
            .map_err(|_| TokenError::Invalid)?;
        let session = decoded.claims.session().ok_or(TokenError::Invalid)?;
        if now < session.expires_at {
            Ok(session)
        } else {
            Err(TokenError::Expired)
        }
    }
}

impl Claims {
    fn session(&self) -> Option<Session> {
        Some(Session {
            user_id: self.sub.parse().ok()?,
            epoch: self.epoch,
            id: self.jti,
            issued_at: DateTime::from_timestamp(self.iat, 0)?,
            expires_at: DateTime::from_timestamp(self.exp, 0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::clock::Clock;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn clock() -> Clock {
        Clock::fixed(DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000))
    }

    fn issued() -> Issued {
        let clock = clock();
        tokens().issue(7, 3, clock.new_id(), clock.now())
    }

    fn tokens() -> Tokens {
        Tokens::try_new(SECRET).unwrap()
    }

    #[test]
    fn a_token_holds_for_24_hours_to_the_second() {
        let Issued { token, session } = issued();
        let start = clock().now();
        assert_eq!((session.user_id, session.epoch), (7, 3));
        assert_eq!(session.expires_at, start + LIFETIME);
        for age in [TimeDelta::zero(), LIFETIME - TimeDelta::milliseconds(1)] {
            assert_eq!(tokens().verify(&token, start + age), Ok(session.clone()));
        }
        assert_eq!(
            tokens().verify(&token, start + LIFETIME),
            Err(TokenError::Expired)
        );
    }

    #[test]
    fn any_changed_character_ends_it() {
        let token = issued().token;
        for place in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            if BASE64_URL_SAFE_NO_PAD
                .decode(changed.rsplit('.').next().unwrap())
                .is_ok()
            {
                assert_eq!(
                    tokens().verify(&changed, clock().now()),
                    Err(TokenError::Invalid),
                    "{place}"
                );
            }
        }
        assert!(tokens().verify("", clock().now()).is_err());
        assert!(tokens().verify("a.b.c", clock().now()).is_err());
    }

    #[test]
    fn another_key_another_algorithm_and_none_are_refused() {
        let now = clock().now();
        let other = Tokens::try_new(b"another-secret-another-secret-32").unwrap();
        assert!(other.verify(&issued().token, now).is_err());

        let claims = json!({
            "iss": ISSUER, "sub": "7", "iat": 0, "exp": 4_000_000_000_u32, "jti": Uuid::nil(), "epoch": 0
        });
        let sign = |algorithm, claims: &serde_json::Value| {
            encode(
                &Header::new(algorithm),
                claims,
                &EncodingKey::from_secret(SECRET),
            )
            .unwrap()
        };
        assert!(
            tokens()
                .verify(&sign(Algorithm::HS256, &claims), now)
                .is_ok()
        );
        assert!(
            tokens()
                .verify(&sign(Algorithm::HS512, &claims), now)
                .is_err()
        );
        let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let unsigned = format!(
            "{}.{}.",
            part(&json!({"alg": "none", "typ": "JWT"})),
            part(&claims)
        );
        assert!(tokens().verify(&unsigned, now).is_err());

        for (claim, wrong) in [
            ("iss", json!("other")),
            ("sub", json!("x")),
            ("epoch", json!("1")),
            ("exp", json!(i64::MAX)),
        ] {
            let mut claims = claims.clone();
            claims[claim] = wrong;
            assert!(
                tokens()
                    .verify(&sign(Algorithm::HS256, &claims), now)
                    .is_err(),
                "{claim}"
            );
        }
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert_eq!(Tokens::try_new(&[0; 31]).err(), Some(ShortSecret));
    }
}
