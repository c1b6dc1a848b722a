//! The rows of a batch: folded one by one, then turned into the column arrays of one `unnest`.

use aggregates::Personal;
use aggregates::lead::{Answer, Contact, ExtraFields, LeadEvent};
use aggregates::person_name::full_name;
use aggregates::stage::Stage;
use chrono::{DateTime, Utc};

use crate::search;
use crate::statement::Statement;

/// The groups of columns that change together; a row's `changed` mask is made of these bits.
const CONTACT: i32 = 1;
const STAGE: i32 = 2;
const CLASSIFICATION: i32 = 4;
const ASSIGNEE: i32 = 8;
const ANSWERS: i32 = 16;
const EXTRA: i32 = 32;
const VALUE: i32 = 64;

/// Column of `leads`, the bit that says it changed, and where the new value comes from.
pub(super) const CHANGEABLE: &[(&str, i32, &str)] = &[
    ("first_name", CONTACT, "r.first_name"),
    ("last_name", CONTACT, "r.last_name"),
    ("full_name", CONTACT, "r.full_name"),
    ("email", CONTACT, "r.email"),
    ("phone", CONTACT, "r.phone"),
    ("search", CONTACT, "r.search"),
    ("stage_id", STAGE, "r.stage_id"),
    ("stage_entered_at", STAGE, "r.stage_entered_at"),
    ("source_id", CLASSIFICATION, "r.source_id"),
    ("campaign_id", CLASSIFICATION, "r.campaign_id"),
    ("territory_id", CLASSIFICATION, "r.territory_id"),
    ("user_access_id", ASSIGNEE, "r.user_access_id"),
    ("answers", ANSWERS, "r.answers::jsonb"),
    ("extra", EXTRA, "r.extra::jsonb"),
    ("estimated_value_amount", VALUE, "r.amount"),
    ("estimated_value_currency", VALUE, "r.currency"),
];

/// What the batch does to one lead's row.
pub(super) struct Row {
    changed: i32,
    company_id: i64,
    contact: Personal<Contact>,
    stage: Stage,
    stage_entered_at: DateTime<Utc>,
    source_id: Option<i64>,
    campaign_id: Option<i64>,
    cycle_id: Option<i64>,
    territory_id: Option<i64>,
    user_access_id: Option<i64>,
    answers: Personal<Vec<Answer>>,
    extra: Personal<ExtraFields>,
    amount: Option<i64>,
    currency: Option<String>,
    pub(super) version: i64,
    pub(super) position: i64,
    pub(super) updated_at: DateTime<Utc>,
    /// Set when the batch creates the lead.
    pub(super) created_at: Option<DateTime<Utc>>,
    pub(super) removed: bool,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            changed: 0,
            company_id: 0,
            contact: Personal::default(),
            stage: Stage::default(),
            stage_entered_at: DateTime::UNIX_EPOCH,
            source_id: None,
            campaign_id: None,
            cycle_id: None,
            territory_id: None,
            user_access_id: None,
            answers: Personal::default(),
            extra: Personal::default(),
            amount: None,
            currency: None,
            version: 0,
            position: 0,
            updated_at: DateTime::UNIX_EPOCH,
            created_at: None,
            removed: false,
        }
    }
}

impl Row {
    /// The event's time is in `updated_at` already.
    pub(super) fn apply(&mut self, event: &LeadEvent) {
        match event {
            LeadEvent::LeadCreated {
                lead_id: _,
                company_id,
                contact,
                stage_id,
                source_id,
                campaign_id,
                cycle_id,
                territory_id,
                user_access_id,
                answers,
                extra,
                estimated_value,
                territory_match: _,
                routing: _,
            } => {
                self.company_id = company_id.get();
                self.contact = contact.clone();
                self.stage = *stage_id;
                self.stage_entered_at = self.updated_at;
                self.source_id = source_id.map(aggregates::ids::SourceId::get);
                self.campaign_id = campaign_id.map(aggregates::ids::CampaignId::get);
                self.cycle_id = cycle_id.map(aggregates::ids::CycleId::get);
                self.territory_id = territory_id.map(aggregates::ids::TerritoryId::get);
                self.user_access_id = user_access_id.map(aggregates::ids::UserAccessId::get);
                self.answers = answers.clone();
                self.extra = extra.clone();
                self.set_value(estimated_value.as_ref());
            }
            LeadEvent::LeadContactChanged { to, .. } => {
                self.changed |= CONTACT;
                self.contact = to.clone();
            }
            LeadEvent::LeadStageChanged {
                to_stage_id,
                to_entered_at,
                ..
            } => {
                self.changed |= STAGE;
                self.stage = *to_stage_id;
                self.stage_entered_at = to_entered_at.unwrap_or(self.updated_at);
            }
            LeadEvent::LeadClassified { to, .. } => {
                self.changed |= CLASSIFICATION;
                self.source_id = to.source_id.map(aggregates::ids::SourceId::get);
                self.campaign_id = to.campaign_id.map(aggregates::ids::CampaignId::get);
                self.territory_id = to.territory_id.map(aggregates::ids::TerritoryId::get);
            }
            LeadEvent::LeadAssigned {
                to_user_access_id, ..
            } => {
                self.changed |= ASSIGNEE;
                self.user_access_id = to_user_access_id.map(aggregates::ids::UserAccessId::get);
            }
            LeadEvent::LeadAnswersChanged { to, .. } => {
                self.changed |= ANSWERS;
                self.answers = to.clone();
            }
            LeadEvent::LeadExtraFieldsChanged { to, .. } => {
                self.changed |= EXTRA;
                self.extra = to.clone();
            }
            LeadEvent::LeadValueChanged { to, .. } => {
                self.changed |= VALUE;
                self.set_value(to.as_ref());
            }
            LeadEvent::LeadBlocked { .. } | LeadEvent::LeadErased { .. } => {
                self.set_person(Personal::Erased, Personal::Erased, Personal::Erased);
            }
            LeadEvent::LeadUnblocked {
                contact,
                answers,
                extra,
            } => self.set_person(contact.clone(), answers.clone(), extra.clone()),
            // The row's version and time move; notes, appointments and holds have tables of their own.
            LeadEvent::LeadNoteAdded { .. }
            | LeadEvent::LeadHoldPlaced { .. }
            | LeadEvent::LeadHoldReleased { .. }
            | LeadEvent::LeadNoteRemoved { .. }
            | LeadEvent::LeadAppointmentScheduled { .. }
            | LeadEvent::LeadAppointmentChanged { .. }
            | LeadEvent::LeadAppointmentCancelled { .. } => {}
            LeadEvent::LeadRemoved { .. } => self.removed = true,
        }
    }

