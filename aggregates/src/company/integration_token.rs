//! Private integration tokens of a company: what they are called and what they may do.
//!
//! A token acts for its company and for those below it, within its scopes. The secret itself never comes here: commands
//! and events carry its hash, which is enough to know the token again and useless to make it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::IntegrationTokenId;
use crate::text::{self, TextError};

/// What a company calls one of its tokens: 1 to 100 characters on one line, trimmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenName(String);

impl TokenName {
    /// Checks and trims.
    ///
    /// # Errors
    /// Empty, too long, or with control characters.
    pub fn parse(raw: &str) -> Result<Self, TextError> {
        text::line(raw, 100).map(|name| Self(name.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The kinds of things that a token's scopes name.
pub const RESOURCES: [&str; 12] = [
    "appointments",
    "campaigns",
    "companies",
    "cycles",
    "imports",
    "invitations",
    "leads",
    "memberships",
    "questions",
    "sources",
    "territories",
    "users",
];

/// Why a text is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a scope: one is a resource with .readonly or .write, such as users.readonly")]
pub struct UnknownScope;

/// One thing that a token may do: a resource with `.readonly` or `.write`; neither includes the other.
///
/// Input comes in by [`TokenScope::parse`]; deserialising is for stored values and takes any string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenScope(String);

impl TokenScope {
    /// Checks a scope.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn parse(raw: &str) -> Result<Self, UnknownScope> {
        let raw = raw.trim();
        match raw.split_once('.') {
            Some((resource, "readonly" | "write")) if RESOURCES.contains(&resource) => {
                Ok(Self(raw.to_owned()))
            }
            _ => Err(UnknownScope),
        }
    }

    /// The scope's name, such as `users.readonly`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIntegrationToken {
    /// The new token's id.
    pub integration_token_id: IntegrationTokenId,
    /// What it is called.
    pub name: Option<TokenName>,
    /// What it may do.
    pub scopes: Vec<TokenScope>,
    /// SHA-256 of the secret, in hexadecimal.
    pub token_hash: String,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_known_resource_to_read_or_to_write() {
        assert_eq!(
            TokenScope::parse(" users.write ").unwrap().as_str(),
            "users.write"
        );
        assert!(TokenScope::parse("leads.readonly").is_ok());
        for wrong in [
            "",
            "users",
            "users.delete",
            "planets.write",
            "users.write.x",
        ] {
            assert_eq!(TokenScope::parse(wrong), Err(UnknownScope), "{wrong}");
        }
    }
}
