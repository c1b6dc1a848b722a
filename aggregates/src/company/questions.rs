//! The questions that a company asks its leads: their order, and what of them a campaign shows.
//!
//! Invariants
//! - The questions that are asked stand in one dense order, 1..n, whether company-wide or of a campaign.
//! - A question of choice has at least one option, any other has none; no two options of a question read alike.
//! - A campaign shows only options of the question itself, each at most once, in an order and wording of its own.
//! - An archived question is asked no more. What it once said stays with the answers that were given to it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::CompanyEvent;
use crate::ids::{CampaignId, OptionId, QuestionId};

/// The most questions that one company asks at a time.
pub const MAX_QUESTIONS: usize = 500;
/// The most options of one question.
pub const MAX_OPTIONS: usize = 100;

/// What kind of answer a question takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionType {
    /// One of its options.
    SingleChoice,
    /// Any of its options.
    MultipleChoice,
    /// Free text.
    Text,
    /// A decimal number.
    Number,
    /// A calendar day.
    Date,
    /// Yes or no.
    Boolean,
}

impl QuestionType {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::SingleChoice,
        Self::MultipleChoice,
        Self::Text,
        Self::Number,
        Self::Date,
        Self::Boolean,
    ];

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::SingleChoice => "single_choice",
            Self::MultipleChoice => "multiple_choice",
            Self::Text => "text",
            Self::Number => "number",
            Self::Date => "date",
            Self::Boolean => "boolean",
        }
    }

    /// The type with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// Whether it is answered by options.
    #[must_use]
    pub const fn is_choice(self) -> bool {
        matches!(self, Self::SingleChoice | Self::MultipleChoice)
    }
}

/// A prepared answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionOption {
    /// Its id.
    pub option_id: OptionId,
    /// What it says; checked by the caller.
    pub value: String,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its id.
    pub question_id: QuestionId,
    /// What is asked; checked by the caller.
    pub text: String,
    /// What kind of answer it takes.
    pub question_type: QuestionType,
    /// Whether a form must not be sent without an answer to it.
    pub required: bool,
    /// The campaign that alone asks it; company-wide when absent.
    pub campaign_id: Option<CampaignId>,
    /// In their order; only of a question of choice.
    pub options: Vec<QuestionOption>,
}

impl Question {
    /// The option with this id.
    #[must_use]
    pub fn option(&self, id: OptionId) -> Option<&QuestionOption> {
        self.options.iter().find(|option| option.option_id == id)
    }
}

/// An option as a campaign shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownOption {
    /// Of the question's.
    pub option_id: OptionId,
    /// The campaign's own wording; the question's when absent.
    pub value: Option<String>,
}

/// The questions that are asked now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Questions {
    /// In the order of their priority.
    asked: Vec<Question>,
    /// What a campaign shows of a question, where it does not show all of it.
    shown: BTreeMap<CampaignId, BTreeMap<QuestionId, Vec<ShownOption>>>,
}

/// A wish that concerns a company's questions.
#[derive(Debug, Clone)]
pub enum QuestionCommand {
    /// Ask one more, after all others.
    Create(Question),
    /// Ask them in this order; it names each exactly once.
    Reorder(Vec<QuestionId>),
    /// Ask it no more.
    Archive(QuestionId),
    /// Set, question by question, what a campaign shows; an empty list shows all options again.
    ShowOptions {
        /// The campaign; the caller has checked that it is this company's.
        campaign_id: CampaignId,
        /// Of the campaign's questions, each at most once.
        questions: Vec<(QuestionId, Vec<ShownOption>)>,
    },
}

/// A rule of questions that a command would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// It never was, or is archived.
    #[error("there is no such question")]
    Unknown,
    /// More than [`MAX_QUESTIONS`].
    #[error("a company asks at most {MAX_QUESTIONS} questions")]
    TooMany,
    /// Nothing to choose from.
    #[error("a question of choice needs an option")]
    NoOptions,
    /// More than [`MAX_OPTIONS`].
    #[error("a question has at most {MAX_OPTIONS} options")]
    TooManyOptions,
    /// The type takes none.
    #[error("only a question of choice has options")]
    TakesNoOptions,
    /// Two options read alike.
    #[error("two options of a question read alike")]
    SameOption {
        /// The second of them, from 0.
        option: usize,
    },
    /// The order does not name each question exactly once.
    #[error("the order must name each of the company's questions exactly once")]
    IncompleteOrder,
    /// The campaign does not ask it, or it was named before.
    #[error("this is not a question of the campaign, or it is named twice")]
    NotOfCampaign {
        /// Its place in the list, from 0.
        entry: usize,
    },
    /// The question has no such option, or it was named before.
    #[error("this is not an option of the question, or it is named twice")]
    NotOfQuestion {
        /// The question's place in the list, from 0.
        entry: usize,
        /// The option.
        option_id: OptionId,
    },
}

impl Questions {
    /// Those that are asked, in the order of their priority.
    #[must_use]
    pub fn asked(&self) -> &[Question] {
        &self.asked
    }

    /// The question, if it is asked.
    #[must_use]
    pub fn get(&self, id: QuestionId) -> Option<&Question> {
        self.asked.iter().find(|known| known.question_id == id)
    }

