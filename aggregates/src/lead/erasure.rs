//! Blocking and erasing the personal data of a lead.
//!
//! Invariants
//! - Only what is blocked is erased: the two steps of Mexican law (*bloqueo*, then *supresión*), of which the first is the
//!   GDPR's restriction of processing.
//! - Nothing about a blocked or erased lead changes but who it is assigned to, which ends with that access.
//! - Blocking can be taken back, erasing cannot.
//! - A lead that was removed is blocked and erased like any other; its block is not taken back, since nothing would be shown.
//!
//! None of the events holds personal data that the lead's key does not seal. Destroying that key is the ledger's business: it happens in the
//! transaction of [`LeadEvent::LeadErased`].

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::appointments::AppointmentStatus;
use super::{Lead, LeadError, LeadEvent};
use crate::Personal;

/// What may be done with a lead's personal data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataStatus {
    /// Everything that the roles allow.
    #[default]
    InUse,
    /// It is kept and not used.
    Blocked,
    /// It is gone.
    Erased,
}

/// Why a lead's personal data is blocked or erased. A code, so that no word about the person outlives the erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureReason {
    /// The person asked for it.
    SubjectRequest,
    /// The person took their consent back.
    ConsentWithdrawn,
    /// The purpose that the data was collected for is fulfilled.
    PurposeFulfilled,
    /// It should never have been collected or used so.
    UnlawfulProcessing,
    /// A law or an authority asks for it.
    LegalObligation,
    /// Anything else.
    Other,
}

impl ErasureReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::SubjectRequest,
        Self::ConsentWithdrawn,
        Self::PurposeFulfilled,
        Self::UnlawfulProcessing,
        Self::LegalObligation,
        Self::Other,
    ];

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::SubjectRequest => "subject_request",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::PurposeFulfilled => "purpose_fulfilled",
            Self::UnlawfulProcessing => "unlawful_processing",
            Self::LegalObligation => "legal_obligation",
            Self::Other => "other",
        }
    }

    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }
}

/// A wish that concerns a lead's personal data as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureCommand {
    /// Keep it and use it no more.
    Block {
        /// Why.
        reason: ErasureReason,
    },
    /// Use it again.
    Unblock,
    /// Destroy it.
    Erase {
        /// Why.
        reason: ErasureReason,
        /// The time of the commit: appointments that start later are called off.
        now: DateTime<Utc>,
    },
}

impl Lead {
    /// What may be done with its personal data.
    #[must_use]
    pub fn data_status(&self) -> DataStatus {
        self.data_status
    }

    pub(super) fn decide_erasure(
        &self,
        command: ErasureCommand,
    ) -> Result<Vec<LeadEvent>, LeadError> {
        // A lead that was taken away is still on record: what is held of it can be blocked and erased.
        if !self.exists() && !self.removed {
            return Err(LeadError::NotCreated);
        }
        match (command, self.data_status) {
            (ErasureCommand::Block { reason }, DataStatus::InUse) => {
                Ok(vec![LeadEvent::LeadBlocked { reason }])
            }
            (ErasureCommand::Block { .. }, DataStatus::Blocked)
            | (ErasureCommand::Erase { .. }, DataStatus::Erased) => Ok(vec![]),
            // It is shown as of the time before it was taken away; today there is nothing to be shown, found or alike.
            (ErasureCommand::Unblock, DataStatus::Blocked) if self.removed => {
                Ok(vec![LeadEvent::LeadUnblocked {
                    contact: Personal::default(),
                    answers: Personal::default(),
                    extra: Personal::default(),
                }])
            }
            (ErasureCommand::Unblock, DataStatus::Blocked) => Ok(vec![LeadEvent::LeadUnblocked {
                contact: self.contact.clone(),
                answers: self.answers.clone(),
                extra: self.extra.clone(),
            }]),
            (ErasureCommand::Erase { reason, now }, DataStatus::Blocked) => {
                Ok(self.erased(reason, now))
            }
            (ErasureCommand::Unblock | ErasureCommand::Erase { .. }, DataStatus::InUse) => {
                Err(LeadError::NotBlocked)
            }
            (_, DataStatus::Erased) => Err(LeadError::Erased),
        }
    }

    fn erased(&self, reason: ErasureReason, now: DateTime<Utc>) -> Vec<LeadEvent> {
        let to_come = self.appointments.iter().filter(|(_, appointment)| {
            self.exists()
                && appointment.status == AppointmentStatus::Scheduled
                && appointment.starts_at > now
        });
        let cancelled = to_come.map(|(id, appointment)| LeadEvent::LeadAppointmentCancelled {
            appointment_id: id,
            from_status: appointment.status,
        });
        cancelled
            .chain([LeadEvent::LeadErased { reason }])
            .collect()
    }

    pub(super) fn forget_person(&mut self) {
        self.data_status = DataStatus::Erased;
        self.contact = Personal::Erased;
        self.answers = Personal::Erased;
        self.extra = Personal::Erased;
        self.appointments.forget_words();
    }
}

#[cfg(test)]
#[path = "erasure_tests.rs"]
mod tests;
