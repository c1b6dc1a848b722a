//! What happened to a lead, as it is stored: the events with their names and versions.
//!
//! No rule belongs here, and nothing that only today's code needs: what was stored once is read for ever. How a shape is
//! changed is written in `docs/events.md`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::appointments::{Appointment, AppointmentStatus};
use super::erasure::ErasureReason;
use super::routing::{Routing, TerritoryMatch};
use super::{Answer, Classification, Contact, ExtraFields};
use crate::Personal;
use crate::ids::{
    AppointmentId, CampaignId, CompanyId, CycleId, ImportId, LeadId, LegalHoldId, NoteId, SourceId,
    TerritoryId, UserAccessId, UserId,
};
use crate::money::Money;
use crate::stage::Stage;

/// What happened to a lead. These names and shapes are the storage format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeadEvent {
    /// The lead came into being.
    LeadCreated {
        /// Its id, also the stream's name.
        lead_id: LeadId,
        /// Its company.
        company_id: CompanyId,
        /// How to reach the person.
        contact: Personal<Contact>,
        /// The first stage.
        stage_id: Stage,
        /// Source.
        source_id: Option<SourceId>,
        /// Campaign.
        campaign_id: Option<CampaignId>,
        /// Working period.
        cycle_id: Option<CycleId>,
        /// Territory.
        territory_id: Option<TerritoryId>,
        /// Assignee.
        user_access_id: Option<UserAccessId>,
        /// Answers.
        answers: Personal<Vec<Answer>>,
        /// The company's own fields.
        extra: Personal<ExtraFields>,
        /// What it may be worth.
        estimated_value: Option<Money>,
        /// The territory's rule that matched; none when the territory was named, or there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        territory_match: Option<TerritoryMatch>,
        /// Why it went to its assignee; none when the assignee was named, or there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        routing: Option<Routing>,
    },
    /// Name, e-mail or phone changed.
    LeadContactChanged {
        /// Before.
        from: Personal<Contact>,
        /// After.
        to: Personal<Contact>,
    },
    /// It moved to another stage.
    LeadStageChanged {
        /// Before.
        from_stage_id: Stage,
        /// After.
        to_stage_id: Stage,
        /// Since when it was in the stage before; said when the time is taken back with the stage.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_entered_at: Option<DateTime<Utc>>,
        /// Since when it counts as being in the stage: when it had come there before what is taken back. None: since this event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to_entered_at: Option<DateTime<Utc>>,
    },
    /// Source, campaign or territory changed.
    LeadClassified {
        /// Before.
        from: Classification,
        /// After.
        to: Classification,
    },
    /// Somebody else, or nobody, works on it now.
    LeadAssigned {
        /// Before.
        from_user_access_id: Option<UserAccessId>,
        /// After.
        to_user_access_id: Option<UserAccessId>,
    },
    /// Answers changed; both lists are complete.
    LeadAnswersChanged {
        /// Before.
        from: Personal<Vec<Answer>>,
        /// After.
        to: Personal<Vec<Answer>>,
    },
    /// Extra fields changed; both maps are complete.
    LeadExtraFieldsChanged {
        /// Before.
        from: Personal<ExtraFields>,
        /// After.
        to: Personal<ExtraFields>,
    },
    /// The estimate changed.
    LeadValueChanged {
        /// Before.
        from: Option<Money>,
        /// After.
        to: Option<Money>,
    },
    /// A note was written.
    LeadNoteAdded {
        /// The note.
        note_id: NoteId,
        /// Who wrote it.
        author_id: UserId,
        /// Its text.
        content: Personal<String>,
    },
    /// A note was taken away.
    LeadNoteRemoved {
        /// The note.
        note_id: NoteId,
    },
    /// An appointment was made.
    LeadAppointmentScheduled {
        /// Its id.
        appointment_id: AppointmentId,
        /// What it is.
        appointment: Appointment,
    },
    /// An appointment changed.
    LeadAppointmentChanged {
        /// Its id.
        appointment_id: AppointmentId,
        /// Before.
        from: Appointment,
        /// After.
        to: Appointment,
    },
    /// A scheduled appointment was called off.
    LeadAppointmentCancelled {
        /// Its id.
        appointment_id: AppointmentId,
        /// What had become of it before. Version 1 did not say: see `upcasting`.
        from_status: AppointmentStatus,
    },
    /// The person's data is kept and not used any more.
    LeadBlocked {
        /// Why.
        reason: ErasureReason,
    },
    /// The person's data is used again: this is what it was when it was blocked, and nothing of a lead that was removed.
    LeadUnblocked {
        /// How to reach the person.
        contact: Personal<Contact>,
        /// Answers.
        answers: Personal<Vec<Answer>>,
        /// The company's own fields.
        extra: Personal<ExtraFields>,
    },
    /// The person's data is gone: the stream's key was destroyed with this event.
    LeadErased {
        /// Why.
        reason: ErasureReason,
    },
    /// A legal hold was placed on the lead.
    LeadHoldPlaced {
        /// Its id.
        legal_hold_id: LegalHoldId,
        /// Why. Free words, and so sealed like all that is said about the person.
        reason: Personal<String>,
        /// When it ends by itself.
        until: Option<DateTime<Utc>>,
    },
    /// A legal hold on the lead was lifted.
    LeadHoldReleased {
        /// Its id.
        legal_hold_id: LegalHoldId,
    },
    /// It was taken away: it counts no more and is in no list. What happened before stays in the history.
    LeadRemoved {
        /// The import by which it came, and which was undone.
        import_id: ImportId,
    },
}

impl LeadEvent {
    /// The version of every shape above that [`LeadEvent::version`] names no other for.
    pub const VERSION: &'static str = "1";

    /// The version of this event's shape. What has another than [`LeadEvent::VERSION`] has an upcaster for the older ones.
    #[must_use]
    pub const fn version(&self) -> &'static str {
        match self {
            Self::LeadAppointmentCancelled { .. } => "2.0",
            _ => Self::VERSION,
        }
    }

    /// The stored event type: the variant's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::LeadCreated { .. } => "LeadCreated",
            Self::LeadContactChanged { .. } => "LeadContactChanged",
            Self::LeadStageChanged { .. } => "LeadStageChanged",
            Self::LeadClassified { .. } => "LeadClassified",
            Self::LeadAssigned { .. } => "LeadAssigned",
            Self::LeadAnswersChanged { .. } => "LeadAnswersChanged",
            Self::LeadExtraFieldsChanged { .. } => "LeadExtraFieldsChanged",
            Self::LeadValueChanged { .. } => "LeadValueChanged",
            Self::LeadNoteAdded { .. } => "LeadNoteAdded",
            Self::LeadNoteRemoved { .. } => "LeadNoteRemoved",
            Self::LeadAppointmentScheduled { .. } => "LeadAppointmentScheduled",
            Self::LeadAppointmentChanged { .. } => "LeadAppointmentChanged",
            Self::LeadAppointmentCancelled { .. } => "LeadAppointmentCancelled",
            Self::LeadBlocked { .. } => "LeadBlocked",
            Self::LeadUnblocked { .. } => "LeadUnblocked",
            Self::LeadErased { .. } => "LeadErased",
            Self::LeadHoldPlaced { .. } => "LeadHoldPlaced",
            Self::LeadHoldReleased { .. } => "LeadHoldReleased",
            Self::LeadRemoved { .. } => "LeadRemoved",
        }
    }
}
