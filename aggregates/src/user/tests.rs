//! The user's decisions, one by one and in any order.

use cqrs_es::test::TestFramework;
use proptest::prelude::*;

use super::*;
use crate::Change;
use crate::email::Email;
use crate::testing::{assert_survives_storage, carry_out, folded, unreadable};

type Given = TestFramework<User>;

fn name(raw: &str) -> PersonName {
    PersonName::parse(raw).unwrap()
}

fn profile() -> Profile {
    Profile {
        first_name: Some(name("Anabel")),
        lang: Some("es-MX".to_owned()),
        birthdate: NaiveDate::from_ymd_opt(1990, 2, 28),
        ..Profile::default()
    }
}

fn register() -> UserCommand {
    UserCommand::Register(Box::new(Register {
        user_id: UserId(1),
        email: Email::parse("Anabel@example.com").unwrap(),
        profile: profile(),
        password_hash: Some("$argon2id$one".to_owned()),
        status: Status::Pending,
        platform_owner: false,
    }))
}

fn registered() -> UserEvent {
    UserEvent::UserRegistered {
        user_id: UserId(1),
        email: Email::parse("anabel@example.com").unwrap().into(),
        profile: profile().into(),
        password_hash: Some("$argon2id$one".to_owned().into()),
        status: Status::Pending,
        platform_owner: false,
    }
}

fn grant(id: i64, company: i64, primary: bool) -> UserCommand {
    UserCommand::GrantAccess {
        user_access_id: UserAccessId(id),
        company_id: CompanyId(company),
        role: Role::Agent,
        primary,
    }
}

fn granted(id: i64, company: i64) -> UserEvent {
    UserEvent::AccessGranted {
        user_access_id: UserAccessId(id),
        company_id: CompanyId(company),
        role: Role::Agent,
    }
}

fn change(id: i64, company: Option<i64>, role: Option<Role>, primary: Option<bool>) -> UserCommand {
    UserCommand::ChangeAccess {
        user_access_id: UserAccessId(id),
        company_id: company.map(CompanyId),
        role,
        primary,
    }
}

fn revoke(id: i64) -> UserCommand {
    UserCommand::RevokeAccess {
        user_access_id: UserAccessId(id),
    }
}

fn revoked(id: i64, company: i64) -> UserEvent {
    UserEvent::AccessRevoked {
        user_access_id: UserAccessId(id),
        company_id: CompanyId(company),
        role: Role::Agent,
    }
}

fn primary(from: Option<i64>, to: Option<i64>) -> UserEvent {
    UserEvent::PrimaryAccessChanged {
        from: from.map(UserAccessId),
        to: to.map(UserAccessId),
    }
}

/// Accesses 1, 2 and 3 in the companies 10, 20 and 30; 1 is primary.
fn with_three() -> Vec<UserEvent> {
    vec![
        registered(),
        granted(1, 10),
        primary(None, Some(1)),
        granted(2, 20),
        granted(3, 30),
    ]
}

fn expect(given: Vec<UserEvent>, command: UserCommand, events: Vec<UserEvent>) {
    Given::with(())
        .given(given)
        .when(command)
        .then_expect_events(events);
}

fn expect_error(given: Vec<UserEvent>, command: UserCommand, error: UserError) {
    Given::with(())
        .given(given)
        .when(command)
        .then_expect_error(error);
}

#[test]
fn a_user_is_registered_once() {
    expect(vec![], register(), vec![registered()]);
    expect_error(vec![registered()], register(), UserError::AlreadyRegistered);
}

#[test]
fn nothing_happens_to_a_user_who_is_not_there() {
    for command in [
        UserCommand::UpdateProfile(Box::default()),
        UserCommand::ProveEmail,
        grant(1, 10, true),
        change(1, None, None, None),
        revoke(1),
    ] {
        expect_error(vec![], command, UserError::NotRegistered);
    }
}

#[test]
fn a_profile_changes_in_what_is_mentioned() {
    let update = UpdateProfile {
        first_name: Change::Set(name("Ana")),
        birthdate: Change::Clear,
        ..UpdateProfile::default()
    };
    let to = Profile {
        first_name: Some(name("Ana")),
        lang: Some("es-MX".to_owned()),
        ..Profile::default()
    };
    expect(
        vec![registered()],
        UserCommand::UpdateProfile(Box::new(update)),
        vec![UserEvent::ProfileChanged {
            from: profile().into(),
            to: to.into(),
        }],
    );
}

