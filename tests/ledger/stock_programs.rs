//! Programs that use `postgres-es` as it comes, on our tables, beside a running node.

use std::time::{Duration, Instant};

use aggregates::lead::{Lead, LeadCommand};
use cqrs_es::CqrsFramework;
use cqrs_es::persist::PersistedEventStore;
use leadledger::ledger::verify;
use postgres_es::PostgresEventRepository;
use sqlx::PgPool;

use crate::node::{add_note, assert_sound, contact, create, new_lead, note, open};
use crate::support::database::TestDatabase;

type Stock = CqrsFramework<Lead, PersistedEventStore<PostgresEventRepository, Lead>>;

fn stock(pool: &PgPool) -> Stock {
    let events = PostgresEventRepository::new(pool.clone());
    CqrsFramework::new(PersistedEventStore::new_event_store(events), vec![], ())
}

/// Waits until the node has taken in what others appended.
async fn sequenced(pool: &PgPool) {
    let began = Instant::now();
    loop {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM events WHERE position IS NULL")
            .fetch_one(pool)
            .await
            .unwrap();
        if waiting == 0 {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "not sequenced");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_program_continues_our_stream_and_we_continue_its() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let ledger = open(&database).await;
    let lead = create(&ledger, 1, contact("a@example.com"))
        .await
        .unwrap()
        .resource_id;
    add_note(&ledger, lead, "ours").await.unwrap();

    let theirs = stock(pool);
    theirs
        .execute(&lead.to_string(), note(70, "theirs"))
        .await
        .unwrap();
    sequenced(pool).await;
    let read: Vec<(i64, String, i64)> =
        sqlx::query_as("SELECT id, content, position FROM lead_notes ORDER BY position")
            .fetch_all(pool)
            .await
            .unwrap();
    assert_eq!(
        read,
        [(1, "ours".to_owned(), 2), (70, "theirs".to_owned(), 3)]
    );

    let next = add_note(&ledger, lead, "ours again").await.unwrap();
    assert_eq!((next.resource_id, next.position), (71, 4));
    theirs
        .execute(&lead.to_string(), note(72, "theirs again"))
        .await
        .unwrap();
    sequenced(pool).await;
    assert_eq!(assert_sound(&database).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_a_stock_program_creates_is_listed() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let ledger = open(&database).await;
    let mut new = new_lead(40, 6, contact("theirs@example.com"));
    new.extra = [("sealed".to_owned(), "no".to_owned())].into();
    stock(pool)
        .execute("40", LeadCommand::Create(Box::new(new)))
        .await
        .unwrap();
    sequenced(pool).await;
    let read: (i64, String, String) =
        sqlx::query_as("SELECT company_id, email, extra->>'sealed' FROM leads WHERE id = 40")
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(read, (6, "theirs@example.com".to_owned(), "no".to_owned()));
    // Our ids go on after theirs.
    let ours = create(&ledger, 6, contact("a@example.com")).await.unwrap();
    assert_eq!(ours.resource_id, 41);
    add_note(&ledger, 40, "ours").await.unwrap();
    assert_eq!(assert_sound(&database).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_appended_while_no_node_ran_comes_first() {
    let database = TestDatabase::create().await;
    let new = new_lead(1, 6, contact("theirs@example.com"));
    let theirs = stock(database.pool());
    theirs
        .execute("1", LeadCommand::Create(Box::new(new)))
        .await
        .unwrap();
    theirs.execute("1", note(1, "theirs")).await.unwrap();
    let ledger = open(&database).await;
    let ours = create(&ledger, 6, contact("a@example.com")).await.unwrap();
    assert_eq!((ours.resource_id, ours.position), (2, 3));
    assert_eq!(assert_sound(&database).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_programs_and_two_nodes_write_one_lead_at_once() {
    let database = TestDatabase::create().await;
    let nodes = [open(&database).await, open(&database).await];
    let lead = create(&nodes[0], 1, contact("a@example.com"))
        .await
        .unwrap()
        .resource_id;
    let theirs = {
        let pool = database.pool().clone();
        tokio::spawn(async move {
            let theirs = stock(&pool);
            let mut done = 0;
            for n in 1..=200 {
                // Our ids go on after theirs; so far apart they never meet.
                let new = note(n * 1_000_000, "theirs");
                // Losing a place to another writer is an error of the stock framework's: its user tries again.
                let written = theirs.execute(&lead.to_string(), new).await;
                done += i64::from(written.is_ok());
            }
            done
        })
    };
    let ours = nodes.map(|ledger| {
        tokio::spawn(async move {
            for _ in 0..100 {
                add_note(&ledger, lead, "ours").await.unwrap();
            }
            ledger
        })
    });
    let mut still_open = Vec::new();
    for writer in ours {
        still_open.push(writer.await.unwrap());
    }
    let theirs = theirs.await.unwrap();
    assert!(theirs > 0);
    sequenced(database.pool()).await;
    assert_eq!(assert_sound(&database).await, 1 + 200 + theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_events_of_others_stop_nobody() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let ledger = open(&database).await;
    let lead = create(&ledger, 1, contact("a@example.com"))
        .await
        .unwrap()
        .resource_id;
    let note = r#"{"LeadNoteAdded":{"note_id":9223372036854775807,"author_id":1,"content":"x"}}"#;
    for (kind, id, sequence, payload) in [
        ("lead", "1", 2, r#"{"Nonsense":{}}"#),
        ("lead", "1", 3, "[]"),
        ("lead", "07", 1, note),
        ("lead", "-5", 1, note),
        ("lead", "9223372036854775807", 1, note),
        ("thing", "1", 1, "null"),
    ] {
        sqlx::query(
            "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) \
             VALUES ($1, $2, $3, 'X', '1', $4::json, '{}')",
        )
        .bind(kind)
        .bind(id)
        .bind(sequence)
        .bind(payload)
        .execute(pool)
        .await
        .unwrap();
    }
    sequenced(pool).await;
    // Three leads have a note of the same id: the first keeps it, and the others are named.
    assert_eq!(left_out(pool).await, 1);
    let note = add_note(&ledger, lead, "ours").await.unwrap();
    assert_eq!(note.resource_id, 1);
    let next = create(&ledger, 1, contact("b@example.com")).await.unwrap();
    assert_eq!((next.resource_id, next.position), (2, 9));
    assert_eq!(assert_sound(&database).await, 9);
}

/// How many events have a place but no read rows, because the tables refused them.
async fn left_out(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM unprojected_events")
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn append(pool: &PgPool, id: &str, sequence: i64, payload: &str) {
    sqlx::query(
        "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) \
         VALUES ('lead', $1, $2, 'X', '1', $3::json, '{}')",
    )
    .bind(id)
    .bind(sequence)
    .bind(payload)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_read_tables_refuse_is_left_out_however_it_comes() {
    let note = r#"{"LeadNoteAdded":{"note_id":5,"author_id":1,"content":"x"}}"#;
    // One after the other, each taken in before the next comes; and all waiting for the node when it starts.
    for at_once in [false, true] {
        let database = TestDatabase::create().await;
        let pool = database.pool();
        let mut ledger = None;
        if !at_once {
            ledger = Some(open(&database).await);
        }
        for (id, sequence) in [("1", 1), ("2", 1), ("1", 2)] {
            append(pool, id, sequence, note).await;
            if !at_once {
                sequenced(pool).await;
            }
        }
        let ledger = match ledger {
            Some(ledger) => ledger,
            None => open(&database).await,
        };
        sequenced(pool).await;
        assert_eq!(left_out(pool).await, 2, "at once: {at_once}");
        let ours = create(&ledger, 6, contact("a@example.com")).await.unwrap();
        assert_eq!((ours.resource_id, ours.position), (3, 4));
        assert_eq!(assert_sound(&database).await, 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_left_out_without_need_is_found() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    let lead = create(&ledger, 1, contact("a@example.com"))
        .await
        .unwrap()
        .resource_id;
    add_note(&ledger, lead, "ours").await.unwrap();
    sqlx::raw_sql("INSERT INTO unprojected_events VALUES (2, ''); DELETE FROM lead_notes;")
        .execute(database.pool())
        .await
        .unwrap();
    let found = verify::run(&database.connect_options(), &[], |_, _| {})
        .await
        .unwrap();
    assert_eq!(
        found.differences,
        [
            "events: position 2: is left out of the read tables without need",
            "lead_notes: id=1: is missing"
        ]
    );
}
