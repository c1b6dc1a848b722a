//! Deciding a batch of commands: what they read is gathered first, the rest is pure, and may run beside the commit of the batch
//! before ([`guess`](super::guess)).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use projections::{Batch, facts};
use sqlx::{PgConnection, Row};

use super::append::{Append, Place, Sealed, UsedKey};
use super::head::{Head, View};
use super::load;
use super::refusal::Refusal;
use super::stream::StreamKind;
use super::unit::{Changes, Claim, Unit};
use super::work::{Committed, Job, Work};
use crate::clock::Clock;

pub(super) type Outcome = Result<Committed, Refusal>;

/// Gathers what the jobs read, decides them, and builds their append.
pub(super) async fn decide(
    connection: &mut PgConnection,
    view: &mut View,
    clock: &Clock,
    jobs: &mut [Job],
    assume: bool,
) -> Result<(Append, Vec<Outcome>), sqlx::Error> {
    let mut changes = Changes {
        last_ids: view.head.last_ids.clone(),
        ..Changes::default()
    };
    bring_streams(connection, view, jobs, &mut changes).await?;
    let used_before = look_up_claims(connection, jobs, &mut changes).await?;
    let wanted = jobs.iter().flat_map(|job| &job.work.facts).copied();
    changes.facts = facts::read(connection, wanted).await?;
    let decided =
        Decided::of(jobs, &view.head, clock, changes, &used_before).sealed(&view.head, clock);
    decided.append(connection, &view.head, assume).await
}

/// Jobs that were decided.
pub(super) struct Decided {
    changes: Changes,
    used_keys: Vec<UsedKey>,
    outcomes: Vec<Outcome>,
    recorded_at: DateTime<Utc>,
    batch: Batch,
}

impl Decided {
    /// Decides the jobs one after the other on top of the head, with what they read in `changes`.
    pub fn of(
        jobs: &mut [Job],
        head: &Head,
        clock: &Clock,
        mut changes: Changes,
        used_before: &UsedBefore,
    ) -> Self {
        let recorded_at = clock.now().max(head.recorded_at);
        let mut batch = Batch::default();
        // A sweeping work is alone in its batch: what it knows holds for all of it.
        if let [Job { work, .. }] = &*jobs
            && let (Some(_), Some(unheld)) = (&work.find_streams, &work.unheld)
        {
            batch.know(unheld);
        }
        let mut used_keys: Vec<UsedKey> = Vec::new();
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            let Work {
                decision,
                provenance,
                idempotency,
                authority_as_of,
                streams,
                ..
            } = &mut job.work;
            if authority_as_of
                .is_some_and(|as_of| as_of != head.authority_position || changes.authority_moved)
            {
                outcomes.push(Err(Refusal::StaleAuthority));
                continue;
            }
            if let Some(key) = idempotency {
                let earlier = used_keys
                    .iter()
                    .find(|used| used.key.user_id == key.user_id && used.key.key == key.key)
                    .map(|used| (used.key.fingerprint.clone(), used.outcome))
                    .or_else(|| used_before.get(&(key.user_id, key.key.clone())).cloned());
                if let Some((fingerprint, outcome)) = earlier {
                    outcomes.push(if fingerprint == key.fingerprint {
                        Ok(Committed {
                            changed: false,
                            replayed: true,
                            ..outcome
                        })
                    } else {
                        Err(Refusal::IdempotencyKeyReused)
                    });
                    continue;
                }
            }
            let metadata: Arc<str> = provenance.metadata(recorded_at).into();
            let before = changes.events.len();
            let mut unit = Unit::over(&mut changes, metadata, recorded_at);
            let outcome = decision(&mut unit);
            let outcome = match outcome {
                Ok(resource_id) => {
                    let read = streams.iter().filter(|s| s.kind == StreamKind::Lead);
                    let leads: BTreeSet<i64> =
                        read.map(|s| s.id).chain(unit.changed_leads()).collect();
                    unit.merge();
                    let events = i64::try_from(changes.events.len())
                        .expect("a batch's events are counted in thousands");
                    let committed = Committed {
                        resource_id,
                        position: head.position + events,
                        changed: changes.events.len() > before,
                        replayed: false,
                        as_assumed: false,
                    };
                    if let Some(key) = idempotency {
                        used_keys.push(UsedKey {
                            key: key.clone(),
                            outcome: committed,
                            leads: leads.into_iter().collect(),
                        });
                    }
                    Ok(committed)
                }
                Err(refusal) => Err(refusal),
            };
            outcomes.push(outcome);
        }
        Self {
            changes,
            used_keys,
            outcomes,
            recorded_at,
            batch,
        }
    }

    /// Seals and hashes what they caused, and folds it into the read models.
    pub fn sealed(mut self, head: &Head, clock: &Clock) -> SealedDecision {
        let sealed = Sealed::of(
            &mut self.changes,
            head,
            self.recorded_at,
            clock,
            &mut self.batch,
        );
        SealedDecision {
            decided: self,
            sealed,
        }
    }
}

