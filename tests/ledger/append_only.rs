//! What is stored: never changed, and unreadable without the person's key.

use crate::node::{add_note, assert_sound, contact, create, open};
use crate::support::database::TestDatabase;

#[tokio::test]
async fn the_database_refuses_to_change_events() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    create(&ledger, 1, contact("a@example.com")).await.unwrap();
    for statement in [
        "UPDATE events SET payload = '{}'",
        "UPDATE events SET metadata = '{}'",
        "UPDATE events SET position = position + 1",
        "UPDATE events SET position = NULL",
        "UPDATE events SET leaf_hash = NULL",
        "UPDATE events SET recorded_at = now()",
        "UPDATE events SET company_id = 2",
        "UPDATE events SET event_type = 'LeadErased'",
        "DELETE FROM events",
        "TRUNCATE events",
    ] {
        let refused = sqlx::query(statement).execute(database.pool()).await;
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("append-only"), "{statement}: {said}");
    }
    assert_eq!(assert_sound(&database).await, 1);
}

#[tokio::test]
async fn an_unsequenced_event_gets_its_place_but_no_other_content() {
    let database = TestDatabase::create().await;
    sqlx::query(
        "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) \
         VALUES ('thing', 'x', 1, 'Made', '1', '{\"a\": 1}', '{}')",
    )
    .execute(database.pool())
    .await
    .unwrap();
    for statement in [
        "UPDATE events SET payload = '{}', position = 1",
        "UPDATE events SET payload = '{\"a\":1}', position = 1",
        "UPDATE events SET sequence = 2, position = 1",
        "UPDATE events SET event_version = '2', position = 1",
        "UPDATE events SET leaf_hash = 'x'",
    ] {
        let refused = sqlx::query(statement).execute(database.pool()).await;
        assert!(refused.is_err(), "{statement}");
    }
    // The ledger sequences also what it does not know.
    let ledger = open(&database).await;
    create(&ledger, 1, contact("a@example.com")).await.unwrap();
    assert_eq!(assert_sound(&database).await, 2);
}

#[tokio::test]
async fn personal_data_is_not_readable_in_events() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    let lead = create(&ledger, 1, contact("secret@example.com"))
        .await
        .unwrap();
    let content = "Prefers the evening";
    add_note(&ledger, lead.resource_id, content).await.unwrap();
    let stored: Vec<String> =
        sqlx::query_scalar("SELECT payload::text || metadata::text FROM events")
            .fetch_all(database.pool())
            .await
            .unwrap();
    assert_eq!(stored.len(), 2);
    for text in stored {
        for secret in ["secret", "example.com", "Anabel", "evening"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(text.contains("sealed"), "{text}");
    }
    let read: String = sqlx::query_scalar("SELECT content FROM lead_notes")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(read, content);
}
