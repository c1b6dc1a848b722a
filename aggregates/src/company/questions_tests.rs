//! The decisions on questions, one by one and in any order.

use cqrs_es::test::TestFramework;
use proptest::prelude::*;

use super::*;
use crate::company::campaigns::{Campaign, CampaignError, CampaignStatus};
use crate::company::{Company, CompanyCommand, CompanyError, CompanyName};
use crate::ids::CompanyId;
use crate::phone::Region;
use crate::testing::{assert_survives_storage, carry_out, folded};

type Given = TestFramework<Company>;

fn company() -> CompanyEvent {
    CompanyEvent::CompanyCreated {
        company_id: CompanyId(1),
        name: CompanyName::parse("Acme").unwrap(),
        default: false,
        parent_company_id: None,
        region: Region::US,
    }
}

fn campaign(id: i64) -> CompanyEvent {
    CompanyEvent::CampaignCreated {
        campaign_id: CampaignId(id),
        campaign: Campaign {
            name: "Spring".to_owned(),
            status: CampaignStatus::Active,
            source_id: None,
            start_date: None,
            end_date: None,
        },
    }
}

/// A question of choice whose options are numbered like it: 10 and 11 of question 1.
fn question(id: i64) -> Question {
    let option = |n: i64| QuestionOption {
        option_id: OptionId(id * 10 + n),
        value: format!("value {n}"),
    };
    Question {
        question_id: QuestionId(id),
        text: "Garden?".to_owned(),
        question_type: QuestionType::SingleChoice,
        required: false,
        campaign_id: None,
        options: vec![option(0), option(1)],
    }
}

fn created(id: i64, priority: i64) -> CompanyEvent {
    CompanyEvent::QuestionCreated {
        question: question(id),
        priority,
    }
}

fn order(ids: &[i64]) -> Vec<QuestionId> {
    ids.iter().copied().map(QuestionId).collect()
}

fn shown(option: i64, value: Option<&str>) -> ShownOption {
    ShownOption {
        option_id: OptionId(option),
        value: value.map(str::to_owned),
    }
}

fn show(campaign: i64, questions: Vec<(i64, Vec<ShownOption>)>) -> QuestionCommand {
    QuestionCommand::ShowOptions {
        campaign_id: CampaignId(campaign),
        questions: questions
            .into_iter()
            .map(|(id, options)| (QuestionId(id), options))
            .collect(),
    }
}

fn changed(from: Vec<ShownOption>, to: Vec<ShownOption>) -> CompanyEvent {
    CompanyEvent::CampaignOptionsChanged {
        campaign_id: CampaignId(9),
        question_id: QuestionId(1),
        from,
        to,
    }
}

fn expect(given: Vec<CompanyEvent>, command: QuestionCommand, events: Vec<CompanyEvent>) {
    Given::with(())
        .given(given)
        .when(CompanyCommand::Questions(command))
        .then_expect_events(events);
}

fn expect_error(
    given: Vec<CompanyEvent>,
    command: QuestionCommand,
    error: impl Into<CompanyError>,
) {
    Given::with(())
        .given(given)
        .when(CompanyCommand::Questions(command))
        .then_expect_error(error.into());
}

#[test]
fn a_question_is_asked_after_all_others() {
    let create = QuestionCommand::Create(question(7));
    expect(vec![company()], create.clone(), vec![created(7, 1)]);
    expect(
        vec![company(), created(1, 1), created(2, 2)],
        create.clone(),
        vec![created(7, 3)],
    );
    expect_error(vec![], create, CompanyError::NotCreated);
}

#[test]
fn a_question_has_options_when_it_is_one_of_choice() {
    let with = |change: fn(&mut Question)| {
        let mut question = question(1);
        change(&mut question);
        QuestionCommand::Create(question)
    };
    let none = with(|q| q.options.clear());
    expect_error(vec![company()], none, QuestionError::NoOptions);
    let text = with(|q| q.question_type = QuestionType::Text);
    expect_error(vec![company()], text, QuestionError::TakesNoOptions);
    let alike = with(|q| q.options[1].value = q.options[0].value.clone());
    expect_error(
        vec![company()],
        alike,
        QuestionError::SameOption { option: 1 },
    );
    let many = with(|q| q.options = vec![q.options[0].clone(); MAX_OPTIONS + 1]);
    expect_error(vec![company()], many, QuestionError::TooManyOptions);
}

#[test]
fn a_company_asks_so_many_questions() {
    let mut given = vec![company()];
    given.extend((1..=500).map(|id| created(id, id)));
    expect_error(
        given,
        QuestionCommand::Create(question(501)),
        QuestionError::TooMany,
    );
}

#[test]
fn a_question_of_a_campaign_needs_the_campaign() {
    let mut of = question(1);
    of.campaign_id = Some(CampaignId(9));
    let create = QuestionCommand::Create(of.clone());
    expect_error(vec![company()], create.clone(), CampaignError::NotOfCompany);
    let made = CompanyEvent::QuestionCreated {
        question: of,
        priority: 1,
    };
    expect(vec![company(), campaign(9)], create, vec![made]);
}

#[test]
fn an_order_names_each_question_once() {
    let given = vec![company(), created(1, 1), created(2, 2), created(3, 3)];
    expect(
        given.clone(),
        QuestionCommand::Reorder(order(&[3, 1, 2])),
        vec![CompanyEvent::QuestionsReordered {
            from: order(&[1, 2, 3]),
            to: order(&[3, 1, 2]),
        }],
    );
    expect(
        given.clone(),
        QuestionCommand::Reorder(order(&[1, 2, 3])),
        vec![],
    );
    for wrong in [&[][..], &[1, 2], &[1, 2, 2], &[1, 2, 4], &[1, 2, 3, 3]] {
        let reorder = QuestionCommand::Reorder(order(wrong));
        expect_error(given.clone(), reorder, QuestionError::IncompleteOrder);
    }
}

