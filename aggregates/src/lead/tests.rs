//! The lead's decisions, one by one; `in_any_order` tries sequences of them.

mod in_any_order;

use cqrs_es::test::TestFramework;

use super::*;
use crate::Change;
use crate::email::Email;
use crate::ids::{LeadId, QuestionId, UserId};
use crate::person_name::PersonName;
use crate::phone::{Phone, Region};
use crate::testing::unreadable;

type Given = TestFramework<Lead>;

const ACCESS: UserAccessId = UserAccessId(7);
const OTHER: UserAccessId = UserAccessId(8);

fn name(raw: &str) -> PersonName {
    PersonName::parse(raw).unwrap()
}

fn email(raw: &str) -> Email {
    Email::parse(raw).unwrap()
}

fn contact() -> Contact {
    Contact {
        first_name: Some(name("Anabel")),
        last_name: None,
        email: Some(email("anabel@example.com")),
        phone: Some(Phone::parse("504-621-8927", Region::US).unwrap()),
    }
}

fn answer(question: i64, value: Option<&str>) -> Answer {
    Answer {
        question_id: QuestionId(question),
        option_id: None,
        option_ids: Vec::new(),
        question_text: None,
        value: value.map(ToOwned::to_owned),
    }
}

fn extra<const N: usize>(fields: [(&str, &str); N]) -> ExtraFields {
    fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn create() -> CreateLead {
    CreateLead {
        lead_id: LeadId(1),
        company_id: CompanyId(3),
        contact: contact(),
        stage: Stage::New,
        classification: Classification {
            source_id: Some(SourceId(5)),
            ..Classification::default()
        },
        cycle_id: None,
        user_access_id: Some(ACCESS),
        answers: vec![answer(1, Some("two rooms"))],
        extra: extra([("budget", "low")]),
        estimated_value: None,
        territory_match: None,
        routing: None,
    }
}

fn created() -> LeadEvent {
    LeadEvent::LeadCreated {
        lead_id: LeadId(1),
        company_id: CompanyId(3),
        contact: contact().into(),
        stage_id: Stage::New,
        source_id: Some(SourceId(5)),
        campaign_id: None,
        cycle_id: None,
        territory_id: None,
        user_access_id: Some(ACCESS),
        answers: vec![answer(1, Some("two rooms"))].into(),
        extra: extra([("budget", "low")]).into(),
        estimated_value: None,
        territory_match: None,
        routing: None,
    }
}

fn update(update: UpdateLead) -> LeadCommand {
    LeadCommand::Update(Box::new(update))
}

fn add_note(id: i64, only_of: OnlyOf) -> LeadCommand {
    LeadCommand::AddNote {
        note_id: NoteId(id),
        author_id: UserId(2),
        content: "Called".to_owned(),
        only_of,
    }
}

fn remove_note(id: i64, only_of: OnlyOf) -> LeadCommand {
    LeadCommand::RemoveNote {
        note_id: NoteId(id),
        only_of,
    }
}

fn note_added(id: i64) -> LeadEvent {
    LeadEvent::LeadNoteAdded {
        note_id: NoteId(id),
        author_id: UserId(2),
        content: "Called".to_owned().into(),
    }
}

fn expect(given: Vec<LeadEvent>, command: LeadCommand, events: Vec<LeadEvent>) {
    Given::with(())
        .given(given)
        .when(command)
        .then_expect_events(events);
}

fn expect_error(given: Vec<LeadEvent>, command: LeadCommand, error: LeadError) {
    Given::with(())
        .given(given)
        .when(command)
        .then_expect_error(error);
}

#[test]
fn a_lead_is_created_once() {
    let command = || LeadCommand::Create(Box::new(create()));
    expect(vec![], command(), vec![created()]);
    expect_error(vec![created()], command(), LeadError::AlreadyCreated);
}

#[test]
fn a_lead_can_be_told_from_nothing() {
    let mut nobody = create();
    nobody.contact = Contact::default();
    let command = LeadCommand::Create(Box::new(nobody));
    expect_error(vec![], command, LeadError::NoContact);
    let clear = UpdateLead {
        first_name: Change::Clear,
        email: Change::Clear,
        phone: Change::Clear,
        ..UpdateLead::default()
    };
    expect_error(vec![created()], update(clear), LeadError::NoContact);
}

#[test]
fn nothing_happens_to_a_lead_that_is_not_there() {
    let unassign = LeadCommand::Unassign {
        user_access_id: ACCESS,
    };
    for command in [
        update(UpdateLead::default()),
        unassign,
        add_note(1, None),
        remove_note(1, None),
    ] {
        expect_error(vec![], command, LeadError::NotCreated);
    }
}

#[test]
fn each_part_that_changes_is_an_event_of_its_own() {
    let changes = UpdateLead {
        last_name: Change::Set(name("Ruiz")),
        stage: Some(Stage::Qualified),
        source_id: Change::Clear,
        campaign_id: Change::Set(CampaignId(6)),
        user_access_id: Change::Set(OTHER),
        answers: vec![answer(1, None), answer(2, Some("soon"))],
        extra: [("budget".to_owned(), Some("high".to_owned()))].into(),
        ..UpdateLead::default()
    };
    let to = Contact {
        last_name: Some(name("Ruiz")),
        ..contact()
    };
    let events = vec![
        LeadEvent::LeadContactChanged {
            from: contact().into(),
            to: to.into(),
        },
        LeadEvent::LeadStageChanged {
            from_stage_id: Stage::New,
            to_stage_id: Stage::Qualified,
            from_entered_at: None,
            to_entered_at: None,
        },
        LeadEvent::LeadClassified {
            from: create().classification,
            to: Classification {
                campaign_id: Some(CampaignId(6)),
                ..Classification::default()
            },
        },
        LeadEvent::LeadAssigned {
            from_user_access_id: Some(ACCESS),
            to_user_access_id: Some(OTHER),
        },
        LeadEvent::LeadAnswersChanged {
            from: create().answers.into(),
            to: vec![answer(2, Some("soon"))].into(),
        },
        LeadEvent::LeadExtraFieldsChanged {
            from: create().extra.into(),
            to: extra([("budget", "high")]).into(),
        },
    ];
    expect(vec![created()], update(changes), events);
}

#[test]
fn what_is_as_wished_already_is_no_event() {
    let same = UpdateLead {
        first_name: Change::Set(name("Anabel")),
        last_name: Change::Clear,
        stage: Some(Stage::New),
        source_id: Change::Set(SourceId(5)),
        user_access_id: Change::Set(ACCESS),
        answers: vec![answer(1, Some("two rooms")), answer(9, None)],
        extra: [
            ("budget".to_owned(), Some("low".to_owned())),
            ("unknown".to_owned(), None),
        ]
        .into(),
        ..UpdateLead::default()
    };
    expect(vec![created()], update(same), vec![]);
}

#[test]
fn extra_fields_and_answers_have_an_end() {
    let fields = |n: usize| (0..n).map(|i| (i.to_string(), Some(String::new())));
    let many = |n| UpdateLead {
        extra: fields(n).collect(),
        ..UpdateLead::default()
    };
    // One is there already.
    let error = LeadError::TooManyExtraFields;
    expect_error(vec![created()], update(many(MAX_EXTRA_FIELDS)), error);
    let fits = Lead::default();
    assert!(fits.decide(LeadCommand::Create(Box::new(create()))).is_ok());
    let answers = |n: usize| UpdateLead {
        answers: (0..n)
            .map(|i| answer(i64::try_from(i).unwrap() + 100, Some("")))
            .collect(),
        ..UpdateLead::default()
    };
    let error = LeadError::TooManyAnswers;
    expect_error(vec![created()], update(answers(MAX_ANSWERS)), error);
    let lead = crate::testing::folded::<Lead>(&[created()]);
    assert!(lead.decide(update(many(MAX_EXTRA_FIELDS - 1))).is_ok());
    assert!(lead.decide(update(answers(MAX_ANSWERS - 1))).is_ok());
}

#[test]
fn a_revoked_assignee_goes_only_while_it_is_the_assignee() {
    let unassign = |user_access_id| LeadCommand::Unassign { user_access_id };
    let unassigned = LeadEvent::LeadAssigned {
        from_user_access_id: Some(ACCESS),
        to_user_access_id: None,
    };
    expect(vec![created()], unassign(ACCESS), vec![unassigned.clone()]);
    expect(vec![created()], unassign(OTHER), vec![]);
    expect(vec![created(), unassigned], unassign(ACCESS), vec![]);
}

#[test]
fn a_note_is_added_once_and_removed_once() {
    let removed = LeadEvent::LeadNoteRemoved { note_id: NoteId(4) };
    expect(vec![created()], add_note(4, None), vec![note_added(4)]);
    expect(vec![created(), note_added(4)], add_note(4, None), vec![]);
    expect(
        vec![created(), note_added(4)],
        remove_note(4, None),
        vec![removed.clone()],
    );
    expect_error(
        vec![created(), note_added(4), removed],
        remove_note(4, None),
        LeadError::UnknownNote,
    );
}

#[test]
fn who_may_only_work_on_their_own_leads_is_refused_at_others() {
    let unassigned = LeadEvent::LeadAssigned {
        from_user_access_id: Some(ACCESS),
        to_user_access_id: None,
    };
    let not_assigned = vec![created(), unassigned];
    for given in [not_assigned, vec![created()]] {
        let own = || Some(vec![OTHER]);
        let wish = UpdateLead {
            only_of: own(),
            ..UpdateLead::default()
        };
        for command in [update(wish), add_note(4, own()), remove_note(4, own())] {
            expect_error(given.clone(), command, LeadError::NotAssignedToCaller);
        }
    }
    let own = Some(vec![OTHER, ACCESS]);
    expect(vec![created()], add_note(4, own), vec![note_added(4)]);
}

#[test]
fn an_erased_lead_takes_notes_but_no_changes() {
    for event in unreadable(&created()) {
        let wish = UpdateLead::default();
        expect_error(vec![event.clone()], update(wish), LeadError::Erased);
        expect(vec![event], add_note(4, None), vec![note_added(4)]);
    }
}

mod routing_and_territory {
    use super::*;
    use crate::lead::routing::{ChosenAs, Routing, TerritoryMatch};
    use crate::testing::assert_survives_storage;

    fn routing() -> Routing {
        Routing {
            source_id: SourceId(1),
            user_access_id: UserAccessId(8),
            chosen_as: ChosenAs::LeastRecentlyServed,
            turn: 3,
        }
    }

    fn matched() -> TerritoryMatch {
        TerritoryMatch {
            territory_id: crate::ids::TerritoryId(4),
            rule_version: 1,
        }
    }

    fn event_of(command: CreateLead) -> LeadEvent {
        let events = Lead::default()
            .decide(LeadCommand::Create(Box::new(command)))
            .unwrap();
        events.into_iter().next().unwrap()
    }

    #[test]
    fn who_is_nobodys_goes_where_source_and_territory_say() {
        let event = event_of(CreateLead {
            user_access_id: None,
            classification: Classification::default(),
            territory_match: Some(matched()),
            routing: Some(routing()),
            ..create()
        });
        let stored = serde_json::to_value(&event).unwrap();
        let stored = &stored["LeadCreated"];
        assert_eq!(
            (&stored["user_access_id"], &stored["territory_id"]),
            (&8.into(), &4.into())
        );
        assert_eq!(
            stored["routing"].to_string(),
            r#"{"chosen_as":"least_recently_served","source_id":1,"turn":3,"user_access_id":8}"#
        );
        assert_eq!(
            stored["territory_match"].to_string(),
            r#"{"rule_version":1,"territory_id":4}"#
        );
        assert_survives_storage(&event, &[]);
    }

    #[test]
    fn what_was_named_counts() {
        let named = crate::ids::TerritoryId(9);
        let event = event_of(CreateLead {
            user_access_id: Some(UserAccessId(7)),
            classification: Classification {
                territory_id: Some(named),
                ..Classification::default()
            },
            territory_match: Some(matched()),
            routing: Some(routing()),
            ..create()
        });
        let stored = serde_json::to_value(&event).unwrap();
        let stored = &stored["LeadCreated"];
        assert_eq!(
            (&stored["user_access_id"], &stored["territory_id"]),
            (&7.into(), &9.into())
        );
        // And an event without them is stored as it always was.
        assert!(stored.get("routing").is_none() && stored.get("territory_match").is_none());
        assert_survives_storage(&event, &[]);
    }
}
