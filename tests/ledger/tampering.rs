//! What a superuser of the database can do to a ledger behind the server's back, thousands of times at random; `verify`
//! finds each. Every change is made and looked at in a savepoint, by the code that the command runs.
//!
//! Ten thousand changes altogether; `TAMPERING_CHANGES` says another number for each of the two tests, `TAMPERING_SEED` where
//! chance begins.

use aggregates::change::Change;
use aggregates::email::Email;
use aggregates::lead::UpdateLead;
use leadledger::ledger::Ledger;
use leadledger::ledger::likenesses::Unknown;
use leadledger::ledger::verify::{self, Checks, Depth, Findings};
use leadledger::ledger::verify_proofs::{self, Witnessed};
use projections::Batch;
use sqlx::{ConnectOptions, Connection};

use crate::node::{add_note, assert_sound, checkpoint, contact, create, erase, open, update};
use crate::superuser::{Chance, END, KINDS, run, tamper};
use crate::support::database::TestDatabase;

/// The ledger of the test: a few dozen events of several streams, with checkpoints that were witnessed. Leads of each company are alike, one
/// of them is erased, and others become and cease to be alike before and after.
async fn ledger(database: &TestDatabase) -> Witnessed {
    let ledger = open(database).await;
    let mut witnessed = Witnessed::default();
    for (n, email) in (0..).zip(["a", "b", "a", "b", "a", "c", "a", "b"]) {
        let email = format!("{email}@example.com");
        let made = create(&ledger, 1 + n % 2, contact(&email)).await;
        let lead = made.unwrap().resource_id;
        for note in 0..3 {
            add_note(&ledger, lead, &format!("note {note}"))
                .await
                .unwrap();
        }
        match lead {
            6 => erase(&ledger, 3, true).await,
            7 => take_email(&ledger, 1, "d@example.com").await,
            8 => take_email(&ledger, 2, "c@example.com").await,
            _ => {}
        }
        if n % 3 == 1 {
            witnessed.notes.push(checkpoint(database).await);
        }
    }
    assert_eq!(assert_sound(database).await, END);
    witnessed.complete_to = Some(i64::MAX);
    witnessed
}

async fn take_email(ledger: &Ledger, lead: i64, email: &str) {
    let email = Email::parse(email).unwrap();
    let change = UpdateLead {
        email: Change::Set(email),
        ..UpdateLead::default()
    };
    update(ledger, lead, change).await.unwrap();
}

#[tokio::test]
async fn five_thousand_changes_behind_the_servers_back_are_found() {
    tampered_ledgers_are_told(20_261_125).await;
}

#[tokio::test]
async fn five_thousand_more_changes_behind_the_servers_back_are_found() {
    tampered_ledgers_are_told(1_983).await;
}

async fn tampered_ledgers_are_told(seed: u64) {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    };
    let changes = number("TAMPERING_CHANGES", 5_000);
    let seed = number("TAMPERING_SEED", seed);
    let database = TestDatabase::create().await;
    let witnessed = ledger(&database).await;
    let mut connection = database
        .connect_options()
        .options([("search_path", "pg_temp,public"), ("jit", "off")])
        .connect()
        .await
        .unwrap();
    let mut outer = connection.begin().await.unwrap();
    let mut batch = Batch::default();
    let tables = batch.tables();
    let checks = Checks {
        all: true,
        witnessed: &witnessed,
        depth: Depth::USUAL,
    };
    let found = verify::fold_apart(&mut outer, &mut batch, checks, &mut |_, _| {}).await;
    assert_eq!(found.unwrap().differences, Vec::<String>::new());
    run(&mut outer, "SET LOCAL session_replication_role = replica")
        .await
        .unwrap();
    let mut dice = Chance(seed);
    for n in 0..changes {
        let kind = KINDS[usize::try_from(n).unwrap() % KINDS.len()];
        let mut attempt = outer.begin().await.unwrap();
        let (named, table) = match tamper(&mut attempt, &mut dice, kind, &tables).await {
            // A superuser cannot make it either: the place is taken.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                attempt.rollback().await.unwrap();
                continue;
            }
            tampered => tampered.unwrap(),
        };
        let differences = match &table {
            None => verify_proofs::ledger(&mut attempt, &witnessed)
                .await
                .unwrap(),
            Some(table) => {
                let mut findings = Findings::default();
                let unknown = Unknown::look_for(&mut attempt).await.unwrap();
                verify::compare(&mut attempt, table, &unknown, &mut findings)
                    .await
                    .unwrap();
                findings.differences
            }
        };
        let told = format!("change {n} of seed {seed}: {kind} {named:?}: {differences:?}");
        let first = differences.first().map_or("", String::as_str);
        assert!(!first.is_empty(), "not found: {told}");
        let name = named.map(|position| format!("events: position {position}: "));
        assert!(first.starts_with(name.as_deref().unwrap_or("")), "{told}");
        attempt.rollback().await.unwrap();
        if n % 100 == 0 {
            let found = verify_proofs::ledger(&mut outer, &witnessed).await.unwrap();
            assert_eq!(found, Vec::<String>::new(), "an alarm for nothing");
        }
    }
    let unknown = Unknown::look_for(&mut outer).await.unwrap();
    for table in &tables {
        let mut findings = Findings::default();
        verify::compare(&mut outer, table, &unknown, &mut findings)
            .await
            .unwrap();
        assert_eq!(findings.differences, Vec::<String>::new());
    }
    outer.rollback().await.unwrap();
}
