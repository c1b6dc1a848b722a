//! The history of one stream: its events as an auditor reads them, with who, when, from where, through what and why.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::user::UserEvent;
use chrono::{DateTime, Utc};
use projections::DomainEvent;
use projections::history::{BLOCKED, ERASED, FieldChange, changes};
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};

use super::load;
use super::provenance;
use super::stream::{self, StreamKey, StreamKind};

/// How many events are read at once.
const STEP: i64 = 200;

/// One event of a stream.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place in the ledger.
    pub position: i64,
    /// Its place in the stream, from 1.
    pub sequence: i64,
    /// When the ledger took it.
    pub recorded_at: DateTime<Utc>,
    /// What kind of change it is.
    pub event_type: String,
    /// The version of its shape.
    pub event_version: String,
    /// Who, from where, through what and why: the metadata as it was stored.
    pub metadata: BTreeMap<String, String>,
    /// What it changed; none when it cannot be read.
    pub changes: Vec<FieldChange>,
    /// The event itself, if it can be read.
    pub event: Option<DomainEvent>,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// That changed this field, or a part of it.
    pub field: Option<String>,
    /// By this actor: `user:7`, `token:3`, `system`, `anonymous`.
    pub actor: Option<String>,
    /// Recorded then or later.
    pub from: Option<DateTime<Utc>>,
    /// Recorded then or earlier.
    pub to: Option<DateTime<Utc>>,
    /// Up to this position.
    pub up_to: Option<i64>,
    /// Without opening personal data: it is withheld as [`BLOCKED`].
    pub sealed: bool,
}

/// Which part of the history is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The newest first.
    pub descending: bool,
    /// Behind the event with this sequence.
    pub after: Option<i64>,
    /// How many at most.
    pub limit: usize,
}

/// The events of the stream that the filter lets pass and `keep` keeps, and whether more follow.
///
/// # Errors
/// What the database answers.
pub async fn read(
    connection: &mut PgConnection,
    stream: StreamKey,
    filter: &Filter,
    part: Part,
    mut keep: impl FnMut(&mut Entry) -> bool,
) -> Result<(Vec<Entry>, bool), sqlx::Error> {
    let key = load::keys(connection, &[stream]).await?.remove(&stream);
    let blocked = filter.sealed && key.is_some();
    let key = key.filter(|_| !filter.sealed);
    let mut found = Vec::new();
    let mut after = part.after;
    loop {
        let rows = rows(connection, stream, filter, part.descending, after).await?;
        for row in &rows {
            let mut entry = entry(row, stream, key.as_ref())?;
            after = Some(entry.sequence);
            if blocked {
                let closed = entry
                    .changes
                    .iter_mut()
                    .filter(|c| c.withheld == Some(ERASED));
                closed.for_each(|change| change.withheld = Some(BLOCKED));
            }
            let changed = |field: &String| entry.changes.iter().any(|c| c.is_of(field));
            if !filter.field.as_ref().is_none_or(changed) || !keep(&mut entry) {
                continue;
            }
            if found.len() == part.limit {
                return Ok((found, true));
            }
            found.push(entry);
        }
        if i64::try_from(rows.len()).unwrap_or(STEP) < STEP {
            return Ok((found, false));
        }
    }
}

async fn rows(
    connection: &mut PgConnection,
    stream: StreamKey,
    filter: &Filter,
    descending: bool,
    after: Option<i64>,
) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT position, sequence, recorded_at, event_type, event_version, metadata::text, payload::text FROM events \
         WHERE position IS NOT NULL AND aggregate_type = ",
    );
    query
        .push_bind(stream.kind.name())
        .push(" AND aggregate_id = ")
        .push_bind(stream.id.to_string());
    if let Some(actor) = &filter.actor {
        query
            .push(" AND metadata ->> 'actor' = ")
            .push_bind(actor.clone());
    }
    if let Some(from) = filter.from {
        query.push(" AND recorded_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        query.push(" AND recorded_at <= ").push_bind(to);
    }
    if let Some(position) = filter.up_to {
        query.push(" AND position <= ").push_bind(position);
    }
    if let Some(after) = after {
        let beyond = if descending { "<" } else { ">" };
        query
            .push(format!(" AND sequence {beyond} "))
            .push_bind(after);
    }
    let direction = if descending { "DESC" } else { "ASC" };
    query
        .push(format!(" ORDER BY sequence {direction} LIMIT "))
        .push_bind(STEP);
    query.build().fetch_all(connection).await
}

