//! Users as companies see them: after any commands, what the accesses and the companies' tree say, and every query runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use aggregates::access::Role;
use aggregates::company::{Company, CompanyCommand, CompanyName};
use aggregates::email::Email;
use aggregates::ids::{CompanyId, UserAccessId, UserId};
use aggregates::phone::Region;
use aggregates::user::account_settings::{AccountKind, AccountSettingsChange};
use aggregates::user::{Profile, Register, Status, User, UserCommand};
use futures::future::join_all;
use leadledger::ledger::{
    IdKind, Ledger, Provenance, Refusal, StreamKey, StreamKind, Work, verify,
};
use projections::user_profiles::list::{self, Order, ProfileFilter, Slice};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sqlx::PgPool;

use crate::node::open;
use crate::support::database::TestDatabase;

#[derive(Debug, Clone)]
enum Wish {
    /// Below the company with this number, modulo those that are there; at the top for none.
    Company(Option<usize>),
    /// With a role at a company, and another at one that the same batch makes below it.
    User(usize),
    Grant(usize, usize, Role),
    /// Of the user's accesses, the one with this number.
    Revoke(usize, usize),
    Move(usize, usize, usize),
    Settings(usize, AccountKind),
    Delete(usize),
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let n = || 0..50_usize;
    let role = || proptest::sample::select(Role::ALL.to_vec());
    let kind = proptest::sample::select(vec![AccountKind::Account, AccountKind::Agency]);
    let wish = prop_oneof![
        2 => proptest::option::of(n()).prop_map(Wish::Company),
        4 => n().prop_map(Wish::User),
        6 => (n(), n(), role()).prop_map(|(user, company, role)| Wish::Grant(user, company, role)),
        3 => (n(), n()).prop_map(|(user, access)| Wish::Revoke(user, access)),
        3 => (n(), n(), n()).prop_map(|(user, access, to)| Wish::Move(user, access, to)),
        2 => (n(), kind).prop_map(|(user, kind)| Wish::Settings(user, kind)),
        1 => n().prop_map(Wish::Delete),
    ];
    proptest::collection::vec(wish, 20..120)
}

const PLACES: usize = 8;

fn picked(n: usize) -> i64 {
    i64::try_from(n % PLACES).unwrap() + 1
}

async fn user_command(
    ledger: &Ledger,
    user: i64,
    command: impl Fn(&User, &mut dyn FnMut() -> i64) -> Option<UserCommand> + Send + Sync + 'static,
) {
    let work = Work::new(Provenance::system("test"), move |unit| {
        let state = unit.state::<User>(user);
        let mut next = || unit.next_id(IdKind::UserAccess);
        let command = command(&state, &mut next).ok_or(Refusal::Rule("nothing_to_do"))?;
        unit.execute::<User>(user, command)?;
        Ok(user)
    });
    // What a rule refuses is fine here.
    let _ = ledger
        .commit(work.on(StreamKey::new(StreamKind::User, user)))
        .await;
}

async fn carry_out(ledger: &Ledger, wish: Wish) {
    match wish {
        Wish::Company(parent) => {
            let parent = parent.map(|parent| CompanyId(picked(parent)));
            let _ = create_company(ledger, parent).await;
        }
        Wish::User(company) => register(ledger, picked(company)).await,
        Wish::Grant(user, company, role) => {
            user_command(ledger, picked(user), move |_, next| {
                Some(UserCommand::GrantAccess {
                    user_access_id: UserAccessId(next()),
                    company_id: CompanyId(picked(company)),
                    role,
                    primary: false,
                })
            })
            .await;
        }
        Wish::Revoke(user, access) => {
            user_command(ledger, picked(user), move |state, _| {
                let held = state.accesses();
                let access = held.get(access.checked_rem(held.len())?)?;
                Some(UserCommand::RevokeAccess {
                    user_access_id: access.id,
                })
            })
            .await;
        }
        Wish::Move(user, access, to) => {
            user_command(ledger, picked(user), move |state, _| {
                let held = state.accesses();
                let access = held.get(access.checked_rem(held.len())?)?;
                Some(UserCommand::ChangeAccess {
                    user_access_id: access.id,
                    company_id: Some(CompanyId(picked(to))),
                    role: None,
                    primary: None,
                })
            })
            .await;
        }
        Wish::Settings(user, kind) => {
            let change = AccountSettingsChange {
                kind: Some(kind),
                ..AccountSettingsChange::default()
            };
            user_command(ledger, picked(user), move |_, _| {
                Some(UserCommand::ChangeAccountSettings(Box::new(change.clone())))
            })
            .await;
        }
        Wish::Delete(user) => {
            user_command(ledger, picked(user), |_, _| Some(UserCommand::Delete)).await;
        }
    }
}

