//! The subscription's decisions, one by one and in any order.

use cqrs_es::test::TestFramework;
use proptest::prelude::*;

use super::*;
use crate::money::Currency;
use crate::testing::{assert_survives_storage, carry_out, folded};

type Given = TestFramework<Subscription>;

fn time(text: &str) -> DateTime<Utc> {
    format!("{text}T12:00:00Z").parse().unwrap()
}

fn terms(plan: Plan) -> Terms {
    plan.terms(Currency::USD).unwrap()
}

fn attach(id: i64, plan: Plan, day: &str) -> SubscriptionCommand {
    SubscriptionCommand::Attach {
        subscription_id: SubscriptionId(id),
        company_id: CompanyId(7),
        terms: Box::new(terms(plan)),
        now: time(day),
    }
}

fn cancel(immediately: bool, day: &str) -> SubscriptionCommand {
    SubscriptionCommand::Cancel {
        immediately,
        now: time(day),
    }
}

fn pass(day: &str) -> SubscriptionCommand {
    SubscriptionCommand::PassTime { now: time(day) }
}

fn started(id: i64, plan: Plan, phase: Phase, day: &str, ends: &str) -> SubscriptionEvent {
    SubscriptionEvent::SubscriptionStarted {
        subscription_id: SubscriptionId(id),
        company_id: CompanyId(7),
        terms: terms(plan),
        phase,
        started_at: time(day),
        period_ends_at: time(ends),
    }
}

fn trial() -> SubscriptionEvent {
    started(1, Plan::Team, Phase::Trialing, "2026-01-17", "2026-01-31")
}

fn activated() -> SubscriptionEvent {
    SubscriptionEvent::SubscriptionActivated {
        subscription_id: SubscriptionId(1),
        period_started_at: time("2026-01-31"),
        period_ends_at: time("2026-02-28"),
    }
}

fn renewed(from: &str, to: &str) -> SubscriptionEvent {
    SubscriptionEvent::SubscriptionRenewed {
        subscription_id: SubscriptionId(1),
        period_started_at: time(from),
        period_ends_at: time(to),
    }
}

fn cancelled(day: &str, ends: &str) -> SubscriptionEvent {
    SubscriptionEvent::SubscriptionCancelled {
        subscription_id: SubscriptionId(1),
        cancelled_at: time(day),
        ends_at: time(ends),
    }
}

fn ended(day: &str) -> SubscriptionEvent {
    SubscriptionEvent::SubscriptionEnded {
        subscription_id: SubscriptionId(1),
        ended_at: time(day),
        limits: Plan::Free.limits(),
    }
}

fn changed(from: Plan, to: Plan) -> SubscriptionEvent {
    SubscriptionEvent::SubscriptionChanged {
        subscription_id: SubscriptionId(1),
        from: terms(from),
        to: terms(to),
    }
}

#[test]
fn the_first_paid_plan_begins_with_a_trial_and_the_free_one_at_once() {
    Given::with(())
        .given_no_previous_events()
        .when(attach(1, Plan::Team, "2026-01-17"))
        .then_expect_events(vec![trial()]);
    Given::with(())
        .given_no_previous_events()
        .when(attach(1, Plan::Free, "2026-01-17"))
        .then_expect_events(vec![started(
            1,
            Plan::Free,
            Phase::Active,
            "2026-01-17",
            "2026-02-17",
        )]);
}

#[test]
fn there_is_one_trial_only() {
    Given::with(())
        .given(vec![trial(), ended("2026-01-18")])
        .when(attach(2, Plan::Business, "2026-01-20"))
        .then_expect_events(vec![started(
            2,
            Plan::Business,
            Phase::Active,
            "2026-01-20",
            "2026-02-20",
        )]);
}

#[test]
fn another_plan_changes_the_terms_and_the_same_one_nothing() {
    Given::with(())
        .given(vec![trial()])
        .when(attach(2, Plan::Business, "2026-01-18"))
        .then_expect_events(vec![changed(Plan::Team, Plan::Business)]);
    Given::with(())
        .given(vec![trial()])
        .when(attach(2, Plan::Team, "2026-01-18"))
        .then_expect_events(vec![]);
}

