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

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::email::Email;
use crate::ids::{
    CampaignId, CompanyId, CycleId, LeadId, NoteId, OptionId, QuestionId, SourceId, TerritoryId,
    UserAccessId, UserId,
};
use crate::money::Money;
use crate::person_name::PersonName;
use crate::phone::Phone;
use crate::stage::Stage;
use crate::{Decide, Personal};

pub mod appointments;
pub mod erasure;
pub mod routing;
mod taking_back;

use crate::ids::{AppointmentId, ImportId, LegalHoldId};
use crate::legal_hold::{Decided, HoldCommand, HoldError, Holds};
use appointments::{
    Appointment, AppointmentCommand, AppointmentError, AppointmentStatus, Appointments,
};
use chrono::{DateTime, Utc};
use erasure::{DataStatus, ErasureCommand, ErasureReason};
use routing::{Routing, TerritoryMatch};

/// The most extra fields that one lead can hold.
pub const MAX_EXTRA_FIELDS: usize = 100;
/// The most answers that one lead can hold.
pub const MAX_ANSWERS: usize = 200;

/// How to reach the person. In events it is sealed as one value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contact {
    /// Given name.
    pub first_name: Option<PersonName>,
    /// Family name.
    pub last_name: Option<PersonName>,
    /// Normalised e-mail: one of the two duplicate keys.
    pub email: Option<Email>,
    /// E.164 phone number: the other duplicate key.
    pub phone: Option<Phone>,
}

impl Contact {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the person said to one question of the company.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The question.
    pub question_id: QuestionId,
    /// The prepared answer that was chosen.
    pub option_id: Option<OptionId>,
    /// The prepared answers that were chosen, where several may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub option_ids: Vec<OptionId>,
    /// The free answer, or what the chosen ones said when they were chosen.
    pub value: Option<String>,
    /// What the question said when it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question_text: Option<String>,
}

