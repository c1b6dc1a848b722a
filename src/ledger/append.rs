//! One batch as one statement: the ledger's end, the events, keys, claims, idempotency keys, and every read row.

use chrono::{DateTime, Utc};
use projections::{Batch, Recorded, Statement};
use sqlx::PgConnection;
use uuid::Uuid;

use super::head::{Head, View};
use super::leaf;
use super::load::cipher_of;
use super::sealing::SubjectKey;
use super::snapshots;
use super::stream::{self, StreamKey, StreamKind};
use super::tree::NewNodes;
use super::unit::{Changes, LastIds, Loaded};
use super::work::{Committed, IdempotencyKey};
use crate::clock::Clock;

/// An idempotency key that this batch uses up.
pub(super) struct UsedKey {
    pub key: IdempotencyKey,
    pub outcome: Committed,
}

/// A batch ready to be sent, and what it makes of the node's view when it is on disk.
pub(super) struct Append {
    pub statement: Option<(String, sqlx::postgres::PgArguments)>,
    pub head: Head,
    /// Stream, sequence and leaf hash of the first event: enough to find out whether a lost commit happened.
    pub first: Option<(StreamKey, i64, Vec<u8>)>,
    pub events: usize,
    /// Whether the guard also checks what would else have been looked up.
    pub assumed: bool,
    changed: Vec<(StreamKey, Loaded)>,
}

/// Where a batch goes.
pub(super) struct Place<'a> {
    pub head: &'a Head,
    pub recorded_at: DateTime<Utc>,
    pub clock: &'a Clock,
    /// Whether the guard may check what the projections would else look up, at the risk of writing nothing.
    pub assume: bool,
}

impl Append {
    /// Seals and hashes the events, folds them into the read models, and builds the statement.
    ///
    /// # Errors
    /// What the database answers to the projections' look-ups.
    pub async fn build(
        connection: &mut PgConnection,
        mut changes: Changes,
        used_keys: Vec<UsedKey>,
        place: Place<'_>,
        batch: &mut Batch,
    ) -> Result<Self, sqlx::Error> {
        let Place {
            head,
            recorded_at,
            clock,
            assume,
        } = place;
        let mut columns = Columns::default();
        let mut new_keys = Vec::new();
        let mut position = head.position;
        for pending in &changes.events {
            position += 1;
            let stream = pending.stream;
            let loaded = changes
                .streams
                .get_mut(&stream)
                .expect("a stream with pending events is among the changes");
            // Companies and subscriptions hold no personal data; their streams need no key.
            let personal = !matches!(stream.kind, StreamKind::Company | StreamKind::Subscription);
            if loaded.key.is_none() && personal {
                let key = SubjectKey::random(stream);
                new_keys.push((stream, clock.new_id(), *key.bytes()));
                loaded.key = Some(key);
            }
            let payload = stream::encode(&pending.event, cipher_of(loaded.key.as_ref()));
            columns.push(pending, payload, recorded_at);
            batch.fold(&Recorded {
                position,
                recorded_at,
                aggregate_id: stream.id,
                sequence: pending.sequence,
                company_id: pending.company_id,
                event: pending.event.clone(),
            });
        }
        let first = changes.events.first().map(|pending| {
            let leaf = columns.leaf_hash[0].clone();
            (pending.stream, pending.sequence, leaf)
        });
        let events = changes.events.len();
        let mut tree = head.tree.clone();
        let mut nodes = NewNodes::default();
        for leaf in &columns.leaf_hash {
            nodes.grow(&mut tree, leaf);
        }
        let new_head = Head {
            position,
            tree,
            recorded_at,
            last_ids: std::mem::take(&mut changes.last_ids),
            authority_position: if changes.authority_moved {
                position
            } else {
                head.authority_position
            },
        };
        if events == 0 && used_keys.is_empty() {
            return Ok(Self {
                statement: None,
                head: head.clone(),
                first: None,
                events: 0,
                assumed: false,
                changed: Vec::new(),
            });
        }
        let assumed = assume && events > 0 && batch.can_assume();
        if events > 0 && !assumed {
            batch.look_up(connection).await?;
        }
        let mut statement = Statement::guarded_by(|s| {
            move_head(s, head.position, &new_head);
            if assumed {
                batch.assume(s);
            }
            s.sql(" RETURNING 1 AS held");
        });
        if events > 0 {
            columns.write(&mut statement, head.position, recorded_at);
            nodes.write(&mut statement);
            write_keys(&mut statement, new_keys);
            write_claims(&mut statement, &changes);
            snapshots::write(&mut statement, changes.streams.iter_mut());
            release_claims(&mut statement, &changes);
            batch.write(&mut statement);
        }
        write_used_keys(&mut statement, used_keys, recorded_at);
        Ok(Self {
            statement: Some(statement.finish()),
            head: new_head,
            first,
            events,
            assumed,
            changed: changes.streams.into_iter().collect(),
        })
    }

