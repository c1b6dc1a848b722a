//! Each command acts once: when its connection is lost at any moment, and when it is sent again with the same key.

use std::collections::BTreeMap;
use std::time::Duration;

use aggregates::lead::{Lead, LeadCommand};
use futures::future::join_all;
use leadledger::ledger::{
    CommitError, Committed, IdKind, IdempotencyKey, Ledger, Provenance, Refusal, Work,
};
use sqlx::{Connection, PgConnection};

use crate::node::{add_note, assert_sound, contact, create, new_lead, open};
use crate::support::database::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_at_any_moment_neither_loses_nor_doubles_a_command() {
    let database = TestDatabase::create().await;
    let both = [open(&database).await, open(&database).await];
    let lead = create(&both[0], 1, contact("a@example.com"))
        .await
        .unwrap()
        .resource_id;
    let options = database.connect_options();
    let cutting = tokio::spawn(async move {
        let mut admin = PgConnection::connect_with(&options).await.unwrap();
        for n in 0..60 {
            tokio::time::sleep(Duration::from_millis(5 + n % 7)).await;
            sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .execute(&mut admin)
            .await
            .unwrap();
        }
    });
    let writers = (0..16_usize).map(|writer| {
        let ledger = both[writer % 2].clone();
        tokio::spawn(async move {
            let mut written = Vec::new();
            for n in 0..40 {
                let content = format!("writer {writer} note {n}");
                let note = add_note(&ledger, lead, &content).await.unwrap();
                written.push((note.resource_id, content));
            }
            written
        })
    });
    let mut expected = BTreeMap::new();
    for written in join_all(writers).await {
        expected.extend(written.unwrap());
    }
    cutting.await.unwrap();
    let notes: Vec<(i64, String)> = sqlx::query_as("SELECT id, content FROM lead_notes")
        .fetch_all(
            &mut PgConnection::connect_with(&database.connect_options())
                .await
                .unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(notes.len(), 16 * 40);
    assert_eq!(notes.into_iter().collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(assert_sound(&database).await, 1 + 16 * 40);
}

async fn create_once(
    ledger: &Ledger,
    key: &str,
    fingerprint: u8,
) -> Result<Committed, CommitError> {
    let key = IdempotencyKey::new(1, key, vec![fingerprint]);
    let work = Work::new(Provenance::system("test"), move |unit| {
        let lead_id = unit.next_id(IdKind::Lead);
        let new = new_lead(lead_id, 1, contact("a@example.com"));
        unit.execute::<Lead>(lead_id, LeadCommand::Create(Box::new(new)))?;
        Ok(lead_id)
    });
    ledger.commit(work.once(Some(key))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_sent_twenty_times_with_one_key_acts_once() {
    let database = TestDatabase::create().await;
    let both = [open(&database).await, open(&database).await];
    let sent = join_all((0..20_usize).map(|n| {
        let ledger = both[n % 2].clone();
        tokio::spawn(async move { create_once(&ledger, "key", 1).await.unwrap() })
    }))
    .await;
    let answers: Vec<_> = sent.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| answer.resource_id == 1));
    assert!(answers.iter().all(|answer| answer.position == 1));
    let acted = answers.iter().filter(|answer| !answer.replayed).count();
    assert_eq!(acted, 1);
    let reused = create_once(&both[0], "key", 2).await;
    assert!(matches!(
        reused,
        Err(CommitError::Refused(Refusal::IdempotencyKeyReused))
    ));
    let other = create_once(&both[1], "other key", 1).await.unwrap();
    assert_eq!((other.resource_id, other.replayed), (2, false));
    assert_eq!(assert_sound(&database).await, 2);
}
