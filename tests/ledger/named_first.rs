//! What `verify` names first: the first place where the ledger is not what was recorded, as exactly as it can be known.

use leadledger::clock::Clock;
use leadledger::ledger::checkpoints;
use leadledger::ledger::verify::{self, Checks, Depth};
use leadledger::ledger::verify_proofs::{self, Witnessed};
use projections::Batch;
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};

use crate::node::{add_note, assert_sound, checkpoint, contact, create, open};
use crate::superuser::{END, run};
use crate::support::database::TestDatabase;

/// Six leads have six events each, one lead after the other; signed was after 12, 24 and 36 events.
async fn ledger(database: &TestDatabase) -> Witnessed {
    let ledger = open(database).await;
    let mut witnessed = Witnessed::default();
    for n in 0..6 {
        let made = create(&ledger, 1 + n % 2, contact(&format!("{n}@example.com"))).await;
        let lead = made.unwrap().resource_id;
        for note in 0..5 {
            add_note(&ledger, lead, &format!("note {note}"))
                .await
                .unwrap();
        }
        if n % 2 == 1 {
            witnessed.notes.push(checkpoint(database).await);
        }
    }
    assert_eq!(assert_sound(database).await, END);
    witnessed.complete_to = Some(i64::MAX);
    witnessed
}

async fn connect(database: &TestDatabase) -> PgConnection {
    let options = database.connect_options();
    let options = options.options([("search_path", "pg_temp,public"), ("jit", "off")]);
    options.connect().await.unwrap()
}

const SWAP: &str = "UPDATE events SET position = 1000000 WHERE position = $1; \
    UPDATE events SET position = $1 WHERE position = $2; \
    UPDATE events SET position = $2 WHERE position = 1000000";
const REMOVE: &str = "DELETE FROM events WHERE position = $1; \
    UPDATE events SET position = position + 1000000 WHERE position > $1; \
    UPDATE events SET position = position - 1000001 WHERE position > 1000000; \
    UPDATE ledger_head SET position = position - 1";

