//! The unit of work: what one command may read and change while the committer decides it.
//!
//! A batch holds the streams, claims and ids as they will be after the commands decided so far; each command works on its
//! own layer above it, which is merged when the command succeeds and dropped when a rule refuses it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aggregates::ids::CompanyId;
use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use projections::DomainEvent;
use projections::facts::{Fact, FactValue};

use super::provenance::{self, Provenance};
use super::refusal::Refusal;
use super::sealing::SubjectKey;
use super::stream::{State, StreamKey, StreamKind, Streamed};

/// A stream at hand.
#[derive(Clone)]
pub(super) struct Loaded {
    pub state: State,
    /// The sequence of its last event; 0 while it has none.
    pub version: i64,
    /// `None` until the stream needs a key, and after the key was destroyed.
    pub key: Option<SubjectKey>,
    /// The last event in the stream's stored snapshot; 0 while it has none.
    pub snapshot: i64,
    /// How long what it was folded from is as stored, the last snapshot and the events since: about as much as the state takes, or more.
    pub bytes: usize,
}

impl Loaded {
    pub fn empty(stream: StreamKey) -> Self {
        Self {
            state: State::empty(stream.kind),
            version: 0,
            key: None,
            snapshot: 0,
            bytes: 0,
        }
    }
}

/// The kinds of integer ids that the ledger gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the ids")]
pub enum IdKind {
    User,
    Company,
    UserAccess,
    Lead,
    Note,
    Invitation,
    Subscription,
    Question,
    Option,
    Campaign,
    Cycle,
    Appointment,
    Source,
    Territory,
    LegalTerm,
    Provider,
    IntegrationToken,
    LegalHold,
    Import,
}

impl IdKind {
    /// The key in `ledger_head.last_ids`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Company => "company",
            Self::UserAccess => "user_access",
            Self::Lead => "lead",
            Self::Note => "note",
            Self::Invitation => "invitation",
            Self::Subscription => "subscription",
            Self::Question => "question",
            Self::Option => "option",
            Self::Campaign => "campaign",
            Self::Cycle => "cycle",
            Self::Appointment => "appointment",
            Self::Source => "source",
            Self::Territory => "territory",
            Self::LegalTerm => "legal_term",
            Self::Provider => "provider",
            Self::IntegrationToken => "integration_token",
            Self::LegalHold => "legal_hold",
            Self::Import => "import",
        }
    }
}

/// The last id given, by kind.
pub(super) type LastIds = BTreeMap<String, i64>;

/// A value that one stream may hold at a time: its kind, and its keyed hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// Such as `email`.
    pub kind: &'static str,
    /// Keyed hash of the normalised value; see `Ledger::email_claim`.
    pub value_hash: Vec<u8>,
}

/// See `Ledger::email_claim`.
pub(super) fn email_claim(key: &hmac::Key, email: &str) -> Claim {
    Claim {
        kind: "email",
        value_hash: hmac::sign(key, email.as_bytes()).as_ref().to_vec(),
    }
}

/// See `Ledger::provider_claim`.
pub(super) fn provider_claim(key: &hmac::Key, provider: &str, uid: &str) -> Claim {
    let mut context = hmac::Context::with_key(key);
    context.update(provider.as_bytes());
    context.update(&[0]);
    context.update(uid.as_bytes());
    Claim {
        kind: "provider",
        value_hash: context.sign().as_ref().to_vec(),
    }
}

/// An event that a command caused, not yet stored.
#[derive(Clone)]
pub(super) struct Pending {
    pub stream: StreamKey,
    pub sequence: i64,
    pub company_id: Option<CompanyId>,
    pub event: DomainEvent,
    pub metadata: Arc<str>,
}

/// Everything that the commands of one batch have read and will change.
#[derive(Default)]
pub(super) struct Changes {
    pub streams: HashMap<StreamKey, Loaded>,
    pub claims: HashMap<Claim, Option<i64>>,
    pub facts: HashMap<Fact, FactValue>,
    pub last_ids: LastIds,
    pub events: Vec<Pending>,
    pub new_claims: Vec<(Claim, i64)>,
    /// Whether some event touches users, companies or roles.
    pub authority_moved: bool,
    pub released_claims: Vec<Claim>,
}

impl Changes {
    /// Makes the changes of the layer above these ones'.
    fn take_over(&mut self, above: Self) {
        self.authority_moved |= above.authority_moved;
        self.streams.extend(above.streams);
        self.claims.extend(above.claims);
        self.facts.extend(above.facts);
        self.last_ids = above.last_ids;
        self.events.extend(above.events);
        self.new_claims.extend(above.new_claims);
        self.released_claims.extend(above.released_claims);
    }
}

/// What one command sees. See the module's text.
pub struct Unit<'a> {
    below: &'a mut Changes,
    layer: Changes,
    /// The layers beneath `layer` while a part of the command is [tried](Unit::attempt), the lowest first.
    beneath: Vec<Changes>,
    metadata: Arc<str>,
    now: DateTime<Utc>,
}

impl<'a> Unit<'a> {
    pub(super) fn over(below: &'a mut Changes, metadata: Arc<str>, now: DateTime<Utc>) -> Self {
        let last_ids = below.last_ids.clone();
        Self {
            below,
            layer: Changes {
                last_ids,
                ..Changes::default()
            },
            beneath: Vec::new(),
            metadata,
            now,
        }
    }

    /// The leads that the command has changed.
    pub(super) fn changed_leads(&self) -> impl Iterator<Item = i64> {
        let streams = self.layer.streams.keys();
        streams
            .filter(|stream| stream.kind == StreamKind::Lead)
            .map(|stream| stream.id)
    }

