//! The decisions about sources, one by one and in any order; and who is next.

use cqrs_es::test::TestFramework;
use proptest::prelude::*;

use super::*;
use crate::company::{Company, CompanyCommand, CompanyError, CompanyName};
use crate::ids::CompanyId;
use crate::phone::Region;
use crate::testing::{assert_survives_storage, carry_out, folded};

type Given = TestFramework<Company>;

fn created() -> CompanyEvent {
    CompanyEvent::CompanyCreated {
        company_id: CompanyId(1),
        name: CompanyName::parse("Acme").unwrap(),
        default: false,
        parent_company_id: None,
        region: Region::US,
    }
}

fn name(text: &str) -> SourceName {
    SourceName::parse(text).unwrap()
}

fn ids(ids: &[i64]) -> Vec<SourceId> {
    ids.iter().copied().map(SourceId).collect()
}

fn add(id: i64, text: &str) -> SourceCommand {
    SourceCommand::Add {
        source_id: SourceId(id),
        name: name(text),
    }
}

fn added(id: i64, text: &str, priority: u32) -> CompanyEvent {
    CompanyEvent::SourceAdded {
        source_id: SourceId(id),
        name: name(text),
        priority,
    }
}

fn assign(source: i64, access: i64) -> SourceCommand {
    SourceCommand::Assign {
        source_id: SourceId(source),
        user_access_id: UserAccessId(access),
    }
}

fn assigned(source: i64, access: i64) -> CompanyEvent {
    CompanyEvent::SourceUserAccessAssigned {
        source_id: SourceId(source),
        user_access_id: UserAccessId(access),
    }
}

fn unassigned(source: i64, access: i64) -> CompanyEvent {
    CompanyEvent::SourceUserAccessRemoved {
        source_id: SourceId(source),
        user_access_id: UserAccessId(access),
    }
}

fn expect(given: Vec<CompanyEvent>, command: SourceCommand, events: Vec<CompanyEvent>) {
    Given::with(())
        .given(given)
        .when(CompanyCommand::Source(command))
        .then_expect_events(events);
}

fn expect_error(given: Vec<CompanyEvent>, command: SourceCommand, error: SourceError) {
    Given::with(())
        .given(given)
        .when(CompanyCommand::Source(command))
        .then_expect_error(CompanyError::Source(error));
}

fn three() -> Vec<CompanyEvent> {
    vec![
        created(),
        added(7, "Web", 1),
        added(8, "Fair", 2),
        added(9, "Radio", 3),
    ]
}

#[test]
fn a_source_is_added_last_under_a_name_of_its_own() {
    expect(three(), add(10, "Shop"), vec![added(10, "Shop", 4)]);
    expect_error(three(), add(10, " wEB"), SourceError::NameTaken);
}

#[test]
fn a_removed_source_tells_who_was_served_and_what_stays() {
    let mut given = three();
    given.push(assigned(8, 5));
    let removed = CompanyEvent::SourceRemoved {
        source_id: SourceId(8),
        name: name("Fair"),
        user_access_ids: vec![UserAccessId(5)],
        order: ids(&[7, 9]),
    };
    let remove = |id| SourceCommand::Remove {
        source_id: SourceId(id),
    };
    expect(given.clone(), remove(8), vec![removed.clone()]);
    given.push(removed);
    expect_error(given.clone(), remove(8), SourceError::Unknown);
    expect(given, add(10, "Fair"), vec![added(10, "Fair", 3)]);
}

#[test]
fn an_order_names_every_source_once() {
    let reorder = |order: &[i64]| SourceCommand::Reorder {
        source_ids: ids(order),
    };
    let reordered = CompanyEvent::SourcesReordered {
        from: ids(&[7, 8, 9]),
        to: ids(&[9, 7, 8]),
    };
    expect(three(), reorder(&[9, 7, 8]), vec![reordered]);
    expect(three(), reorder(&[7, 8, 9]), vec![]);
    for wrong in [&[][..], &[7, 8], &[7, 8, 8], &[7, 8, 9, 9], &[7, 8, 10]] {
        expect_error(three(), reorder(wrong), SourceError::IncompleteOrder);
    }
}

#[test]
fn an_access_is_assigned_once_and_taken_away_once() {
    expect(three(), assign(7, 5), vec![assigned(7, 5)]);
    expect_error(three(), assign(1, 5), SourceError::Unknown);
    let mut given = three();
    given.push(assigned(7, 5));
    expect(given.clone(), assign(7, 5), vec![]);
    let unassign = |source| SourceCommand::Unassign {
        source_id: SourceId(source),
        user_access_id: UserAccessId(5),
    };
    expect(given.clone(), unassign(7), vec![unassigned(7, 5)]);
    expect_error(given, unassign(8), SourceError::NotAssigned);
}