    /// Makes the node's view the one after this append.
    pub fn adopt(self, view: &mut View) {
        view.head = self.head;
        for (stream, loaded) in self.changed {
            if loaded.version > 0 {
                view.streams.insert(stream, loaded);
            }
        }
    }
}

/// The guard: moves the end if it is where we think it is, and nobody else's events wait for their place.
fn move_head(s: &mut Statement, known: i64, new: &Head) {
    s.sql("UPDATE ledger_head SET position = ")
        .bind(new.position)
        .sql(", recorded_at = ")
        .bind(new.recorded_at)
        .sql(", last_ids = ")
        .bind(last_ids_json(&new.last_ids))
        .sql("::json, authority_position = ")
        .bind(new.authority_position)
        .sql(" WHERE position = ")
        .bind(known)
        .sql(" AND NOT EXISTS (SELECT 1 FROM events WHERE position IS NULL)");
}

pub(super) fn last_ids_json(last_ids: &LastIds) -> String {
    serde_json::to_string(last_ids).expect("a map of integers always serialises")
}

fn write_keys(statement: &mut Statement, keys: Vec<(StreamKey, Uuid, [u8; 32])>) {
    if keys.is_empty() {
        return;
    }
    let (mut kinds, mut ids) = (Vec::new(), Vec::new());
    let (mut key_ids, mut bytes) = (Vec::new(), Vec::new());
    for (stream, key_id, key) in keys {
        kinds.push(stream.kind.name());
        ids.push(stream.id);
        key_ids.push(key_id);
        bytes.push(key.to_vec());
    }
    statement.part("new_subject_keys", |s| {
        s.sql("INSERT INTO subject_keys (aggregate_type, aggregate_id, key_id, key) SELECT r.* FROM head, unnest(")
            .bind(kinds)
            .also(ids)
            .also(key_ids)
            .also(bytes)
            .sql(") AS r");
    });
}

fn write_claims(statement: &mut Statement, changes: &Changes) {
    if changes.new_claims.is_empty() {
        return;
    }
    let claims = &changes.new_claims;
    let kinds: Vec<_> = claims.iter().map(|(claim, _)| claim.kind).collect();
    let hashes: Vec<_> = claims.iter().map(|(c, _)| c.value_hash.clone()).collect();
    let holders: Vec<_> = claims.iter().map(|(_, holder)| *holder).collect();
    statement.part("new_claims", |s| {
        s.sql("INSERT INTO claims (kind, value_hash, aggregate_id) SELECT r.* FROM head, unnest(")
            .bind(kinds)
            .also(hashes)
            .also(holders)
            .sql(") AS r");
    });
}

