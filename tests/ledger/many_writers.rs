//! Many writers at once, on one node and on two.

use std::collections::BTreeSet;

use aggregates::lead::{LeadError, UpdateLead};
use futures::future::join_all;
use leadledger::ledger::{CommitError, Provenance, Refusal, Work};

use crate::node::{add_note, assert_sound, contact, create, open, update};
use crate::support::database::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_on_one_lead_all_succeed_in_one_order() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    let lead = create(&ledger, 1, contact("a@example.com")).await.unwrap();
    let notes = join_all((0..64).map(|n| {
        let ledger = ledger.clone();
        tokio::spawn(async move { add_note(&ledger, lead.resource_id, &n.to_string()).await })
    }))
    .await;
    let ids: BTreeSet<_> = notes
        .into_iter()
        .map(|note| note.unwrap().unwrap().resource_id)
        .collect();
    assert_eq!(ids, (1..=64).collect());
    assert_eq!(assert_sound(&database).await, 65);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_one_database_keep_one_order_and_give_no_id_twice() {
    let database = TestDatabase::create().await;
    let both = [open(&database).await, open(&database).await];
    let shared = create(&both[0], 1, contact("a@example.com"))
        .await
        .unwrap()
        .resource_id;
    let writers = (0..64_usize).map(|writer| {
        let ledger = both[writer % 2].clone();
        tokio::spawn(async move {
            let (mut leads, mut notes) = (Vec::new(), Vec::new());
            for round in 0..5 {
                let email = format!("w{}r{round}@example.com", writer % 7);
                let new = create(&ledger, 1, contact(&email)).await.unwrap();
                leads.push(new.resource_id);
                for lead in [shared, new.resource_id] {
                    let note = add_note(&ledger, lead, "hello").await.unwrap();
                    notes.push(note.resource_id);
                }
            }
            (leads, notes)
        })
    });
    let (mut leads, mut notes) = (vec![shared], Vec::new());
    for written in join_all(writers).await {
        let (new_leads, new_notes) = written.unwrap();
        leads.extend(new_leads);
        notes.extend(new_notes);
    }
    leads.sort_unstable();
    notes.sort_unstable();
    assert_eq!(leads, (1..=321).collect::<Vec<_>>());
    assert_eq!(notes, (1..=640).collect::<Vec<_>>());
    assert_eq!(assert_sound(&database).await, 961);
}

#[tokio::test]
async fn a_refused_command_does_not_disturb_its_neighbours() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    let lead = create(&ledger, 1, contact("a@example.com"))
        .await
        .unwrap()
        .resource_id;
    // On a runtime of one thread they are all queued before the first is taken.
    let unknown = 77;
    let (one, refused, two, denied, three) = tokio::join!(
        add_note(&ledger, lead, "one"),
        add_note(&ledger, unknown, "lost"),
        create(&ledger, 1, contact("b@example.com")),
        update(
            &ledger,
            lead,
            UpdateLead {
                only_of: Some(vec![]),
                ..UpdateLead::default()
            }
        ),
        add_note(&ledger, lead, "two"),
    );
    assert!(matches!(
        refused,
        Err(CommitError::Refused(Refusal::Lead(LeadError::NotCreated)))
    ));
    assert!(matches!(
        denied,
        Err(CommitError::Refused(Refusal::Lead(
            LeadError::NotAssignedToCaller
        )))
    ));
    // A refused command gives no id away.
    let ids = [one, two, three].map(|done| done.unwrap().resource_id);
    assert_eq!(ids, [1, 2, 2]);
    assert_eq!(assert_sound(&database).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_foreign_transaction_holds_blocks_only_who_needs_it() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    let held = create(&ledger, 1, contact("a@example.com")).await.unwrap();
    let mut foreign = database.pool().begin().await.unwrap();
    sqlx::query(
        "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) \
         VALUES ('lead', $1, 2, 'X', '1', '{}', '{}')",
    )
    .bind(held.resource_id.to_string())
    .execute(&mut *foreign)
    .await
    .unwrap();
    let (on_held, new) = tokio::join!(
        add_note(&ledger, held.resource_id, "ours"),
        create(&ledger, 1, contact("b@example.com")),
    );
    assert!(
        matches!(on_held, Err(CommitError::Unavailable)),
        "{on_held:?}"
    );
    assert_eq!(new.unwrap().resource_id, 2);
    foreign.rollback().await.unwrap();
    let note = add_note(&ledger, held.resource_id, "ours").await.unwrap();
    assert_eq!(note.position, 3);
    assert_eq!(assert_sound(&database).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_panics_does_not_end_the_writes_of_its_node() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    let faulty = Work::new(Provenance::system("test"), |_| panic!("a fault"));
    let outcome = ledger.commit(faulty).await;
    assert!(
        matches!(outcome, Err(CommitError::Unavailable)),
        "{outcome:?}"
    );
    create(&ledger, 1, contact("a@example.com")).await.unwrap();
    assert_eq!(assert_sound(&database).await, 1);
}