#[test]
fn an_access_that_ends_is_taken_out_of_every_source() {
    let mut given = three();
    given.extend([assigned(7, 5), assigned(9, 5), assigned(9, 6)]);
    let withdraw = SourceCommand::Withdraw {
        user_access_id: UserAccessId(5),
    };
    expect(given, withdraw, vec![unassigned(7, 5), unassigned(9, 5)]);
}

#[test]
fn next_is_who_was_served_least_recently_and_never_served_first() {
    let mut given = three();
    given.extend([assigned(7, 3), assigned(7, 1), assigned(7, 2)]);
    let company = folded::<Company>(&given);
    let next = |turns: &[(i64, i64)]| {
        let turns = turns.iter().copied().collect();
        let source = company.sources().get(SourceId(7)).unwrap();
        source
            .next(&turns)
            .map(|(access, turn)| (access.get(), turn))
    };
    assert_eq!(next(&[]), Some((3, 1)));
    assert_eq!(next(&[(3, 1)]), Some((1, 2)));
    assert_eq!(next(&[(3, 1), (1, 2), (2, 3)]), Some((3, 4)));
    assert_eq!(next(&[(3, 4), (1, 2), (2, 3)]), Some((1, 5)));
    // Turns of people who left count on, and are nobody's.
    assert_eq!(next(&[(9, 8), (3, 1), (1, 2)]), Some((2, 9)));
    let nobodys = company.sources().get(SourceId(8)).unwrap();
    assert_eq!(nobodys.next(&BTreeMap::new()), None);
}

#[test]
fn the_stored_form_does_not_change() {
    let removed = CompanyEvent::SourceRemoved {
        source_id: SourceId(8),
        name: name("Fair"),
        user_access_ids: vec![UserAccessId(5)],
        order: ids(&[7, 9]),
    };
    let reordered = CompanyEvent::SourcesReordered {
        from: ids(&[7, 8]),
        to: ids(&[8, 7]),
    };
    for (event, stored) in [
        (
            added(7, "Web", 1),
            r#"{"SourceAdded":{"source_id":7,"name":"Web","priority":1}}"#,
        ),
        (
            removed,
            r#"{"SourceRemoved":{"source_id":8,"name":"Fair","user_access_ids":[5],"order":[7,9]}}"#,
        ),
        (
            reordered,
            r#"{"SourcesReordered":{"from":[7,8],"to":[8,7]}}"#,
        ),
        (
            assigned(7, 5),
            r#"{"SourceUserAccessAssigned":{"source_id":7,"user_access_id":5}}"#,
        ),
        (
            unassigned(7, 5),
            r#"{"SourceUserAccessRemoved":{"source_id":7,"user_access_id":5}}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&event).unwrap(), stored);
        assert_survives_storage(&event, &[]);
    }
}

fn command() -> impl Strategy<Value = SourceCommand> {
    prop_oneof![
        3 => (1..6_i64, 1..4_u8).prop_map(|(id, n)| add(id, &format!("S{n}"))),
        1 => (1..6_i64).prop_map(|id| SourceCommand::Remove { source_id: SourceId(id) }),
        2 => Just(vec![1, 2, 3]).prop_shuffle().prop_map(|order| SourceCommand::Reorder { source_ids: ids(&order) }),
        3 => (1..6_i64, 1..4_i64).prop_map(|(source, access)| assign(source, access)),
        1 => (1..4_i64).prop_map(|access| SourceCommand::Withdraw { user_access_id: UserAccessId(access) }),
    ]
}

proptest! {
    #[test]
    fn the_history_is_the_state_and_names_stay_apart(
        commands in proptest::collection::vec(command(), 0..40),
    ) {
        let mut history = vec![created()];
        let mut company = folded::<Company>(&history);
        let mut taken = BTreeSet::new();
        for command in commands {
            // The ledger gives no id twice.
            if let SourceCommand::Add { source_id, .. } = &command
                && !taken.insert(*source_id)
            {
                continue;
            }
            history.extend(carry_out(&mut company, CompanyCommand::Source(command)));
            let sources = &company.sources().0;
            let names: BTreeSet<_> = sources.iter().map(|s| s.name.as_str().to_lowercase()).collect();
            prop_assert_eq!(names.len(), sources.len());
        }
        prop_assert_eq!(folded::<Company>(&history), company);
    }

    #[test]
    fn turns_are_fair_to_within_one_however_many_people(people in 1..9_i64, leads in 0..60_usize) {
        let mut given = three();
        given.extend((1..=people).map(|access| assigned(7, access)));
        let company = folded::<Company>(&given);
        let source = company.sources().get(SourceId(7)).unwrap();
        let (mut turns, mut counts) = (BTreeMap::new(), vec![0; usize::try_from(people).unwrap()]);
        for _ in 0..leads {
            let (access, turn) = source.next(&turns).unwrap();
            turns.insert(access.get(), turn);
            counts[usize::try_from(access.get() - 1).unwrap()] += 1;
        }
        prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
    }
}