#[test]
fn the_trial_becomes_active_and_periods_are_reckoned_from_its_end() {
    Given::with(())
        .given(vec![trial()])
        .when(pass("2026-01-30"))
        .then_expect_events(vec![]);
    // Months late: every period that passed is told, and the 31st comes back after February.
    Given::with(())
        .given(vec![trial()])
        .when(pass("2026-04-29"))
        .then_expect_events(vec![
            activated(),
            renewed("2026-02-28", "2026-03-31"),
            renewed("2026-03-31", "2026-04-30"),
        ]);
}

#[test]
fn a_cancelled_one_lasts_to_the_end_of_what_is_begun() {
    Given::with(())
        .given(vec![trial()])
        .when(cancel(false, "2026-01-20"))
        .then_expect_events(vec![cancelled("2026-01-20", "2026-01-31")]);
    Given::with(())
        .given(vec![trial(), cancelled("2026-01-20", "2026-01-31")])
        .when(pass("2026-03-01"))
        .then_expect_events(vec![ended("2026-01-31")]);
    Given::with(())
        .given(vec![trial(), cancelled("2026-01-20", "2026-01-31")])
        .when(cancel(false, "2026-01-21"))
        .then_expect_events(vec![]);
    // The first period had begun, though nobody had noted it yet.
    Given::with(())
        .given(vec![trial()])
        .when(cancel(false, "2026-02-03"))
        .then_expect_events(vec![activated(), cancelled("2026-02-03", "2026-02-28")]);
}

#[test]
fn it_ends_at_once_when_that_is_wanted() {
    Given::with(())
        .given(vec![trial()])
        .when(cancel(true, "2026-01-20"))
        .then_expect_events(vec![ended("2026-01-20")]);
    Given::with(())
        .given(vec![trial(), cancelled("2026-01-20", "2026-01-31")])
        .when(cancel(true, "2026-01-21"))
        .then_expect_events(vec![ended("2026-01-21")]);
}

#[test]
fn what_does_not_run_is_not_cancelled() {
    Given::with(())
        .given_no_previous_events()
        .when(cancel(true, "2026-01-20"))
        .then_expect_error(SubscriptionError::NotSubscribed);
    Given::with(())
        .given(vec![trial(), ended("2026-01-18")])
        .when(cancel(false, "2026-01-20"))
        .then_expect_error(SubscriptionError::NotSubscribed);
    // Over, though nobody had noted it yet.
    Given::with(())
        .given(vec![trial(), cancelled("2026-01-20", "2026-01-31")])
        .when(cancel(false, "2026-02-01"))
        .then_expect_error(SubscriptionError::NotSubscribed);
}

#[test]
fn a_cancelled_one_is_taken_up_again_until_it_ends() {
    let resumed = |phase| SubscriptionEvent::SubscriptionResumed {
        subscription_id: SubscriptionId(1),
        phase,
    };
    Given::with(())
        .given(vec![trial(), cancelled("2026-01-20", "2026-01-31")])
        .when(attach(2, Plan::Business, "2026-01-21"))
        .then_expect_events(vec![
            changed(Plan::Team, Plan::Business),
            resumed(Phase::Trialing),
        ]);
    Given::with(())
        .given(vec![
            trial(),
            activated(),
            cancelled("2026-02-01", "2026-02-28"),
        ])
        .when(attach(2, Plan::Team, "2026-02-27"))
        .then_expect_events(vec![resumed(Phase::Active)]);
    Given::with(())
        .given(vec![trial(), cancelled("2026-01-20", "2026-01-31")])
        .when(attach(2, Plan::Team, "2026-01-31"))
        .then_expect_events(vec![
            ended("2026-01-31"),
            started(2, Plan::Team, Phase::Active, "2026-01-31", "2026-02-28"),
        ]);
}

#[test]
fn the_limits_are_those_of_the_terms_and_after_the_end_the_free_ones() {
    assert_eq!(Subscription::default().limits(), None);
    let mut subscription = folded::<Subscription>(&[trial()]);
    assert_eq!(subscription.limits(), Some(Plan::Team.limits()));
    carry_out(&mut subscription, attach(2, Plan::Enterprise, "2026-01-18"));
    assert_eq!(subscription.limits(), Some(Plan::Enterprise.limits()));
    carry_out(&mut subscription, cancel(true, "2026-01-18"));
    assert_eq!(subscription.limits(), Some(Plan::Free.limits()));
    assert_eq!(subscription.running(time("2026-01-18")), None);
}

