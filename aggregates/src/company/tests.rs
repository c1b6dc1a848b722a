//! The company's decisions, one by one and in any order.

use chrono::DateTime;
use cqrs_es::test::TestFramework;
use proptest::prelude::*;

use super::*;
use crate::company::integration_token::{NewIntegrationToken, TokenName, TokenScope};
use crate::ids::UserId;
use crate::phone::Region;
use crate::testing::{assert_survives_storage, carry_out, folded};

type Given = TestFramework<Company>;

fn create() -> CompanyCommand {
    CompanyCommand::Create {
        company_id: CompanyId(1),
        name: CompanyName::parse(" Acme ").unwrap(),
        default: true,
        parent_company_id: None,
        region: Region::US,
    }
}

fn created() -> CompanyEvent {
    CompanyEvent::CompanyCreated {
        company_id: CompanyId(1),
        name: CompanyName::parse("Acme").unwrap(),
        default: true,
        parent_company_id: None,
        region: Region::US,
    }
}

fn add(id: i64) -> CompanyCommand {
    CompanyCommand::AddOwner {
        user_access_id: UserAccessId(id),
        user_id: UserId(id * 10),
    }
}

fn added(id: i64) -> CompanyEvent {
    CompanyEvent::OwnerAdded {
        user_access_id: UserAccessId(id),
        user_id: UserId(id * 10),
    }
}

fn remove(id: i64) -> CompanyCommand {
    CompanyCommand::RemoveOwner {
        user_access_id: UserAccessId(id),
        user_id: UserId(id * 10),
    }
}

fn removed(id: i64) -> CompanyEvent {
    CompanyEvent::OwnerRemoved {
        user_access_id: UserAccessId(id),
        user_id: UserId(id * 10),
    }
}

#[test]
fn a_company_is_created_once() {
    Given::with(())
        .given_no_previous_events()
        .when(create())
        .then_expect_events(vec![created()]);
    Given::with(())
        .given(vec![created()])
        .when(create())
        .then_expect_error(CompanyError::AlreadyCreated);
}

#[test]
fn nothing_happens_to_a_company_that_is_not_there() {
    for command in [add(1), remove(1)] {
        Given::with(())
            .given_no_previous_events()
            .when(command)
            .then_expect_error(CompanyError::NotCreated);
    }
}

#[test]
fn an_owner_is_added_once() {
    Given::with(())
        .given(vec![created()])
        .when(add(1))
        .then_expect_events(vec![added(1)]);
    Given::with(())
        .given(vec![created(), added(1)])
        .when(add(1))
        .then_expect_events(vec![]);
}

#[test]
fn an_owner_goes_while_another_stays() {
    Given::with(())
        .given(vec![created(), added(1), added(2)])
        .when(remove(1))
        .then_expect_events(vec![removed(1)]);
}

#[test]
fn the_last_owner_stays() {
    Given::with(())
        .given(vec![created(), added(1), added(2), removed(1)])
        .when(remove(2))
        .then_expect_error(CompanyError::LastOwner);
}

#[test]
fn removing_who_owns_nothing_does_nothing() {
    Given::with(())
        .given(vec![created(), added(1)])
        .when(remove(2))
        .then_expect_events(vec![]);
}

#[test]
fn a_name_is_one_line_of_at_most_200_characters() {
    assert_eq!(CompanyName::parse(" Acme\t").unwrap().as_str(), "Acme");
    assert!(CompanyName::parse(&"é".repeat(200)).is_ok());
    for raw in ["", "  ", "two\nlines", &"x".repeat(201)] {
        assert!(CompanyName::parse(raw).is_err(), "{raw:?}");
    }
}

#[test]
fn the_stored_form_does_not_change() {
    for (event, stored) in [
        (
            created(),
            r#"{"CompanyCreated":{"company_id":1,"name":"Acme","default":true,"parent_company_id":null,"region":"US"}}"#,
        ),
        (
            added(3),
            r#"{"OwnerAdded":{"user_access_id":3,"user_id":30}}"#,
        ),
        (
            removed(3),
            r#"{"OwnerRemoved":{"user_access_id":3,"user_id":30}}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&event).unwrap(), stored);
    }
}

fn token() -> NewIntegrationToken {
    NewIntegrationToken {
        integration_token_id: IntegrationTokenId(7),
        name: Some(TokenName::parse("Nightly sync").unwrap()),
        scopes: vec![TokenScope::parse("users.readonly").unwrap()],
        token_hash: "ab12".to_owned(),
        expires_at: DateTime::from_timestamp(1_800_000_000, 0),
    }
}

fn token_created() -> CompanyEvent {
    let token = token();
    CompanyEvent::IntegrationTokenCreated {
        integration_token_id: token.integration_token_id,
        name: token.name,
        scopes: token.scopes,
        token_hash: token.token_hash,
        expires_at: token.expires_at,
    }
}

#[test]
fn an_integration_token_is_made_and_revoked_once() {
    let revoke = || CompanyCommand::RevokeIntegrationToken {
        integration_token_id: IntegrationTokenId(7),
    };
    let revoked = || CompanyEvent::IntegrationTokenRevoked {
        integration_token_id: IntegrationTokenId(7),
    };
    Given::with(())
        .given(vec![created()])
        .when(CompanyCommand::CreateIntegrationToken(Box::new(token())))
        .then_expect_events(vec![token_created()]);
    Given::with(())
        .given(vec![created(), token_created()])
        .when(revoke())
        .then_expect_events(vec![revoked()]);
    for given in [vec![created()], vec![created(), token_created(), revoked()]] {
        Given::with(())
            .given(given)
            .when(revoke())
            .then_expect_error(CompanyError::UnknownIntegrationToken);
    }
    let stored = r#"{"IntegrationTokenCreated":{"integration_token_id":7,"name":"Nightly sync","scopes":["users.readonly"],"token_hash":"ab12","expires_at":"2027-01-15T08:00:00Z"}}"#;
    assert_eq!(serde_json::to_string(&token_created()).unwrap(), stored);
    assert_survives_storage(&token_created(), &[]);
}

fn command() -> impl Strategy<Value = CompanyCommand> {
    prop_oneof![
        1 => Just(create()),
        4 => (1..5_i64).prop_map(add),
        4 => (1..5_i64).prop_map(remove),
    ]
}

proptest! {
    #[test]
    fn a_company_that_has_an_owner_always_keeps_one(
        commands in proptest::collection::vec(command(), 0..40),
    ) {
        let mut company = Company::default();
        let mut had_owner = false;
        for command in commands {
            carry_out(&mut company, command);
            had_owner |= !company.owners().is_empty();
            prop_assert_eq!(had_owner, !company.owners().is_empty());
        }
    }

    #[test]
    fn a_repeated_command_adds_nothing(
        commands in proptest::collection::vec(command(), 0..40),
    ) {
        let mut company = Company::default();
        for command in commands {
            carry_out(&mut company, command.clone());
            let before = company.clone();
            prop_assert_eq!(carry_out(&mut company, command), vec![]);
            prop_assert_eq!(&company, &before);
        }
    }

    #[test]
    fn the_history_is_the_state(
        commands in proptest::collection::vec(command(), 0..40),
    ) {
        let mut company = Company::default();
        let mut history = Vec::new();
        for command in commands {
            history.extend(carry_out(&mut company, command));
        }
        for event in &history {
            assert_survives_storage(event, &[]);
        }
        prop_assert_eq!(folded::<Company>(&history), company);
    }
}
