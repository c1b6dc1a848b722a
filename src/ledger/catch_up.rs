//! Events that a stock `postgres-es` program appended: they get their place in the total order, their leaf hash and their
//! read rows, before anything newer is appended.

use chrono::{DateTime, Utc};
use projections::{Batch, DomainEvent, Recorded, Statement};
use sqlx::{PgConnection, Row};

use aggregates::company::CompanyEvent;
use aggregates::lead::LeadEvent;
use aggregates::subscription::SubscriptionEvent;

use super::append::last_ids_json;
use super::head::View;
use super::leaf;
use super::load;
use super::stream::{self, StreamKey, StreamKind};
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

    let mut batch = Batch::default();
    let mut placed = Placed::default();
    let mut last_ids = view.head.last_ids.clone();
    let mut position = view.head.position;
    let mut touches_authority = false;
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
        placed.push(
            &leaf::Entry {
                aggregate_type,
                aggregate_id,
                sequence,
                event_type: row.try_get(3)?,
                event_version: row.try_get(4)?,
                payload,
                metadata: row.try_get(6)?,
                recorded_at,
                company_id: company_id.map(aggregates::ids::CompanyId::get),
            },
            position,
        );
        let Some((stream, loaded)) = stream.zip(at_hand) else {
            tracing::warn!(aggregate_type, "an event of a foreign kind was sequenced");
            continue;
        };
        let cipher = load::cipher_of(loaded.key.as_ref());
        let Ok(event) = stream::decode(stream.kind, payload, cipher) else {
            tracing::error!(%stream, sequence, "an unreadable event was sequenced and not projected");
            continue;
        };
        touches_authority |= stream.touches_authority();
        raise_last_ids(&mut last_ids, stream, &event);
        batch.fold(&Recorded {
            position,
            recorded_at,
            aggregate_id: stream.id,
            sequence,
            company_id,
            event,
        });
    }

    placed.write(connection, recorded_at).await?;
    batch.look_up(connection).await?;
    let mut statement = Statement::unguarded();
    batch.write(&mut statement);
    if statement.has_parts() {
        let (sql, arguments) = statement.finish();
        sqlx::query_with(&sql, arguments)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(
        "UPDATE ledger_head SET position = $1, recorded_at = $2, last_ids = $3::json, \
         authority_position = CASE WHEN $4 THEN $1 ELSE authority_position END",
    )
    .bind(position)
    .bind(recorded_at)
    .bind(last_ids_json(&last_ids))
    .bind(touches_authority)
    .execute(connection)
    .await?;
    for stream in streams {
        view.streams.remove(&stream);
    }
    view.head.position = position;
    view.head.recorded_at = recorded_at;
    view.head.last_ids = last_ids;
    if touches_authority {
        view.head.authority_position = position;
    }
    Ok(())
}

/// Ids above this are left to foreign writers: clients that read numbers as doubles cannot tell them apart, and ours must
/// not be driven to the end of the integers.
const LAST_ID: i64 = 1 << 53;

/// A foreign writer chooses its own ids; ours must never meet them.
fn raise_last_ids(last_ids: &mut LastIds, stream: StreamKey, event: &DomainEvent) {
    let mut raise = |kind: IdKind, id: i64| {
        if id <= LAST_ID {
            let last = last_ids.entry(kind.name().to_owned()).or_insert(0);
            *last = (*last).max(id);
        }
    };
    match stream.kind {
        StreamKind::User => raise(IdKind::User, stream.id),
        StreamKind::Company => raise(IdKind::Company, stream.id),
        StreamKind::Lead => raise(IdKind::Lead, stream.id),
        StreamKind::Invitation => raise(IdKind::Invitation, stream.id),
        StreamKind::Import => raise(IdKind::Import, stream.id),
        // Named by the company's id, which the company's own stream raises.
        StreamKind::Subscription => {}
    }
    match event {
        DomainEvent::Lead(LeadEvent::LeadNoteAdded { note_id, .. }) => {
            raise(IdKind::Note, note_id.get());
        }
        DomainEvent::User(aggregates::user::UserEvent::AccessGranted {
            user_access_id, ..
        }) => raise(IdKind::UserAccess, user_access_id.get()),
        DomainEvent::Subscription(SubscriptionEvent::SubscriptionStarted {
            subscription_id,
            ..
        }) => raise(IdKind::Subscription, subscription_id.get()),
        DomainEvent::Lead(LeadEvent::LeadAppointmentScheduled { appointment_id, .. }) => {
            raise(IdKind::Appointment, appointment_id.get());
        }
        DomainEvent::Company(CompanyEvent::QuestionCreated { question, .. }) => {
            raise(IdKind::Question, question.question_id.get());
            for option in &question.options {
                raise(IdKind::Option, option.option_id.get());
            }
        }
        DomainEvent::Company(CompanyEvent::CampaignCreated { campaign_id, .. }) => {
            raise(IdKind::Campaign, campaign_id.get());
        }
        DomainEvent::Company(CompanyEvent::CycleCreated { cycle }) => {
            raise(IdKind::Cycle, cycle.cycle_id.get());
        }
        DomainEvent::Company(CompanyEvent::SourceAdded { source_id, .. }) => {
            raise(IdKind::Source, source_id.get());
        }
        DomainEvent::Company(CompanyEvent::TerritoryAdded { territory_id, .. }) => {
            raise(IdKind::Territory, territory_id.get());
        }
        DomainEvent::User(aggregates::user::UserEvent::ProviderLinked { provider_id, .. }) => {
            raise(IdKind::Provider, provider_id.get());
        }
        DomainEvent::Company(aggregates::company::CompanyEvent::LegalTermsPublished {
            legal_term_id,
            ..
        }) => raise(IdKind::LegalTerm, legal_term_id.get()),
        DomainEvent::Company(aggregates::company::CompanyEvent::IntegrationTokenCreated {
            integration_token_id,
            ..
        }) => raise(IdKind::IntegrationToken, integration_token_id.get()),
        _ => {}
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