    /// Keeps what the command did.
    pub(super) fn merge(self) {
        self.below.take_over(self.layer);
    }

    /// Tries a part of the command that may be refused by itself: then nothing of it stays, and the command goes on.
    ///
    /// # Errors
    /// What the part answers.
    pub fn attempt<T>(
        &mut self,
        part: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let above = Changes {
            last_ids: self.layer.last_ids.clone(),
            ..Changes::default()
        };
        let layer = std::mem::replace(&mut self.layer, above);
        self.beneath.push(layer);
        let outcome = part(self);
        let mut layer = self.beneath.pop().unwrap_or_default();
        std::mem::swap(&mut layer, &mut self.layer);
        if outcome.is_ok() {
            self.layer.take_over(layer);
        }
        outcome
    }

    /// From here on, events say that they come from there. For a command that carries out many wishes.
    pub fn set_provenance(&mut self, provenance: &Provenance) {
        self.metadata = provenance.metadata(self.now).into();
    }

    /// From here on, the metadata of events says this too.
    pub(super) fn say(&mut self, name: &str, what: &str) {
        self.metadata = provenance::saying(&self.metadata, name, what).into();
    }

    /// The layers that this command sees, the last word first.
    fn layers(&self) -> impl Iterator<Item = &Changes> {
        std::iter::once(&self.layer)
            .chain(self.beneath.iter().rev())
            .chain(std::iter::once(&*self.below))
    }

    fn held(&self, claim: &Claim) -> Option<i64> {
        let known = self.layers().find_map(|layer| layer.claims.get(claim));
        known.copied().flatten()
    }

    /// The time of the commit; every event of the batch carries it.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// The next id of this kind: dense, and in ledger order across all nodes.
    pub fn next_id(&mut self, kind: IdKind) -> i64 {
        let last = self
            .layer
            .last_ids
            .entry(kind.name().to_owned())
            .or_insert(0);
        *last += 1;
        *last
    }

    /// The state of an aggregate; empty when it has no events.
    #[must_use]
    pub fn state<A: Streamed>(&self, id: i64) -> A {
        let loaded = self.loaded(StreamKey::new(A::KIND, id));
        A::of(&loaded.state).cloned().unwrap_or_default()
    }

    /// Looks at the state of an aggregate without copying it; the empty state when it has no events.
    pub fn look_at<A: Streamed, T>(&self, id: i64, look: impl FnOnce(&A) -> T) -> T {
        let loaded = self.loaded(StreamKey::new(A::KIND, id));
        match A::of(&loaded.state) {
            Some(state) => look(state),
            None => look(&A::default()),
        }
    }

    /// The version of a stream; 0 when it has no events.
    #[must_use]
    pub fn version(&self, stream: StreamKey) -> i64 {
        self.loaded(stream).version
    }

    /// Lets the aggregate decide the command and takes its events over.
    ///
    /// The stream must be one of the work's declared needs, or one that this very unit begins.
    ///
    /// # Errors
    /// The rule that the command would break.
    pub fn execute<A>(&mut self, id: i64, command: A::Command) -> Result<(), Refusal>
    where
        A: Streamed,
        Refusal: From<A::Error>,
    {
        let stream = StreamKey::new(A::KIND, id);
        let mut loaded = self.loaded(stream);
        let empty = A::default();
        let events = A::of(&loaded.state).unwrap_or(&empty).decide(command)?;
        for event in events {
            let event = A::domain_event(event);
            loaded.state.evolve(&event);
            loaded.version += 1;
            self.layer.authority_moved |= stream.touches_authority();
            self.layer.events.push(Pending {
                stream,
                sequence: loaded.version,
                company_id: loaded.state.company(stream),
                event,
                metadata: self.metadata.clone(),
            });
        }
        self.layer.streams.insert(stream, loaded);
        Ok(())
    }

    /// Takes a claim for a stream; holding it already is fine.
    ///
    /// # Errors
    /// `refusal` when another stream holds it.
    pub fn claim(&mut self, claim: &Claim, holder: i64, refusal: Refusal) -> Result<(), Refusal> {
        match self.held(claim) {
            Some(current) if current != holder => Err(refusal),
            Some(_) => Ok(()),
            None => {
                self.layer.claims.insert(claim.clone(), Some(holder));
                self.layer.new_claims.push((claim.clone(), holder));
                Ok(())
            }
        }
    }

    /// A fact that the work declared with [`Work::reading`](super::Work::reading), as the commands before this one in the batch left it.
    #[must_use]
    pub fn fact(&self, fact: Fact) -> FactValue {
        let known = self.layers().find_map(|layer| layer.facts.get(&fact));
        known.cloned().unwrap_or_default()
    }

    /// What the fact will be once this command's events are in the read tables, for the commands after it in the batch.
    pub fn set_fact(&mut self, fact: Fact, value: FactValue) {
        self.layer.facts.insert(fact, value);
    }

    /// Lets go of a claim that this stream holds; anybody may take it from the next batch on.
    ///
    /// The work must be [sweeping](super::Work::sweeping) and so alone in its batch: one statement cannot release a claim and
    /// take it.
    pub fn release(&mut self, claim: &Claim, holder: i64) {
        if self.held(claim) == Some(holder) {
            self.layer.claims.insert(claim.clone(), None);
            self.layer.released_claims.push(claim.clone());
        }
    }

    fn loaded(&self, stream: StreamKey) -> Loaded {
        let known = self.layers().find_map(|layer| layer.streams.get(&stream));
        known.cloned().unwrap_or_else(|| Loaded::empty(stream))
    }
}
