//! A user's first steps, their picture and their linked identities.

use chrono::{DateTime, TimeDelta};

use super::*;
use crate::avatar::MediaType;
use crate::email::Email;
use crate::ids::{LegalTermId, ProviderId};
use crate::testing::{assert_survives_storage, carry_out};
use crate::user::onboarding::OnboardingCommand;
use crate::user::providers::ProviderCommand;

fn user() -> User {
    let mut user = User::default();
    let register = Register {
        user_id: UserId(1),
        email: Email::parse("ana@example.com").unwrap(),
        profile: Profile::default(),
        password_hash: None,
        status: Status::Active,
        platform_owner: false,
    };
    carry_out(&mut user, UserCommand::Register(Box::new(register)));
    user
}

fn approve(terms: i64) -> UserCommand {
    UserCommand::Onboard(OnboardingCommand::ApproveTerms {
        legal_term_id: LegalTermId(terms),
        version: "one".to_owned(),
        content_hash: "00ff".to_owned(),
        at: DateTime::UNIX_EPOCH,
        ip: Some("203.0.113.7".to_owned()),
    })
}

#[test]
fn the_onboarding_completes_once() {
    let mut user = user();
    let complete = |days: i64| {
        let at = DateTime::UNIX_EPOCH + TimeDelta::days(days);
        UserCommand::Onboard(OnboardingCommand::CompleteOnboarding { at })
    };
    let completed_at = DateTime::UNIX_EPOCH;
    let completed = UserEvent::OnboardingCompleted { completed_at };
    assert_eq!(carry_out(&mut user, complete(0)), [completed]);
    assert_eq!(carry_out(&mut user, complete(1)), []);
}

#[test]
fn each_version_of_the_terms_is_approved_once_and_the_address_is_sealed() {
    let mut user = user();
    for terms in [1, 2] {
        let events = carry_out(&mut user, approve(terms));
        assert_eq!(events.len(), 1);
        assert_survives_storage(&events[0], &["203.0.113.7"]);
        assert_eq!(carry_out(&mut user, approve(terms)), []);
    }
}

#[test]
fn another_picture_is_an_event_and_the_same_one_is_not() {
    let mut user = user();
    let avatar = |hash: &str| Avatar {
        hash: hash.to_owned(),
        media_type: MediaType::Png,
        size: 7,
    };
    let set = |avatar: Option<Avatar>| UserCommand::SetAvatar(avatar);
    assert_eq!(carry_out(&mut user, set(None)), []);
    let events = carry_out(&mut user, set(Some(avatar("a0"))));
    assert_survives_storage(&events[0], &["a0"]);
    assert_eq!(carry_out(&mut user, set(Some(avatar("a0")))), []);
    let changed = UserEvent::UserAvatarChanged {
        from: Some(avatar("a0").into()),
        to: None,
    };
    assert_eq!(carry_out(&mut user, set(None)), [changed]);
    assert_eq!(user.avatar(), None);
}

#[test]
fn an_identity_is_linked_once_until_it_is_unlinked() {
    let mut user = user();
    let link = |id: i64| {
        UserCommand::Provide(ProviderCommand::LinkProvider {
            provider_id: ProviderId(id),
            provider: "google".to_owned(),
            uid: "person-77".to_owned(),
            email: None,
        })
    };
    let unlink = |id: i64| {
        let provider_id = ProviderId(id);
        UserCommand::Provide(ProviderCommand::UnlinkProvider { provider_id })
    };
    let events = carry_out(&mut user, link(1));
    assert_survives_storage(&events[0], &["person-77"]);
    assert_eq!(carry_out(&mut user, link(2)), []);
    assert_eq!(user.linked("google", "person-77"), Some(ProviderId(1)));
    assert_eq!(user.linked("apple", "person-77"), None);
    assert_eq!(user.decide(unlink(2)), Err(UserError::UnknownProvider));
    assert_eq!(carry_out(&mut user, unlink(1)).len(), 1);
    assert_eq!(user.decide(unlink(1)), Err(UserError::UnknownProvider));
    assert_eq!(carry_out(&mut user, link(3)).len(), 1);
}
