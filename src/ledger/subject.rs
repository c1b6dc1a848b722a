//! Everything that the ledger says about one lead, opened: for the person that it is about.

use std::collections::BTreeMap;

use aggregates::Decide;
use aggregates::ids::{CompanyId, NoteId};
use aggregates::lead::{Lead, LeadEvent};
use chrono::{DateTime, Utc};
use projections::DomainEvent;
use serde_json::Value;
use sqlx::{PgConnection, Row};

use super::stream::{self, StreamKey, StreamKind};
use super::{load, provenance};

/// An event of the lead's stream with all that was sealed in it.
#[derive(Debug, Clone)]
pub struct OpenedEvent {
    /// Its place in the ledger.
    pub position: i64,
    /// Its place in the stream.
    pub sequence: i64,
    /// What happened, by name.
    pub event_type: String,
    /// When.
    pub recorded_at: DateTime<Utc>,
    /// What it says, in today's shape; what is erased says `{"erased": true}`.
    pub content: Value,
    /// Who did it, such as `user:7`.
    pub actor: Option<String>,
    /// The way it came in: `api`, or an import with its row.
    pub source: Option<String>,
    /// Why, in the words of whoever did it.
    pub reason: Option<String>,
}

/// A note that is on the lead.
#[derive(Debug, Clone)]
pub struct HeldNote {
    /// Whose it is.
    pub author_id: i64,
    /// Its text; `None` once it is erased.
    pub content: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// What is known about the person.
#[derive(Debug, Default)]
pub struct SubjectData {
    /// The lead as its events leave it, also while it is blocked.
    pub lead: Lead,
    /// The notes that are not removed.
    pub notes: BTreeMap<NoteId, HeldNote>,
    /// Every event of its stream, the oldest first.
    pub events: Vec<OpenedEvent>,
}

/// The company of the lead's latest event; also of a lead that was taken away again.
///
/// # Errors
/// What the database answers.
pub async fn company_of(
    connection: &mut PgConnection,
    lead: i64,
) -> Result<Option<CompanyId>, sqlx::Error> {
    let company: Option<i64> = sqlx::query_scalar(
        "SELECT company_id FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND position IS NOT NULL \
         AND company_id IS NOT NULL ORDER BY sequence DESC LIMIT 1",
    )
    .bind(StreamKind::Lead.name())
    .bind(lead.to_string())
    .fetch_optional(connection)
    .await?;
    Ok(company.map(CompanyId))
}

/// Reads the stream of the lead and opens it.
///
/// # Errors
/// What the database answers.
pub async fn of_lead(connection: &mut PgConnection, lead: i64) -> Result<SubjectData, sqlx::Error> {
    let stream = StreamKey::new(StreamKind::Lead, lead);
    let key = load::keys(&mut *connection, &[stream])
        .await?
        .remove(&stream);
    let rows = sqlx::query(
        "SELECT position, sequence, event_type, event_version, payload::text, metadata, recorded_at FROM events \
         WHERE aggregate_type = $1 AND aggregate_id = $2 AND position IS NOT NULL ORDER BY sequence",
    )
    .bind(stream.kind.name())
    .bind(lead.to_string())
    .fetch_all(connection)
    .await?;
    let cipher = load::cipher_of(key.as_ref());
    let mut data = SubjectData::default();
    for row in rows {
        let stored = stream::Stored {
            event_type: row.try_get(2)?,
            event_version: row.try_get(3)?,
            payload: row.try_get(4)?,
        };
        let recorded_at = row.try_get(6)?;
        let content = match stream::decode(stream.kind, stored, cipher.clone()) {
            Ok(event) => {
                data.take_in(&event, recorded_at);
                match &event {
                    DomainEvent::Lead(event) => serde_json::to_value(event).unwrap_or_default(),
                    _ => Value::Null,
                }
            }
            // Only a foreign writer can have stored it: it is shown as it stands.
            Err(_) => serde_json::from_str(stored.payload).unwrap_or_default(),
        };
        let metadata: Value = row.try_get(5)?;
        let text = |name: &str| metadata[name].as_str().map(str::to_owned);
        data.events.push(OpenedEvent {
            position: row.try_get(0)?,
            sequence: row.try_get(1)?,
            event_type: stored.event_type.to_owned(),
            recorded_at,
            content: content.get(stored.event_type).cloned().unwrap_or(content),
            actor: text("actor"),
            source: text("source"),
            reason: provenance::reason_of(&metadata, cipher.as_ref()),
        });
    }
    Ok(data)
}

impl SubjectData {
    fn take_in(&mut self, event: &DomainEvent, recorded_at: DateTime<Utc>) {
        if let DomainEvent::Lead(event) = event {
            self.lead.evolve(event);
        }
        match event {
            DomainEvent::Lead(LeadEvent::LeadNoteAdded {
                note_id,
                author_id,
                content,
            }) => {
                let note = HeldNote {
                    author_id: author_id.get(),
                    content: content.plain().cloned(),
                    created_at: recorded_at,
                };
                self.notes.insert(*note_id, note);
            }
            DomainEvent::Lead(LeadEvent::LeadNoteRemoved { note_id }) => {
                self.notes.remove(note_id);
            }
            DomainEvent::Lead(LeadEvent::LeadErased { .. }) => self.notes.clear(),
            _ => {}
        }
    }
}