/// Fields of the company's own that no column of ours holds: name to text.
pub type ExtraFields = BTreeMap<String, String>;

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

    /// How to reach the person.
    #[must_use]
    pub fn contact(&self) -> &Personal<Contact> {
        &self.contact
    }

    /// What the person answered.
    #[must_use]
    pub fn answers(&self) -> &Personal<Vec<Answer>> {
        &self.answers
    }

    /// The company's own fields.
    #[must_use]
    pub fn extra(&self) -> &Personal<ExtraFields> {
        &self.extra
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

    /// What it answered to the question.
    #[must_use]
    pub fn answer_to(&self, question: QuestionId) -> Option<&Answer> {
        let answers = self.answers.plain()?;
        answers.iter().find(|known| known.question_id == question)
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

/// A wish that concerns one lead.
#[derive(Debug, Clone)]
pub enum LeadCommand {
    /// Bring a lead into being.
    Create(Box<CreateLead>),
    /// Change any of its parts; what is not mentioned stays.
    Update(Box<UpdateLead>),
    /// Take the assignee away if it is still this one: their access is being revoked.
    Unassign {
        /// The access that goes.
        user_access_id: UserAccessId,
    },
    /// Write a note.
    AddNote {
        /// The new note's id.
        note_id: NoteId,
        /// Who writes it.
        author_id: UserId,
        /// 1 to 10,000 characters; checked by the caller.
        content: String,
        /// See [`LeadError::NotAssignedToCaller`].
        only_of: OnlyOf,
    },
    /// Take a note away.
    RemoveNote {
        /// The note.
        note_id: NoteId,
        /// See [`LeadError::NotAssignedToCaller`].
        only_of: OnlyOf,
    },
    /// Make, change or call off an appointment; see there.
    Appointments(Box<AppointmentCommand>),
    /// Block, unblock or erase its personal data; see there.
    Erasure(ErasureCommand),
    /// Place or lift a legal hold; see there.
    Hold(HoldCommand),
    /// Take away a lead that should not have come into being.
    Remove {
        /// The import by which it came, and which is being undone.
        import_id: ImportId,
    },
    /// Bring every part back to what this earlier state of the same lead says; notes and appointments stay.
    Restore(Box<Lead>),
}

/// `Some`: the caller may only touch leads that are assigned to one of these accesses.
pub type OnlyOf = Option<Vec<UserAccessId>>;

/// See [`LeadCommand::Create`].
#[derive(Debug, Clone)]
pub struct CreateLead {
    /// The new lead's id.
    pub lead_id: LeadId,
    /// Its company.
    pub company_id: CompanyId,
    /// How to reach the person.
    pub contact: Contact,
    /// The first stage.
    pub stage: Stage,
    /// Source, campaign, territory.
    pub classification: Classification,
    /// The territory whose rule matches: counts when none is named above.
    pub territory_match: Option<TerritoryMatch>,
    /// Whom the source gives it to: counts when nobody is named below.
    pub routing: Option<Routing>,
    /// The working period it is stamped with.
    pub cycle_id: Option<CycleId>,
    /// Who works on it.
    pub user_access_id: Option<UserAccessId>,
    /// At most one per question.
    pub answers: Vec<Answer>,
    /// The company's own fields.
    pub extra: ExtraFields,
    /// What it may be worth.
    pub estimated_value: Option<Money>,
}

/// See [`LeadCommand::Update`].
#[derive(Debug, Clone, Default)]
pub struct UpdateLead {
    /// Given name.
    pub first_name: Change<PersonName>,
    /// Family name.
    pub last_name: Change<PersonName>,
    /// E-mail.
    pub email: Change<Email>,
    /// Phone number.
    pub phone: Change<Phone>,
    /// The stage to move to.
    pub stage: Option<Stage>,
    /// Source.
    pub source_id: Change<SourceId>,
    /// Campaign.
    pub campaign_id: Change<CampaignId>,
    /// Territory.
    pub territory_id: Change<TerritoryId>,
    /// Assignee.
    pub user_access_id: Change<UserAccessId>,
    /// Answers to take over, question by question; one without option and value takes the old answer away.
    pub answers: Vec<Answer>,
    /// Extra fields to take over, name by name; `None` takes the field away.
    pub extra: BTreeMap<String, Option<String>>,
    /// Estimated value.
    pub estimated_value: Change<Money>,
    /// See [`LeadError::NotAssignedToCaller`].
    pub only_of: OnlyOf,
}

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
    /// The person's data is used again: this is what it was when it was blocked.
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

/// A rule that a command would break.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeadError {
    /// The stream is empty.
    #[error("there is no such lead")]
    NotCreated,
    /// The id is taken.
    #[error("the lead exists already")]
    AlreadyCreated,
    /// Neither name nor e-mail nor phone number.
    #[error("a lead needs a name, an e-mail or a phone number")]
    NoContact,
    /// The caller's role reaches only their own leads.
    #[error("the lead is not assigned to the caller")]
    NotAssignedToCaller,
    /// The note never was, or is removed.
    #[error("there is no such note on the lead")]
    UnknownNote,
    /// More than [`MAX_EXTRA_FIELDS`].
    #[error("a lead holds at most {MAX_EXTRA_FIELDS} extra fields")]
    TooManyExtraFields,
    /// More than [`MAX_ANSWERS`].
    #[error("a lead holds at most {MAX_ANSWERS} answers")]
    TooManyAnswers,
    /// The person's data is erased; what is gone cannot be changed.
    #[error("the lead's personal data is erased")]
    Erased,
    /// The person's data is blocked; it is kept and not used.
    #[error("the lead's personal data is blocked")]
    Blocked,
    /// Only what is blocked can be erased or unblocked.
    #[error("the lead's personal data is not blocked")]
    NotBlocked,
    /// A rule of its legal holds.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// A rule of its appointments.
    #[error(transparent)]
    Appointment(#[from] AppointmentError),
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
            LeadCommand::Restore(earlier) => self.restore(&earlier),
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
        self.existing(&None)?;
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

/// Of two new answers to one question the last counts.
fn merge_answers(old: &[Answer], new: Vec<Answer>) -> Vec<Answer> {
    let last: BTreeMap<_, _> = (0..).zip(&new).map(|(n, a)| (a.question_id, n)).collect();
    let mut merged = old.to_vec();
    for (n, answer) in (0_usize..).zip(new) {
        if last.get(&answer.question_id) != Some(&n) {
            continue;
        }
        let place = merged
            .iter()
            .position(|known| known.question_id == answer.question_id);
        let says_something = answer.option_id.is_some() || answer.value.is_some();
        match (place, says_something) {
            (Some(place), true) => merged[place] = answer,
            (Some(place), false) => {
                merged.remove(place);
            }
            (None, true) => merged.push(answer),
            (None, false) => {}
        }
    }
    merged
}

fn merge_extra(old: &ExtraFields, new: BTreeMap<String, Option<String>>) -> ExtraFields {
    let mut merged = old.clone();
    for (name, value) in new {
        match value {
            Some(value) => merged.insert(name, value),
            None => merged.remove(&name),
        };
    }
    merged
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
