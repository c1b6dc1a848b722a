//! The Lead aggregate: one person whom one company may do business with.
//!
//! Invariants
//! - A lead belongs to one company for ever and is always in exactly one stage.
//! - A lead can be told from nothing: it has a name, an e-mail or a phone number.
//! - A note is added once and removed once; a removed note's text stays in the history only.
//! - Who may only work on their own leads never changes anybody else's, however requests race.
//! - What is blocked or erased does not change any more; see `erasure`.
//! - A lead that was removed is there no more: it takes no command but those that erase its
//!   personal data, and its history stays.
//!
//! Whether referenced sources, campaigns, territories, questions and user accesses exist is looked up by the caller;
//! that a lead is a duplicate is a matter of the read models, never of one lead.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{CampaignId, CompanyId, NoteId, SourceId, TerritoryId, UserAccessId};
use crate::legal_hold::{Decided, HoldCommand, Holds};
use crate::money::Money;
use crate::stage::Stage;
use crate::{Decide, Personal};

mod answers;
pub mod appointments;
mod commands;
mod contact;
pub mod erasure;
mod events;
mod extra_fields;
pub mod routing;
mod taking_back;

use answers::merge_answers;
use appointments::Appointments;
use erasure::DataStatus;
use extra_fields::merge_extra;

pub use answers::{Answer, MAX_ANSWERS};
pub use commands::{CreateLead, LeadCommand, LeadError, OnlyOf, UpdateLead};
pub use contact::Contact;
pub use events::LeadEvent;
pub use extra_fields::{ExtraFields, MAX_EXTRA_FIELDS};
pub use taking_back::{Earlier, StageEntered};

/// Where a lead stands in the company's own order of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Classification {
    /// Where it came from.
    pub source_id: Option<SourceId>,
    /// The campaign that brought it.
    pub campaign_id: Option<CampaignId>,
    /// The territory it belongs to.
    pub territory_id: Option<TerritoryId>,
}

/// The state that decisions need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    /// The company; `None` while the stream is empty.
    pub company_id: Option<CompanyId>,
    contact: Personal<Contact>,
    stage: Stage,
    classification: Classification,
    user_access_id: Option<UserAccessId>,
    answers: Personal<Vec<Answer>>,
    extra: Personal<ExtraFields>,
    estimated_value: Option<Money>,
    notes: BTreeSet<NoteId>,
    #[serde(default)]
    appointments: Appointments,
    #[serde(default)]
    data_status: DataStatus,
    #[serde(default)]
    holds: Holds,
    removed: bool,
}

impl Lead {
    /// Whether it is there: created, and not removed.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.company_id.is_some() && !self.removed
    }

    /// Its appointments.
    #[must_use]
    pub fn appointments(&self) -> &Appointments {
        &self.appointments
    }

    /// The legal holds on the lead itself; those on its company hold it too.
    #[must_use]
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// The stage that it is in.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The campaign that brought it.
    #[must_use]
    pub fn campaign_id(&self) -> Option<CampaignId> {
        self.classification.campaign_id
    }

    /// Who works on it.
    #[must_use]
    pub fn user_access_id(&self) -> Option<UserAccessId> {
        self.user_access_id
    }

    /// Its source, campaign and territory.
    #[must_use]
    pub fn classification(&self) -> Classification {
        self.classification
    }

    /// Whether the note is there and not removed.
    #[must_use]
    pub fn has_note(&self, note_id: NoteId) -> bool {
        self.notes.contains(&note_id)
    }
}

impl Decide for Lead {
    fn decide(&self, command: LeadCommand) -> Result<Vec<LeadEvent>, LeadError> {
        match command {
            LeadCommand::Create(create) => self.create(*create),
            LeadCommand::Update(update) => self.update(*update),
            LeadCommand::Unassign { user_access_id } => {
                self.existing(&None)?;
                Ok(if self.user_access_id == Some(user_access_id) {
                    vec![LeadEvent::LeadAssigned {
                        from_user_access_id: Some(user_access_id),
                        to_user_access_id: None,
                    }]
                } else {
                    vec![]
                })
            }
            LeadCommand::AddNote {
                note_id,
                author_id,
                content,
                only_of,
            } => {
                self.changeable(&only_of)?;
                if self.has_note(note_id) {
                    return Ok(vec![]);
                }
                Ok(vec![LeadEvent::LeadNoteAdded {
                    note_id,
                    author_id,
                    content: content.into(),
                }])
            }
            LeadCommand::RemoveNote { note_id, only_of } => {
                self.changeable(&only_of)?;
                if !self.has_note(note_id) {
                    return Err(LeadError::UnknownNote);
                }
                Ok(vec![LeadEvent::LeadNoteRemoved { note_id }])
            }
            LeadCommand::Appointments(command) => {
                self.changeable(&command.only_of)?;
                self.appointments
                    .decide(command.appointment_id, command.wish)
            }
            LeadCommand::Erasure(command) => self.decide_erasure(command),
            LeadCommand::Hold(command) => self.decide_hold(command),
            LeadCommand::Remove { import_id } => self.remove(import_id),
            LeadCommand::Restore(earlier) => self.restore(*earlier),
        }
    }