/// Jobs that were decided, their events sealed; what is left to do needs the database.
pub(super) struct SealedDecision {
    decided: Decided,
    sealed: Sealed,
}

impl SealedDecision {
    /// Builds the append that follows the head on which the jobs were decided.
    pub async fn append(
        self,
        connection: &mut PgConnection,
        head: &Head,
        assume: bool,
    ) -> Result<(Append, Vec<Outcome>), sqlx::Error> {
        let Decided {
            changes,
            used_keys,
            outcomes,
            recorded_at,
            mut batch,
        } = self.decided;
        let place = Place {
            head,
            recorded_at,
            assume,
        };
        let append = Append::build(
            connection,
            changes,
            self.sealed,
            used_keys,
            place,
            &mut batch,
        )
        .await?;
        Ok((append, outcomes))
    }
}

/// Puts every stream that the jobs need into the changes, from what is at hand or from the ledger.
async fn bring_streams(
    connection: &mut PgConnection,
    view: &mut View,
    jobs: &mut [Job],
    changes: &mut Changes,
) -> Result<(), sqlx::Error> {
    let mut missing = Vec::new();
    for job in jobs {
        let found = match &job.work.find_streams {
            Some(find) => find(&mut *connection).await?,
            None => Vec::new(),
        };
        for stream in job.work.streams.iter().copied().chain(found) {
            if changes.streams.contains_key(&stream) {
                continue;
            }
            match view.streams.get(&stream) {
                Some(loaded) => {
                    changes.streams.insert(stream, loaded.clone());
                }
                None => missing.push(stream),
            }
        }
    }
    missing.sort_unstable();
    missing.dedup();
    for (stream, loaded) in load::streams(connection, &missing).await? {
        if loaded.version > 0 {
            view.streams.insert(stream, loaded.clone());
        }
        changes.streams.insert(stream, loaded);
    }
    Ok(())
}

pub(super) type UsedBefore = HashMap<(i64, String), (Vec<u8>, Committed)>;

/// Reads who holds the wanted claims, and which idempotency keys were used before.
async fn look_up_claims(
    connection: &mut PgConnection,
    jobs: &[Job],
    changes: &mut Changes,
) -> Result<UsedBefore, sqlx::Error> {
    let wanted: Vec<&Claim> = jobs.iter().flat_map(|job| &job.work.claims).collect();
    if !wanted.is_empty() {
        let rows = sqlx::query(
            "SELECT c.value_hash, c.aggregate_id, w.n FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS w(k, v, n) \
             JOIN claims c ON c.kind = w.k AND c.value_hash = w.v",
        )
        .bind(wanted.iter().map(|claim| claim.kind).collect::<Vec<_>>())
        .bind(wanted.iter().map(|c| c.value_hash.clone()).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            let nth: i64 = row.try_get(2)?;
            let claim = usize::try_from(nth - 1).ok().and_then(|n| wanted.get(n));
            if let Some(claim) = claim {
                changes
                    .claims
                    .insert((*claim).clone(), Some(row.try_get(1)?));
            }
        }
    }
    let keys: Vec<_> = jobs
        .iter()
        .filter_map(|job| job.work.idempotency.as_ref())
        .collect();
    let mut used = UsedBefore::new();
    if !keys.is_empty() {
        let rows = sqlx::query(
            "SELECT i.user_id, i.key, i.fingerprint, i.resource_id, i.position \
             FROM unnest($1::bigint[], $2::text[]) AS w(u, k) \
             JOIN idempotency_keys i ON i.user_id = w.u AND i.key = w.k",
        )
        .bind(keys.iter().map(|key| key.user_id).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.key.clone()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        for row in rows {
            used.insert(
                (row.try_get(0)?, row.try_get(1)?),
                (
                    row.try_get(2)?,
                    Committed {
                        resource_id: row.try_get(3)?,
                        position: row.try_get(4)?,
                        changed: false,
                        replayed: true,
                        as_assumed: false,
                    },
                ),
            );
        }
    }
    Ok(used)
}
