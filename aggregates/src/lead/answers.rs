//! What the person behind a lead answered, and how new answers join the old ones.
//!
//! Whether an answer fits its question is the company's to say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Lead;
use crate::Personal;
use crate::ids::{OptionId, QuestionId};

/// The most answers that one lead can hold.
pub const MAX_ANSWERS: usize = 200;

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

impl Lead {
    /// What the person answered.
    #[must_use]
    pub fn answers(&self) -> &Personal<Vec<Answer>> {
        &self.answers
    }

    /// What it answered to the question.
    #[must_use]
    pub fn answer_to(&self, question: QuestionId) -> Option<&Answer> {
        let answers = self.answers.plain()?;
        answers.iter().find(|known| known.question_id == question)
    }
}

/// Of two new answers to one question the last counts.
pub(super) fn merge_answers(old: &[Answer], new: Vec<Answer>) -> Vec<Answer> {
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
