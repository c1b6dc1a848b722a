//! What imports do to leads that nobody else does: give a lead only what it lacks, bring it back to an earlier state, and take it
//! away.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{Contact, Lead, LeadError, LeadEvent, UpdateLead};
use crate::Change;
use crate::ids::ImportId;

/// What a lead was, to be brought back.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// The same lead then.
    pub lead: Lead,
    /// Since when it was in its stage, where that is known. The state does not tell: events are folded without their times.
    pub stage_entered: Option<StageEntered>,
}

/// Since when a lead was in its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageEntered {
    /// In the one that it was in then.
    pub then: DateTime<Utc>,
    /// In the one that it is in now.
    pub now: DateTime<Utc>,
}

impl Lead {
    /// Of the changes those that give the lead something where it has nothing. A lead is always in a stage.
    #[must_use]
    pub fn lacking(&self, update: UpdateLead) -> UpdateLead {
        let contact = self.contact.plain();
        let has = |of: fn(&Contact) -> bool| contact.is_some_and(of);
        let known = self.extra.plain();
        UpdateLead {
            first_name: unless(has(|c| c.first_name.is_some()), update.first_name),
            last_name: unless(has(|c| c.last_name.is_some()), update.last_name),
            email: unless(has(|c| c.email.is_some()), update.email),
            phone: unless(has(|c| c.phone.is_some()), update.phone),
            stage: None,
            source_id: unless(self.classification.source_id.is_some(), update.source_id),
            campaign_id: unless(
                self.classification.campaign_id.is_some(),
                update.campaign_id,
            ),
            territory_id: unless(
                self.classification.territory_id.is_some(),
                update.territory_id,
            ),
            user_access_id: unless(self.user_access_id.is_some(), update.user_access_id),
            answers: update
                .answers
                .into_iter()
                .filter(|answer| self.answer_to(answer.question_id).is_none())
                .collect(),
            extra: update
                .extra
                .into_iter()
                .filter(|(name, _)| !known.is_some_and(|known| known.contains_key(name)))
                .collect(),
            estimated_value: unless(self.estimated_value.is_some(), update.estimated_value),
            only_of: update.only_of,
        }
    }

    /// Takes the lead away. A rule that forbids it, such as a legal hold, belongs here: it is the one way for a lead to go.
    pub(super) fn remove(&self, import_id: ImportId) -> Result<Vec<LeadEvent>, LeadError> {
        self.changeable(&None)?;
        Ok(vec![LeadEvent::LeadRemoved { import_id }])
    }

    /// The changes that lead from here to the earlier state.
    pub(super) fn restore(&self, earlier: Earlier) -> Result<Vec<LeadEvent>, LeadError> {
        self.changeable(&None)?;
        let entered = earlier.stage_entered;
        let earlier = earlier.lead;
        let contact = earlier.contact.plain().ok_or(LeadError::Erased)?.clone();
        let classification = earlier.classification;
        let mut events = self.update(UpdateLead {
            first_name: exactly(contact.first_name),
            last_name: exactly(contact.last_name),
            email: exactly(contact.email),
            phone: exactly(contact.phone),
            stage: None,
            source_id: exactly(classification.source_id),
            campaign_id: exactly(classification.campaign_id),
            territory_id: exactly(classification.territory_id),
            user_access_id: exactly(earlier.user_access_id),
            answers: Vec::new(),
            extra: BTreeMap::new(),
            estimated_value: exactly(earlier.estimated_value),
            only_of: None,
        })?;
        // One that went elsewhere and came back by itself is in its stage since another time.
        let came_back = entered.is_some_and(|entered| entered.then != entered.now);
        if self.stage != earlier.stage || came_back {
            events.push(LeadEvent::LeadStageChanged {
                from_stage_id: self.stage,
                to_stage_id: earlier.stage,
                from_entered_at: entered.map(|entered| entered.now),
                to_entered_at: entered.map(|entered| entered.then),
            });
        }
        // Whole, so that their order is the earlier one too.
        let readable = earlier.answers.plain().is_some() && earlier.extra.plain().is_some();
        if !readable {
            return Err(LeadError::Erased);
        }
        if self.answers != earlier.answers {
            events.push(LeadEvent::LeadAnswersChanged {
                from: self.answers.clone(),
                to: earlier.answers.clone(),
            });
        }
        if self.extra != earlier.extra {
            events.push(LeadEvent::LeadExtraFieldsChanged {
                from: self.extra.clone(),
                to: earlier.extra.clone(),
            });
        }
        Ok(events)
    }
}

fn unless<T>(has_it: bool, change: Change<T>) -> Change<T> {
    match change {
        Change::Set(value) if !has_it => Change::Set(value),
        _ => Change::Keep,
    }
}

fn exactly<T>(value: Option<T>) -> Change<T> {
    value.map_or(Change::Clear, Change::Set)
}

#[cfg(test)]
#[path = "taking_back_tests.rs"]
mod tests;
