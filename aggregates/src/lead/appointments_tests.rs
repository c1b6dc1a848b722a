//! The decisions on appointments, one by one and in any order.

use cqrs_es::test::TestFramework;
use proptest::prelude::*;

use super::*;
use crate::ids::{CompanyId, LeadId, UserAccessId};
use crate::lead::{ExtraFields, Lead, LeadCommand};
use crate::stage::Stage;
use crate::testing::{assert_survives_storage, carry_out, folded, unreadable};

const ASSIGNEE: UserAccessId = UserAccessId(5);

fn lead() -> LeadEvent {
    LeadEvent::LeadCreated {
        routing: None,
        territory_match: None,
        lead_id: LeadId(1),
        company_id: CompanyId(3),
        contact: crate::lead::Contact::default().into(),
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

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(minute * 60, 0).unwrap()
}

fn appointment(status: AppointmentStatus) -> Appointment {
    Appointment {
        user_id: UserId(2),
        text: AppointmentText {
            title: "Visit".to_owned(),
            description: Some("Plans".to_owned()),
            location: None,
        }
        .into(),
        starts_at: at(0),
        ends_at: at(30),
        status,
    }
}

fn scheduled() -> LeadEvent {
    LeadEvent::LeadAppointmentScheduled {
        appointment_id: AppointmentId(7),
        appointment: appointment(AppointmentStatus::Scheduled),
    }
}

fn changed(from: Appointment, to: Appointment) -> LeadEvent {
    LeadEvent::LeadAppointmentChanged {
        appointment_id: AppointmentId(7),
        from,
        to,
    }
}

fn cancelled() -> LeadEvent {
    LeadEvent::LeadAppointmentCancelled {
        appointment_id: AppointmentId(7),
        from_status: AppointmentStatus::Scheduled,
    }
}

fn command(id: i64, only_of: OnlyOf, wish: AppointmentWish) -> LeadCommand {
    LeadCommand::Appointments(Box::new(AppointmentCommand {
        appointment_id: AppointmentId(id),
        only_of,
        wish,
    }))
}

fn schedule() -> AppointmentWish {
    AppointmentWish::Schedule(appointment(AppointmentStatus::Scheduled))
}

fn to_status(status: AppointmentStatus) -> AppointmentWish {
    AppointmentWish::Update(AppointmentChanges {
        status: Some(status),
        ..AppointmentChanges::default()
    })
}

fn expect(given: Vec<LeadEvent>, wish: AppointmentWish, events: Vec<LeadEvent>) {
    TestFramework::<Lead>::with(())
        .given(given)
        .when(command(7, None, wish))
        .then_expect_events(events);
}

fn expect_error(given: Vec<LeadEvent>, wish: AppointmentWish, error: impl Into<LeadError>) {
    TestFramework::<Lead>::with(())
        .given(given)
        .when(command(7, None, wish))
        .then_expect_error(error.into());
}

#[test]
fn an_appointment_is_made_on_a_lead() {
    expect(vec![lead()], schedule(), vec![scheduled()]);
    expect(vec![lead(), scheduled()], schedule(), vec![]);
    expect_error(vec![], schedule(), LeadError::NotCreated);
    assert_survives_storage(&scheduled(), &["Visit", "Plans"]);
    assert_survives_storage(
        &changed(
            appointment(AppointmentStatus::Scheduled),
            appointment(AppointmentStatus::Done),
        ),
        &["Visit", "Plans"],
    );
}

#[test]
fn an_appointment_ends_after_it_starts_and_within_a_month() {
    for (ends_at, error) in [
        (0, AppointmentError::EndsBeforeStart),
        (-1, AppointmentError::EndsBeforeStart),
        (31 * 24 * 60 + 1, AppointmentError::TooLong),
    ] {
        let wrong = Appointment {
            ends_at: at(ends_at),
            ..appointment(AppointmentStatus::Scheduled)
        };
        expect_error(vec![lead()], AppointmentWish::Schedule(wrong), error);
        let update = AppointmentWish::Update(AppointmentChanges {
            ends_at: Some(at(ends_at)),
            ..AppointmentChanges::default()
        });
        expect_error(vec![lead(), scheduled()], update, error);
    }
}

#[test]
fn what_is_not_mentioned_stays() {
    let from = appointment(AppointmentStatus::Scheduled);
    let to = Appointment {
        user_id: UserId(8),
        text: AppointmentText {
            title: "Call".to_owned(),
            description: None,
            location: Some("Office".to_owned()),
        }
        .into(),
        starts_at: at(10),
        ..from.clone()
    };
    let changes = AppointmentChanges {
        user_id: Some(UserId(8)),
        title: Some("Call".to_owned()),
        description: Change::Clear,
        location: Change::Set("Office".to_owned()),
        starts_at: Some(at(10)),
        ..AppointmentChanges::default()
    };
    expect(
        vec![lead(), scheduled()],
        AppointmentWish::Update(changes),
        vec![changed(from, to)],
    );
    let nothing = AppointmentWish::Update(AppointmentChanges::default());
    expect(vec![lead(), scheduled()], nothing.clone(), vec![]);
    expect_error(vec![lead()], nothing, AppointmentError::Unknown);
}

#[test]
fn a_cancelled_appointment_does_not_change_any_more() {
    expect(
        vec![lead(), scheduled()],
        AppointmentWish::Cancel,
        vec![cancelled()],
    );
    let given = vec![lead(), scheduled(), cancelled()];
    expect(given.clone(), AppointmentWish::Cancel, vec![]);
    for status in [AppointmentStatus::Scheduled, AppointmentStatus::Done] {
        expect_error(
            given.clone(),
            to_status(status),
            AppointmentError::Cancelled,
        );
    }
    expect_error(
        vec![lead()],
        AppointmentWish::Cancel,
        AppointmentError::Unknown,
    );
}

#[test]
fn what_took_place_is_not_called_off() {
    for status in [AppointmentStatus::Done, AppointmentStatus::NoShow] {
        let change = changed(
            appointment(AppointmentStatus::Scheduled),
            appointment(status),
        );
        let given = vec![lead(), scheduled(), change.clone()];
        expect(vec![lead(), scheduled()], to_status(status), vec![change]);
        expect_error(
            given,
            AppointmentWish::Cancel,
            AppointmentError::NotScheduled,
        );
    }
}

#[test]
fn who_may_only_work_on_their_own_leads_meets_no_others() {
    for wish in [
        schedule(),
        to_status(AppointmentStatus::Done),
        AppointmentWish::Cancel,
    ] {
        let given = || TestFramework::<Lead>::with(()).given(vec![lead(), scheduled()]);
        given()
            .when(command(7, Some(vec![UserAccessId(6)]), wish.clone()))
            .then_expect_error(LeadError::NotAssignedToCaller);
        let allowed = given().when(command(7, Some(vec![ASSIGNEE]), wish));
        assert!(allowed.inspect_result().is_ok());
    }
}

#[test]
fn a_lead_holds_so_many_appointments() {
    let made = |id| LeadEvent::LeadAppointmentScheduled {
        appointment_id: AppointmentId(id),
        appointment: appointment(AppointmentStatus::Scheduled),
    };
    let mut given = vec![lead()];
    given.extend((100..1_100).map(made));
    expect_error(given, schedule(), AppointmentError::TooMany);
}

#[test]
fn erased_words_cannot_be_changed_but_the_appointment_is_called_off() {
    for event in unreadable(&scheduled()) {
        let given = vec![lead(), event];
        let update = to_status(AppointmentStatus::Done);
        expect_error(given.clone(), update, LeadError::Erased);
        expect(given, AppointmentWish::Cancel, vec![cancelled()]);
    }
}

fn wish() -> impl Strategy<Value = AppointmentWish> {
    let status = proptest::sample::select(AppointmentStatus::ALL[..3].to_vec());
    let times = (-5..5_i64, -5..5_i64);
    prop_oneof![
        times
            .clone()
            .prop_map(|(from, to)| AppointmentWish::Schedule(Appointment {
                starts_at: at(from),
                ends_at: at(to),
                ..appointment(AppointmentStatus::Scheduled)
            })),
        (proptest::option::of(status), times).prop_map(|(status, (from, to))| {
            AppointmentWish::Update(AppointmentChanges {
                status,
                starts_at: Some(at(from)),
                ends_at: Some(at(to)),
                ..AppointmentChanges::default()
            })
        }),
        Just(AppointmentWish::Cancel),
    ]
}

proptest! {
    #[test]
    fn times_are_right_and_cancelled_is_for_good(wishes in proptest::collection::vec((1..4_i64, wish()), 0..40)) {
        let mut state = folded::<Lead>(&[lead()]);
        let mut history = vec![lead()];
        for (id, wish) in wishes {
            let before = state.appointments().clone();
            history.extend(carry_out(&mut state, command(id, None, wish.clone())));
            prop_assert_eq!(carry_out(&mut state, command(id, None, wish)), vec![]);
            for (id, appointment) in &state.appointments().0 {
                prop_assert!(appointment.starts_at < appointment.ends_at);
                let old = before.get(*id).filter(|old| old.status == AppointmentStatus::Cancelled);
                prop_assert!(old.is_none_or(|old| old == appointment));
            }
        }
        prop_assert_eq!(folded::<Lead>(&history), state);
    }
}