    fn evolve(&mut self, event: &LeadEvent) {
        match event.clone() {
            LeadEvent::LeadCreated {
                lead_id: _,
                company_id,
                contact,
                stage_id,
                source_id,
                campaign_id,
                cycle_id: _,
                territory_id,
                user_access_id,
                answers,
                extra,
                estimated_value,
                territory_match: _,
                routing: _,
            } => {
                *self = Self {
                    company_id: Some(company_id),
                    contact,
                    stage: stage_id,
                    classification: Classification {
                        source_id,
                        campaign_id,
                        territory_id,
                    },
                    user_access_id,
                    answers,
                    extra,
                    estimated_value,
                    notes: BTreeSet::new(),
                    appointments: Appointments::default(),
                    data_status: DataStatus::default(),
                    holds: Holds::default(),
                    removed: false,
                };
            }
            LeadEvent::LeadContactChanged { to, .. } => self.contact = to,
            LeadEvent::LeadStageChanged { to_stage_id, .. } => self.stage = to_stage_id,
            LeadEvent::LeadClassified { to, .. } => self.classification = to,
            LeadEvent::LeadAssigned {
                to_user_access_id, ..
            } => self.user_access_id = to_user_access_id,
            LeadEvent::LeadAnswersChanged { to, .. } => self.answers = to,
            LeadEvent::LeadExtraFieldsChanged { to, .. } => self.extra = to,
            LeadEvent::LeadValueChanged { to, .. } => self.estimated_value = to,
            LeadEvent::LeadNoteAdded { note_id, .. } => {
                self.notes.insert(note_id);
            }
            LeadEvent::LeadNoteRemoved { note_id } => {
                self.notes.remove(&note_id);
            }
            LeadEvent::LeadAppointmentScheduled {
                appointment_id,
                appointment: to,
            }
            | LeadEvent::LeadAppointmentChanged {
                appointment_id, to, ..
            } => self.appointments.set(appointment_id, to),
            LeadEvent::LeadAppointmentCancelled { appointment_id, .. } => {
                self.appointments.cancelled(appointment_id);
            }
            LeadEvent::LeadBlocked { .. } => self.data_status = DataStatus::Blocked,
            LeadEvent::LeadUnblocked { .. } => self.data_status = DataStatus::InUse,
            LeadEvent::LeadErased { .. } => self.forget_person(),
            LeadEvent::LeadHoldPlaced {
                legal_hold_id,
                until,
                ..
            } => self.holds.placed(legal_hold_id, until),
            LeadEvent::LeadHoldReleased { legal_hold_id } => self.holds.released(legal_hold_id),
            LeadEvent::LeadRemoved { .. } => self.removed = true,
        }
    }
}

impl Lead {
    fn existing(&self, only_of: &OnlyOf) -> Result<(), LeadError> {
        if !self.exists() {
            return Err(LeadError::NotCreated);
        }
        match only_of {
            Some(own)
                if self
                    .user_access_id
                    .is_none_or(|assignee| !own.contains(&assignee)) =>
            {
                Err(LeadError::NotAssignedToCaller)
            }
            _ => Ok(()),
        }
    }

    fn changeable(&self, only_of: &OnlyOf) -> Result<(), LeadError> {
        self.existing(only_of)?;
        match self.data_status {
            DataStatus::InUse => Ok(()),
            DataStatus::Blocked => Err(LeadError::Blocked),
            DataStatus::Erased => Err(LeadError::Erased),
        }
    }

    fn decide_hold(&self, command: HoldCommand) -> Result<Vec<LeadEvent>, LeadError> {
        // A lead that was taken away is still on record and can be erased: so it can be held.
        if !self.removed {
            self.existing(&None)?;
        }
        if self.data_status == DataStatus::Erased && matches!(command, HoldCommand::Place { .. }) {
            return Err(LeadError::Erased);
        }
        Ok(match self.holds.decide(command)? {
            Decided::Nothing => vec![],
            Decided::Place {
                legal_hold_id,
                reason,
                until,
            } => vec![LeadEvent::LeadHoldPlaced {
                legal_hold_id,
                reason: reason.into(),
                until,
            }],
            Decided::Release { legal_hold_id } => {
                vec![LeadEvent::LeadHoldReleased { legal_hold_id }]
            }
        })
    }

