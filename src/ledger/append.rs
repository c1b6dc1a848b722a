//! One batch as one statement: the ledger's end, the events, keys, claims, idempotency keys, and every read row.

use std::collections::HashMap;
use std::sync::Arc;

use aggregates::personal::FieldCipher;
use chrono::{DateTime, Utc};
use projections::facts::{Fact, FactValue};
use projections::{Batch, Recorded, Statement};
use sqlx::PgConnection;
use uuid::Uuid;

use super::certificates;
use super::encoding::{Columns, encode};
use super::erasure;
use super::head::{Head, View};
use super::load::cipher_of;
use super::sealing::SubjectKey;
use super::snapshots;
use super::stream::{StreamKey, StreamKind};
use super::tree::NewNodes;
use super::unit::{Changes, LastIds, Loaded};
use super::work::{Committed, IdempotencyKey};
use crate::clock::Clock;

/// Of a batch that changes more streams than this, new leads are not kept at hand; of a file no leads are.
const FLOOD: usize = 200;

/// An idempotency key that this batch uses up.
pub(super) struct UsedKey {
    pub key: IdempotencyKey,
    pub outcome: Committed,
    /// The leads that the answer may tell about.
    pub leads: Vec<i64>,
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
    /// The facts that were read, as they are after it.
    pub facts: HashMap<Fact, FactValue>,
    /// The streams that were read, as they are after it.
    pub changed: Vec<(StreamKey, Loaded)>,
}

/// Where a batch goes.
pub(super) struct Place<'a> {
    pub head: &'a Head,
    pub recorded_at: DateTime<Utc>,
    /// Whether the guard may check what the projections would else look up, at the risk of writing nothing.
    pub assume: bool,
}

impl Append {
    /// Builds the statement of events that were [sealed](Sealed::of) and folded into the batch.
    ///
    /// # Errors
    /// What the database answers to the projections' look-ups.
    pub async fn build(
        connection: &mut PgConnection,
        mut changes: Changes,
        sealed: Sealed,
        used_keys: Vec<UsedKey>,
        place: Place<'_>,
        batch: &mut Batch,
    ) -> Result<Self, sqlx::Error> {
        let Sealed {
            columns,
            keys,
            nodes,
            first,
            new_head,
        } = sealed;
        let Place {
            head,
            recorded_at,
            assume,
        } = place;
        let events = columns.leaf_hash.len();
        let position = new_head.position;
        if events == 0 && used_keys.is_empty() {
            return Ok(Self {
                statement: None,
                head: head.clone(),
                first: None,
                events: 0,
                assumed: false,
                facts: changes.facts,
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
        })
        .visible_from(position);
        if events > 1 {
            write_commit(&mut statement, head.position + 1, position);
        }
        if events > 0 {
            columns.write(&mut statement, head.position, recorded_at);
            nodes.write(&mut statement);
            write_keys(&mut statement, keys.new);
            write_claims(&mut statement, &changes);
            erasure::destroy_keys(&mut statement, &keys.destroyed, recorded_at);
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
            facts: changes.facts,
            changed: changes.streams.into_iter().collect(),
        })
    }

    /// Makes the node's view the one after this append; `of_file` when it is of a file's rows.
    pub fn adopt(self, view: &mut View, of_file: bool) {
        view.head = self.head;
        let flood = self.changed.len() > FLOOD;
        for (stream, loaded) in self.changed {
            // Leads by the thousand are rarely touched soon; they would drive out those that are.
            let passes = of_file || (flood && loaded.version == 1);
            if passes && stream.kind == StreamKind::Lead {
                view.streams.remove(&stream);
            } else if loaded.version > 0 {
                view.streams.insert(stream, loaded);
            }
        }
    }
}

/// The events of a batch, ready to be inserted, and what they make of the ledger's end.
pub(super) struct Sealed {
    columns: Columns,
    keys: Keys,
    nodes: NewNodes,
    /// See [`Append::first`].
    first: Option<(StreamKey, i64, Vec<u8>)>,
    new_head: Head,
}

