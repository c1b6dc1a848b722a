//! Filling, restoring and removing a lead.

use std::collections::BTreeMap;

use super::*;
use crate::email::Email;
use crate::ids::{CompanyId, LeadId, QuestionId, SourceId};
use crate::lead::erasure::{ErasureCommand, ErasureReason};
use crate::lead::{Answer, Classification, CreateLead, LeadCommand};
use crate::person_name::PersonName;
use crate::stage::Stage;
use crate::testing::{carry_out, folded};
use crate::{Decide, Personal};

fn email(raw: &str) -> Email {
    Email::parse(raw).unwrap()
}

fn answer(question: i64, value: &str) -> Answer {
    Answer {
        question_id: QuestionId(question),
        option_id: None,
        option_ids: Vec::new(),
        value: Some(value.to_owned()),
        question_text: None,
    }
}

fn ana() -> Lead {
    let mut lead = folded::<Lead>(&[]);
    let create = CreateLead {
        lead_id: LeadId(1),
        company_id: CompanyId(2),
        contact: Contact {
            email: Some(email("ana@example.com")),
            ..Contact::default()
        },
        stage: Stage::New,
        classification: Classification::default(),
        territory_match: None,
        routing: None,
        cycle_id: None,
        user_access_id: None,
        answers: vec![answer(1, "one"), answer(2, "two")],
        extra: BTreeMap::from([("a".to_owned(), "1".to_owned())]),
        estimated_value: None,
    };
    carry_out(&mut lead, LeadCommand::Create(Box::new(create)));
    lead
}

fn everything() -> UpdateLead {
    let text = |text: &str| Some(text.to_owned());
    UpdateLead {
        first_name: Change::Set(PersonName::parse("Ana").unwrap()),
        email: Change::Set(email("other@example.com")),
        stage: Some(Stage::Won),
        source_id: Change::Set(SourceId(5)),
        answers: vec![answer(1, "uno"), answer(3, "three")],
        extra: BTreeMap::from([("a".to_owned(), text("2")), ("b".to_owned(), text("2"))]),
        ..UpdateLead::default()
    }
}

#[test]
fn only_what_is_lacking_is_filled_in() {
    let filled = ana().lacking(everything());
    assert_eq!(filled.email, Change::Keep);
    assert_eq!(filled.stage, None);
    assert_eq!(filled.source_id, Change::Set(SourceId(5)));
    assert!(matches!(filled.first_name, Change::Set(_)));
    assert_eq!(filled.answers, [answer(3, "three")]);
    assert_eq!(filled.extra.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_lead_is_restored_to_every_part_of_its_earlier_state() {
    let earlier = ana();
    let mut lead = earlier.clone();
    let changes = carry_out(&mut lead, LeadCommand::Update(Box::new(everything())));
    assert_eq!(changes.len(), 5);
    let back = carry_out(&mut lead, restore(earlier.clone(), None));
    assert_eq!(back.len(), 5);
    assert_eq!(lead, earlier);
    assert_eq!(lead.decide(restore(earlier, None)), Ok(vec![]));
}

fn restore(lead: Lead, stage_entered: Option<StageEntered>) -> LeadCommand {
    LeadCommand::Restore(Box::new(Earlier {
        lead,
        stage_entered,
    }))
}

#[test]
fn a_lead_is_in_its_stage_again_since_it_was_there_before() {
    let earlier = ana();
    let mut lead = earlier.clone();
    let to = |stage| UpdateLead {
        stage: Some(stage),
        ..UpdateLead::default()
    };
    carry_out(&mut lead, LeadCommand::Update(Box::new(to(Stage::Won))));
    let at = |second| DateTime::from_timestamp(second, 0).unwrap();
    let entered = StageEntered {
        then: at(1),
        now: at(2),
    };
    let moved = |from| LeadEvent::LeadStageChanged {
        from_stage_id: from,
        to_stage_id: Stage::New,
        from_entered_at: Some(at(2)),
        to_entered_at: Some(at(1)),
    };
    let back = lead.decide(restore(earlier.clone(), Some(entered)));
    assert_eq!(back, Ok(vec![moved(Stage::Won)]));
    // Also when it went to another stage and came back meanwhile.
    carry_out(&mut lead, LeadCommand::Update(Box::new(to(Stage::New))));
    let back = lead.decide(restore(earlier.clone(), Some(entered)));
    assert_eq!(back, Ok(vec![moved(Stage::New)]));
    let unmoved = StageEntered {
        now: at(1),
        ..entered
    };
    assert_eq!(lead.decide(restore(earlier, Some(unmoved))), Ok(vec![]));
}

#[test]
fn a_removed_lead_takes_no_command() {
    let mut lead = ana();
    let import_id = ImportId(7);
    let removed = carry_out(&mut lead, LeadCommand::Remove { import_id });
    assert_eq!(removed, [LeadEvent::LeadRemoved { import_id }]);
    assert!(!lead.exists());
    for command in [
        LeadCommand::Remove { import_id },
        LeadCommand::Update(Box::new(everything())),
        restore(ana(), None),
    ] {
        assert_eq!(lead.decide(command), Err(LeadError::NotCreated));
    }
}

#[test]
fn the_block_of_a_removed_lead_is_taken_back_and_brings_nothing_back() {
    let mut lead = ana();
    carry_out(
        &mut lead,
        LeadCommand::Remove {
            import_id: ImportId(7),
        },
    );
    let reason = ErasureReason::SubjectRequest;
    let erasure = LeadCommand::Erasure;
    carry_out(&mut lead, erasure(ErasureCommand::Block { reason }));
    let back = LeadEvent::LeadUnblocked {
        contact: Personal::default(),
        answers: Personal::default(),
        extra: Personal::default(),
    };
    let unblocked = carry_out(&mut lead, erasure(ErasureCommand::Unblock));
    assert_eq!(unblocked, [back]);
    assert!(!lead.exists());
    assert_eq!(
        lead.decide(erasure(ErasureCommand::Unblock)),
        Err(LeadError::NotBlocked)
    );
}
