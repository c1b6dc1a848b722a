//! The decisions on blocking, erasing and holding a lead, one by one.

use chrono::{DateTime, TimeDelta};
use cqrs_es::test::TestFramework;

use super::*;
use crate::ids::{AppointmentId, CompanyId, LeadId, LegalHoldId, NoteId, UserAccessId, UserId};
use crate::lead::appointments::{Appointment, AppointmentText};
use crate::lead::{Contact, ExtraFields, LeadCommand, UpdateLead};
use crate::legal_hold::{HoldCommand, HoldError};
use crate::person_name::PersonName;
use crate::stage::Stage;
use crate::testing::{assert_survives_storage, folded};

const REASON: ErasureReason = ErasureReason::SubjectRequest;
const ASSIGNEE: UserAccessId = UserAccessId(5);

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000, 0).unwrap()
}

fn contact() -> Contact {
    Contact {
        first_name: Some(PersonName::parse("Ana").unwrap()),
        ..Contact::default()
    }
}

fn lead() -> LeadEvent {
    LeadEvent::LeadCreated {
        routing: None,
        territory_match: None,
        lead_id: LeadId(1),
        company_id: CompanyId(3),
        contact: contact().into(),
        stage_id: Stage::New,
        source_id: None,
        campaign_id: None,
        cycle_id: None,
        territory_id: None,
        user_access_id: Some(ASSIGNEE),
        answers: vec![].into(),
        extra: ExtraFields::new().into(),
        estimated_value: None,
    }
}

fn blocked() -> LeadEvent {
    LeadEvent::LeadBlocked { reason: REASON }
}

fn erased() -> LeadEvent {
    LeadEvent::LeadErased { reason: REASON }
}

fn meeting(id: i64, starts_at: DateTime<Utc>, status: AppointmentStatus) -> LeadEvent {
    LeadEvent::LeadAppointmentScheduled {
        appointment_id: AppointmentId(id),
        appointment: Appointment {
            user_id: UserId(2),
            text: AppointmentText {
                title: "Visit Ana".to_owned(),
                ..AppointmentText::default()
            }
            .into(),
            starts_at,
            ends_at: starts_at + TimeDelta::hours(1),
            status,
        },
    }
}

fn given(events: Vec<LeadEvent>) -> cqrs_es::test::AggregateTestExecutor<Lead> {
    TestFramework::<Lead>::with(()).given(events)
}

fn erase() -> LeadCommand {
    LeadCommand::Erasure(ErasureCommand::Erase {
        reason: REASON,
        now: now(),
    })
}

fn block() -> LeadCommand {
    LeadCommand::Erasure(ErasureCommand::Block { reason: REASON })
}

fn unblock() -> LeadCommand {
    LeadCommand::Erasure(ErasureCommand::Unblock)
}

#[test]
fn it_is_blocked_before_it_is_erased_and_each_step_once() {
    given(vec![lead()])
        .when(erase())
        .then_expect_error(LeadError::NotBlocked);
    given(vec![lead()])
        .when(block())
        .then_expect_events(vec![blocked()]);
    given(vec![lead(), blocked()])
        .when(block())
        .then_expect_events(vec![]);
    given(vec![lead(), blocked()])
        .when(erase())
        .then_expect_events(vec![erased()]);
    given(vec![lead(), blocked(), erased()])
        .when(erase())
        .then_expect_events(vec![]);
    given(vec![lead(), blocked(), erased()])
        .when(block())
        .then_expect_error(LeadError::Erased);
    given(vec![])
        .when(block())
        .then_expect_error(LeadError::NotCreated);
}

#[test]
fn a_block_is_taken_back_with_what_was_blocked() {
    let back = LeadEvent::LeadUnblocked {
        contact: contact().into(),
        answers: vec![].into(),
        extra: ExtraFields::new().into(),
    };
    assert_survives_storage(&back, &["Ana"]);
    given(vec![lead(), blocked()])
        .when(unblock())
        .then_expect_events(vec![back.clone()]);
    given(vec![lead(), blocked(), back])
        .when(unblock())
        .then_expect_error(LeadError::NotBlocked);
    given(vec![lead(), blocked(), erased()])
        .when(unblock())
        .then_expect_error(LeadError::Erased);
}