    fn set_person(
        &mut self,
        contact: Personal<Contact>,
        answers: Personal<Vec<Answer>>,
        extra: Personal<ExtraFields>,
    ) {
        self.changed |= CONTACT | ANSWERS | EXTRA;
        self.contact = contact;
        self.answers = answers;
        self.extra = extra;
    }

    fn set_value(&mut self, value: Option<&aggregates::money::Money>) {
        self.amount = value.map(|money| money.amount);
        self.currency = value.map(|money| money.currency.to_string());
    }
}

/// The same rows, column by column.
#[derive(Default)]
pub(super) struct Columns {
    id: Vec<i64>,
    changed: Vec<i32>,
    company_id: Vec<i64>,
    first_name: Vec<Option<String>>,
    last_name: Vec<Option<String>>,
    full_name: Vec<String>,
    email: Vec<Option<String>>,
    phone: Vec<Option<String>>,
    search: Vec<String>,
    stage_id: Vec<i64>,
    source_id: Vec<Option<i64>>,
    campaign_id: Vec<Option<i64>>,
    cycle_id: Vec<Option<i64>>,
    territory_id: Vec<Option<i64>>,
    user_access_id: Vec<Option<i64>>,
    answers: Vec<String>,
    extra: Vec<String>,
    amount: Vec<Option<i64>>,
    currency: Vec<Option<String>>,
    version: Vec<i64>,
    position: Vec<i64>,
    updated_at: Vec<DateTime<Utc>>,
    created_at: Vec<Option<DateTime<Utc>>>,
    stage_entered_at: Vec<DateTime<Utc>>,
}

impl From<Vec<(i64, Row)>> for Columns {
    fn from(rows: Vec<(i64, Row)>) -> Self {
        let mut columns = Self::default();
        for (id, row) in rows {
            columns.push(id, row);
        }
        columns
    }
}

impl Columns {
    fn push(&mut self, id: i64, row: Row) {
        // Blocked and erased data reads as absent: the row stays, the person is gone.
        let contact = row.contact.into_plain().unwrap_or_default();
        let full_name = full_name(contact.first_name.as_ref(), contact.last_name.as_ref());
        let first_name = contact.first_name.map(|name| name.to_string());
        let last_name = contact.last_name.map(|name| name.to_string());
        let email = contact.email.map(|email| email.to_string());
        let phone = contact.phone.map(|phone| phone.to_string());
        self.search.push(search::fold(&format!(
            "{full_name} {} {}",
            email.as_deref().unwrap_or_default(),
            phone.as_deref().unwrap_or_default()
        )));
        self.id.push(id);
        self.changed.push(row.changed);
        self.company_id.push(row.company_id);
        self.first_name.push(first_name);
        self.last_name.push(last_name);
        self.full_name.push(full_name);
        self.email.push(email);
        self.phone.push(phone);
        self.stage_id.push(row.stage.id());
        self.source_id.push(row.source_id);
        self.campaign_id.push(row.campaign_id);
        self.cycle_id.push(row.cycle_id);
        self.territory_id.push(row.territory_id);
        self.user_access_id.push(row.user_access_id);
        self.answers
            .push(json(&row.answers.into_plain().unwrap_or_default()));
        self.extra
            .push(json(&row.extra.into_plain().unwrap_or_default()));
        self.amount.push(row.amount);
        self.currency.push(row.currency);
        self.version.push(row.version);
        self.position.push(row.position);
        self.updated_at.push(row.updated_at);
        self.created_at.push(row.created_at);
        self.stage_entered_at.push(row.stage_entered_at);
    }

    /// Appends `unnest($a, $b, …) AS r(…)`.
    pub(super) fn unnest(self, s: &mut Statement) {
        s.sql("unnest(")
            .bind(self.id)
            .also(self.changed)
            .also(self.company_id)
            .also(self.first_name)
            .also(self.last_name)
            .also(self.full_name)
            .also(self.email)
            .also(self.phone)
            .also(self.search)
            .also(self.stage_id)
            .also(self.source_id)
            .also(self.campaign_id)
            .also(self.cycle_id)
            .also(self.territory_id)
            .also(self.user_access_id)
            .also(self.answers)
            .also(self.extra)
            .also(self.amount)
            .also(self.currency)
            .also(self.version)
            .also(self.position)
            .also(self.updated_at)
            .also(self.created_at)
            .also(self.stage_entered_at)
            .sql(
                ") AS r(id, changed, company_id, first_name, last_name, full_name, email, phone, search, stage_id, \
                 source_id, campaign_id, cycle_id, territory_id, user_access_id, answers, extra, amount, currency, \
                 version, position, updated_at, created_at, stage_entered_at)",
            );
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("maps with text keys and lists of them always serialise")
}
