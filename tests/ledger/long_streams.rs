//! Long streams: a node that touches one for the first time folds what came after its snapshot, and the same state comes out.

use aggregates::ids::NoteId;
use aggregates::lead::{Lead, LeadCommand, LeadError};
use leadledger::ledger::{
    CommitError, Committed, Ledger, Provenance, Refusal, StreamKey, StreamKind, Work, verify,
};
use sqlx::Executor;

use crate::node::{add_note, assert_sound, contact, create, open};
use crate::support::database::TestDatabase;

async fn remove_note(ledger: &Ledger, lead: i64, note: i64) -> Result<Committed, CommitError> {
    let work = Work::new(Provenance::system("test"), move |unit| {
        let command = LeadCommand::RemoveNote {
            note_id: NoteId(note),
            only_of: None,
        };
        unit.execute::<Lead>(lead, command)?;
        Ok(note)
    });
    ledger
        .commit(work.on(StreamKey::new(StreamKind::Lead, lead)))
        .await
}

async fn snapshot_of(database: &TestDatabase, lead: i64) -> Option<i64> {
    sqlx::query_scalar(
        "SELECT sequence FROM stream_snapshots WHERE aggregate_type = 'lead' AND aggregate_id = $1",
    )
    .bind(lead)
    .fetch_optional(database.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_node_that_begins_with_a_snapshot_decides_like_one_that_saw_everything() {
    let database = TestDatabase::create().await;
    let node = open(&database).await;
    let lead = create(&node, 1, contact("ana@example.com"))
        .await
        .unwrap()
        .resource_id;
    let mut notes = Vec::new();
    for n in 0..250 {
        notes.push(
            add_note(&node, lead, &format!("note {n}"))
                .await
                .unwrap()
                .resource_id,
        );
    }
    let taken = snapshot_of(&database, lead).await.expect("a snapshot");
    assert!((151..=251).contains(&taken), "{taken}");
    assert_sound(&database).await;

    let unknown = |outcome: Result<Committed, CommitError>| {
        matches!(
            outcome,
            Err(CommitError::Refused(Refusal::Lead(LeadError::UnknownNote)))
        )
    };
    // One note that only the snapshot knows, one that came after it, and one that was never there.
    let fresh = open(&database).await;
    remove_note(&fresh, lead, notes[0]).await.unwrap();
    remove_note(&fresh, lead, notes[249]).await.unwrap();
    assert!(unknown(remove_note(&fresh, lead, 9_999).await));
    assert!(unknown(
        remove_note(&open(&database).await, lead, notes[0]).await
    ));
    assert_eq!(assert_sound(&database).await, 253);

    // A snapshot is no more than a cache: another shape is not read, an unreadable one is made up for.
    for change in ["shape = 'of older code'", "state = 'broken'"] {
        let sql = format!("UPDATE stream_snapshots SET {change}");
        database.pool().execute(sql.as_str()).await.unwrap();
        let fresh = open(&database).await;
        assert!(
            unknown(remove_note(&fresh, lead, notes[0]).await),
            "{change}"
        );
    }
}

#[tokio::test]
async fn verify_names_a_snapshot_that_its_events_do_not_make() {
    let database = TestDatabase::create().await;
    let node = open(&database).await;
    let lead = create(&node, 1, contact("ana@example.com"))
        .await
        .unwrap()
        .resource_id;
    for n in 0..120 {
        add_note(&node, lead, &format!("note {n}")).await.unwrap();
    }
    assert_sound(&database).await;
    let changed = database
        .pool()
        .execute(
            r#"UPDATE stream_snapshots SET state = replace(state, '"notes":[1,', '"notes":[')"#,
        )
        .await
        .unwrap();
    assert_eq!(changed.rows_affected(), 1);
    let found = verify::run(&database.connect_options(), &[], |_, _| {})
        .await
        .unwrap();
    let lead = format!("stream_snapshots: lead/{lead}: differs from its events");
    assert_eq!(found.differences, [lead]);
}
