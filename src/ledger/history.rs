//! The history of one stream: its events as an auditor reads them, with who, when, from where, through what and why.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aggregates::ids::UserAccessId;
use aggregates::user::UserEvent;
use chrono::{DateTime, Utc};
use projections::DomainEvent;
use projections::history::{BLOCKED, ELSEWHERE, ERASED, FieldChange, Told};
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};

use super::load;
use super::provenance;
use super::stream::{self, StreamKey, StreamKind};

/// How many events are read at once.
const STEP: i64 = 500;

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

/// A part of a history.
#[derive(Debug, Default)]
pub struct Read {
    /// In the order asked for.
    pub entries: Vec<Entry>,
    /// Whether more follow.
    pub more: bool,
    /// What the stream has told, up to the last event that was read.
    pub told: Told,
}

/// The events of the stream that the filter lets pass and `keep` keeps.
///
/// Whatever part is wanted, the stream is read from its first event on: the old value of a field is what was told of it last.
///
/// # Errors
/// What the database answers.
pub async fn read(
    connection: &mut PgConnection,
    stream: StreamKey,
    filter: &Filter,
    part: Part,
    mut keep: impl FnMut(&mut Entry) -> bool,
) -> Result<Read, sqlx::Error> {
    let key = load::keys(connection, &[stream]).await?.remove(&stream);
    let blocked = filter.sealed && key.is_some();
    let key = key.filter(|_| !filter.sealed);
    let mut read = Read::default();
    let mut found = VecDeque::new();
    // A foreign program may count from 0.
    let mut last = -1;
    'stream: loop {
        let rows = rows(connection, stream, filter, part, last).await?;
        for row in &rows {
            let mut entry = entry(row, stream, key.as_ref(), &mut read.told)?;
            last = entry.sequence;
            if blocked {
                let closed = entry
                    .changes
                    .iter_mut()
                    .filter(|c| c.withheld == Some(ERASED));
                closed.for_each(|change| change.withheld = Some(BLOCKED));
            }
            let passed = !part.descending && part.after.is_some_and(|after| last <= after);
            // Asked in this order: what is taken out of an entry is not to be found out by asking for it.
            if passed || !keep(&mut entry) || !filter.lets_pass(&entry) {
                continue;
            }
            found.push_back(entry);
            if found.len() <= part.limit {
                continue;
            }
            read.more = true;
            if !part.descending {
                found.pop_back();
                break 'stream;
            }
            found.pop_front();
        }
        if i64::try_from(rows.len()).unwrap_or(STEP) < STEP {
            break;
        }
    }
    read.entries = found.into();
    if part.descending {
        read.entries.reverse();
    }
    Ok(read)
}

impl Entry {
    /// Takes out who did it, from where and why: that it happened through what is left.
    pub fn withhold_provenance(&mut self) {
        self.metadata.retain(|name, _| name == "source");
        self.metadata
            .insert("actor".to_owned(), ELSEWHERE.to_owned());
    }
}

impl Filter {
    fn lets_pass(&self, entry: &Entry) -> bool {
        let changed = |field: &String| entry.changes.iter().any(|change| change.is_of(field));
        let acted = |actor: &String| entry.metadata.get("actor") == Some(actor);
        self.field.as_ref().is_none_or(changed)
            && self.actor.as_ref().is_none_or(acted)
            && self.from.is_none_or(|from| entry.recorded_at >= from)
    }
}

/// The next events, up to the last one that can be wanted.
async fn rows(
    connection: &mut PgConnection,
    stream: StreamKey,
    filter: &Filter,
    part: Part,
    last: i64,
) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT position, sequence, recorded_at, event_type, event_version, metadata::text, payload::text FROM events \
         WHERE position IS NOT NULL AND aggregate_type = ",
    );
    query
        .push_bind(stream.kind.name())
        .push(" AND aggregate_id = ")
        .push_bind(stream.id.to_string())
        .push(" AND sequence > ")
        .push_bind(last);
    if let Some(to) = filter.to {
        query.push(" AND recorded_at <= ").push_bind(to);
    }
    if let Some(position) = filter.up_to {
        query.push(" AND position <= ").push_bind(position);
    }
    if let Some(after) = part.after.filter(|_| part.descending) {
        query.push(" AND sequence < ").push_bind(after);
    }
    query.push(" ORDER BY sequence LIMIT ").push_bind(STEP);
    query.build().fetch_all(connection).await
}

