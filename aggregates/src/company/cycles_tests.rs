//! The decisions on cycles, one by one and in any order.

use cqrs_es::test::TestFramework;
use proptest::prelude::*;

use super::*;
use crate::company::{Company, CompanyCommand, CompanyName};
use crate::ids::CompanyId;
use crate::phone::Region;
use crate::testing::{assert_survives_storage, carry_out, folded};

fn company() -> CompanyEvent {
    CompanyEvent::CompanyCreated {
        company_id: CompanyId(1),
        name: CompanyName::parse("Acme").unwrap(),
        default: false,
        parent_company_id: None,
        region: Region::US,
    }
}

fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, day).unwrap()
}

fn cycle(id: i64, from: u32, to: u32) -> Cycle {
    Cycle {
        cycle_id: CycleId(id),
        name: "Q1".to_owned(),
        start_date: day(from),
        end_date: day(to),
    }
}

fn created(id: i64, from: u32, to: u32) -> CompanyEvent {
    CompanyEvent::CycleCreated {
        cycle: cycle(id, from, to),
    }
}

fn given(events: Vec<CompanyEvent>) -> cqrs_es::test::AggregateTestExecutor<Company> {
    TestFramework::<Company>::with(()).given([vec![company()], events].concat())
}

fn create(id: i64, from: u32, to: u32) -> CompanyCommand {
    CompanyCommand::Cycles(CycleCommand::Create(cycle(id, from, to)))
}

fn switch(on: bool) -> CompanyCommand {
    CompanyCommand::Cycles(CycleCommand::Switch(on))
}

#[test]
fn the_flag_is_switched_once() {
    let on = CompanyEvent::CyclesSwitched {
        from: false,
        to: true,
    };
    given(vec![])
        .when(switch(true))
        .then_expect_events(vec![on.clone()]);
    given(vec![on])
        .when(switch(true))
        .then_expect_events(vec![]);
    given(vec![]).when(switch(false)).then_expect_events(vec![]);
    TestFramework::<Company>::with(())
        .given_no_previous_events()
        .when(switch(true))
        .then_expect_error(crate::company::CompanyError::NotCreated);
}

#[test]
fn no_two_cycles_share_a_day() {
    given(vec![created(1, 10, 20)])
        .when(create(2, 21, 21))
        .then_expect_events(vec![created(2, 21, 21)]);
    given(vec![created(1, 10, 20)])
        .when(create(2, 1, 9))
        .then_expect_events(vec![created(2, 1, 9)]);
    for (from, to) in [(20, 25), (5, 10), (12, 13), (1, 31), (10, 20)] {
        given(vec![created(1, 10, 20)])
            .when(create(2, from, to))
            .then_expect_error(CycleError::Overlaps.into());
    }
    given(vec![])
        .when(create(1, 2, 1))
        .then_expect_error(CycleError::EndsBeforeStart.into());
    assert_survives_storage(&created(1, 10, 20), &[]);
}

#[test]
fn a_cycle_is_open_on_its_days_while_the_flag_is_on() {
    let off = folded::<Company>(&[company(), created(1, 10, 20), created(2, 1, 9)]);
    assert_eq!(off.cycles().open_on(day(15)), None);
    let mut on = off;
    carry_out(&mut on, switch(true));
    assert!(on.cycles().on());
    let open = |n| on.cycles().open_on(day(n)).map(CycleId::get);
    assert_eq!(
        [open(9), open(10), open(20), open(21)],
        [Some(2), Some(1), Some(1), None]
    );
}

proptest! {
    #[test]
    fn a_day_is_in_one_cycle_at_most(wishes in proptest::collection::vec((1..31_u32, 1..31_u32), 0..20)) {
        let mut state = folded::<Company>(&[company()]);
        for (id, (from, to)) in (1..).zip(wishes) {
            carry_out(&mut state, create(id, from, to));
        }
        for n in 1..=31 {
            let holding = state.cycles().dated.iter().filter(|cycle| cycle.holds(day(n)));
            prop_assert!(holding.count() <= 1);
        }
    }
}
