//! Events that a stock `postgres-es` program appended: they get their place in the total order, their leaf hash and their
//! read rows, before anything newer is appended.

use chrono::{DateTime, Utc};
use projections::{Batch, DomainEvent, Recorded};
use sqlx::{Connection, PgConnection, Row};

use aggregates::company::CompanyEvent;
use aggregates::import::ImportEvent;
use aggregates::invitation::InvitationEvent;
use aggregates::lead::LeadEvent;
use aggregates::subscription::SubscriptionEvent;
use aggregates::user::UserEvent;

use super::append::last_ids_json;
use super::erasure;
use super::head::View;
use super::leaf;
use super::load;
use super::stream::{self, StreamKey, StreamKind};
use super::tree::NewNodes;
use super::unit::{IdKind, LastIds};
use crate::clock::Clock;

/// How many events one step takes.
const STEP: i64 = 1_000;

/// Sequences and projects every waiting event. The caller holds the append lock in a transaction and has refreshed the view.
///
/// # Errors
/// What the database answers.
pub(super) async fn sequence_waiting(
    connection: &mut PgConnection,
    view: &mut View,
    clock: &Clock,
) -> Result<u64, sqlx::Error> {
    let mut total = 0;
    loop {
        let rows = sqlx::query(
            "SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload::text, metadata::text \
             FROM events WHERE position IS NULL \
             ORDER BY recorded_at, aggregate_type, aggregate_id, sequence LIMIT $1",
        )
        .bind(STEP)
        .fetch_all(&mut *connection)
        .await?;
        if rows.is_empty() {
            return Ok(total);
        }
        total += rows.len() as u64;
        let recorded_at = clock.now().max(view.head.recorded_at);
        sequence(connection, view, &rows, recorded_at).await?;
    }
}

async fn sequence(
    connection: &mut PgConnection,
    view: &mut View,
    rows: &[sqlx::postgres::PgRow],
    recorded_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let mut streams = Vec::new();
    for row in rows {
        streams.extend(StreamKey::from_stored(row.try_get(0)?, row.try_get(1)?));
    }
    streams.sort_unstable();
    streams.dedup();
    let loaded = load::streams(connection, &streams).await?;

    let mut readable = Vec::with_capacity(rows.len());
    let mut placed = Placed::default();
    let mut new_ids = NewIds::after(view.head.last_ids.clone());
    let mut position = view.head.position;
    let mut touches_authority = false;
    let mut erased = Vec::new();
    for row in rows {
        position += 1;
        let (aggregate_type, aggregate_id) = (row.try_get(0)?, row.try_get(1)?);
        let sequence: i64 = row.try_get(2)?;
        let payload: &str = row.try_get(5)?;
        let stream = StreamKey::from_stored(aggregate_type, aggregate_id);
        let at_hand = stream.and_then(|stream| loaded.get(&stream));
        let company_id = stream
            .zip(at_hand)
            .and_then(|(stream, loaded)| loaded.state.company(stream));
        let entry = leaf::Entry {
            aggregate_type,
            aggregate_id,
            sequence,
            event_type: row.try_get(3)?,
            event_version: row.try_get(4)?,
            payload,
            metadata: row.try_get(6)?,
            recorded_at,
            company_id: company_id.map(aggregates::ids::CompanyId::get),
        };
        placed.push(&entry, position);
        let Some((stream, loaded)) = stream.zip(at_hand) else {
            tracing::warn!(aggregate_type, "an event of a foreign kind was sequenced");
            continue;
        };
        let cipher = load::cipher_of(loaded.key.as_ref());
        let Ok(event) = stream::decode(stream.kind, entry.stored(), cipher) else {
            tracing::error!(%stream, sequence, "an unreadable event was sequenced and not projected");
            continue;
        };
        touches_authority |= stream.touches_authority();
        if erasure::destroys_key(&event) {
            erased.push((stream, position));
        }
        new_ids.note(stream, &event);
        readable.push(Recorded {
            position,
            recorded_at,
            aggregate_id: stream.id,
            sequence,
            company_id,
            event,
        });
    }

    let mut tree = view.head.tree.clone();
    let mut nodes = NewNodes::default();
    for leaf in &placed.leaf_hash {
        nodes.grow(&mut tree, leaf);
    }
    placed.write(connection, recorded_at).await?;
    nodes.store(&mut *connection).await?;
    let last_ids = new_ids.last_ids;
    // The end first: it tells those who keep the replaced rows from when on the new ones are seen.
    sqlx::query(
        "UPDATE ledger_head SET position = $1, recorded_at = $2, last_ids = $3::json, \
         authority_position = CASE WHEN $4 THEN $1 ELSE authority_position END",
    )
    .bind(position)
    .bind(recorded_at)
    .bind(last_ids_json(&last_ids))
    .bind(touches_authority)
    .execute(&mut *connection)
    .await?;
    if rows.len() > 1 {
        let first = view.head.position + 1;
        sqlx::query("INSERT INTO ledger_commits (last_position, first_position) VALUES ($1, $2)")
            .bind(position)
            .bind(first)
            .execute(&mut *connection)
            .await?;
    }
    project(connection, &readable, position, new_ids.all_new).await?;
    erasure::destroy_keys_now(connection, &erased, recorded_at).await?;
    for stream in streams {
        view.streams.remove(&stream);
    }
    view.head.position = position;
    view.head.tree = tree;
    view.head.recorded_at = recorded_at;
    view.head.last_ids = last_ids;
    if touches_authority {
        view.head.authority_position = position;
    }
    Ok(())
}

