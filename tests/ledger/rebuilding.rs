//! The read tables can be proved and made again from the ledger.

use aggregates::access::Role;
use aggregates::email::Email;
use aggregates::ids::{CompanyId, UserAccessId, UserId};
use aggregates::user::{Profile, Register, Status, User, UserCommand};
use leadledger::ledger::{
    IdKind, Provenance, Refusal, StreamKey, StreamKind, Work, rebuild, verify,
};

use crate::node::{add_note, assert_sound, contact, create, open};
use crate::support::database::TestDatabase;

#[tokio::test]
async fn verify_names_a_changed_row_a_missing_one_and_a_changed_event() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    let lead = create(&ledger, 1, contact("a@example.com")).await.unwrap();
    let gone = add_note(&ledger, lead.resource_id, "hello").await.unwrap();
    assert_sound(&database).await;
    sqlx::raw_sql(&format!(
        "UPDATE leads SET stage_id = 5; DELETE FROM lead_notes WHERE id = {}; \
         ALTER TABLE events DISABLE TRIGGER ALL; \
         UPDATE events SET metadata = '{{\"actor\":\"nobody\"}}' WHERE position = 2; \
         ALTER TABLE events ENABLE TRIGGER ALL",
        gone.resource_id
    ))
    .execute(database.pool())
    .await
    .unwrap();
    let found = verify::run(&database.connect_options(), &[], |_, _| ())
        .await
        .unwrap();
    for difference in [
        "leads: id=1: differs in stage_id",
        "lead_notes: id=1: is missing",
        "events: position 2: the leaf hash is not that of the event",
    ] {
        assert!(
            found.differences.iter().any(|found| found == difference),
            "{difference} is not among {:?}",
            found.differences
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_under_load_loses_nothing() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    for n in 0..50 {
        let new = contact(&format!("p{}@example.com", n % 40));
        create(&ledger, 1, new).await.unwrap();
    }
    sqlx::query("UPDATE leads SET full_name = 'wrong', stage_id = 6")
        .execute(database.pool())
        .await
        .unwrap();
    let load = async {
        for n in 0..200 {
            let new = contact(&format!("p{}@example.com", n % 40));
            let lead = create(&ledger, 1, new).await.unwrap();
            add_note(&ledger, lead.resource_id, "hello").await.unwrap();
        }
    };
    let options = database.connect_options();
    let rebuild = rebuild::run(&options, &[], |_, _| ());
    let ((), outcome) = tokio::join!(load, rebuild);
    outcome.unwrap();
    let leads: i64 = sqlx::query_scalar("SELECT count(*) FROM leads WHERE full_name <> 'wrong'")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(leads, 250);
    assert_eq!(assert_sound(&database).await, 450);
}

#[tokio::test]
async fn a_users_rows_do_not_depend_on_which_events_shared_a_batch() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    let register = Register {
        user_id: UserId(1),
        email: Email::parse("ana@example.com").unwrap(),
        profile: Profile::default(),
        password_hash: Some("hash".into()),
        status: Status::Pending,
        platform_owner: false,
    };
    let grant = |id, company| UserCommand::GrantAccess {
        user_access_id: UserAccessId(id),
        company_id: CompanyId(company),
        role: Role::Agent,
        primary: true,
    };
    let commands = [
        UserCommand::Register(Box::new(register)),
        grant(1, 1),
        UserCommand::SetPassword {
            password_hash: "another".into(),
        },
        grant(2, 2),
        UserCommand::ProveEmail,
        UserCommand::RevokeAccess {
            user_access_id: UserAccessId(2),
        },
    ];
    let claim = ledger.email_claim(&Email::parse("ana@example.com").unwrap());
    // One commit each; a rebuild folds them all at once.
    for command in commands {
        let taken = claim.clone();
        let work = Work::new(Provenance::system("test"), move |unit| {
            // The ids above are as if they were given.
            unit.next_id(IdKind::User);
            unit.next_id(IdKind::UserAccess);
            unit.claim(&taken, 1, Refusal::EmailTaken)?;
            unit.execute::<User>(1, command.clone())?;
            Ok(1)
        });
        let stream = StreamKey::new(StreamKind::User, 1);
        let work = work.claiming(claim.clone());
        ledger.commit(work.on(stream)).await.unwrap();
    }
    assert_sound(&database).await;
}
