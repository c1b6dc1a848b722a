//! What a lead may answer to a company's question, and how the answer is kept: in the wording of the day.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate};

use super::questions::{Question, QuestionType, Questions};
use crate::ids::{CampaignId, OptionId};
use crate::lead::Answer;

/// Why an answer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// Neither the company nor one above asks it.
    #[error("is not a question of this company")]
    NotAsked,
    /// The question has no such option.
    #[error("is not an option of the question")]
    ForeignOption,
    /// The question takes a value.
    #[error("must be absent: this question takes a value")]
    TakesNoOption,
    /// The question takes one option only.
    #[error("must be one option: this question is a single choice")]
    TakesOneOption,
    /// The value is not what the chosen option says.
    #[error("must be absent, or what the option says")]
    NotTheOption,
    /// Not a decimal number.
    #[error("must be a decimal number")]
    NotANumber,
    /// Not a calendar day.
    #[error("must be a day, as 2026-01-31")]
    NotADay,
    /// Neither yes nor no.
    #[error("must be true or false")]
    NotABoolean,
}

impl AnswerFault {
    /// The field of the answer that is to blame.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::NotAsked => "question_id",
            Self::ForeignOption | Self::TakesNoOption => "option_id",
            Self::TakesOneOption => "option_ids",
            Self::NotTheOption | Self::NotANumber | Self::NotADay | Self::NotABoolean => "value",
        }
    }
}

impl Questions {
    /// The answer as it is kept, with what the question and the options say where this campaign asks.
    ///
    /// # Errors
    /// The answer does not fit the question.
    pub fn worded(
        &self,
        answer: &Answer,
        campaign: Option<CampaignId>,
    ) -> Result<Answer, AnswerFault> {
        let question = self.get(answer.question_id).ok_or(AnswerFault::NotAsked)?;
        if question.question_type.is_choice() {
            return self.chosen(question, answer, campaign);
        }
        if answer.option_id.is_some() || !answer.option_ids.is_empty() {
            return Err(AnswerFault::TakesNoOption);
        }
        let value = answer.value.as_deref().map(str::trim);
        if let Some(value) = value {
            check_value(question.question_type, value)?;
        }
        Ok(Answer {
            question_id: question.question_id,
            option_id: None,
            option_ids: Vec::new(),
            value: value.map(str::to_owned),
            question_text: value.map(|_| question.text.clone()),
        })
    }

    fn chosen(
        &self,
        question: &Question,
        answer: &Answer,
        campaign: Option<CampaignId>,
    ) -> Result<Answer, AnswerFault> {
        let says = |id: OptionId| self.wording(question, id, campaign);
        let mut named: BTreeSet<_> = answer.option_ids.iter().copied().collect();
        named.extend(answer.option_id);
        if named.iter().any(|id| question.option(*id).is_none()) {
            return Err(AnswerFault::ForeignOption);
        }
        // What an option says names it too, when no id does.
        if let (true, Some(value)) = (named.is_empty(), answer.value.as_deref()) {
            let alike = |id: &OptionId| says(*id) == Some(value.trim());
            let ids = question.options.iter().map(|option| option.option_id);
            named.insert(
                ids.into_iter()
                    .find(alike)
                    .ok_or(AnswerFault::NotTheOption)?,
            );
        }
        let single = question.question_type == QuestionType::SingleChoice;
        if single && named.len() > 1 {
            return Err(AnswerFault::TakesOneOption);
        }
        let ordered: Vec<OptionId> = question
            .options
            .iter()
            .map(|option| option.option_id)
            .filter(|id| named.contains(id))
            .collect();
        let words: Vec<&str> = ordered.iter().filter_map(|id| says(*id)).collect();
        let words = words.join(", ");
        if answer
            .value
            .as_deref()
            .is_some_and(|value| value.trim() != words)
        {
            return Err(AnswerFault::NotTheOption);
        }
        let any = !ordered.is_empty();
        Ok(Answer {
            question_id: question.question_id,
            option_id: ordered.first().copied().filter(|_| ordered.len() == 1),
            value: any.then_some(words),
            question_text: any.then(|| question.text.clone()),
            option_ids: if single { Vec::new() } else { ordered },
        })
    }
}

fn check_value(question_type: QuestionType, value: &str) -> Result<(), AnswerFault> {
    match question_type {
        QuestionType::Number if !is_decimal(value) => Err(AnswerFault::NotANumber),
        QuestionType::Boolean if !matches!(value, "true" | "false") => {
            Err(AnswerFault::NotABoolean)
        }
        QuestionType::Date if !is_day(value) => Err(AnswerFault::NotADay),
        _ => Ok(()),
    }
}

fn is_decimal(value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

fn is_day(value: &str) -> bool {
    let day = NaiveDate::parse_from_str(value, "%Y-%m-%d");
    value.len() == 10 && day.is_ok_and(|day| (1..=9999).contains(&day.year()))
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