fn new_company(company_id: CompanyId, parent_company_id: Option<CompanyId>) -> CompanyCommand {
    CompanyCommand::Create {
        company_id,
        name: CompanyName::parse("Acme").unwrap(),
        default: false,
        parent_company_id,
        region: Region::US,
    }
}

async fn create_company(ledger: &Ledger, parent: Option<CompanyId>) -> i64 {
    let work = Work::new(Provenance::system("test"), move |unit| {
        let id = CompanyId(unit.next_id(IdKind::Company));
        unit.execute::<Company>(id.get(), new_company(id, parent))?;
        Ok(id.get())
    });
    ledger.commit(work).await.unwrap().resource_id
}

async fn register(ledger: &Ledger, company: i64) {
    let work = Work::new(Provenance::system("test"), move |unit| {
        let user_id = UserId(unit.next_id(IdKind::User));
        let below = CompanyId(unit.next_id(IdKind::Company));
        let new = Register {
            user_id,
            email: Email::parse(&format!("u{user_id}@example.com")).unwrap(),
            profile: Profile::default(),
            password_hash: None,
            status: Status::Pending,
            platform_owner: false,
        };
        unit.execute::<User>(user_id.get(), UserCommand::Register(Box::new(new)))?;
        unit.execute::<Company>(below.get(), new_company(below, Some(CompanyId(company))))?;
        for company_id in [CompanyId(company), below] {
            let grant = UserCommand::GrantAccess {
                user_access_id: UserAccessId(unit.next_id(IdKind::UserAccess)),
                company_id,
                role: Role::Agent,
                primary: false,
            };
            unit.execute::<User>(user_id.get(), grant)?;
        }
        Ok(user_id.get())
    });
    ledger.commit(work).await.unwrap();
}

/// Whom each company sees, by the accesses and the tree as they are.
async fn recounted(pool: &PgPool) -> BTreeSet<(i64, i64)> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT DISTINCT viewer, a.user_id FROM user_accesses a JOIN companies c ON c.id = a.company_id, \
         unnest(c.path) AS viewer",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter().collect()
}

async fn check(wishes: Vec<Wish>) {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let ledger = Arc::new(open(&database).await);
    for _ in 0..PLACES {
        create_company(&ledger, None).await;
    }
    register(&ledger, 1).await;
    join_all(wishes.into_iter().map(|wish| carry_out(&ledger, wish))).await;
    let kept: Vec<(i64, i64)> =
        sqlx::query_as("SELECT company_id, user_id FROM user_memberships WHERE NOT is_deleted")
            .fetch_all(pool)
            .await
            .unwrap();
    assert_eq!(
        kept.into_iter().collect::<BTreeSet<_>>(),
        recounted(pool).await
    );
    // Each by its name: nobody here claims an e-mail, which is looked at with everything else only.
    let names = ["companies", "users", "user_accesses", "user_profiles"].map(str::to_owned);
    let found = verify::run(&database.connect_options(), &names, |_, _| {}).await;
    assert_eq!(found.unwrap().differences, Vec::<String>::new());
}

#[test]
fn any_commands_leave_each_company_the_users_it_sees() {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(8)
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    TestRunner::new(config)
        .run(&wishes(), |wishes| {
            runtime.block_on(check(wishes));
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn every_search_runs_in_every_order_with_every_filter() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    let company = CompanyId(create_company(&ledger, None).await);
    register(&ledger, company.get()).await;
    let mut connection = database.pool().acquire().await.unwrap();
    let all = ProfileFilter {
        text: Some("+1 (504) u_%".to_owned()),
        ids: Some(vec![1]),
        emails: Some(vec!["u1@example.com".to_owned()]),
        location: Some(2),
        account_type: Some("account".to_owned()),
        role: Some("user".to_owned()),
        deleted: true,
    };
    for order in [
        Order::Name,
        Order::LastName,
        Order::Email,
        Order::Added,
        Order::Updated,
    ] {
        for descending in [false, true] {
            for (filter, wanted) in [(ProfileFilter::default(), 1), (all.clone(), 0)] {
                let slice = Slice {
                    order,
                    descending,
                    skip: 0,
                    limit: 10,
                };
                let (rows, count) = list::search(&mut connection, company, &filter, slice)
                    .await
                    .unwrap();
                assert_eq!(
                    (rows.len(), count),
                    (wanted, i64::try_from(wanted).unwrap())
                );
            }
        }
    }
    let seen = list::by_id(&mut connection, company, UserId(1))
        .await
        .unwrap();
    assert_eq!(seen.unwrap().account_type, "agency");
}
