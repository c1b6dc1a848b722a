//! The companies' tree and the sources in it after many random commands, most of them in one batch.

use aggregates::Change;
use aggregates::company::profile::UpdateCompany;
use aggregates::company::sources::{SourceCommand, SourceName};
use aggregates::company::{Company, CompanyCommand, CompanyName};
use aggregates::ids::{CompanyId, SourceId, UserAccessId, UserId};
use aggregates::phone::Region;
use futures::future::join_all;
use leadledger::ledger::{
    CommitError, Committed, IdKind, Ledger, Provenance, Refusal, StreamKey, StreamKind, Unit, Work,
};
use leadledger::lineage;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::node::{assert_sound, open};
use crate::support::database::TestDatabase;

const MOST: i64 = 12;

#[derive(Debug, Clone)]
enum Wish {
    Create(Option<i64>),
    Move(i64, Option<i64>),
    Rename(i64),
    Source(i64, SourceCommand),
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let company = || 1..MOST;
    let source = || (1..8_i64).prop_map(SourceId);
    let access = || (1..4_i64).prop_map(UserAccessId);
    let command = prop_oneof![
        3 => (0..6_u8).prop_map(|n| SourceCommand::Add {
            source_id: SourceId(0),
            name: SourceName::parse(&format!("S{n}")).unwrap(),
        }),
        1 => source().prop_map(|source_id| SourceCommand::Remove { source_id }),
        2 => Just(vec![]).prop_map(|source_ids| SourceCommand::Reorder { source_ids }),
        3 => (source(), access()).prop_map(|(source_id, user_access_id)| SourceCommand::Assign {
            source_id,
            user_access_id,
        }),
        1 => access().prop_map(|user_access_id| SourceCommand::Withdraw { user_access_id }),
    ];
    let wish = prop_oneof![
        2 => proptest::option::weighted(0.8, company()).prop_map(Wish::Create),
        5 => (company(), proptest::option::weighted(0.9, company()))
            .prop_map(|(company, to)| Wish::Move(company, to)),
        1 => company().prop_map(Wish::Rename),
        4 => (1..4_i64, command).prop_map(|(company, command)| Wish::Source(company, command)),
    ];
    proptest::collection::vec(wish, 20..120)
}

fn carry_out(unit: &mut Unit<'_>, wish: &Wish) -> Result<i64, Refusal> {
    match wish {
        Wish::Create(parent) => {
            let parent = parent.filter(|parent| unit.read(*parent, Company::exists));
            let company_id = CompanyId(unit.next_id(IdKind::Company));
            let create = CompanyCommand::Create {
                company_id,
                name: CompanyName::parse("New").unwrap(),
                default: false,
                parent_company_id: parent.map(CompanyId),
                region: Region::US,
            };
            unit.execute::<Company>(company_id.get(), create)?;
            let owner = CompanyCommand::AddOwner {
                user_access_id: UserAccessId(company_id.get()),
                user_id: UserId(1),
            };
            unit.execute::<Company>(company_id.get(), owner)?;
        }
        Wish::Move(company, to) => {
            let to = to.filter(|to| unit.read(*to, Company::exists));
            let update = UpdateCompany {
                parent_company_id: to.map_or(Change::Clear, |to| Change::Set(CompanyId(to))),
                above_parent: to.map_or(vec![], |to| lineage::upwards(unit, CompanyId(to))),
                ..UpdateCompany::default()
            };
            unit.execute::<Company>(*company, CompanyCommand::Update(update))?;
        }
        Wish::Rename(company) => {
            let update = UpdateCompany {
                name: Some(CompanyName::parse("Renamed").unwrap()),
                default: Some(true),
                ..UpdateCompany::default()
            };
            unit.execute::<Company>(*company, CompanyCommand::Update(update))?;
        }
        Wish::Source(company, command) => {
            let command = match command.clone() {
                SourceCommand::Add { name, .. } => SourceCommand::Add {
                    source_id: SourceId(unit.next_id(IdKind::Source)),
                    name,
                },
                // The complete list, rotated by one.
                SourceCommand::Reorder { .. } => {
                    let known = (1..60).map(SourceId);
                    let mut source_ids: Vec<_> = unit.read(*company, |company: &Company| {
                        known
                            .filter(|id| company.sources().get(*id).is_some())
                            .collect()
                    });
                    if !source_ids.is_empty() {
                        source_ids.rotate_left(1);
                    }
                    SourceCommand::Reorder { source_ids }
                }
                other => other,
            };
            unit.execute::<Company>(*company, CompanyCommand::Source(command))?;
        }
    }
    Ok(1)
}

async fn commit(ledger: &Ledger, wish: Wish) -> Result<Committed, CommitError> {
    let mut work = Work::new(Provenance::system("test"), move |unit| {
        carry_out(unit, &wish)
    });
    for company in 1..200 {
        work = work.on(StreamKey::new(StreamKind::Company, company));
    }
    ledger.commit(work).await
}

async fn check(wishes: Vec<Wish>) {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    for parent in [None, Some(1), Some(2), None] {
        commit(&ledger, Wish::Create(parent)).await.unwrap();
    }
    // What a rule refuses is fine here.
    let done = join_all(wishes.into_iter().map(|wish| commit(&ledger, wish))).await;
    let broken = |done: &Result<_, CommitError>| matches!(done, Err(error) if !matches!(error, CommitError::Refused(_)));
    assert!(!done.iter().any(broken), "{done:?}");
    let wrong: Vec<i64> = sqlx::query_scalar(
        "WITH RECURSIVE tree AS (SELECT id, ARRAY[id] AS path FROM companies WHERE parent_company_id IS NULL \
         UNION ALL SELECT c.id, t.path || c.id FROM companies c JOIN tree t ON c.parent_company_id = t.id) \
         SELECT c.id FROM companies c LEFT JOIN tree t ON t.id = c.id WHERE t.path IS DISTINCT FROM c.path",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    assert_eq!(wrong, [0_i64; 0]);
    let gaps: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM (SELECT id, priority, row_number() OVER (PARTITION BY company_id ORDER BY priority) AS nth \
         FROM sources WHERE priority IS NOT NULL) AS s WHERE priority <> nth",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    assert_eq!(gaps, [0_i64; 0]);
    assert_sound(&database).await;
}

#[test]
fn any_commands_leave_paths_that_the_parents_tell_and_priorities_without_gaps() {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(12)
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    TestRunner::new(config)
        .run(&wishes(), |wishes| {
            runtime.block_on(check(wishes));
            Ok(())
        })
        .unwrap();
}