impl Sealed {
    /// Takes the events out of the changes, seals and hashes them, and folds them into the read models.
    pub fn of(
        changes: &mut Changes,
        head: &Head,
        recorded_at: DateTime<Utc>,
        clock: &Clock,
        batch: &mut Batch,
    ) -> Self {
        let mut keys = Keys::default();
        let mut position = head.position;
        let mut pending = std::mem::take(&mut changes.events);
        let first = pending.first().map(|first| (first.stream, first.sequence));
        let ciphers: Vec<Arc<dyn FieldCipher>> = pending
            .iter_mut()
            .map(|pending| {
                position += 1;
                let stream = pending.stream;
                let cipher = keys.cipher(stream, &mut changes.streams, clock);
                if erasure::destroys_key(&pending.event) {
                    keys.destroyed.push((stream, position));
                    let key = changes.streams.get(&stream);
                    let key = key.and_then(|loaded| loaded.key.as_ref()?.id());
                    pending.metadata = certificates::naming_key(&pending.metadata, key).into();
                }
                cipher
            })
            .collect();
        let columns = encode(&pending, &ciphers, recorded_at);
        drop(ciphers);
        for (pending, bytes) in pending.iter().zip(columns.payload_lengths()) {
            if let Some(loaded) = changes.streams.get_mut(&pending.stream) {
                loaded.bytes += bytes;
            }
        }
        for (pending, position) in pending.into_iter().zip(head.position + 1..) {
            batch.fold(&Recorded {
                position,
                recorded_at,
                aggregate_id: pending.stream.id,
                sequence: pending.sequence,
                company_id: pending.company_id,
                event: pending.event,
            });
        }
        keys.forget_destroyed(&mut changes.streams);
        let first = first.map(|(stream, sequence)| {
            let leaf = columns.leaf_hash[0].clone();
            (stream, sequence, leaf)
        });
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
        Self {
            columns,
            keys,
            nodes,
            first,
            new_head,
        }
    }
}

/// The subjects' keys that a batch makes and destroys.
#[derive(Default)]
struct Keys {
    new: Vec<(StreamKey, Uuid, [u8; 32])>,
    /// With the position of the event that says so.
    destroyed: Vec<(StreamKey, i64)>,
}

impl Keys {
    /// What seals the stream's next event; a stream that needs a key and has none gets one, unless it is erased.
    fn cipher(
        &mut self,
        stream: StreamKey,
        streams: &mut HashMap<StreamKey, Loaded>,
        clock: &Clock,
    ) -> Arc<dyn FieldCipher> {
        let loaded = streams
            .get_mut(&stream)
            .expect("a stream with pending events is among the changes");
        // Companies and subscriptions hold no personal data; their streams need no key.
        let personal = !matches!(stream.kind, StreamKind::Company | StreamKind::Subscription);
        if loaded.key.is_none() && personal && !loaded.state.is_erased() {
            let id = clock.new_id();
            let key = SubjectKey::random(stream).with_id(id);
            self.new.push((stream, id, *key.bytes()));
            loaded.key = Some(key);
        }
        cipher_of(loaded.key.as_ref())
    }

    /// A key that is destroyed is neither stored nor kept at hand.
    fn forget_destroyed(&mut self, streams: &mut HashMap<StreamKey, Loaded>) {
        for (stream, _) in &self.destroyed {
            self.new.retain(|(of, _, _)| of != stream);
            if let Some(loaded) = streams.get_mut(stream) {
                loaded.key = None;
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

/// Notes that the positions before the last were never the end of the ledger for anybody.
fn write_commit(statement: &mut Statement, first: i64, last: i64) {
    statement.part("new_commit", |s| {
        s.sql("INSERT INTO ledger_commits (last_position, first_position) SELECT ")
            .bind(last)
            .also(first)
            .sql(" FROM head");
    });
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
            // Only a destroyed key that somebody put back, which was not loaded, is replaced; any other refuses the statement.
            .sql(
                ") AS r ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET key = excluded.key, key_id = CASE WHEN EXISTS \
                 (SELECT 1 FROM destroyed_keys d WHERE d.aggregate_type = subject_keys.aggregate_type \
                 AND d.aggregate_id = subject_keys.aggregate_id AND d.key_id = subject_keys.key_id) THEN excluded.key_id END",
            );
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
    let mut leads = Vec::new();
    for used in keys {
        leads.push(format!(
            "{{{}}}",
            used.leads
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(",")
        ));
        users.push(used.key.user_id);
        texts.push(used.key.key);
        fingerprints.push(used.key.fingerprint);
        resources.push(used.outcome.resource_id);
        positions.push(used.outcome.position);
    }
    statement.part("used_keys", |s| {
        s.sql(
            "INSERT INTO idempotency_keys (user_id, key, fingerprint, resource_id, position, created_at, leads) \
             SELECT r.user_id, r.key, r.fingerprint, r.resource_id, r.position, ",
        )
        .bind(now)
        // An array of arrays would have to be even: each list comes as the text of an array.
        .sql(", r.leads::bigint[] FROM head, unnest(")
        .bind(users)
        .also(texts)
        .also(fingerprints)
        .also(resources)
        .also(positions)
        .also(leads)
        .sql(") AS r(user_id, key, fingerprint, resource_id, position, leads)");
    });
}
