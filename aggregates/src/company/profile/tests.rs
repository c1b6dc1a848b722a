//! What an update changes, and which moves are refused.

use cqrs_es::test::TestFramework;

use super::*;
use crate::company::CompanyCommand;
use crate::ids::{UserAccessId, UserId};
use crate::testing::assert_survives_storage;

fn created() -> CompanyEvent {
    CompanyEvent::CompanyCreated {
        company_id: CompanyId(5),
        name: name("Acme"),
        default: false,
        parent_company_id: Some(CompanyId(1)),
        region: Region::US,
    }
}

fn name(text: &str) -> CompanyName {
    CompanyName::parse(text).unwrap()
}

fn owned() -> CompanyEvent {
    CompanyEvent::OwnerAdded {
        user_access_id: UserAccessId(1),
        user_id: UserId(1),
    }
}

fn given(
    events: Vec<CompanyEvent>,
    update: UpdateCompany,
) -> cqrs_es::test::AggregateResultValidator<Company> {
    TestFramework::<Company>::with(())
        .given(events)
        .when(CompanyCommand::Update(update))
}

fn under(parent: i64, above: &[i64]) -> UpdateCompany {
    UpdateCompany {
        parent_company_id: Change::Set(CompanyId(parent)),
        above_parent: above.iter().copied().map(CompanyId).collect(),
        ..UpdateCompany::default()
    }
}

fn moved(from: Option<i64>, to: Option<i64>) -> CompanyEvent {
    CompanyEvent::CompanyMoved {
        from_parent_company_id: from.map(CompanyId),
        to_parent_company_id: to.map(CompanyId),
    }
}

fn everything() -> (UpdateCompany, Vec<CompanyEvent>) {
    let update = UpdateCompany {
        name: Some(name("New")),
        default: Some(true),
        region: Some(Region::parse("MX").unwrap()),
        ..under(2, &[1, 2])
    };
    let events = vec![
        CompanyEvent::CompanyRenamed {
            from: name("Acme"),
            to: name("New"),
        },
        moved(Some(1), Some(2)),
        CompanyEvent::CompanyDefaultChanged {
            from: false,
            to: true,
        },
        CompanyEvent::CompanyRegionChanged {
            from: Region::US,
            to: Region::parse("MX").unwrap(),
        },
    ];
    (update, events)
}

#[test]
fn each_change_is_an_event_with_both_values_and_a_second_time_none() {
    let (update, mut events) = everything();
    given(vec![created()], update.clone()).then_expect_events(events.clone());
    events.insert(0, created());
    given(events, update).then_expect_events(vec![]);
    given(vec![created()], UpdateCompany::default()).then_expect_events(vec![]);
    given(vec![], UpdateCompany::default()).then_expect_error(CompanyError::NotCreated);
}

#[test]
fn nothing_moves_under_itself_or_below() {
    given(vec![created()], under(5, &[1, 5])).then_expect_error(CompanyError::UnderItself);
    given(vec![created()], under(5, &[])).then_expect_error(CompanyError::UnderItself);
    given(vec![created()], under(7, &[1, 5, 7])).then_expect_error(CompanyError::UnderItself);
}

#[test]
fn what_stands_alone_has_an_owner() {
    let alone = UpdateCompany {
        parent_company_id: Change::Clear,
        ..UpdateCompany::default()
    };
    given(vec![created()], alone.clone()).then_expect_error(CompanyError::NoOwner);
    given(vec![created(), owned()], alone).then_expect_events(vec![moved(Some(1), None)]);
}

#[test]
fn the_stored_form_does_not_change() {
    let stored = [
        r#"{"CompanyRenamed":{"from":"Acme","to":"New"}}"#,
        r#"{"CompanyMoved":{"from_parent_company_id":1,"to_parent_company_id":2}}"#,
        r#"{"CompanyDefaultChanged":{"from":false,"to":true}}"#,
        r#"{"CompanyRegionChanged":{"from":"US","to":"MX"}}"#,
    ];
    for (event, stored) in everything().1.iter().zip(stored) {
        assert_eq!(serde_json::to_string(event).unwrap(), stored);
        assert_survives_storage(event, &[]);
    }
}