#[test]
fn an_archived_question_is_gone_from_the_order() {
    let given = vec![company(), created(1, 1), created(2, 2), created(3, 3)];
    let archived = CompanyEvent::QuestionArchived {
        question_id: QuestionId(2),
        remaining: order(&[1, 3]),
    };
    let archive = QuestionCommand::Archive(QuestionId(2));
    expect(given.clone(), archive.clone(), vec![archived.clone()]);
    let after = [given, vec![archived]].concat();
    expect_error(after.clone(), archive, QuestionError::Unknown);
    expect(
        after,
        QuestionCommand::Create(question(4)),
        vec![created(4, 3)],
    );
}

#[test]
fn a_campaign_shows_some_options_in_its_own_words() {
    let given = vec![company(), campaign(9), created(1, 1)];
    let to = vec![shown(11, Some("No way")), shown(10, None)];
    expect(
        given.clone(),
        show(9, vec![(1, to.clone())]),
        vec![changed(vec![], to.clone())],
    );
    // The question's own words are no words of the campaign's.
    expect(
        given.clone(),
        show(9, vec![(1, vec![shown(10, Some("value 0"))])]),
        vec![changed(vec![], vec![shown(10, None)])],
    );
    let after = [given, vec![changed(vec![], to.clone())]].concat();
    expect(after.clone(), show(9, vec![(1, to.clone())]), vec![]);
    expect(
        after.clone(),
        show(9, vec![(1, vec![])]),
        vec![changed(to, vec![])],
    );
    let state = folded::<Company>(&after);
    let asked = state.questions().get(QuestionId(1)).unwrap();
    let says = |option, campaign| state.questions().wording(asked, OptionId(option), campaign);
    assert_eq!(says(11, Some(CampaignId(9))), Some("No way"));
    assert_eq!(says(10, Some(CampaignId(9))), Some("value 0"));
    assert_eq!(says(11, None), Some("value 1"));
    assert_eq!(says(12, None), None);
}

#[test]
fn a_campaign_shows_only_what_it_asks() {
    let mut of_another = question(2);
    of_another.campaign_id = Some(CampaignId(8));
    let of_another = CompanyEvent::QuestionCreated {
        question: of_another,
        priority: 2,
    };
    let given = vec![
        company(),
        campaign(9),
        campaign(8),
        created(1, 1),
        of_another,
    ];
    for entry in [2, 3, 1] {
        let questions = vec![(1, vec![]), (entry, vec![])];
        expect_error(
            given.clone(),
            show(9, questions),
            QuestionError::NotOfCampaign { entry: 1 },
        );
    }
    for (option, options) in [
        (20, vec![shown(20, None)]),
        (10, vec![shown(10, None), shown(10, None)]),
    ] {
        let error = QuestionError::NotOfQuestion {
            entry: 0,
            option_id: OptionId(option),
        };
        expect_error(given.clone(), show(9, vec![(1, options)]), error);
    }
}

#[test]
fn an_option_is_stored_readably() {
    let event = changed(vec![], vec![shown(10, Some("No way"))]);
    assert_survives_storage(&event, &[]);
    assert_survives_storage(&created(1, 1), &[]);
    let stored = serde_json::to_value(created(1, 1)).unwrap();
    assert_eq!(
        stored["QuestionCreated"]["question"]["question_type"],
        "single_choice"
    );
}

fn command() -> impl Strategy<Value = QuestionCommand> {
    let id = 1..5_i64;
    let ids = Just(vec![1, 2, 3, 4]).prop_shuffle();
    let options = proptest::collection::vec(0..3_i64, 0..3);
    prop_oneof![
        3 => id.clone().prop_map(|id| QuestionCommand::Create(question(id))),
        2 => (ids, 0..5_usize).prop_map(|(ids, n)| QuestionCommand::Reorder(order(&ids[..n.min(4)]))),
        2 => id.clone().prop_map(|id| QuestionCommand::Archive(QuestionId(id))),
        2 => (id, options).prop_map(|(id, options)| {
            let options = options.into_iter().map(|n| shown(id * 10 + n, Some("own"))).collect();
            show(9, vec![(id, options)])
        }),
    ]
}

proptest! {
    #[test]
    fn priorities_are_dense_and_nothing_shown_is_foreign(commands in proptest::collection::vec(command(), 0..40)) {
        let mut state = folded::<Company>(&[company(), campaign(9)]);
        let mut history = vec![company(), campaign(9)];
        for command in commands {
            // An id is given once.
            if let QuestionCommand::Create(question) = &command
                && state.questions().get(question.question_id).is_some()
            {
                continue;
            }
            let before = state.questions().asked().len();
            let events = carry_out(&mut state, CompanyCommand::Questions(command));
            if let [CompanyEvent::QuestionCreated { priority, .. }] = &events[..] {
                prop_assert_eq!(*priority, i64::try_from(before).unwrap() + 1);
            }
            history.extend(events);
            for questions in state.questions.shown.values() {
                for (question, options) in questions {
                    let question = state.questions().get(*question).unwrap();
                    prop_assert!(options.iter().all(|o| question.option(o.option_id).is_some()));
                }
            }
        }
        prop_assert_eq!(folded::<Company>(&history), state);
    }
}