/// Writes the read rows of what was read; what the tables refuse is noted in `unprojected_events` and left out.
///
/// All at once where every id that is given is new. Else one by one: two that give the same id could cover each other up in
/// one batch, and a rebuild, which cuts its batches elsewhere, must come to the same rows.
async fn project(
    connection: &mut PgConnection,
    readable: &[Recorded],
    end: i64,
    all_new: bool,
) -> Result<(), sqlx::Error> {
    if all_new && fold(connection, readable, Some(end)).await?.is_none() {
        return Ok(());
    }
    for recorded in readable {
        if let Some(reason) = fold(connection, std::slice::from_ref(recorded), Some(end)).await? {
            let position = recorded.position;
            tracing::error!(position, reason, "the read tables refused an event");
            sqlx::query("INSERT INTO unprojected_events (position, reason) VALUES ($1, $2)")
                .bind(position)
                .bind(reason)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// Folds the events into the read tables, or leaves these as they were and answers why the tables refused. `visible_from` is
/// the position from which readers see the rows, if these are the live tables.
pub(super) async fn fold(
    connection: &mut PgConnection,
    events: &[Recorded],
    visible_from: Option<i64>,
) -> Result<Option<String>, sqlx::Error> {
    let mut savepoint = connection.begin().await?;
    let mut batch = Batch::default();
    for recorded in events {
        batch.fold(recorded);
    }
    match batch.write_rows(&mut savepoint, visible_from).await {
        Ok(()) => {
            savepoint.commit().await?;
            Ok(None)
        }
        Err(error) => {
            let reason = refusal_of_the_data(&error).ok_or(error)?;
            savepoint.rollback().await?;
            Ok(Some(reason))
        }
    }
}

/// SQLSTATE and constraint, when it is the values that the database refuses (classes 22 and 23).
pub(super) fn refusal_of_the_data(error: &sqlx::Error) -> Option<String> {
    let refused = error.as_database_error()?;
    let code = refused.code()?;
    let about_data = code.starts_with("22") || code.starts_with("23");
    about_data.then(|| {
        let constraint = refused.constraint().unwrap_or_default();
        format!("{code} {constraint}").trim_end().to_owned()
    })
}

/// Ids above this are left to foreign writers: clients that read numbers as doubles cannot tell them apart, and ours must
/// not be driven to the end of the integers.
const LAST_ID: i64 = 1 << 53;

/// The ids that foreign writers chose: ours must never meet them.
struct NewIds {
    last_ids: LastIds,
    /// Whether each id that an event gives was above all before it, as those of ours are.
    all_new: bool,
}

impl NewIds {
    fn after(last_ids: LastIds) -> Self {
        Self {
            last_ids,
            all_new: true,
        }
    }

    fn note(&mut self, stream: StreamKey, event: &DomainEvent) {
        for (kind, id) in given_by(stream, event) {
            self.all_new &= self.raise(kind, id);
        }
        // Also of a stream whose beginning cannot be read.
        if let Some(kind) = id_kind(stream.kind) {
            self.raise(kind, stream.id);
        }
    }

    /// Answers whether the id is above the last one.
    fn raise(&mut self, kind: IdKind, id: i64) -> bool {
        let last = self.last_ids.entry(kind.name().to_owned()).or_insert(0);
        let above = id > *last && id <= LAST_ID;
        if above {
            *last = id;
        }
        above
    }
}

/// The ids below which none is given any more after this event, except those that are left to foreign writers.
pub(super) fn used_up_by(
    stream: StreamKey,
    event: &DomainEvent,
) -> impl Iterator<Item = (IdKind, i64)> {
    let named = id_kind(stream.kind).map(|kind| (kind, stream.id));
    let all = given_by(stream, event).into_iter().chain(named);
    all.filter(|(_, id)| *id <= LAST_ID)
}

/// The kind of the ids that name these streams, if they are ids of their own.
fn id_kind(kind: StreamKind) -> Option<IdKind> {
    match kind {
        StreamKind::User => Some(IdKind::User),
        StreamKind::Company => Some(IdKind::Company),
        StreamKind::Lead => Some(IdKind::Lead),
        StreamKind::Invitation => Some(IdKind::Invitation),
        StreamKind::Import => Some(IdKind::Import),
        // Named by the company's id, which the company's own stream raises.
        StreamKind::Subscription => None,
    }
}

/// The ids that this event gives to something new.
fn given_by(stream: StreamKey, event: &DomainEvent) -> Vec<(IdKind, i64)> {
    let one = |kind: IdKind, id: i64| vec![(kind, id)];
    match event {
        DomainEvent::User(UserEvent::UserRegistered { .. }) => one(IdKind::User, stream.id),
        DomainEvent::Company(CompanyEvent::CompanyCreated { .. }) => {
            one(IdKind::Company, stream.id)
        }
        DomainEvent::Lead(LeadEvent::LeadCreated { .. }) => one(IdKind::Lead, stream.id),
        DomainEvent::Invitation(InvitationEvent::InvitationCreated { .. }) => {
            one(IdKind::Invitation, stream.id)
        }
        DomainEvent::Import(ImportEvent::ImportRequested { .. }) => one(IdKind::Import, stream.id),
        DomainEvent::Lead(LeadEvent::LeadNoteAdded { note_id, .. }) => {
            one(IdKind::Note, note_id.get())
        }
        DomainEvent::Lead(LeadEvent::LeadAppointmentScheduled { appointment_id, .. }) => {
            one(IdKind::Appointment, appointment_id.get())
        }
        DomainEvent::Lead(LeadEvent::LeadHoldPlaced { legal_hold_id, .. }) => {
            one(IdKind::LegalHold, legal_hold_id.get())
        }
        DomainEvent::User(UserEvent::AccessGranted { user_access_id, .. }) => {
            one(IdKind::UserAccess, user_access_id.get())
        }
        DomainEvent::User(UserEvent::ProviderLinked { provider_id, .. }) => {
            one(IdKind::Provider, provider_id.get())
        }
        DomainEvent::Subscription(SubscriptionEvent::SubscriptionStarted {
            subscription_id,
            ..
        }) => one(IdKind::Subscription, subscription_id.get()),
        DomainEvent::Company(event) => given_by_company(event),
        _ => Vec::new(),
    }
}

fn given_by_company(event: &CompanyEvent) -> Vec<(IdKind, i64)> {
    match event {
        CompanyEvent::QuestionCreated { question, .. } => {
            let options = question.options.iter();
            let options = options.map(|option| (IdKind::Option, option.option_id.get()));
            std::iter::once((IdKind::Question, question.question_id.get()))
                .chain(options)
                .collect()
        }
        CompanyEvent::CampaignCreated { campaign_id, .. } => {
            vec![(IdKind::Campaign, campaign_id.get())]
        }
        CompanyEvent::CycleCreated { cycle } => vec![(IdKind::Cycle, cycle.cycle_id.get())],
        CompanyEvent::SourceAdded { source_id, .. } => vec![(IdKind::Source, source_id.get())],
        CompanyEvent::TerritoryAdded { territory_id, .. } => {
            vec![(IdKind::Territory, territory_id.get())]
        }
        CompanyEvent::LegalTermsPublished { legal_term_id, .. } => {
            vec![(IdKind::LegalTerm, legal_term_id.get())]
        }
        CompanyEvent::IntegrationTokenCreated {
            integration_token_id,
            ..
        } => vec![(IdKind::IntegrationToken, integration_token_id.get())],
        CompanyEvent::LegalHoldPlaced { legal_hold_id, .. } => {
            vec![(IdKind::LegalHold, legal_hold_id.get())]
        }
        _ => Vec::new(),
    }
}

#[derive(Default)]
struct Placed {
    aggregate_type: Vec<String>,
    aggregate_id: Vec<String>,
    sequence: Vec<i64>,
    position: Vec<i64>,
    company_id: Vec<Option<i64>>,
    leaf_hash: Vec<Vec<u8>>,
}

impl Placed {
    fn push(&mut self, entry: &leaf::Entry<'_>, position: i64) {
        self.aggregate_type.push(entry.aggregate_type.to_owned());
        self.aggregate_id.push(entry.aggregate_id.to_owned());
        self.sequence.push(entry.sequence);
        self.position.push(position);
        self.company_id.push(entry.company_id);
        self.leaf_hash.push(leaf::hash(entry));
    }

    async fn write(
        self,
        connection: &mut PgConnection,
        recorded_at: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE events e SET position = r.position, company_id = r.company_id, leaf_hash = r.leaf_hash, \
             recorded_at = $7 \
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[]) \
             AS r(t, i, s, position, company_id, leaf_hash) \
             WHERE e.aggregate_type = r.t AND e.aggregate_id = r.i AND e.sequence = r.s",
        )
        .bind(self.aggregate_type)
        .bind(self.aggregate_id)
        .bind(self.sequence)
        .bind(self.position)
        .bind(self.company_id)
        .bind(self.leaf_hash)
        .bind(recorded_at)
        .execute(connection)
        .await?;
        Ok(())
    }
}
