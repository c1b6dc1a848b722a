//! What holds of a lead after any sequence of commands.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;

use super::*;
use crate::ids::{ImportId, OptionId};
use crate::money::Currency;
use crate::testing::{assert_survives_storage, carry_out, folded};

/// One half of the wishes keep what there is.
fn change<T: Clone + Debug>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Change<T>> {
    prop_oneof![
        3 => Just(()).prop_map(|()| Change::Keep),
        1 => Just(()).prop_map(|()| Change::Clear),
        2 => value.prop_map(Change::Set),
    ]
}

fn only_of() -> impl Strategy<Value = OnlyOf> {
    let accesses = proptest::collection::vec((5..9_i64).prop_map(UserAccessId), 0..3);
    proptest::option::weighted(0.3, accesses)
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let answer = (1..4_i64, any::<Option<bool>>(), any::<Option<bool>>()).prop_map(
        |(question, option, value)| Answer {
            question_id: QuestionId(question),
            option_id: option.map(|yes| OptionId(i64::from(yes))),
            option_ids: Vec::new(),
            question_text: value.map(|_| "secret question".to_owned()),
            value: value.map(|yes| format!("secret {yes}")),
        },
    );
    proptest::collection::vec(answer, 0..5)
}

fn fields() -> impl Strategy<Value = BTreeMap<String, Option<String>>> {
    // The first two are what the form of stored personal data is made of.
    let name = proptest::sample::select(vec!["sealed", "erased", "plain", "budget"]);
    let value = proptest::option::of("[a-c]{0,2}");
    proptest::collection::btree_map(name.prop_map(str::to_owned), value, 0..3)
}

fn contacts() -> impl Strategy<Value = (Change<PersonName>, Change<Email>, Change<Phone>)> {
    (
        change("secret[a-c]".prop_map(|raw| name(&raw))),
        change("secret[a-c]@example[.]com".prop_map(|raw| email(&raw))),
        change((10..14).prop_map(|n| Phone::parse(&format!("504-621-89{n}"), Region::US).unwrap())),
    )
}

fn updates() -> impl Strategy<Value = UpdateLead> {
    let stage = proptest::option::of(proptest::sample::select(Stage::ALL.to_vec()));
    let usd = Currency::parse("USD").unwrap();
    let money =
        (1..4).prop_map(move |n| crate::money::Money::parse(&format!("{n}.50"), usd).unwrap());
    (
        contacts(),
        stage,
        change((1..4_i64).prop_map(SourceId)),
        change((5..9_i64).prop_map(UserAccessId)),
        answers(),
        fields(),
        change(money),
        only_of(),
    )
        .prop_map(
            |(
                (first_name, email, phone),
                stage,
                source_id,
                access,
                answers,
                extra,
                value,
                only,
            )| {
                UpdateLead {
                    first_name,
                    email,
                    phone,
                    stage,
                    source_id,
                    user_access_id: access,
                    answers,
                    extra,
                    estimated_value: value,
                    only_of: only,
                    ..UpdateLead::default()
                }
            },
        )
}

fn creations() -> impl Strategy<Value = CreateLead> {
    (contacts(), answers(), fields(), any::<bool>()).prop_map(
        |((first_name, email, phone), answers, extra, assigned)| CreateLead {
            contact: Contact {
                first_name: first_name.apply(None),
                last_name: None,
                email: email.apply(None),
                phone: phone.apply(None),
            },
            answers,
            extra: extra
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            user_access_id: assigned.then_some(ACCESS),
            ..create()
        },
    )
}

fn command() -> impl Strategy<Value = LeadCommand> {
    prop_oneof![
        2 => creations().prop_map(|creation| LeadCommand::Create(Box::new(creation))),
        6 => updates().prop_map(update),
        1 => (5..9_i64).prop_map(|id| LeadCommand::Unassign { user_access_id: UserAccessId(id) }),
        3 => (1..5_i64, only_of()).prop_map(|(id, only)| add_note(id, only)),
        2 => (1..5_i64, only_of()).prop_map(|(id, only)| remove_note(id, only)),
        1 => Just(LeadCommand::Remove { import_id: ImportId(1) }),
    ]
}

fn commands() -> impl Strategy<Value = Vec<LeadCommand>> {
    proptest::collection::vec(command(), 0..30)
}

fn only_of_in(command: &LeadCommand) -> &OnlyOf {
    match command {
        LeadCommand::Update(update) => &update.only_of,
        LeadCommand::AddNote { only_of, .. } | LeadCommand::RemoveNote { only_of, .. } => only_of,
        LeadCommand::Appointments(command) => &command.only_of,
        LeadCommand::Create(_)
        | LeadCommand::Unassign { .. }
        | LeadCommand::Erasure(_)
        | LeadCommand::Hold(_)
        | LeadCommand::Remove { .. }
        | LeadCommand::Restore(_) => &None,
    }
}

proptest! {
    #[test]
    fn a_repeated_command_adds_nothing(commands in commands()) {
        let mut lead = Lead::default();
        for command in commands {
            carry_out(&mut lead, command.clone());
            let before = lead.clone();
            prop_assert_eq!(carry_out(&mut lead, command), vec![]);
            prop_assert_eq!(&lead, &before);
        }
    }

    #[test]
    fn who_may_only_work_on_their_own_leads_changes_no_other(commands in commands()) {
        let mut lead = Lead::default();
        for command in commands {
            let own = only_of_in(&command).clone();
            let assignee = lead.user_access_id();
            let events = carry_out(&mut lead, command);
            if let (Some(own), false) = (own, events.is_empty()) {
                prop_assert!(assignee.is_some_and(|assignee| own.contains(&assignee)));
            }
        }
    }

    #[test]
    fn a_lead_can_always_be_told_from_nothing_and_stays_in_its_company(commands in commands()) {
        let mut lead = Lead::default();
        for command in commands {
            carry_out(&mut lead, command);
            if let Some(company_id) = lead.company_id {
                prop_assert_eq!(company_id, CompanyId(3));
                prop_assert!(!lead.contact.plain().unwrap().is_empty());
            }
        }
    }

    #[test]
    fn there_is_one_answer_to_a_question(commands in commands()) {
        let mut lead = Lead::default();
        for command in commands {
            carry_out(&mut lead, command);
            let answers = lead.answers.plain().unwrap();
            let questions: BTreeSet<_> = answers.iter().map(|a| a.question_id).collect();
            prop_assert_eq!(questions.len(), answers.len());
        }
    }

    #[test]
    fn the_history_is_the_state_and_is_stored_without_loss(commands in commands()) {
        let mut lead = Lead::default();
        let mut history = Vec::new();
        for command in commands {
            history.extend(carry_out(&mut lead, command));
        }
        for event in &history {
            assert_survives_storage(event, &["secret", "504621", "budget", "Called"]);
        }
        prop_assert_eq!(folded::<Lead>(&history), lead);
    }

    #[test]
    fn an_erased_history_folds_and_goes_on(past in commands(), future in commands()) {
        let mut known = Lead::default();
        let mut history = Vec::new();
        for command in past {
            history.extend(carry_out(&mut known, command));
        }
        for reader in [0, 1] {
            let seen: Vec<_> = history
                .iter()
                .map(|event| unreadable(event)[reader].clone())
                .collect();
            let mut lead = folded::<Lead>(&seen);
            prop_assert_eq!(lead.stage, known.stage);
            prop_assert_eq!(lead.user_access_id, known.user_access_id);
            prop_assert_eq!(&lead.notes, &known.notes);
            for command in future.clone() {
                carry_out(&mut lead, command);
            }
        }
    }
}