    fn create(&self, create: CreateLead) -> Result<Vec<LeadEvent>, LeadError> {
        if self.company_id.is_some() {
            return Err(LeadError::AlreadyCreated);
        }
        if create.contact.is_empty() {
            return Err(LeadError::NoContact);
        }
        let answers = merge_answers(&[], create.answers);
        check_sizes(&create.extra, &answers)?;
        let named = create.classification.territory_id;
        let territory_match = create.territory_match.filter(|_| named.is_none());
        let routing = create.routing.filter(|_| create.user_access_id.is_none());
        Ok(vec![LeadEvent::LeadCreated {
            lead_id: create.lead_id,
            company_id: create.company_id,
            contact: create.contact.into(),
            stage_id: create.stage,
            source_id: create.classification.source_id,
            campaign_id: create.classification.campaign_id,
            cycle_id: create.cycle_id,
            territory_id: named.or(territory_match.map(|matched| matched.territory_id)),
            user_access_id: create
                .user_access_id
                .or(routing.map(|routing| routing.user_access_id)),
            answers: answers.into(),
            extra: create.extra.into(),
            estimated_value: create.estimated_value,
            territory_match,
            routing,
        }])
    }

    fn update(&self, update: UpdateLead) -> Result<Vec<LeadEvent>, LeadError> {
        self.changeable(&update.only_of)?;
        let mut events = Vec::new();

        let old = self.contact.plain().ok_or(LeadError::Erased)?;
        let contact = Contact {
            first_name: update.first_name.apply(old.first_name.clone()),
            last_name: update.last_name.apply(old.last_name.clone()),
            email: update.email.apply(old.email.clone()),
            phone: update.phone.apply(old.phone.clone()),
        };
        if contact != *old {
            if contact.is_empty() {
                return Err(LeadError::NoContact);
            }
            events.push(LeadEvent::LeadContactChanged {
                from: self.contact.clone(),
                to: contact.into(),
            });
        }

        if let Some(stage) = update.stage
            && stage != self.stage
        {
            events.push(LeadEvent::LeadStageChanged {
                from_stage_id: self.stage,
                to_stage_id: stage,
                from_entered_at: None,
                to_entered_at: None,
            });
        }

        let classification = Classification {
            source_id: update.source_id.apply(self.classification.source_id),
            campaign_id: update.campaign_id.apply(self.classification.campaign_id),
            territory_id: update.territory_id.apply(self.classification.territory_id),
        };
        if classification != self.classification {
            events.push(LeadEvent::LeadClassified {
                from: self.classification,
                to: classification,
            });
        }

        let assignee = update.user_access_id.apply(self.user_access_id);
        if assignee != self.user_access_id {
            events.push(LeadEvent::LeadAssigned {
                from_user_access_id: self.user_access_id,
                to_user_access_id: assignee,
            });
        }

        let old_answers = self.answers.plain().ok_or(LeadError::Erased)?;
        let answers = merge_answers(old_answers, update.answers);
        let old_extra = self.extra.plain().ok_or(LeadError::Erased)?;
        let extra = merge_extra(old_extra, update.extra);
        check_sizes(&extra, &answers)?;
        if answers != *old_answers {
            events.push(LeadEvent::LeadAnswersChanged {
                from: self.answers.clone(),
                to: answers.into(),
            });
        }
        if extra != *old_extra {
            events.push(LeadEvent::LeadExtraFieldsChanged {
                from: self.extra.clone(),
                to: extra.into(),
            });
        }

        let estimated_value = update.estimated_value.apply(self.estimated_value);
        if estimated_value != self.estimated_value {
            events.push(LeadEvent::LeadValueChanged {
                from: self.estimated_value,
                to: estimated_value,
            });
        }
        Ok(events)
    }
}

fn check_sizes(extra: &ExtraFields, answers: &[Answer]) -> Result<(), LeadError> {
    if extra.len() > MAX_EXTRA_FIELDS {
        return Err(LeadError::TooManyExtraFields);
    }
    if answers.len() > MAX_ANSWERS {
        return Err(LeadError::TooManyAnswers);
    }
    Ok(())
}

crate::bridge_to_cqrs_es!(
    Lead,
    "lead",
    LeadCommand,
    LeadEvent,
    LeadError,
    LeadEvent::version
);

#[cfg(test)]
mod tests;