fn entry(
    row: &sqlx::postgres::PgRow,
    stream: StreamKey,
    key: Option<&super::sealing::SubjectKey>,
    told: &mut Told,
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
    let recorded_at = row.try_get(2)?;
    Ok(Entry {
        position: row.try_get(0)?,
        sequence: row.try_get(1)?,
        recorded_at,
        event_type: row.try_get(3)?,
        event_version: row.try_get(4)?,
        metadata,
        changes: event
            .as_ref()
            .map(|event| told.changes(event, recorded_at))
            .unwrap_or_default(),
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
    /// Where the user was deleted: its position, and the companies of the roles held until then.
    deleted: Option<(i64, Vec<i64>)>,
    /// Every company that an access was ever of.
    ever: BTreeMap<i64, BTreeSet<i64>>,
    /// Whoever did any of it, as it is stored.
    actors: BTreeSet<String>,
    platform_owner: bool,
}

impl RolesHeld {
    /// Every company where the user ever held a role.
    #[must_use]
    pub fn companies(&self) -> BTreeSet<i64> {
        self.since.iter().flat_map(|(_, at)| at).copied().collect()
    }

    /// The position by which the user had left all of these companies; `None` while they hold a role in one. Who held one until they were
    /// deleted left by that, and not by the loss of roles that went before it.
    #[must_use]
    pub fn left(&self, companies: &BTreeSet<i64>) -> Option<i64> {
        if let Some((position, held)) = &self.deleted
            && held.iter().any(|company| companies.contains(company))
        {
            return Some(*position);
        }
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

    /// Whether a role in one of these companies was held when the event at the position was recorded.
    #[must_use]
    pub fn held_then(&self, position: i64, companies: &BTreeSet<i64>) -> bool {
        let then = self.since.iter().rev().find(|(since, _)| *since < position);
        then.is_some_and(|(_, at)| at.iter().any(|company| companies.contains(company)))
    }

    /// Whether the access was never of another company than these.
    #[must_use]
    pub fn is_of(&self, access: UserAccessId, companies: &BTreeSet<i64>) -> bool {
        let ever = self.ever.get(&access.get());
        ever.is_some_and(|ever| ever.is_subset(companies))
    }

    /// Whoever changed anything of the user, as it is stored.
    pub fn actors(&self) -> impl Iterator<Item = &str> {
        self.actors.iter().map(String::as_str)
    }

    /// Whether the user owns the installation.
    #[must_use]
    pub fn platform_owner(&self) -> bool {
        self.platform_owner
    }

    fn note(&mut self, position: i64, event: &UserEvent) {
        let ever = match event {
            UserEvent::AccessGranted {
                user_access_id,
                company_id,
                ..
            }
            | UserEvent::AccessChanged {
                user_access_id,
                to_company_id: company_id,
                ..
            } => Some((user_access_id.get(), company_id.get())),
            _ => None,
        };
        if let Some((access, company)) = ever {
            self.ever.entry(access).or_default().insert(company);
        }
        let held = &mut self.held;
        match event {
            UserEvent::UserRegistered { platform_owner, .. } => {
                self.platform_owner = *platform_owner;
            }
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
            UserEvent::UserDeleted { accesses } => {
                held.clear();
                let companies = accesses.iter().map(|access| access.company_id.get());
                self.deleted = Some((position, companies.collect()));
            }
            _ => {}
        }
        let now: Vec<i64> = held.values().copied().collect();
        if self.since.last().is_none_or(|(_, before)| *before != now) {
            self.since.push((position, now));
        }
    }
}

/// Whether the stream has events.
///
/// # Errors
/// What the database answers.
pub async fn is_known(
    connection: &mut PgConnection,
    stream: StreamKey,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM events WHERE position IS NOT NULL AND aggregate_type = $1 AND aggregate_id = $2)",
    )
    .bind(stream.kind.name())
    .bind(stream.id.to_string())
    .fetch_one(connection)
    .await
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
        held.actors.extend(entry.metadata.get("actor").cloned());
        false
    })
    .await?;
    Ok(held)
}
