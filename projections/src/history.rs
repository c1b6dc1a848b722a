//! What each event changed, field by field, as an auditor reads it.
//!
//! One exhaustive match a kind of stream: an event without a description does not compile. What a field was before is what the
//! stream's earlier events told of it ([`Told`]): not every event holds it. Secrets (hashes, nonces) are named and never shown.

mod company;
mod diff;
mod lead;
mod others;
mod user;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;

use crate::recorded::DomainEvent;
use diff::Diff;

/// Withheld, because the key to it is gone: the person's data was erased.
pub const ERASED: &str = "erased";
/// Withheld, because the lead is blocked: the reader gives it for what was not opened though there is a key.
pub const BLOCKED: &str = "blocked";
/// Withheld, because it is about a company whose history the reader may not read.
pub const ELSEWHERE: &str = "elsewhere";

/// A field before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Its name as in the API's answers; one of several things of a kind is named with its id, as in `notes[7].content`.
    pub field: String,
    /// Null when it held nothing.
    pub from: Value,
    /// Null when it holds nothing now.
    pub to: Value,
    /// Why a value is not shown: [`ERASED`], [`BLOCKED`], [`ELSEWHERE`] or `secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<&'static str>,
}

impl FieldChange {
    /// Whether a reader who asks for `field` means this one: itself, or a part of it, or a whole that it is withheld in.
    #[must_use]
    pub fn is_of(&self, field: &str) -> bool {
        is_part(&self.field, field)
            || (self.withheld.is_some()
                && (is_part(field, &self.field) || is_sealed_in(field, &self.field)))
    }
}

/// Whether the field is sealed as a part of this whole, and yet not named as one.
fn is_sealed_in(field: &str, whole: &str) -> bool {
    match whole {
        "contact" => CONTACT.contains(&field),
        "profile" => PROFILE.contains(&field),
        _ => {
            let words = whole.strip_suffix("text").zip(field.rsplit_once('.'));
            words.is_some_and(|(thing, (of, name))| {
                thing.strip_suffix('.') == Some(of) && APPOINTMENT_TEXT.contains(&name)
            })
        }
    }
}

const CONTACT: [&str; 4] = ["first_name", "last_name", "email", "phone_number"];
const PROFILE: [&str; 7] = [
    "first_name",
    "last_name",
    "birthdate",
    "theme",
    "lang",
    "currency",
    "phone_number",
];
const APPOINTMENT_TEXT: [&str; 3] = ["title", "description", "location"];

fn is_part(field: &str, of: &str) -> bool {
    field
        .strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// What the history of one thing has told so far: the last value of each field. It is fed the stream's events from the first one on.
#[derive(Debug, Clone, Default)]
pub struct Told {
    values: BTreeMap<String, Value>,
    /// The names of what is never told.
    secrets: BTreeSet<String>,
}

impl Told {
    /// What the stream's next event, which was recorded then, changed. What came into being lists every field, from null.
    pub fn changes(&mut self, event: &DomainEvent, recorded_at: DateTime<Utc>) -> Vec<FieldChange> {
        let diff = Diff::after(self, recorded_at);
        match event {
            DomainEvent::Lead(event) => lead::changes(diff, event),
            DomainEvent::Company(event) => company::changes(diff, event),
            DomainEvent::User(event) => user::changes(diff, event),
            DomainEvent::Invitation(event) => others::invitation(diff, event),
            DomainEvent::Subscription(event) => others::subscription(diff, event),
            DomainEvent::Import(event) => others::import(diff, event),
        }
        .finish()
    }
}

/// The names of actors, as people know them.
#[derive(Debug, Default)]
pub struct ActorNames {
    /// Of users, by id.
    pub users: HashMap<i64, String>,
    /// Of integration tokens, by id.
    pub tokens: HashMap<i64, String>,
}

/// Looks up the names of these users and integration tokens.
///
/// # Errors
/// What the database answers.
pub async fn actor_names(
    connection: &mut PgConnection,
    users: &[i64],
    tokens: &[i64],
) -> Result<ActorNames, sqlx::Error> {
    let rows: Vec<(bool, i64, String)> = sqlx::query_as(
        "SELECT true, id, full_name FROM users WHERE id = ANY($1) \
         UNION ALL SELECT false, id, name FROM integration_tokens WHERE id = ANY($2) AND name IS NOT NULL",
    )
    .bind(users)
    .bind(tokens)
    .fetch_all(connection)
    .await?;
    let mut names = ActorNames::default();
    for (is_user, id, name) in rows {
        let of = if is_user {
            &mut names.users
        } else {
            &mut names.tokens
        };
        of.insert(id, name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
