//! Changes of a superuser at which the database refuses to answer: `verify` names them, and compares the rest.

use leadledger::ledger::verify_proofs::Witnessed;

use crate::hidden_changes::{differences, each_is_told, ledger};
use crate::superuser;
use crate::support::database::TestDatabase;

#[tokio::test]
async fn an_event_that_the_tables_refuse_is_named_and_the_rest_compared() {
    let database = TestDatabase::create().await;
    ledger(&database).await;
    let mut connection = database.pool().acquire().await.unwrap();
    superuser::run(&mut connection, "SET session_replication_role = replica")
        .await
        .unwrap();
    // The last one again, as another lead's: its note has an id that is taken.
    let insert = "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position, \
         recorded_at, company_id) SELECT aggregate_type, '9', 1, event_type, event_version, payload, metadata, 23, recorded_at, company_id \
         FROM events WHERE position = 22; UPDATE ledger_head SET position = 23; \
         UPDATE lead_notes SET author_id = 77 WHERE id = 1";
    superuser::run(&mut connection, insert).await.unwrap();
    superuser::hash_anew(&mut connection, 23).await.unwrap();
    let found = differences(&database, &Witnessed::default()).await;
    let refused = "events: position 23: cannot be among the others, the read tables refuse it (23505 lead_notes_pkey)";
    assert_eq!(found[0], refused, "{found:#?}");
    let rest = "lead_notes: id=1: differs in author_id".to_owned();
    assert!(found.contains(&rest), "{found:#?}");
}

#[tokio::test]
async fn times_that_cannot_be_read_are_told() {
    each_is_told(&[
        (
            "events",
            "UPDATE events SET recorded_at = 'infinity' WHERE position = 22",
            "events: position 22: the leaf hash is not that of the event",
        ),
        (
            "events",
            "UPDATE events SET recorded_at = '250000-01-01' WHERE position = 7",
            "events: position 7: the leaf hash is not that of the event",
        ),
        (
            "checkpoints",
            "UPDATE checkpoints SET made_at = '-infinity' WHERE id = 2",
            "checkpoints: id=2: was signed at ",
        ),
        (
            "ledger_head",
            "UPDATE ledger_head SET recorded_at = 'infinity'",
            "ledger_head: the last event was recorded at ",
        ),
        (
            "ledger_head",
            "UPDATE ledger_head SET last_ids = '7'",
            "ledger_head: cannot be compared: column 0 cannot be read",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_ledger_without_its_head_is_told() {
    each_is_told(&[(
        "ledger_head",
        "DELETE FROM ledger_head",
        "ledger_head: is missing; the ledger ends at position 22",
    )])
    .await;
}
