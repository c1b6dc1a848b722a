//! The wishes that concern one lead, with what each is made of, and the rules for which one is refused.
//!
//! What a wish leads to is decided beside the state. What is stored of it are events, and never the wish.

use std::collections::BTreeMap;

use super::appointments::{AppointmentCommand, AppointmentError};
use super::erasure::ErasureCommand;
use super::routing::{Routing, TerritoryMatch};
use super::{Answer, Classification, Contact, Earlier, ExtraFields, MAX_ANSWERS, MAX_EXTRA_FIELDS};
use crate::Change;
use crate::email::Email;
use crate::ids::{
    CampaignId, CompanyId, CycleId, ImportId, LeadId, NoteId, SourceId, TerritoryId, UserAccessId,
    UserId,
};
use crate::legal_hold::{HoldCommand, HoldError};
use crate::money::Money;
use crate::person_name::PersonName;
use crate::phone::Phone;
use crate::stage::Stage;

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
    /// Bring every part back to what it was earlier; notes and appointments stay.
    Restore(Box<Earlier>),
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