#[test]
fn an_erased_profile_is_not_changed() {
    for event in unreadable(&registered()) {
        let update = UserCommand::UpdateProfile(Box::default());
        expect_error(vec![event], update, UserError::Erased);
    }
}

#[test]
fn each_password_starts_a_session_epoch() {
    let set = || UserCommand::SetPassword {
        password_hash: "$argon2id$two".to_owned(),
    };
    let changed = |session_epoch| UserEvent::PasswordChanged {
        password_hash: "$argon2id$two".to_owned().into(),
        session_epoch,
    };
    expect(vec![registered()], set(), vec![changed(1)]);
    expect(vec![registered(), changed(1)], set(), vec![changed(2)]);
}

#[test]
fn an_email_is_proved_once() {
    let proved = UserEvent::EmailProved {};
    expect(
        vec![registered()],
        UserCommand::ProveEmail,
        vec![proved.clone()],
    );
    expect(vec![registered(), proved], UserCommand::ProveEmail, vec![]);
}

#[test]
fn the_first_access_is_primary() {
    expect(
        vec![registered()],
        grant(1, 10, false),
        vec![granted(1, 10), primary(None, Some(1))],
    );
    expect(with_three(), grant(4, 40, false), vec![granted(4, 40)]);
    expect(
        with_three(),
        grant(4, 40, true),
        vec![granted(4, 40), primary(Some(1), Some(4))],
    );
}

#[test]
fn there_is_one_access_per_company() {
    let taken = UserError::AlreadyHasAccess;
    expect_error(with_three(), grant(4, 20, false), taken);
    expect_error(with_three(), change(1, Some(20), None, None), taken);
}

#[test]
fn an_access_changes_its_role_and_its_company() {
    let changed = UserEvent::AccessChanged {
        user_access_id: UserAccessId(2),
        from_company_id: CompanyId(20),
        to_company_id: CompanyId(40),
        from_role: Role::Agent,
        to_role: Role::Owner,
    };
    let command = || change(2, Some(40), Some(Role::Owner), None);
    expect(with_three(), command(), vec![changed]);
    expect(
        with_three(),
        change(2, Some(20), Some(Role::Agent), Some(false)),
        vec![],
    );
    expect_error(
        with_three(),
        change(9, None, None, None),
        UserError::UnknownAccess,
    );
}

#[test]
fn another_primary_access_takes_the_place_of_the_former() {
    let moved = vec![primary(Some(1), Some(3))];
    expect(with_three(), change(3, None, None, Some(true)), moved);
    expect(with_three(), change(1, None, None, Some(true)), vec![]);
}

#[test]
fn a_primary_access_that_steps_down_promotes_the_oldest_other() {
    let moved = vec![primary(Some(1), Some(2))];
    expect(with_three(), change(1, None, None, Some(false)), moved);
    let only = vec![registered(), granted(1, 10), primary(None, Some(1))];
    expect(only, change(1, None, None, Some(false)), vec![]);
}

#[test]
fn revoking_the_primary_access_promotes_the_oldest() {
    expect(
        with_three(),
        revoke(1),
        vec![revoked(1, 10), primary(Some(1), Some(2))],
    );
    expect(with_three(), revoke(2), vec![revoked(2, 20)]);
    expect_error(with_three(), revoke(9), UserError::UnknownAccess);
}

#[test]
fn revoking_the_last_access_leaves_none_primary() {
    expect(
        vec![registered(), granted(1, 10), primary(None, Some(1))],
        revoke(1),
        vec![revoked(1, 10), primary(Some(1), None)],
    );
}

fn settings(phone: &str) -> AccountSettings {
    AccountSettings::default().changed(settings_change(phone))
}

fn settings_change(phone: &str) -> AccountSettingsChange {
    let numbers = [(CompanyId(10), phone.to_owned())];
    AccountSettingsChange {
        kind: Some(account_settings::AccountKind::Account),
        phone_numbers: Some(numbers.into()),
        ..AccountSettingsChange::default()
    }
}

#[test]
fn account_settings_change_with_old_and_new_values() {
    let change = |phone| UserCommand::ChangeAccountSettings(Box::new(settings_change(phone)));
    let changed = UserEvent::AccountSettingsChanged {
        from: Box::default(),
        to: Box::new(settings("+15046218927")),
    };
    assert_survives_storage(&changed, &["5046218927"]);
    expect(
        vec![registered()],
        change("+15046218927"),
        vec![changed.clone()],
    );
    expect(
        vec![registered(), changed.clone()],
        change("+15046218927"),
        vec![],
    );
    expect(
        vec![registered(), changed],
        change("+15046218928"),
        vec![UserEvent::AccountSettingsChanged {
            from: Box::new(settings("+15046218927")),
            to: Box::new(settings("+15046218928")),
        }],
    );
}

