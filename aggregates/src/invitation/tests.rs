//! The invitation's decisions, one by one and in any order.

use cqrs_es::test::TestFramework;
use proptest::prelude::*;

use super::*;
use crate::testing::{assert_survives_storage, carry_out, folded, unreadable};

type Given = TestFramework<Invitation>;

fn at(hour: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(hour * 3_600, 0).unwrap()
}

fn create() -> InvitationCommand {
    InvitationCommand::Create(Box::new(CreateInvitation {
        invitation_id: InvitationId(1),
        company_id: CompanyId(2),
        email: Email::parse("Bob@Example.com").unwrap(),
        role: Role::Agent,
        invited_by: UserId(3),
        language: Some("es-MX".to_owned()),
        nonce: "n".to_owned(),
        code_hash: "h".to_owned(),
        expires_at: at(10),
    }))
}

fn created() -> InvitationEvent {
    InvitationEvent::InvitationCreated {
        invitation_id: InvitationId(1),
        company_id: CompanyId(2),
        email: Email::parse("bob@example.com").unwrap().into(),
        role: Role::Agent,
        invited_by: UserId(3),
        language: Some("es-MX".to_owned()),
        nonce: "n".to_owned(),
        code_hash: "h".to_owned(),
        expires_at: at(10),
    }
}

fn accept(hour: i64) -> InvitationCommand {
    InvitationCommand::Accept {
        user_id: UserId(4),
        user_access_id: UserAccessId(5),
        now: at(hour),
    }
}

fn accepted() -> InvitationEvent {
    InvitationEvent::InvitationAccepted {
        company_id: CompanyId(2),
        user_id: UserId(4),
        user_access_id: UserAccessId(5),
    }
}

fn expire(hour: i64) -> InvitationCommand {
    InvitationCommand::Expire { now: at(hour) }
}

fn expired() -> InvitationEvent {
    InvitationEvent::InvitationExpired {
        company_id: CompanyId(2),
        expired_at: at(10),
    }
}

fn revoked() -> InvitationEvent {
    InvitationEvent::InvitationRevoked {
        company_id: CompanyId(2),
    }
}

#[test]
fn an_invitation_is_made_once() {
    Given::with(())
        .given_no_previous_events()
        .when(create())
        .then_expect_events(vec![created()]);
    Given::with(())
        .given(vec![created()])
        .when(create())
        .then_expect_error(InvitationError::AlreadyCreated);
}

#[test]
fn nothing_happens_to_an_invitation_that_is_not_there() {
    for command in [accept(1), InvitationCommand::Revoke, expire(99)] {
        Given::with(())
            .given_no_previous_events()
            .when(command)
            .then_expect_error(InvitationError::NotCreated);
    }
}

#[test]
fn it_is_accepted_until_it_expires() {
    Given::with(())
        .given(vec![created()])
        .when(accept(9))
        .then_expect_events(vec![accepted()]);
    for hour in [10, 11] {
        Given::with(())
            .given(vec![created()])
            .when(accept(hour))
            .then_expect_error(InvitationError::Expired);
    }
}

#[test]
fn it_is_accepted_once_and_not_after_its_end() {
    for (end, error) in [
        (accepted(), InvitationError::Used),
        (revoked(), InvitationError::Revoked),
        (expired(), InvitationError::Expired),
    ] {
        Given::with(())
            .given(vec![created(), end])
            .when(accept(1))
            .then_expect_error(error);
    }
}

#[test]
fn it_expires_when_its_time_is_over_and_not_before() {
    Given::with(())
        .given(vec![created()])
        .when(expire(9))
        .then_expect_events(vec![]);
    Given::with(())
        .given(vec![created()])
        .when(expire(10))
        .then_expect_events(vec![expired()]);
    for end in [accepted(), revoked(), expired()] {
        Given::with(())
            .given(vec![created(), end])
            .when(expire(11))
            .then_expect_events(vec![]);
    }
}

#[test]
fn only_what_is_pending_is_revoked() {
    Given::with(())
        .given(vec![created()])
        .when(InvitationCommand::Revoke)
        .then_expect_events(vec![revoked()]);
    Given::with(())
        .given(vec![created(), revoked()])
        .when(InvitationCommand::Revoke)
        .then_expect_events(vec![]);
    Given::with(())
        .given(vec![created(), accepted()])
        .when(InvitationCommand::Revoke)
        .then_expect_error(InvitationError::Used);
}

#[test]
fn the_stored_form_does_not_change() {
    for (event, stored) in [
        (
            created(),
            r#"{"InvitationCreated":{"invitation_id":1,"company_id":2,"email":"bob@example.com","role":"agent","invited_by":3,"language":"es-MX","nonce":"n","code_hash":"h","expires_at":"1970-01-01T10:00:00Z"}}"#,
        ),
        (
            accepted(),
            r#"{"InvitationAccepted":{"company_id":2,"user_id":4,"user_access_id":5}}"#,
        ),
        (revoked(), r#"{"InvitationRevoked":{"company_id":2}}"#),
        (
            expired(),
            r#"{"InvitationExpired":{"company_id":2,"expired_at":"1970-01-01T10:00:00Z"}}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&event).unwrap(), stored);
        assert_survives_storage(&event, &["bob@example.com"]);
    }
}

#[test]
fn an_invitation_whose_person_is_erased_still_folds() {
    for event in unreadable(&created()) {
        let invitation = folded::<Invitation>(&[event]);
        assert!(invitation.is_open(at(9)));
        assert_eq!(invitation.offer().unwrap().email.plain(), None);
    }
}

fn command() -> impl Strategy<Value = InvitationCommand> {
    prop_oneof![
        1 => Just(create()),
        2 => (0..20_i64).prop_map(accept),
        2 => (0..20_i64).prop_map(expire),
        1 => Just(InvitationCommand::Revoke),
    ]
}

proptest! {
    #[test]
    fn an_invitation_ends_at_most_once(commands in proptest::collection::vec(command(), 0..30)) {
        let mut invitation = Invitation::default();
        let mut history = Vec::new();
        for command in commands {
            history.extend(carry_out(&mut invitation, command.clone()));
            let before = invitation.clone();
            prop_assert_eq!(carry_out(&mut invitation, command), vec![]);
            prop_assert_eq!(&invitation, &before);
        }
        prop_assert!(history.len() <= 2);
        prop_assert_eq!(folded::<Invitation>(&history), invitation);
    }
}