#[test]
fn a_cancelled_one_runs_to_its_end_also_when_nobody_notes_it() {
    let subscription = folded::<Subscription>(&[trial(), cancelled("2026-01-20", "2026-01-31")]);
    let running = |day| subscription.running(time(day));
    assert_eq!(running("2026-01-30"), Some(SubscriptionId(1)));
    assert_eq!(running("2026-01-31"), None);
}

#[test]
fn the_stored_form_does_not_change() {
    let terms = r#"{"plan":"team","price":{"amount":"29.00","currency":"USD"},"period":"monthly","limits":{"users":10,"leads":25000,"imports_per_month":100,"companies":3}}"#;
    for (event, stored) in [
        (
            trial(),
            format!(
                r#"{{"SubscriptionStarted":{{"subscription_id":1,"company_id":7,"terms":{terms},"phase":"trialing","started_at":"2026-01-17T12:00:00Z","period_ends_at":"2026-01-31T12:00:00Z"}}}}"#
            ),
        ),
        (
            activated(),
            r#"{"SubscriptionActivated":{"subscription_id":1,"period_started_at":"2026-01-31T12:00:00Z","period_ends_at":"2026-02-28T12:00:00Z"}}"#.to_owned(),
        ),
        (
            renewed("2026-02-28", "2026-03-31"),
            r#"{"SubscriptionRenewed":{"subscription_id":1,"period_started_at":"2026-02-28T12:00:00Z","period_ends_at":"2026-03-31T12:00:00Z"}}"#.to_owned(),
        ),
        (
            changed(Plan::Team, Plan::Team),
            format!(r#"{{"SubscriptionChanged":{{"subscription_id":1,"from":{terms},"to":{terms}}}}}"#),
        ),
        (
            cancelled("2026-01-20", "2026-01-31"),
            r#"{"SubscriptionCancelled":{"subscription_id":1,"cancelled_at":"2026-01-20T12:00:00Z","ends_at":"2026-01-31T12:00:00Z"}}"#.to_owned(),
        ),
        (
            SubscriptionEvent::SubscriptionResumed { subscription_id: SubscriptionId(1), phase: Phase::Active },
            r#"{"SubscriptionResumed":{"subscription_id":1,"phase":"active"}}"#.to_owned(),
        ),
        (
            ended("2026-01-31"),
            r#"{"SubscriptionEnded":{"subscription_id":1,"ended_at":"2026-01-31T12:00:00Z","limits":{"users":2,"leads":100,"imports_per_month":3,"companies":1}}}"#.to_owned(),
        ),
    ] {
        assert_eq!(serde_json::to_string(&event).unwrap(), stored);
        assert_survives_storage(&event, &[]);
    }
}

/// A wish, and how many days after the one before it.
fn wish() -> impl Strategy<Value = (u8, i64)> {
    (0..7_u8, 0..40_i64)
}

proptest! {
    #[test]
    fn a_repeated_command_adds_nothing_and_the_history_is_the_state(
        wishes in proptest::collection::vec(wish(), 0..40),
    ) {
        let mut subscription = Subscription::default();
        let mut history = Vec::new();
        let mut now = time("2026-01-31");
        for (n, (wish, days)) in wishes.into_iter().enumerate() {
            now += TimeDelta::days(days);
            let command = match wish {
                0..=3 => SubscriptionCommand::Attach {
                    subscription_id: SubscriptionId(i64::try_from(n).unwrap()),
                    company_id: CompanyId(7),
                    terms: Box::new(terms(Plan::ALL[usize::from(wish)])),
                    now,
                },
                4 => SubscriptionCommand::Cancel { immediately: true, now },
                5 => SubscriptionCommand::Cancel { immediately: false, now },
                _ => SubscriptionCommand::PassTime { now },
            };
            history.extend(carry_out(&mut subscription, command.clone()));
            let before = subscription.clone();
            prop_assert_eq!(carry_out(&mut subscription, command), vec![]);
            prop_assert_eq!(&subscription, &before);
            if let Some(current) = subscription.live() {
                prop_assert!(wish == 4 || wish == 5 || current.period_ends_at > now);
            }
        }
        let trials = history.iter().filter(|event| matches!(
            event, SubscriptionEvent::SubscriptionStarted { phase: Phase::Trialing, .. }));
        prop_assert!(trials.count() <= 1);
        prop_assert_eq!(folded::<Subscription>(&history), subscription);
    }
}