fn entry(
    row: &sqlx::postgres::PgRow,
    stream: StreamKey,
    key: Option<&super::sealing::SubjectKey>,
) -> Result<Entry, sqlx::Error> {
    let metadata: &str = row.try_get(5)?;
    let stored = stream::Stored {
        event_type: row.try_get(3)?,
        event_version: row.try_get(4)?,
        payload: row.try_get(6)?,
    };
    let cipher = load::cipher_of(key);
    // A foreign writer's may hold other things than texts; what is no text is left out.
    let stored_metadata: serde_json::Value = serde_json::from_str(metadata).unwrap_or_default();
    let texts = stored_metadata.as_object().into_iter().flatten();
    let mut metadata: BTreeMap<String, String> = texts
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    if metadata.remove(provenance::SEALED_REASON).is_some()
        && let Some(reason) = provenance::reason_of(&stored_metadata, cipher.as_ref())
    {
        metadata.insert("reason".to_owned(), reason);
    }
    let event = stream::decode(stream.kind, stored, cipher).ok();
    Ok(Entry {
        position: row.try_get(0)?,
        sequence: row.try_get(1)?,
        recorded_at: row.try_get(2)?,
        event_type: row.try_get(3)?,
        event_version: row.try_get(4)?,
        metadata,
        changes: event.as_ref().map(changes).unwrap_or_default(),
        event,
    })
}

/// Where a user held roles, as their own events tell.
#[derive(Debug, Default)]
pub struct RolesHeld {
    /// Access to company, of now.
    held: BTreeMap<i64, i64>,
    /// After each event that changed it: its position, and the companies of all roles held from then on.
    since: Vec<(i64, Vec<i64>)>,
}

impl RolesHeld {
    /// Every company where the user ever held a role.
    #[must_use]
    pub fn companies(&self) -> BTreeSet<i64> {
        self.since.iter().flat_map(|(_, at)| at).copied().collect()
    }

    /// The position by which the user had left all of these companies; `None` while they hold a role in one.
    #[must_use]
    pub fn left(&self, companies: &BTreeSet<i64>) -> Option<i64> {
        let mut left = Some(0);
        for (position, at) in &self.since {
            if at.iter().any(|company| companies.contains(company)) {
                left = None;
            } else {
                left = left.or(Some(*position));
            }
        }
        left
    }

    fn note(&mut self, position: i64, event: &UserEvent) {
        let held = &mut self.held;
        match event {
            UserEvent::AccessGranted {
                user_access_id,
                company_id,
                ..
            } => {
                held.insert(user_access_id.get(), company_id.get());
            }
            UserEvent::AccessChanged {
                user_access_id,
                to_company_id,
                ..
            } => {
                held.insert(user_access_id.get(), to_company_id.get());
            }
            UserEvent::AccessRevoked { user_access_id, .. } => {
                held.remove(&user_access_id.get());
            }
            UserEvent::UserDeleted { .. } => held.clear(),
            _ => {}
        }
        let now: Vec<i64> = held.values().copied().collect();
        if self.since.last().is_none_or(|(_, before)| *before != now) {
            self.since.push((position, now));
        }
    }
}

/// Folds the user's events into where they held roles.
///
/// # Errors
/// What the database answers.
pub async fn roles_held(
    connection: &mut PgConnection,
    user: i64,
) -> Result<RolesHeld, sqlx::Error> {
    let mut held = RolesHeld::default();
    let all = Part {
        descending: false,
        after: None,
        limit: 0,
    };
    let stream = StreamKey::new(StreamKind::User, user);
    read(connection, stream, &Filter::default(), all, |entry| {
        if let Some(DomainEvent::User(event)) = &entry.event {
            held.note(entry.position, event);
        }
        false
    })
    .await?;
    Ok(held)
}