fn release_claims(statement: &mut Statement, changes: &Changes) {
    if changes.released_claims.is_empty() {
        return;
    }
    let claims = &changes.released_claims;
    let kinds: Vec<_> = claims.iter().map(|claim| claim.kind).collect();
    let hashes: Vec<_> = claims.iter().map(|c| c.value_hash.clone()).collect();
    statement.part("released_claims", |s| {
        s.sql("DELETE FROM claims c USING head, unnest(")
            .bind(kinds)
            .also(hashes)
            .sql(") AS r(kind, value_hash) WHERE c.kind = r.kind AND c.value_hash = r.value_hash");
    });
}

fn write_used_keys(statement: &mut Statement, keys: Vec<UsedKey>, now: DateTime<Utc>) {
    if keys.is_empty() {
        return;
    }
    let (mut users, mut texts, mut fingerprints) = (Vec::new(), Vec::new(), Vec::new());
    let (mut resources, mut positions) = (Vec::new(), Vec::new());
    for used in keys {
        users.push(used.key.user_id);
        texts.push(used.key.key);
        fingerprints.push(used.key.fingerprint);
        resources.push(used.outcome.resource_id);
        positions.push(used.outcome.position);
    }
    statement.part("used_keys", |s| {
        s.sql(
            "INSERT INTO idempotency_keys (user_id, key, fingerprint, resource_id, position, created_at) \
             SELECT r.*, ",
        )
        .bind(now)
        .sql(" FROM head, unnest(")
        .bind(users)
        .also(texts)
        .also(fingerprints)
        .also(resources)
        .also(positions)
        .sql(") AS r");
    });
}

#[derive(Default)]
struct Columns {
    aggregate_type: Vec<&'static str>,
    aggregate_id: Vec<String>,
    sequence: Vec<i64>,
    event_type: Vec<&'static str>,
    event_version: Vec<&'static str>,
    payload: Vec<String>,
    metadata: Vec<String>,
    company_id: Vec<Option<i64>>,
    leaf_hash: Vec<Vec<u8>>,
}

impl Columns {
    fn push(
        &mut self,
        pending: &super::unit::Pending,
        payload: String,
        recorded_at: DateTime<Utc>,
    ) {
        let (event_type, event_version) = stream::type_and_version(&pending.event);
        let aggregate_type = pending.stream.kind.name();
        let aggregate_id = pending.stream.id.to_string();
        let company_id = pending.company_id.map(aggregates::ids::CompanyId::get);
        self.leaf_hash.push(leaf::hash(&leaf::Entry {
            aggregate_type,
            aggregate_id: &aggregate_id,
            sequence: pending.sequence,
            event_type,
            event_version,
            payload: &payload,
            metadata: &pending.metadata,
            recorded_at,
            company_id,
        }));
        self.aggregate_type.push(aggregate_type);
        self.aggregate_id.push(aggregate_id);
        self.sequence.push(pending.sequence);
        self.event_type.push(event_type);
        self.event_version.push(event_version);
        self.payload.push(payload);
        self.metadata.push(pending.metadata.to_string());
        self.company_id.push(company_id);
    }

    fn write(self, statement: &mut Statement, after: i64, recorded_at: DateTime<Utc>) {
        statement.part("new_events", |s| {
            s.sql(
                "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
                 metadata, position, recorded_at, company_id, leaf_hash) \
                 SELECT r.aggregate_type, r.aggregate_id, r.sequence, r.event_type, r.event_version, \
                 r.payload::json, r.metadata::json, ",
            )
            .bind(after)
            .sql(" + r.n, ")
            .bind(recorded_at)
            .sql(", r.company_id, r.leaf_hash FROM head, unnest(")
            .bind(self.aggregate_type)
            .also(self.aggregate_id)
            .also(self.sequence)
            .also(self.event_type)
            .also(self.event_version)
            .also(self.payload)
            .also(self.metadata)
            .also(self.company_id)
            .also(self.leaf_hash)
            .sql(
                ") WITH ORDINALITY AS r(aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
                 metadata, company_id, leaf_hash, n)",
            );
        });
    }
}