    /// What the option says where this campaign asks.
    #[must_use]
    pub fn wording<'a>(
        &'a self,
        question: &'a Question,
        option: OptionId,
        campaign: Option<CampaignId>,
    ) -> Option<&'a str> {
        let own = || question.option(option).map(|known| known.value.as_str());
        let shown = campaign
            .and_then(|campaign| self.shown.get(&campaign))
            .and_then(|questions| questions.get(&question.question_id))
            .and_then(|options| options.iter().find(|shown| shown.option_id == option));
        shown.and_then(|shown| shown.value.as_deref()).or_else(own)
    }

    pub(super) fn decide(
        &self,
        command: QuestionCommand,
    ) -> Result<Vec<CompanyEvent>, QuestionError> {
        match command {
            QuestionCommand::Create(question) => self.create(question),
            QuestionCommand::Reorder(to) => self.reorder(to),
            QuestionCommand::Archive(question_id) => {
                self.get(question_id).ok_or(QuestionError::Unknown)?;
                let mut remaining = self.order();
                remaining.retain(|id| *id != question_id);
                Ok(vec![CompanyEvent::QuestionArchived {
                    question_id,
                    remaining,
                }])
            }
            QuestionCommand::ShowOptions {
                campaign_id,
                questions,
            } => self.show(campaign_id, questions),
        }
    }

    fn order(&self) -> Vec<QuestionId> {
        self.asked.iter().map(|known| known.question_id).collect()
    }

    fn create(&self, question: Question) -> Result<Vec<CompanyEvent>, QuestionError> {
        if self.asked.len() >= MAX_QUESTIONS {
            return Err(QuestionError::TooMany);
        }
        if !question.question_type.is_choice() && !question.options.is_empty() {
            return Err(QuestionError::TakesNoOptions);
        }
        if question.question_type.is_choice() && question.options.is_empty() {
            return Err(QuestionError::NoOptions);
        }
        if question.options.len() > MAX_OPTIONS {
            return Err(QuestionError::TooManyOptions);
        }
        let mut values = BTreeSet::new();
        for (option, known) in question.options.iter().enumerate() {
            if !values.insert(&known.value) {
                return Err(QuestionError::SameOption { option });
            }
        }
        let priority = i64::try_from(self.asked.len() + 1).unwrap_or(i64::MAX);
        Ok(vec![CompanyEvent::QuestionCreated { question, priority }])
    }

    fn reorder(&self, to: Vec<QuestionId>) -> Result<Vec<CompanyEvent>, QuestionError> {
        let from = self.order();
        let known: BTreeSet<_> = from.iter().collect();
        let named: BTreeSet<_> = to.iter().collect();
        if to.len() != from.len() || named != known {
            return Err(QuestionError::IncompleteOrder);
        }
        Ok(if to == from {
            vec![]
        } else {
            vec![CompanyEvent::QuestionsReordered { from, to }]
        })
    }

    fn show(
        &self,
        campaign_id: CampaignId,
        questions: Vec<(QuestionId, Vec<ShownOption>)>,
    ) -> Result<Vec<CompanyEvent>, QuestionError> {
        let mut named = BTreeSet::new();
        let mut events = Vec::new();
        for (entry, (question_id, mut to)) in questions.into_iter().enumerate() {
            let question = self
                .get(question_id)
                .filter(|known| known.campaign_id.is_none_or(|of| of == campaign_id))
                .filter(|_| named.insert(question_id))
                .ok_or(QuestionError::NotOfCampaign { entry })?;
            let mut options = BTreeSet::new();
            for shown in &mut to {
                let option_id = shown.option_id;
                let known = question.option(option_id);
                let known = known.filter(|_| options.insert(option_id));
                let known = known.ok_or(QuestionError::NotOfQuestion { entry, option_id })?;
                shown.value.take_if(|value| *value == known.value);
            }
            let from = self
                .shown
                .get(&campaign_id)
                .and_then(|of| of.get(&question_id));
            let from = from.cloned().unwrap_or_default();
            if from != to {
                events.push(CompanyEvent::CampaignOptionsChanged {
                    campaign_id,
                    question_id,
                    from,
                    to,
                });
            }
        }
        Ok(events)
    }

    pub(super) fn created(&mut self, question: &Question) {
        self.asked.push(question.clone());
    }

    /// Also gives the archived ones away: they are not in the order.
    pub(super) fn ordered(&mut self, order: &[QuestionId]) {
        let mut known: BTreeMap<_, _> = std::mem::take(&mut self.asked)
            .into_iter()
            .map(|question| (question.question_id, question))
            .collect();
        self.asked = order.iter().filter_map(|id| known.remove(id)).collect();
    }

    pub(super) fn archived(&mut self, question: QuestionId, remaining: &[QuestionId]) {
        self.ordered(remaining);
        for questions in self.shown.values_mut() {
            questions.remove(&question);
        }
        self.shown.retain(|_, questions| !questions.is_empty());
    }

    pub(super) fn shown(
        &mut self,
        campaign: CampaignId,
        question: QuestionId,
        options: &[ShownOption],
    ) {
        let questions = self.shown.entry(campaign).or_default();
        if options.is_empty() {
            questions.remove(&question);
        } else {
            questions.insert(question, options.to_vec());
        }
        self.shown.retain(|_, questions| !questions.is_empty());
    }
}

#[cfg(test)]
#[path = "questions_tests.rs"]
mod tests;
