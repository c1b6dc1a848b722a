//! Commands decided as if they were committed, one after the other, and never committed: what a dry run answers.
//!
//! The decisions are the very ones that the committer would carry out. They see one snapshot of the ledger, and what the commands
//! before them in the rehearsal would have done; nobody is kept from writing meanwhile.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use projections::facts;
use sqlx::{PgPool, Postgres, Transaction};

use super::head::View;
use super::load;
use super::refusal::Refusal;
use super::stream::StreamKind;
use super::unit::{Changes, IdKind, Unit};
use super::work::Work;
use crate::clock::Clock;

/// See the module's text.
pub struct Rehearsal {
    transaction: Transaction<'static, Postgres>,
    changes: Changes,
    now: DateTime<Utc>,
}

impl Rehearsal {
    /// On the ledger as it is now.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn begin(pool: &PgPool, clock: &Clock) -> Result<Self, sqlx::Error> {
        let mut transaction = pool.begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .execute(&mut *transaction)
            .await?;
        let view = View::open(&mut transaction).await?;
        Ok(Self {
            now: clock.now().max(view.head.recorded_at),
            changes: Changes {
                last_ids: view.head.last_ids,
                ..Changes::default()
            },
            transaction,
        })
    }

    /// The last id of this kind that the ledger gave.
    #[must_use]
    pub fn last_id(&self, kind: IdKind) -> i64 {
        let last = self.changes.last_ids.get(kind.name());
        last.copied().unwrap_or_default()
    }

    /// Forgets all leads but these: the others are as they are in the tables, or no later command asks for them.
    pub fn keep_leads(&mut self, wanted: &HashSet<i64>) {
        let streams = &mut self.changes.streams;
        streams.retain(|key, _| key.kind != StreamKind::Lead || wanted.contains(&key.id));
    }

    /// Decides the command. Claims are not looked up: commands that take some cannot be rehearsed.
    ///
    /// # Errors
    /// What the database answers, outside; the rule that refuses, inside.
    pub async fn decide(&mut self, work: &mut Work) -> Result<Result<i64, Refusal>, sqlx::Error> {
        debug_assert!(work.claims.is_empty(), "a rehearsal looks up no claims");
        let found = match &work.find_streams {
            Some(find) => find(&mut self.transaction).await?,
            None => Vec::new(),
        };
        let wanted: BTreeSet<_> = work.streams.iter().copied().chain(found).collect();
        let known = &self.changes.streams;
        let missing = wanted.into_iter().filter(|key| !known.contains_key(key));
        let missing: Vec<_> = missing.collect();
        let loaded = load::streams(&mut self.transaction, &missing).await?;
        self.changes.streams.extend(loaded);
        let known = &self.changes.facts;
        let unknown = work.facts.iter().filter(|fact| !known.contains_key(fact));
        let unknown: Vec<_> = unknown.copied().collect();
        let read = facts::read(&mut self.transaction, unknown).await?;
        self.changes.facts.extend(read);

        let metadata = work.provenance.metadata(self.now).into();
        let mut unit = Unit::over(&mut self.changes, metadata, self.now);
        let outcome = (work.decision)(&mut unit);
        if outcome.is_ok() {
            unit.merge();
        }
        // Nobody stores them.
        self.changes.events.clear();
        Ok(outcome)
    }
}
