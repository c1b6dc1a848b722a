//! Streams: their names, the aggregates they fold to, and how stored events are decoded.

use std::sync::Arc;

use aggregates::Decide;
use aggregates::company::{Company, CompanyEvent};
use aggregates::ids::CompanyId;
use aggregates::import::{Import, ImportEvent};
use aggregates::invitation::{Invitation, InvitationEvent};
use aggregates::lead::erasure::DataStatus;
use aggregates::lead::{Lead, LeadEvent};
use aggregates::personal::{FieldCipher, with_cipher};
use aggregates::subscription::{Subscription, SubscriptionEvent};
use aggregates::upcasting;
use aggregates::user::{User, UserEvent};
use cqrs_es::Aggregate;
use projections::DomainEvent;

/// The kinds of streams, named as in `events.aggregate_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// A user's.
    User,
    /// A company's.
    Company,
    /// A lead's.
    Lead,
    /// An invitation's.
    Invitation,
    /// That of a company's subscriptions, named by the company's id.
    Subscription,
    /// An import's.
    Import,
}

impl StreamKind {
    /// The stored aggregate type.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => User::TYPE,
            Self::Company => Company::TYPE,
            Self::Lead => Lead::TYPE,
            Self::Invitation => Invitation::TYPE,
            Self::Subscription => Subscription::TYPE,
            Self::Import => Import::TYPE,
        }
    }

    /// The kind with this stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::User,
            Self::Company,
            Self::Lead,
            Self::Invitation,
            Self::Subscription,
            Self::Import,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// The name of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// Its kind.
    pub kind: StreamKind,
    /// The aggregate's id; stored as decimal text.
    pub id: i64,
}

impl StreamKey {
    /// The stream of this aggregate.
    #[must_use]
    pub const fn new(kind: StreamKind, id: i64) -> Self {
        Self { kind, id }
    }

    /// The stream with these stored names, if it is one of ours.
    #[must_use]
    pub fn from_stored(aggregate_type: &str, aggregate_id: &str) -> Option<Self> {
        let id: i64 = aggregate_id.parse().ok()?;
        // Only the canonical text names the stream: "07" is not stream 7.
        (id.to_string() == aggregate_id)
            .then_some(StreamKind::from_name(aggregate_type)?)
            .map(|kind| Self { kind, id })
    }
}

impl StreamKey {
    /// Whether its events may change who may do what, where companies lie, or by which plan they are governed.
    #[must_use]
    pub fn touches_authority(self) -> bool {
        !matches!(
            self.kind,
            StreamKind::Lead | StreamKind::Invitation | StreamKind::Import
        )
    }
}

impl std::fmt::Display for StreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.name(), self.id)
    }
}

/// The folded state of any stream, shared until somebody changes it.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// A user's.
    User(Arc<User>),
    /// A company's.
    Company(Arc<Company>),
    /// A lead's.
    Lead(Arc<Lead>),
    /// An invitation's.
    Invitation(Arc<Invitation>),
    /// That of a company's subscriptions.
    Subscription(Arc<Subscription>),
    /// An import's.
    Import(Arc<Import>),
}

impl State {
    /// The state of a stream without events.
    #[must_use]
    pub fn empty(kind: StreamKind) -> Self {
        match kind {
            StreamKind::User => Self::User(Arc::default()),
            StreamKind::Company => Self::Company(Arc::default()),
            StreamKind::Lead => Self::Lead(Arc::default()),
            StreamKind::Invitation => Self::Invitation(Arc::default()),
            StreamKind::Subscription => Self::Subscription(Arc::default()),
            StreamKind::Import => Self::Import(Arc::default()),
        }
    }

    /// Folds one event in; an event of another kind of stream changes nothing.
    pub fn evolve(&mut self, event: &DomainEvent) {
        match (self, event) {
            (Self::User(state), DomainEvent::User(event)) => Arc::make_mut(state).evolve(event),
            (Self::Company(state), DomainEvent::Company(event)) => {
                Arc::make_mut(state).evolve(event);
            }
            (Self::Lead(state), DomainEvent::Lead(event)) => Arc::make_mut(state).evolve(event),
            (Self::Invitation(state), DomainEvent::Invitation(event)) => {
                Arc::make_mut(state).evolve(event);
            }
            (Self::Subscription(state), DomainEvent::Subscription(event)) => {
                Arc::make_mut(state).evolve(event);
            }
            (Self::Import(state), DomainEvent::Import(event)) => Arc::make_mut(state).evolve(event),
            _ => {}
        }
    }

    /// Whether the stream's personal data is erased: it gets no new key.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        matches!(self, Self::Lead(lead) if lead.data_status() == DataStatus::Erased)
    }

    /// The company whose data the stream is, once that is known.
    #[must_use]
    pub fn company(&self, stream: StreamKey) -> Option<CompanyId> {
        match self {
            Self::User(_) => None,
            Self::Company(_) | Self::Subscription(_) => Some(CompanyId(stream.id)),
            Self::Lead(lead) => lead.company_id,
            Self::Import(import) => import.company_id,
            Self::Invitation(invitation) => invitation.offer().map(|offer| offer.company_id),
        }
    }
}

/// An aggregate that lives in a stream of the ledger.
pub trait Streamed: Decide {
    /// The kind of its streams.
    const KIND: StreamKind;
    /// Its state inside any state.
    fn of(state: &State) -> Option<&Self>;
    /// Its event as any event.
    fn domain_event(event: Self::Event) -> DomainEvent;
}