#[test]
fn a_deleted_user_loses_every_role_and_is_gone() {
    let access = |id, company_id| Access {
        id: UserAccessId(id),
        company_id: CompanyId(company_id),
        role: Role::Agent,
    };
    let end = vec![
        revoked(1, 10),
        revoked(2, 20),
        revoked(3, 30),
        primary(Some(1), None),
        UserEvent::UserDeleted {
            accesses: vec![access(1, 10), access(2, 20), access(3, 30)],
        },
    ];
    expect(with_three(), UserCommand::Delete, end.clone());
    expect_error(vec![], UserCommand::Delete, UserError::NotRegistered);
    let after = [with_three(), end].concat();
    for command in [
        UserCommand::Delete,
        UserCommand::ProveEmail,
        grant(4, 40, false),
    ] {
        expect_error(after.clone(), command, UserError::NotRegistered);
    }
    expect_error(after, register(), UserError::AlreadyRegistered);
}

fn command() -> impl Strategy<Value = UserCommand> {
    // An id stands for one access for ever; which company it is for varies.
    let id = || 1..7_i64;
    let company = || 1..5_i64;
    let role = proptest::sample::select(Role::ALL.to_vec());
    let update = (any::<bool>(), "[a-z]{1,5}").prop_map(|(clear, lang)| UpdateProfile {
        lang: Change::Set(lang),
        birthdate: if clear { Change::Clear } else { Change::Keep },
        ..UpdateProfile::default()
    });
    prop_oneof![
        2 => Just(register()),
        1 => Just(UserCommand::ProveEmail),
        2 => update.prop_map(|update| UserCommand::UpdateProfile(Box::new(update))),
        6 => (id(), company(), any::<bool>()).prop_map(|(id, company, first)| {
            grant(id * 10 + company, company, first)
        }),
        6 => (id(), company(), proptest::option::of(company()), proptest::option::of(role), any::<Option<bool>>())
            .prop_map(|(id, from, to, role, first)| change(id * 10 + from, to, role, first)),
        4 => (id(), company()).prop_map(|(id, company)| revoke(id * 10 + company)),
        2 => "[0-9]{10}".prop_map(|phone| {
            UserCommand::ChangeAccountSettings(Box::new(settings_change(&phone)))
        }),
        1 => Just(UserCommand::Delete),
    ]
}

fn commands() -> impl Strategy<Value = Vec<UserCommand>> {
    proptest::collection::vec(command(), 0..60)
}

proptest! {
    #[test]
    fn there_is_exactly_one_primary_access_while_there_is_any(commands in commands()) {
        let mut user = User::default();
        for command in commands {
            carry_out(&mut user, command);
            match user.primary() {
                Some(primary) => prop_assert!(user.access(primary).is_some()),
                None => prop_assert!(user.accesses().is_empty()),
            }
            let mut companies: Vec<_> = user.accesses().iter().map(|a| a.company_id).collect();
            companies.sort_unstable();
            companies.dedup();
            prop_assert_eq!(companies.len(), user.accesses().len());
        }
    }

    #[test]
    fn a_repeated_command_adds_nothing(commands in commands()) {
        let mut user = User::default();
        for command in commands {
            carry_out(&mut user, command.clone());
            prop_assert_eq!(carry_out(&mut user, command), vec![]);
        }
    }

    #[test]
    fn the_history_is_the_state_and_is_stored_without_loss(commands in commands()) {
        let mut user = User::default();
        let mut history = Vec::new();
        for command in commands {
            history.extend(carry_out(&mut user, command));
        }
        for event in &history {
            assert_survives_storage(event, &["nabel", "argon2", "es-MX", "1990"]);
        }
        prop_assert_eq!(folded::<User>(&history), user);
    }

    #[test]
    fn whoever_is_erased_can_still_be_given_and_denied_access(
        past in commands(),
        future in commands(),
    ) {
        let mut known = User::default();
        let mut history = Vec::new();
        for command in past {
            history.extend(carry_out(&mut known, command));
        }
        let [lost, never] = [0, 1].map(|reader| {
            let seen: Vec<_> = history
                .iter()
                .map(|event| unreadable(event)[reader].clone())
                .collect();
            folded::<User>(&seen)
        });
        for mut user in [lost, never] {
            prop_assert_eq!(user.accesses(), known.accesses());
            for command in future.clone() {
                carry_out(&mut user, command);
            }
        }
    }
}
