//! Who did something, from where and why: the metadata stored with every event.
//!
//! A flat JSON object of texts, because stock `postgres-es` reads metadata as a map of texts. On leads, whose data can be erased,
//! and on the imports that they came by, the reason is sealed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aggregates::ids::{IntegrationTokenId, UserId};
use aggregates::personal::FieldCipher;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use super::load;
use super::stream::{StreamKey, StreamKind};

/// Instead of `reason` in the metadata of the events of leads and imports.
pub(crate) const SEALED_REASON: &str = "sealed_reason";

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A signed-in user.
    User(UserId),
    /// A program with a company's integration token.
    Token(IntegrationTokenId),
    /// Somebody who is not signed in, such as a person signing up.
    Anonymous,
    /// The system itself: first run, background work, an operator at the console.
    System,
}

impl Actor {
    /// The actor that is stored like this; `None` for what only a foreign program can have stored.
    #[must_use]
    pub fn parse(stored: &str) -> Option<Self> {
        match stored {
            "anonymous" => return Some(Self::Anonymous),
            "system" => return Some(Self::System),
            _ => {}
        }
        let (kind, id) = stored.split_once(':')?;
        let id = id.parse().ok()?;
        match kind {
            "user" => Some(Self::User(UserId(id))),
            "token" => Some(Self::Token(IntegrationTokenId(id))),
            _ => None,
        }
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Anonymous => f.write_str("anonymous"),
            Self::System => f.write_str("system"),
        }
    }
}

/// Where the change came from and why.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// Who acted.
    pub actor: Actor,
    /// The request, as answered in `X-Request-Id`.
    pub request_id: Option<String>,
    /// Network address of the client.
    pub ip: Option<String>,
    /// What the client says it is.
    pub user_agent: Option<String>,
    /// Why, in the words of `X-Reason`.
    pub reason: Option<String>,
    /// The way in: `api`, `import <code> row <n>`, `setup`.
    pub source: String,
}

impl Provenance {
    /// The system acting by itself through `source`.
    #[must_use]
    pub fn system(source: &str) -> Self {
        Self {
            actor: Actor::System,
            request_id: None,
            ip: None,
            user_agent: None,
            reason: None,
            source: source.to_owned(),
        }
    }

    /// An operator at the console, with what kind of command, and why.
    #[must_use]
    pub fn console(command: &str, reason: Option<String>) -> Self {
        Self {
            user_agent: Some(format!("leadledger {command} (console)")),
            reason,
            ..Self::system("console")
        }
    }

    /// The words of a reason, trimmed: up to 500 characters on one line. Blank is none.
    ///
    /// # Errors
    /// A message that says so.
    pub fn reason_in(text: &str) -> Result<Option<String>, &'static str> {
        let text = text.trim();
        if text.chars().count() > 500 || text.chars().any(char::is_control) {
            return Err("must be at most 500 characters on one line");
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// That of the last event of this type in the stream; `None` when there is none, or a foreign program does not say who acted.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn of_last(
        connection: &mut PgConnection,
        stream: StreamKey,
        event_type: &str,
    ) -> Result<Option<Self>, sqlx::Error> {
        let stored: Option<String> = sqlx::query_scalar(
            "SELECT metadata::text FROM events WHERE position IS NOT NULL AND aggregate_type = $1 AND aggregate_id = $2 \
             AND event_type = $3 ORDER BY sequence DESC LIMIT 1",
        )
        .bind(stream.kind.name())
        .bind(stream.id.to_string())
        .bind(event_type)
        .fetch_optional(&mut *connection)
        .await?;
        let keys = load::keys(connection, &[stream]).await?;
        let cipher = load::cipher_of(keys.get(&stream));
        Ok(stored.and_then(|stored| Self::read(&stored, cipher.as_ref())))
    }

    fn read(metadata: &str, cipher: &dyn FieldCipher) -> Option<Self> {
        let metadata: Value = serde_json::from_str(metadata).ok()?;
        let text = |name: &str| metadata[name].as_str().map(str::to_owned);
        Some(Self {
            actor: Actor::parse(metadata["actor"].as_str()?)?,
            request_id: text("request_id"),
            ip: text("ip"),
            user_agent: text("user_agent"),
            reason: reason_of(&metadata, cipher),
            source: text("source").unwrap_or_default(),
        })
    }

    /// The metadata text to store; absent parts are left out.
    #[must_use]
    pub fn metadata(&self, at: DateTime<Utc>) -> String {
        let mut map = BTreeMap::new();
        map.insert("actor", self.actor.to_string());
        map.insert("at", at.to_rfc3339_opts(SecondsFormat::Micros, true));
        map.insert("source", self.source.clone());
        for (key, value) in [
            ("request_id", &self.request_id),
            ("ip", &self.ip),
            ("user_agent", &self.user_agent),
            ("reason", &self.reason),
        ] {
            if let Some(value) = value {
                map.insert(key, value.clone());
            }
        }
        serde_json::to_string(&map).expect("a map of texts always serialises")
    }
}

/// The metadata with one more member; as it is, where it is no map of texts.
pub(super) fn saying(metadata: &str, name: &str, what: &str) -> String {
    let Ok(mut map) = serde_json::from_str::<BTreeMap<String, String>>(metadata) else {
        return metadata.to_owned();
    };
    map.insert(name.to_owned(), what.to_owned());
    serde_json::to_string(&map).expect("a map of texts always serialises")
}

/// The metadata as it is stored with an event of this kind of stream. Why somebody changed a lead, or imported some, are free words,
/// which may tell about the person: they are sealed like the events' own, under another name.
pub(super) fn sealed<'a>(
    metadata: &'a str,
    kind: StreamKind,
    cipher: &dyn FieldCipher,
) -> Cow<'a, str> {
    let is_sealed = matches!(kind, StreamKind::Lead | StreamKind::Import);
    if !is_sealed || !metadata.contains(r#""reason":"#) {
        return Cow::Borrowed(metadata);
    }
    let Ok(mut map) = serde_json::from_str::<BTreeMap<String, String>>(metadata) else {
        return Cow::Borrowed(metadata);
    };
    if let Some(reason) = map.remove("reason") {
        map.insert(SEALED_REASON.to_owned(), cipher.seal(reason.as_bytes()));
    }
    Cow::Owned(serde_json::to_string(&map).expect("a map of texts always serialises"))
}

/// Why the event happened, from its stored metadata, opened with the cipher of its stream; `None` when nothing was said or the
/// key is destroyed.
#[must_use]
pub fn reason_of(metadata: &Value, cipher: &dyn FieldCipher) -> Option<String> {
    if let Some(plain) = metadata["reason"].as_str() {
        return Some(plain.to_owned());
    }
    let bytes = cipher.open(metadata[SEALED_REASON].as_str()?)?;
    String::from_utf8(bytes).ok()
}