#[test]
fn what_is_to_come_is_called_off_with_the_erasure() {
    let later = now() + TimeDelta::days(1);
    let history = vec![
        lead(),
        meeting(1, later, AppointmentStatus::Scheduled),
        meeting(2, now() - TimeDelta::days(1), AppointmentStatus::Scheduled),
        meeting(3, later, AppointmentStatus::Done),
        blocked(),
    ];
    let cancelled = LeadEvent::LeadAppointmentCancelled {
        appointment_id: AppointmentId(1),
        from_status: AppointmentStatus::Scheduled,
    };
    given(history)
        .when(erase())
        .then_expect_events(vec![cancelled, erased()]);
}

#[test]
fn nothing_but_the_end_of_an_access_changes_what_is_blocked_or_erased() {
    let changes = || {
        [
            LeadCommand::Update(Box::new(UpdateLead {
                stage: Some(Stage::Won),
                ..UpdateLead::default()
            })),
            LeadCommand::AddNote {
                note_id: NoteId(1),
                author_id: UserId(2),
                content: "x".to_owned(),
                only_of: None,
            },
            LeadCommand::RemoveNote {
                note_id: NoteId(1),
                only_of: None,
            },
        ]
    };
    for command in changes() {
        given(vec![lead(), blocked()])
            .when(command)
            .then_expect_error(LeadError::Blocked);
    }
    for command in changes() {
        given(vec![lead(), blocked(), erased()])
            .when(command)
            .then_expect_error(LeadError::Erased);
    }
    given(vec![lead(), blocked(), erased()])
        .when(LeadCommand::Unassign {
            user_access_id: ASSIGNEE,
        })
        .then_expect_events(vec![LeadEvent::LeadAssigned {
            from_user_access_id: Some(ASSIGNEE),
            to_user_access_id: None,
        }]);
}

#[test]
fn an_erased_lead_remembers_no_word_about_the_person() {
    let history = [
        lead(),
        meeting(2, now(), AppointmentStatus::Done),
        blocked(),
        erased(),
    ];
    let state: Lead = folded(&history);
    assert!(!format!("{state:?}").contains("Ana"));
    assert_eq!(state.data_status(), DataStatus::Erased);
}

#[test]
fn a_hold_stands_until_it_is_released_or_its_end_comes() {
    let place = |id: i64| {
        LeadCommand::Hold(HoldCommand::Place {
            legal_hold_id: LegalHoldId(id),
            reason: "case 7".to_owned(),
            until: Some(now()),
        })
    };
    let placed = |id: i64| LeadEvent::LeadHoldPlaced {
        legal_hold_id: LegalHoldId(id),
        reason: "case 7".to_owned().into(),
        until: Some(now()),
    };
    let released = LeadEvent::LeadHoldReleased {
        legal_hold_id: LegalHoldId(1),
    };
    let release = |id: i64| {
        LeadCommand::Hold(HoldCommand::Release {
            legal_hold_id: LegalHoldId(id),
        })
    };
    given(vec![lead()])
        .when(place(1))
        .then_expect_events(vec![placed(1)]);
    given(vec![lead(), placed(1)])
        .when(place(1))
        .then_expect_events(vec![]);
    given(vec![lead(), placed(1)])
        .when(release(1))
        .then_expect_events(vec![released.clone()]);
    given(vec![lead(), placed(1), released.clone()])
        .when(release(1))
        .then_expect_events(vec![]);
    given(vec![lead()])
        .when(release(1))
        .then_expect_error(LeadError::Hold(HoldError::Unknown));
    given(vec![lead(), blocked(), erased()])
        .when(place(1))
        .then_expect_error(LeadError::Erased);

    let state: Lead = folded(&[lead(), placed(1), placed(2)]);
    let before = now() - TimeDelta::seconds(1);
    assert_eq!(state.holds().standing_at(before), Some(LegalHoldId(1)));
    assert_eq!(state.holds().standing_at(now()), None);
    let state: Lead = folded(&[lead(), placed(1), placed(2), released]);
    assert_eq!(state.holds().standing_at(before), Some(LegalHoldId(2)));
    assert_survives_storage(&placed(1), &["case 7"]);
}