macro_rules! streamed {
    ($aggregate:ident, $event:ty) => {
        impl Streamed for $aggregate {
            const KIND: StreamKind = StreamKind::$aggregate;

            fn of(state: &State) -> Option<&Self> {
                match state {
                    State::$aggregate(state) => Some(state),
                    _ => None,
                }
            }

            fn domain_event(event: $event) -> DomainEvent {
                DomainEvent::$aggregate(event)
            }
        }
    };
}
streamed!(User, UserEvent);
streamed!(Company, CompanyEvent);
streamed!(Lead, LeadEvent);
streamed!(Invitation, InvitationEvent);
streamed!(Subscription, SubscriptionEvent);
streamed!(Import, ImportEvent);

/// Name and version as stored beside the payload.
#[must_use]
pub fn type_and_version(event: &DomainEvent) -> (&'static str, &'static str) {
    match event {
        DomainEvent::User(event) => (event.name(), UserEvent::VERSION),
        DomainEvent::Company(event) => (event.name(), CompanyEvent::VERSION),
        DomainEvent::Lead(event) => (event.name(), event.version()),
        DomainEvent::Invitation(event) => (event.name(), InvitationEvent::VERSION),
        DomainEvent::Subscription(event) => (event.name(), SubscriptionEvent::VERSION),
        DomainEvent::Import(event) => (event.name(), ImportEvent::VERSION),
    }
}

/// The payload text to store, personal data sealed with `cipher`.
#[must_use]
pub fn encode(event: &DomainEvent, cipher: Arc<dyn FieldCipher>) -> String {
    with_cipher(cipher, || match event {
        DomainEvent::User(event) => serde_json::to_string(event),
        DomainEvent::Company(event) => serde_json::to_string(event),
        DomainEvent::Lead(event) => serde_json::to_string(event),
        DomainEvent::Invitation(event) => serde_json::to_string(event),
        DomainEvent::Subscription(event) => serde_json::to_string(event),
        DomainEvent::Import(event) => serde_json::to_string(event),
    })
    .expect("events are made of text, numbers and maps with text keys, which always serialise")
}

/// An event's payload as it is stored, with the columns that tell its shape.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// The column `event_type`.
    pub event_type: &'a str,
    /// The column `event_version`.
    pub event_version: &'a str,
    /// The column `payload`.
    pub payload: &'a str,
}

/// The event in a stored payload of whatever version, personal data opened with `cipher`.
///
/// # Errors
/// When the payload is no event of this kind of stream: only a foreign writer can cause that.
pub fn decode(
    kind: StreamKind,
    stored: Stored<'_>,
    cipher: Arc<dyn FieldCipher>,
) -> Result<DomainEvent, serde_json::Error> {
    let Stored {
        event_type,
        event_version,
        payload,
    } = stored;
    let upcast = upcasting::upcast(kind.name(), event_type, event_version, payload);
    let upcast = upcast.map(|payload| payload.to_string());
    let payload = upcast.as_deref().unwrap_or(payload);
    with_cipher(cipher, || {
        Ok(match kind {
            StreamKind::User => DomainEvent::User(serde_json::from_str(payload)?),
            StreamKind::Company => DomainEvent::Company(serde_json::from_str(payload)?),
            StreamKind::Lead => DomainEvent::Lead(serde_json::from_str(payload)?),
            StreamKind::Invitation => DomainEvent::Invitation(serde_json::from_str(payload)?),
            StreamKind::Subscription => DomainEvent::Subscription(serde_json::from_str(payload)?),
            StreamKind::Import => DomainEvent::Import(serde_json::from_str(payload)?),
        })
    })
}

/// The text of a state to store, personal data sealed with `cipher`.
#[must_use]
pub fn encode_state(state: &State, cipher: Arc<dyn FieldCipher>) -> String {
    with_cipher(cipher, || match state {
        State::User(state) => serde_json::to_string(state),
        State::Company(state) => serde_json::to_string(state),
        State::Lead(state) => serde_json::to_string(state),
        State::Invitation(state) => serde_json::to_string(state),
        State::Subscription(state) => serde_json::to_string(state),
        State::Import(state) => serde_json::to_string(state),
    })
    .expect("states are made of text, numbers and maps with text keys, which always serialise")
}

/// The state in a stored text, personal data opened with `cipher`.
///
/// # Errors
/// When the text is no state of this kind of stream.
pub fn decode_state(
    kind: StreamKind,
    text: &str,
    cipher: Arc<dyn FieldCipher>,
) -> Result<State, serde_json::Error> {
    with_cipher(cipher, || {
        Ok(match kind {
            StreamKind::User => State::User(Arc::new(serde_json::from_str(text)?)),
            StreamKind::Company => State::Company(Arc::new(serde_json::from_str(text)?)),
            StreamKind::Lead => State::Lead(Arc::new(serde_json::from_str(text)?)),
            StreamKind::Invitation => State::Invitation(Arc::new(serde_json::from_str(text)?)),
            StreamKind::Subscription => State::Subscription(Arc::new(serde_json::from_str(text)?)),
            StreamKind::Import => State::Import(Arc::new(serde_json::from_str(text)?)),
        })
    })
}
