//! Deciding a command beside the commit before it.
//!
//! A large file goes in as one sweeping command after the other. While the database writes one, the committer would have nothing to do:
//! so it decides the next on the ledger as it will be, seals its events, and folds them. When its turn has come, under the append
//! lock, the ledger ends where it was thought to or it does not: then the guess is thrown away, and the command decided as any other. A guess is
//! never acknowledged and never visible; it spares work and nothing else.
//!
//! Only for commands that read nothing but what is at hand, and that say so themselves ([`Work::foreseeing`](super::Work::foreseeing)).

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::PgConnection;
use tokio::task::JoinHandle;

use super::append::Append;
use super::deciding::{Decided, SealedDecision, UsedBefore};
use super::head::{Head, View};
use super::unit::Changes;
use super::work::{Foresee, Job, Work};
use crate::clock::Clock;
use crate::proof::merkle::Frontier;

/// A command that was decided before its turn.
pub(super) struct Guess {
    of: Foresee,
    /// The ledger that it is a guess on: the tree over its events, which no other ledger has.
    tree: Frontier,
    decided: SealedDecision,
}

/// A guess that is being made, if one can be.
pub(super) enum Guessing {
    Impossible(Box<Job>),
    Begun(JoinHandle<(Job, Option<Guess>)>),
}

impl Guess {
    /// Begins to decide the job as if this append were on disk, on another thread.
    pub fn begin(mut job: Job, append: &Append, view: &View, clock: &Clock) -> Guessing {
        let Some((head, changes)) = at_hand(&job.work, append, view) else {
            return Guessing::Impossible(Box::new(job));
        };
        let clock = clock.clone();
        Guessing::Begun(tokio::task::spawn_blocking(move || {
            let guess = Self::make(&mut job, &head, changes, &clock);
            (job, guess)
        }))
    }

    fn make(job: &mut Job, head: &Head, changes: Changes, clock: &Clock) -> Option<Self> {
        let of = job.work.foresee.clone().filter(|foresee| foresee())?;
        let jobs = std::slice::from_mut(job);
        let decided = Decided::of(jobs, head, clock, changes, &UsedBefore::new());
        Some(Self {
            of,
            tree: head.tree.clone(),
            decided: decided.sealed(head, clock),
        })
    }

    /// Whether it is a guess of these jobs.
    pub fn is_of(&self, jobs: &[Job]) -> bool {
        let [job] = jobs else {
            return false;
        };
        let foresee = job.work.foresee.as_ref();
        foresee.is_some_and(|foresee| Arc::ptr_eq(foresee, &self.of))
    }

    /// What was decided, if that is what would be decided now. The connection holds the append lock.
    pub async fn if_right(
        self,
        connection: &mut PgConnection,
        view: &View,
        jobs: &[Job],
    ) -> Result<Option<SealedDecision>, sqlx::Error> {
        if view.head.tree != self.tree {
            return Ok(None);
        }
        for job in jobs {
            if let Some(find) = &job.work.find_streams
                && !find(&mut *connection).await?.is_empty()
            {
                return Ok(None);
            }
        }
        Ok((self.of)().then_some(self.decided))
    }
}

impl Guessing {
    /// Waits for it; `None` when the decision panicked, and whoever waits for it is told by that.
    pub async fn end(self) -> Option<(Job, Option<Guess>)> {
        match self {
            Self::Impossible(job) => Some((*job, None)),
            Self::Begun(task) => {
                let made = task.await;
                if made.is_err() {
                    tracing::error!("the decision of a command panicked");
                    metrics::counter!("ledger_panics_total").increment(1);
                }
                made.ok()
            }
        }
    }
}

/// The ledger's end after the append, and what the work reads there; `None` when something is not at hand.
fn at_hand(work: &Work, append: &Append, view: &View) -> Option<(Head, Changes)> {
    let asks =
        !work.claims.is_empty() || work.idempotency.is_some() || work.authority_as_of.is_some();
    if asks || work.foresee.is_none() {
        return None;
    }
    let mut streams: HashMap<_, _> = append
        .changed
        .iter()
        .filter(|(stream, _)| work.streams.contains(stream))
        .cloned()
        .collect();
    for stream in &work.streams {
        if !streams.contains_key(stream) {
            streams.insert(*stream, view.streams.get(stream)?.clone());
        }
    }
    let facts = work.facts.iter().map(|fact| {
        let value = append.facts.get(fact)?;
        Some((*fact, value.clone()))
    });
    let changes = Changes {
        streams,
        facts: facts.collect::<Option<_>>()?,
        last_ids: append.head.last_ids.clone(),
        ..Changes::default()
    };
    Some((append.head.clone(), changes))
}