#[tokio::test]
async fn the_first_place_that_differs() {
    const RANGE: &str = "something else was recorded here, or in another order";
    let database = TestDatabase::create().await;
    let witnessed = ledger(&database).await;
    let mut connection = connect(&database).await;
    let of = |template: &str, one: i64, other: i64| {
        let text = template.replace("$1", &one.to_string());
        text.replace("$2", &other.to_string())
    };
    let forged = "UPDATE events SET payload = (payload::text || ' ')::json WHERE position = 28";
    for (change, first) in [
        // Within a stream, and across streams.
        (
            of(SWAP, 15, 17),
            format!("events: position 13 to 15: {RANGE}"),
        ),
        (
            of(SWAP, 18, 19),
            format!("events: position 17 to 19: {RANGE}"),
        ),
        (
            of(SWAP, 13, 14),
            "events: position 13: is number 2 of its stream, where number 1 follows".to_owned(),
        ),
        // One that is followed by others of its stream, one that is the last of it.
        (
            of(REMOVE, 15, 0),
            format!("events: position 13 to 15: {RANGE}"),
        ),
        (
            of(REMOVE, 24, 0),
            format!("events: position 17 to 24: {RANGE}"),
        ),
        (
            forged.to_owned(),
            "events: position 28: the leaf hash is not that of the event".to_owned(),
        ),
        (
            "DELETE FROM events WHERE position > 30; UPDATE ledger_head SET position = 30"
                .to_owned(),
            "events: position 31: missing, and what was signed has it".to_owned(),
        ),
        // The node is wrong, and the events are what was signed.
        (
            "UPDATE tree_nodes SET hash = sha256(hash) WHERE index = 1".to_owned(),
            "tree_nodes: the node over positions 17 to 32 is not the root of its events".to_owned(),
        ),
    ] {
        let mut attempt = connection.begin().await.unwrap();
        run(&mut attempt, "SET LOCAL session_replication_role = replica")
            .await
            .unwrap();
        run(&mut attempt, &change).await.unwrap();
        let found = verify_proofs::ledger(&mut attempt, &witnessed)
            .await
            .unwrap();
        assert_eq!(found.first(), Some(&first), "{change}: {found:#?}");
        attempt.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn what_stands_beside_the_events() {
    let database = TestDatabase::create().await;
    let mut witnessed = ledger(&database).await;
    let later = Clock::system().now() + chrono::Duration::hours(1);
    checkpoints::rotate(database.pool(), later).await.unwrap();
    let mut connection = database.pool().acquire().await.unwrap();
    let kept = checkpoints::latest(&mut connection).await.unwrap().unwrap();
    witnessed.notes.push(("both".to_owned(), kept.note));
    drop(connection);
    let mut connection = connect(&database).await;
    for (change, expected) in [
        ("SELECT 1", None),
        (
            "DELETE FROM checkpoints",
            Some(
                "witnessed checkpoint 12: the database does not list it any more; it is of the first 12 events",
            ),
        ),
        (
            "UPDATE checkpoints SET made_at = made_at - interval '1 day' WHERE id = 1",
            Some("checkpoints: id=1: was signed at"),
        ),
        (
            "UPDATE checkpoint_keys SET valid_from = '2020-01-01' WHERE id = 2",
            Some("does not hold until the next one begins"),
        ),
        (
            "UPDATE checkpoint_keys SET valid_until = '2020-01-01' WHERE id = 1; \
             UPDATE checkpoint_keys SET valid_from = '2020-01-01' WHERE id = 2",
            Some("no checkpoint of when it began is signed by it"),
        ),
        (
            "UPDATE ledger_head SET last_ids = '{\"lead\": 5, \"note\": 99}'",
            Some("ledger_head: the last id of lead is 5, and 6 was given"),
        ),
        (
            "UPDATE ledger_head SET authority_position = 3",
            Some("ledger_head: users, companies or roles changed last at position 0, and not at 3"),
        ),
        (
            "ALTER TABLE events DROP CONSTRAINT events_position_check; \
             INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position) \
             VALUES ('lead', '1', 7, 'LeadNoteRemoved', '1', '{}', '{}', 0)",
            Some("events: position 0: event 7 of lead 1 stands before the first position"),
        ),
        (
            "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) \
             VALUES ('lead', '1', 999, 'LeadNoteRemoved', '1', '{}', '{}')",
            Some("events: without a position: event 999 of lead 1 does not continue its stream"),
        ),
        (
            "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, recorded_at) \
             VALUES ('lead', '1', 7, 'LeadNoteRemoved', '1', '{}', '{}', '2020-01-01')",
            Some("event 7 of lead 1 was passed over since 2020-01-01"),
        ),
        (
            "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) \
             VALUES ('lead', '1', 7, 'LeadNoteRemoved', '1', '{}', '{}')",
            None,
        ),
    ] {
        let found = told(&mut connection, &witnessed, change).await;
        match expected {
            None => assert_eq!(found, Vec::<String>::new(), "{change}"),
            Some(expected) => assert!(
                found.iter().any(|found| found.contains(expected)),
                "{change}: {found:#?}"
            ),
        }
    }
}

/// What the whole check tells of the ledger after this change, which is taken back.
async fn told(connection: &mut PgConnection, witnessed: &Witnessed, change: &str) -> Vec<String> {
    let mut attempt = connection.begin().await.unwrap();
    run(&mut attempt, "SET LOCAL session_replication_role = replica")
        .await
        .unwrap();
    run(&mut attempt, change).await.unwrap();
    let checks = Checks {
        all: true,
        witnessed,
        depth: Depth::USUAL,
    };
    let mut batch = Batch::default();
    let found = verify::fold_apart(&mut attempt, &mut batch, checks, &mut |_, _| {}).await;
    attempt.rollback().await.unwrap();
    found.unwrap().differences
}

/// Also when the fold would have stopped at the missing one.
#[tokio::test]
async fn what_comes_behind_a_missing_event_is_judged_too() {
    let database = TestDatabase::create().await;
    ledger(&database).await;
    let mut connection = connect(&database).await;
    let change = "SET session_replication_role = replica; DELETE FROM events WHERE position = 16; \
         UPDATE events SET leaf_hash = sha256(leaf_hash) WHERE position = 30; RESET session_replication_role";
    run(&mut connection, change).await.unwrap();
    let found = verify::run(&database.connect_options(), &[], |_, _| ()).await;
    let found = found.unwrap();
    assert_eq!(found.events, 36, "{:#?}", found.differences);
    for told in [
        "events: position 16: missing",
        "events: position 30: the leaf hash",
    ] {
        let tells = |difference: &String| difference.starts_with(told);
        assert!(
            found.differences.iter().any(tells),
            "{:#?}",
            found.differences
        );
    }
    let ends = |difference: &String| difference.starts_with("events: the ledger ends");
    assert!(
        !found.differences.iter().any(ends),
        "{:#?}",
        found.differences
    );
}
