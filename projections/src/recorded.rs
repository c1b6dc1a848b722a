//! An event as the ledger holds it, decoded: what a projection folds.

use aggregates::company::CompanyEvent;
use aggregates::ids::CompanyId;
use aggregates::import::ImportEvent;
use aggregates::invitation::InvitationEvent;
use aggregates::lead::LeadEvent;
use aggregates::subscription::SubscriptionEvent;
use aggregates::user::UserEvent;
use chrono::{DateTime, Utc};

/// Any event of the domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainEvent {
    /// Of a user's stream.
    User(UserEvent),
    /// Of a company's stream.
    Company(CompanyEvent),
    /// Of a lead's stream.
    Lead(LeadEvent),
    /// Of an invitation's stream.
    Invitation(InvitationEvent),
    /// Of the stream of a company's subscriptions.
    Subscription(SubscriptionEvent),
    /// Of an import's stream.
    Import(ImportEvent),
}

/// One event at its place in the total order.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// 1-based place in the ledger; no gaps.
    pub position: i64,
    /// When the ledger took it; never earlier than its predecessor's. Microseconds.
    pub recorded_at: DateTime<Utc>,
    /// The stream's id within its aggregate type.
    pub aggregate_id: i64,
    /// 1-based place in the stream: the stream's version after this event.
    pub sequence: i64,
    /// The company whose data it is; `None` for what belongs to no company.
    pub company_id: Option<CompanyId>,
    /// What happened.
    pub event: DomainEvent,
}
