//! A command on its way to the committer: what it needs, how it is decided, who waits for it.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use projections::Unheld;
use projections::facts::Fact;
use sqlx::PgConnection;
use tokio::sync::oneshot;

use super::provenance::Provenance;
use super::refusal::{CommitError, Refusal};
use super::stream::StreamKey;
use super::unit::{Claim, Unit};
use crate::digests;

/// Decides the command. Pure and repeatable: it runs again when the ledger has moved on. Answers the id of the resource
/// that was made or changed.
pub type Decision = Box<dyn FnMut(&mut Unit<'_>) -> Result<i64, Refusal> + Send + Sync>;

/// A boxed future of more streams that a command needs.
pub type MoreStreams<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<StreamKey>, sqlx::Error>> + Send + 'a>>;

/// Reads, under the append lock, which further streams a command touches.
pub type FindStreams = Arc<dyn for<'a> Fn(&'a mut PgConnection) -> MoreStreams<'a> + Send + Sync>;

/// Tells, without the database, whether [`FindStreams`] finds nothing, as far as is known. Right after that has looked under the append lock it
/// must be right when it says so: a decision that was taken on its word is only kept if it says so again then.
pub type Foresee = Arc<dyn Fn() -> bool + Send + Sync>;

/// The header `Idempotency-Key` of a user, and what the key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose key: a user's, with the sign turned a token's, 0 for requests without either.
    pub user_id: i64,
    /// SHA-256 of the header's text, in hexadecimal. The text itself, which may name a person, is kept nowhere.
    pub key: String,
    /// Hash of method, path and body.
    pub fingerprint: Vec<u8>,
}

impl IdempotencyKey {
    /// A key with this text.
    #[must_use]
    pub fn new(user_id: i64, text: &str, fingerprint: Vec<u8>) -> Self {
        Self {
            user_id,
            key: Self::stored(text),
            fingerprint,
        }
    }

    /// The form in which a key with this text is stored and looked for.
    #[must_use]
    pub fn stored(text: &str) -> String {
        digests::sha256(text.as_bytes())
    }
}

/// A command with all that its decision reads.
pub struct Work {
    pub(super) streams: BTreeSet<StreamKey>,
    pub(super) claims: Vec<Claim>,
    pub(super) facts: Vec<Fact>,
    pub(super) find_streams: Option<FindStreams>,
    pub(super) unheld: Option<Unheld>,
    pub(super) foresee: Option<Foresee>,
    pub(super) of_file: bool,
    pub(super) idempotency: Option<IdempotencyKey>,
    pub(super) authority_as_of: Option<i64>,
    pub(super) provenance: Provenance,
    pub(super) decision: Decision,
}

impl Work {
    /// A command that reads no stream yet.
    pub fn new(
        provenance: Provenance,
        decision: impl FnMut(&mut Unit<'_>) -> Result<i64, Refusal> + Send + Sync + 'static,
    ) -> Self {
        Self {
            streams: BTreeSet::new(),
            claims: Vec::new(),
            facts: Vec::new(),
            find_streams: None,
            unheld: None,
            foresee: None,
            of_file: false,
            idempotency: None,
            authority_as_of: None,
            provenance,
            decision: Box::new(decision),
        }
    }

    /// The decision reads or changes this stream.
    #[must_use]
    pub fn on(mut self, stream: StreamKey) -> Self {
        self.streams.insert(stream);
        self
    }

    /// The decision takes this claim.
    #[must_use]
    pub fn claiming(mut self, claim: Claim) -> Self {
        self.claims.push(claim);
        self
    }

    /// The decision reads this fact: `unit.fact(fact)` then answers it as of the ledger's end that the commit is guarded by.
    #[must_use]
    pub fn reading(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }

    /// Which further streams it touches is read under the append lock, so that nothing can slip in between. Such a command is
    /// committed by itself: for rare changes that sweep over many streams.
    #[must_use]
    pub fn sweeping(mut self, find: FindStreams) -> Self {
        self.find_streams = Some(find);
        self
    }

    /// Which keys of leads need not be looked for among the duplicates. Only of a work that is [sweeping](Self::sweeping), where it is
    /// asked after the streams were found.
    #[must_use]
    pub fn knowing(mut self, unheld: Unheld) -> Self {
        self.unheld = Some(unheld);
        self
    }

    /// It is one of many by which a file goes in, beside which somebody sorts the new rows into the search's index.
    #[must_use]
    pub fn of_file(mut self) -> Self {
        self.of_file = true;
        self
    }

    /// The decision may be taken beside the commit before it, when this says that nothing more would be found. It must read nothing but
    /// what the work declares, and what `foresee` answers for.
    #[must_use]
    pub fn foreseeing(mut self, foresee: Foresee) -> Self {
        self.foresee = Some(foresee);
        self
    }

    /// Only if nothing has touched users, companies or roles since this position; else it is refused with
    /// [`Refusal::StaleAuthority`]. For callers who were let in by what this node remembered of them.
    #[must_use]
    pub fn authorised_as_of(mut self, position: i64) -> Self {
        self.authority_as_of = Some(position);
        self
    }

    /// Acts at most once for this key.
    #[must_use]
    pub fn once(mut self, key: Option<IdempotencyKey>) -> Self {
        self.idempotency = key;
        self
    }
}

/// What became of a command: on disk, with its read rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// What the decision answered: the resource that was made or changed.
    pub resource_id: i64,
    /// The position of the ledger's end after the command.
    pub position: i64,
    /// Whether it left an event now: neither did an earlier request with the same idempotency key do it, nor was there nothing to do.
    pub changed: bool,
    /// An earlier request with the same idempotency key did it.
    pub replayed: bool,
    /// The read tables held what the projections assumed they do, such as nobody who is like a new lead: nothing besides the
    /// command's own events decided what its rows are.
    pub as_assumed: bool,
}

/// A command in the queue.
pub(super) struct Job {
    pub work: Work,
    pub reply: oneshot::Sender<Result<Committed, CommitError>>,
}

impl Job {
    /// Tells whoever waits; nobody does when the client hung up.
    pub fn answer(self, outcome: Result<Committed, CommitError>) {
        let _ = self.reply.send(outcome);
    }
}
