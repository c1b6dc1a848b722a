//! What fits which question, and in which words it is kept.

use super::*;
use crate::company::questions::{QuestionOption, ShownOption};
use crate::ids::QuestionId;

const CAMPAIGN: CampaignId = CampaignId(9);

/// One question of this type, with options 1 "Yes" and 2 "No" when it is one of choice. The campaign words 1 as "Sure".
fn asking(question_type: QuestionType) -> Questions {
    let option = |id, value: &str| QuestionOption {
        option_id: OptionId(id),
        value: value.to_owned(),
    };
    let options = if question_type.is_choice() {
        vec![option(1, "Yes"), option(2, "No")]
    } else {
        vec![]
    };
    let mut questions = Questions::default();
    questions.created(&Question {
        question_id: QuestionId(1),
        text: "Garden?".to_owned(),
        question_type,
        required: false,
        campaign_id: None,
        options,
    });
    let sure = ShownOption {
        option_id: OptionId(1),
        value: Some("Sure".to_owned()),
    };
    questions.shown(CAMPAIGN, QuestionId(1), &[sure]);
    questions
}

fn answer(options: &[i64], value: Option<&str>) -> Answer {
    let ids: Vec<OptionId> = options.iter().copied().map(OptionId).collect();
    let (option_id, option_ids) = match ids[..] {
        [one] => (Some(one), vec![]),
        _ => (None, ids),
    };
    Answer {
        question_id: QuestionId(1),
        option_id,
        option_ids,
        value: value.map(str::to_owned),
        question_text: None,
    }
}

fn kept(
    question_type: QuestionType,
    options: &[i64],
    value: Option<&str>,
) -> Result<Answer, AnswerFault> {
    asking(question_type).worded(&answer(options, value), None)
}

#[test]
fn a_single_choice_is_kept_in_its_words() {
    let yes = Answer {
        question_text: Some("Garden?".to_owned()),
        ..answer(&[1], Some("Yes"))
    };
    for (options, value) in [
        (&[1][..], None),
        (&[1], Some(" Yes ")),
        (&[], Some("Yes")),
        (&[1, 1], None),
    ] {
        let kept = kept(QuestionType::SingleChoice, options, value);
        assert_eq!(kept.as_ref(), Ok(&yes));
    }
    let questions = asking(QuestionType::SingleChoice);
    let sure = questions.worded(&answer(&[1], None), Some(CAMPAIGN));
    assert_eq!(sure.unwrap().value.as_deref(), Some("Sure"));
    let no = questions.worded(&answer(&[2], None), Some(CAMPAIGN));
    assert_eq!(no.unwrap().value.as_deref(), Some("No"));
    let refused = |options, value| kept(QuestionType::SingleChoice, options, value).unwrap_err();
    assert_eq!(refused(&[3], None), AnswerFault::ForeignOption);
    assert_eq!(refused(&[1, 2], None), AnswerFault::TakesOneOption);
    assert_eq!(refused(&[1], Some("No")), AnswerFault::NotTheOption);
    assert_eq!(refused(&[], Some("Perhaps")), AnswerFault::NotTheOption);
}

#[test]
fn a_multiple_choice_is_kept_in_the_questions_order() {
    let both = kept(QuestionType::MultipleChoice, &[2, 1], None).unwrap();
    assert_eq!(both.option_id, None);
    assert_eq!(both.option_ids, [OptionId(1), OptionId(2)]);
    assert_eq!(both.value.as_deref(), Some("Yes, No"));
    let repeated = asking(QuestionType::MultipleChoice).worded(&both, None);
    assert_eq!(repeated, Ok(both));
    let one = kept(QuestionType::MultipleChoice, &[2], None).unwrap();
    assert_eq!(
        (one.option_id, &one.option_ids[..]),
        (Some(OptionId(2)), &[OptionId(2)][..])
    );
}

#[test]
fn a_value_fits_its_type() {
    use QuestionType::{Boolean, Date, Number, Text};
    for (question_type, good, bad, fault) in [
        (
            Number,
            &["0", "-12.50", "007", "1.0"][..],
            &["", "-", "1.", ".5", "1e5", "+1", "١", "NaN"][..],
            AnswerFault::NotANumber,
        ),
        (
            Date,
            &["2028-02-29", "0001-01-01"],
            &["2026-02-29", "2026-2-1", "+2026-01-01", "0000-01-01", "x"],
            AnswerFault::NotADay,
        ),
        (
            Boolean,
            &["true", "false"],
            &["yes", "True", "1"],
            AnswerFault::NotABoolean,
        ),
    ] {
        for value in good {
            let kept = kept(question_type, &[], Some(value)).unwrap();
            assert_eq!(kept.value.as_deref(), Some(*value));
            assert_eq!(kept.question_text.as_deref(), Some("Garden?"));
        }
        for value in bad {
            assert_eq!(kept(question_type, &[], Some(value)), Err(fault), "{value}");
        }
    }
    let text = kept(Text, &[], Some(" any\nthing ")).unwrap();
    assert_eq!(text.value.as_deref(), Some("any\nthing"));
    assert_eq!(kept(Text, &[1], Some("x")), Err(AnswerFault::TakesNoOption));
}

#[test]
fn an_answer_that_says_nothing_keeps_no_words() {
    for question_type in QuestionType::ALL {
        let nothing = kept(question_type, &[], None).unwrap();
        assert_eq!(nothing, answer(&[], None));
    }
    let unasked = Questions::default().worded(&answer(&[], Some("x")), None);
    assert_eq!(unasked, Err(AnswerFault::NotAsked));
}

#[test]
fn an_answer_without_wording_is_still_readable() {
    let stored = r#"{"question_id":1,"option_id":2,"value":null}"#;
    let read: Answer = serde_json::from_str(stored).unwrap();
    assert_eq!(read, answer(&[2], None));
    assert_eq!(serde_json::to_string(&read).unwrap(), stored);
}
