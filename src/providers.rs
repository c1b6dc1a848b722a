//! `OpenID` Connect issuers whose identities users may link: which ones are configured, and whether an identity token is
//! one of theirs. Nobody signs in with a linked identity here; that it is genuine is all that is asked.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aggregates::email::Email;
use anyhow::Context;
use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use tokio::sync::Mutex;

/// How long the keys of an issuer may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// An unknown key makes us ask the issuer for its keys again, but not more often than this.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The configured issuers. Cheap to clone.
#[derive(Clone, Default)]
pub struct Issuers(Arc<Vec<Issuer>>);

struct Issuer {
    settings: IssuerSettings,
    client: reqwest::Client,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    set: JwkSet,
    asked_at: Option<Instant>,
    /// The last time the issuer was asked, it did not answer.
    away: bool,
}

/// One entry of `LEADLEDGER_OIDC`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerSettings {
    /// What clients call it, such as `google`.
    provider: String,
    /// The `iss` of its tokens.
    issuer: String,
    /// The `aud` of tokens that are meant for this installation.
    audience: String,
    /// File or address of its public keys.
    jwks: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
}

/// Who an identity token is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The issuer's own id of the person.
    pub uid: String,
    /// Only one that the issuer has verified.
    pub email: Option<Email>,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No issuer of this name is configured.
    #[error("is not a provider of this installation")]
    UnknownProvider,
    /// Not the issuer's, not meant for us, over, or altered.
    #[error("is not a valid identity token of this provider")]
    InvalidToken,
    /// The issuer's keys cannot be had right now.
    #[error("the provider's keys cannot be had right now")]
    Unavailable,
}

impl Issuers {
    /// As configured: a JSON list. Keys in files are read now, those at an address when first needed.
    ///
    /// # Errors
    /// A configuration or a file that cannot be read.
    pub fn open(configured: Option<&str>) -> anyhow::Result<Self> {
        let Some(text) = configured else {
            return Ok(Self::default());
        };
        let entries: Vec<IssuerSettings> = serde_json::from_str(text).context(
            "LEADLEDGER_OIDC must be a JSON list of objects with provider, issuer, audience and jwks",
        )?;
        let issuers = entries.into_iter().map(Issuer::open);
        Ok(Self(Arc::new(issuers.collect::<anyhow::Result<_>>()?)))
    }

    /// Who the token is about.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn verify(
        &self,
        provider: &str,
        id_token: &str,
        now: DateTime<Utc>,
    ) -> Result<Identity, IdentityError> {
        let mut issuers = self.0.iter();
        let issuer = issuers.find(|issuer| issuer.settings.provider == provider);
        let issuer = issuer.ok_or(IdentityError::UnknownProvider)?;
        issuer.verify(id_token, now).await
    }
}

fn is_address(jwks: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| jwks.starts_with(scheme))
}

impl Issuer {
    fn open(settings: IssuerSettings) -> anyhow::Result<Self> {
        let reserved = ["", "password"].contains(&settings.provider.trim());
        anyhow::ensure!(
            !reserved,
            "LEADLEDGER_OIDC: a provider needs a name of its own"
        );
        let set = if is_address(&settings.jwks) {
            JwkSet::default()
        } else {
            let path = Path::new(&settings.jwks);
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("LEADLEDGER_OIDC: reading {}", path.display()))?;
            serde_json::from_str(&text)
                .with_context(|| format!("LEADLEDGER_OIDC: {} is no JWKS", path.display()))?
        };
        let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let keys = Mutex::new(Keys {
            set,
            ..Keys::default()
        });
        Ok(Self {
            settings,
            client,
            keys,
        })
    }

    async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Identity, IdentityError> {
        let header = decode_header(token).map_err(|_| IdentityError::InvalidToken)?;
        let key = self.key(header.kid.as_deref()).await?;
        // A public key must never be taken for a shared secret.
        let shared = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        if shared.contains(&header.alg) || matches!(key.algorithm, AlgorithmParameters::OctetKey(_))
        {
            return Err(IdentityError::InvalidToken);
        }
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The crate would ask the system for the time.
        validation.validate_exp = false;
        let key = DecodingKey::from_jwk(&key).map_err(|_| IdentityError::InvalidToken)?;
        let claims = decode::<Claims>(token, &key, &validation)
            .map_err(|_| IdentityError::InvalidToken)?
            .claims;
        if claims.exp <= now.timestamp() || claims.sub.is_empty() || claims.sub.len() > 255 {
            return Err(IdentityError::InvalidToken);
        }
        let email = claims.email.filter(|_| claims.email_verified);
        Ok(Identity {
            uid: claims.sub,
            email: email.and_then(|email| Email::parse(&email).ok()),
        })
    }

    /// The key with this id; without an id, the only one.
    async fn key(&self, id: Option<&str>) -> Result<Jwk, IdentityError> {
        let mut keys = self.keys.lock().await;
        if let Some(key) = find(&keys.set, id) {
            return Ok(key);
        }
        let recently = keys
            .asked_at
            .is_some_and(|at| at.elapsed() < ASK_AGAIN_AFTER);
        if is_address(&self.settings.jwks) && !recently {
            keys.asked_at = Some(Instant::now());
            let fetched = self.fetch().await;
            keys.away = fetched.is_none();
            keys.set = fetched.unwrap_or_else(|| std::mem::take(&mut keys.set));
        }
        // While the issuer is away nobody knows whether the token is one of its own.
        let unknown = if keys.away {
            IdentityError::Unavailable
        } else {
            IdentityError::InvalidToken
        };
        find(&keys.set, id).ok_or(unknown)
    }

    async fn fetch(&self) -> Option<JwkSet> {
        let answer = self.client.get(&self.settings.jwks).send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }
}

fn find(set: &JwkSet, id: Option<&str>) -> Option<Jwk> {
    match (id, set.keys.as_slice()) {
        (Some(id), _) => set.find(id).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}
