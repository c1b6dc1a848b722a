//! The tree, the map of streams and the checkpoints: the same whoever appends, and made up for where they are missing.

use aggregates::lead::{Lead, LeadCommand};
use chrono::{DateTime, Duration, Utc};
use leadledger::clock::Clock;
use leadledger::ledger::checkpoints::{self, ProofError};
use leadledger::ledger::verify::Depth;
use leadledger::ledger::verify_proofs::Witnessed;
use leadledger::ledger::{IdKind, Provenance, Unit, Work, rebuild, tree, verify};
use leadledger::proof::checkpoint::Checkpoint;
use leadledger::proof::keys::TrustedKey;
use leadledger::proof::note::{Signer, VerifierKey};
use sqlx::Executor;

use crate::node::{add_note, assert_sound, contact, create, new_lead, note, open};
use crate::support::database::TestDatabase;

fn now() -> DateTime<Utc> {
    Clock::system().now()
}

async fn nodes(database: &TestDatabase) -> Vec<(i16, i64, Vec<u8>)> {
    sqlx::query_as("SELECT level, index, hash FROM tree_nodes ORDER BY level, index")
        .fetch_all(database.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_and_a_stock_program_grow_one_tree() {
    let database = TestDatabase::create().await;
    let (one, two) = (open(&database).await, open(&database).await);
    let mut leads = Vec::new();
    for n in 0..4 {
        let made = create(&one, 1, contact(&format!("a{n}@example.com"))).await;
        leads.push(made.unwrap().resource_id);
    }
    let work = (0..60).map(|n| {
        let (node, lead) = (if n % 3 == 0 { &two } else { &one }, leads[n % 4]);
        async move { add_note(node, lead, &format!("note {n}")).await.unwrap() }
    });
    futures::future::join_all(work).await;
    for n in 0..20 {
        sqlx::query(
            "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) \
             VALUES ('thing', 'x', $1, 'Made', '1', '{}', '{}')",
        )
        .bind(n + 1_i64)
        .execute(database.pool())
        .await
        .unwrap();
    }
    add_note(&two, leads[0], "after").await.unwrap();
    let first = checkpoints::make(database.pool(), now()).await.unwrap();
    add_note(&one, leads[1], "the last").await.unwrap();
    let second = checkpoints::make(database.pool(), now()).await.unwrap();
    assert_eq!((first.size, second.size), (85, 86));
    let again = checkpoints::make(database.pool(), now()).await.unwrap();
    assert_eq!(again.id, second.id, "nothing happened since");
    assert_eq!(assert_sound(&database).await, 86);
    assert_eq!(nodes(&database).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_from_before_the_tree_gets_one() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    let lead = create(&ledger, 1, contact("a@example.com")).await.unwrap();
    for n in 0..300 {
        add_note(&ledger, lead.resource_id, &n.to_string())
            .await
            .unwrap();
    }
    let grown = nodes(&database).await;
    assert_eq!(grown.len(), 18 + 1);
    for missing in [
        "DELETE FROM tree_nodes",
        // Interrupted: the first nodes are there.
        "DELETE FROM tree_nodes WHERE index >= 4 OR level > 4",
    ] {
        database.pool().execute(missing).await.unwrap();
        let mut connection = database.pool().acquire().await.unwrap();
        tree::complete(&mut connection).await.unwrap();
        assert_eq!(nodes(&database).await, grown);
    }
    // A node that finds none fills it in by itself.
    database
        .pool()
        .execute("DELETE FROM tree_nodes")
        .await
        .unwrap();
    let other = open(&database).await;
    add_note(&other, lead.resource_id, "more").await.unwrap();
    assert_eq!(nodes(&database).await, grown);
    // A rebuild makes right what is wrong.
    checkpoints::make(database.pool(), now()).await.unwrap();
    database
        .pool()
        .execute("UPDATE tree_nodes SET hash = sha256('') WHERE index = 3; INSERT INTO tree_nodes VALUES (4, 99, sha256('')), (60, 5, sha256(''))")
        .await
        .unwrap();
    database
        .pool()
        .execute("UPDATE stream_map_tiles SET content = ''")
        .await
        .unwrap();
    let options = database.connect_options();
    let found = verify::run(&options, &[], |_, _| {}).await.unwrap();
    assert_eq!(found.differences.len(), 3, "{:?}", found.differences);
    let named = |what: &str| found.differences.iter().any(|found| found.contains(what));
    assert!(named("positions 49 to 64"), "{:?}", found.differences);
    rebuild::run(&options, &[], |_, _| {}).await.unwrap();
    assert_eq!(nodes(&database).await, grown);
    checkpoints::make(database.pool(), now()).await.unwrap();
    assert_sound(&database).await;
}

#[tokio::test]
async fn keys_rotate_and_what_both_signed_bridges_them() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    create(&ledger, 1, contact("a@example.com")).await.unwrap();
    let pool = database.pool();
    let now = now();
    let (one, two) = tokio::join!(
        checkpoints::ensure_key(pool, now),
        checkpoints::ensure_key(pool, now)
    );
    one.unwrap();
    two.unwrap();
    checkpoints::make(pool, now).await.unwrap();
    let later = now + Duration::hours(1);
    checkpoints::rotate(pool, later).await.unwrap();
    create(&ledger, 1, contact("b@example.com")).await.unwrap();
    checkpoints::make(pool, later).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let listed = checkpoints::keys(&mut connection).await.unwrap();
    assert_eq!(listed.len(), 2);
    let micros = |time: DateTime<Utc>| time.timestamp_micros();
    assert_eq!(listed[0].valid_until.map(micros), Some(micros(later)));
    assert_eq!(listed[1].valid_until, None);
    let keys: Vec<_> = listed
        .iter()
        .map(|key| [VerifierKey::parse(&key.verifier).unwrap().into()])
        .collect();
    let notes = checkpoints::to_witness(&mut connection).await.unwrap();
    let opens = |key: &[TrustedKey]| -> Vec<bool> {
        let opened = notes.iter().map(|kept| Checkpoint::open(&kept.note, key));
        opened.map(|opened| opened.is_ok()).collect()
    };
    assert_eq!(opens(&keys[0]), [true, true, false]);
    assert_eq!(opens(&keys[1]), [false, true, true]);
    assert_sound(&database).await;
}

/// Who kept the secret of a key that was retired goes on with it; and servers' clocks differ a little.
#[tokio::test]
async fn a_retired_key_signs_nothing_any_more() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    create(&ledger, 1, contact("a@example.com")).await.unwrap();
    let pool = database.pool();
    let early = now();
    checkpoints::make(pool, early).await.unwrap();
    let seed: Vec<u8> =
        sqlx::query_scalar("SELECT value FROM server_secrets WHERE name = 'checkpoints'")
            .fetch_one(pool)
            .await
            .unwrap();
    // The console waits while a server signs, and a server whose clock is behind signs after it.
    create(&ledger, 1, contact("b@example.com")).await.unwrap();
    let later = early + Duration::hours(1);
    checkpoints::make(pool, later).await.unwrap();
    let new = checkpoints::rotate(pool, later - Duration::seconds(5)).await;
    create(&ledger, 1, contact("c@example.com")).await.unwrap();
    let last = checkpoints::make(pool, later - Duration::seconds(9)).await;
    let last = last.unwrap();
    assert_eq!(new.unwrap().valid_from, last.made_at);
    let options = database.connect_options();
    let found = verify::run(&options, &[], |_, _| {}).await.unwrap();
    assert_eq!(found.differences, Vec::<String>::new());

    let mut connection = pool.acquire().await.unwrap();
    let listed = checkpoints::keys(&mut connection).await.unwrap();
    drop(connection);
    let keys: Vec<TrustedKey> = listed
        .iter()
        .map(|key| VerifierKey::parse(&key.verifier).unwrap().into())
        .collect();
    let old = Signer::from_seed(&keys[0].key.name, &seed).unwrap();
    assert_eq!(old.public(), &keys[0].key);
    let said = Checkpoint::open(&last.note, &keys).unwrap();
    let forged = Checkpoint {
        time: said.time + Duration::days(90),
        ..said
    };
    let note = forged.signed_by(&[&old]);
    // Also for somebody who kept the key alone, and knows of no end.
    for keys in [Vec::new(), keys] {
        let notes = vec![("forged".to_owned(), note.clone())];
        let witnessed = Witnessed {
            notes,
            keys,
            complete_to: None,
        };
        let found = verify::run_with(&options, &[], &witnessed, Depth::USUAL, |_, _| {}).await;
        let found = found.unwrap().differences;
        let [told] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert!(
            told.starts_with("witnessed checkpoint forged: the checkpoint is of ")
                && told.contains(" the key that signed it ended at "),
            "{told}"
        );
    }
    // Nor does the database hold such a one without being told.
    sqlx::query("UPDATE checkpoints SET note = $1, made_at = $2 WHERE id = $3")
        .bind(&note)
        .bind(forged.time)
        .bind(last.id)
        .execute(pool)
        .await
        .unwrap();
    let found = verify::run(&options, &[], |_, _| {}).await.unwrap();
    let tells = |told: &String| told.contains(" the key that signed it ended at ");
    assert!(found.differences.iter().any(tells), "{found:?}");
}

/// An administrator with all rights cuts the end off, and everything in the database fits. What lies outside tells.
#[tokio::test]
async fn what_was_witnessed_finds_a_ledger_that_was_rewritten_as_a_whole() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    for n in 0..3 {
        create(&ledger, 1, contact(&format!("{n}@example.com")))
            .await
            .unwrap();
    }
    let pool = database.pool();
    let early = checkpoints::make(pool, now()).await.unwrap();
    let lead = create(&ledger, 1, contact("secret@example.com")).await;
    let lead = lead.unwrap().resource_id;
    let late = checkpoints::make(pool, now()).await.unwrap();
    let rewrite = format!(
        "SET session_replication_role = replica; \
         DELETE FROM events WHERE position = 4; DELETE FROM leads WHERE id = {lead}; \
         UPDATE ledger_head SET position = 3, recorded_at = (SELECT recorded_at FROM events WHERE position = 3); \
         DELETE FROM stream_map_tiles; UPDATE stream_map SET size = 0, settled = 3; \
         DELETE FROM past.stream_map_tiles WHERE valid_until = 4; DELETE FROM checkpoints WHERE id = {}; RESET session_replication_role",
        late.id
    );
    pool.execute(rewrite.as_str()).await.unwrap();
    let options = database.connect_options();
    rebuild::run(&options, &[], |_, _| {}).await.unwrap();
    checkpoints::make(pool, now()).await.unwrap();
    // What readers were shown before gives it away, and goes too.
    let found = verify::run(&options, &[], |_, _| {}).await.unwrap();
    let tells = |difference: &String| difference.starts_with("past.stage_counts: ");
    assert!(found.differences.iter().any(tells), "{found:?}");
    let past = "SET session_replication_role = replica; \
         DELETE FROM past.stage_counts WHERE valid_until = 4; UPDATE stage_counts SET since = 3; \
         DELETE FROM past.stage_counts_daily WHERE valid_until = 4; UPDATE stage_counts_daily SET since = 3; \
         RESET session_replication_role";
    pool.execute(past).await.unwrap();
    let found = verify::run(&options, &[], |_, _| {}).await.unwrap();
    assert_eq!(found.differences, Vec::<String>::new(), "it fits by itself");

    let mut witnessed = Witnessed::default();
    for (name, kept) in [("early", &early), ("late", &late)] {
        witnessed.notes.push((name.to_owned(), kept.note.clone()));
    }
    let found = verify::run_with(&options, &[], &witnessed, Depth::USUAL, |_, _| {}).await;
    assert_eq!(
        found.unwrap().differences,
        [
            "events: position 4: missing, and what was signed has it",
            "witnessed checkpoint late: is of more events than the ledger has"
        ]
    );
    // Another event in its place does not help.
    let other = open(&database).await;
    create(&other, 1, contact("other@example.com"))
        .await
        .unwrap();
    let found = verify::run_with(&options, &[], &witnessed, Depth::USUAL, |_, _| {}).await;
    assert_eq!(
        found.unwrap().differences,
        [
            "events: position 4: something else was recorded here, or in another order",
            "witnessed checkpoint late: the ledger does not have these first 4 events"
        ]
    );
}

/// Nodes over a tail that somebody cut off must not keep anybody from writing.
#[tokio::test]
async fn nodes_that_were_left_behind_give_way() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    database
        .pool()
        .execute("INSERT INTO tree_nodes VALUES (4, 0, sha256(''))")
        .await
        .unwrap();
    for n in 0..17 {
        create(&ledger, 1, contact(&format!("{n}@example.com")))
            .await
            .unwrap();
    }
    assert_eq!(assert_sound(&database).await, 17);
}

#[tokio::test]
async fn a_ledger_that_does_not_continue_its_checkpoint_is_not_signed() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    for n in 0..2 {
        create(&ledger, 1, contact(&format!("{n}@example.com")))
            .await
            .unwrap();
    }
    let pool = database.pool();
    checkpoints::make(pool, now()).await.unwrap();
    create(&ledger, 1, contact("c@example.com")).await.unwrap();
    pool.execute("SET session_replication_role = replica; UPDATE events SET leaf_hash = sha256('') WHERE position = 1; RESET session_replication_role")
        .await
        .unwrap();
    let refused = checkpoints::make(pool, now()).await;
    assert!(
        matches!(refused, Err(ProofError::Damaged(_))),
        "{refused:?}"
    );
}

/// The map of streams takes events in by the ten thousand: what spans two of these steps must fit as well.
#[tokio::test]
async fn a_checkpoint_of_more_events_than_are_taken_in_at_once_fits() {
    const LEADS: i64 = 9_000;
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    create(&ledger, 1, contact("a@example.com")).await.unwrap();
    checkpoints::make(database.pool(), now()).await.unwrap();
    let leads = |unit: &mut Unit<'_>| {
        for n in 0..LEADS {
            let id = unit.next_id(IdKind::Lead);
            let new = new_lead(id, 1, contact(&format!("{n}@example.com")));
            unit.execute::<Lead>(id, LeadCommand::Create(Box::new(new)))?;
        }
        // So late that the lead's two events are taken in one after the other.
        for id in 2..LEADS {
            let note_id = unit.next_id(IdKind::Note);
            unit.execute::<Lead>(id, note(note_id, "hello"))?;
        }
        Ok(1)
    };
    ledger
        .commit(Work::new(Provenance::system("test"), leads))
        .await
        .unwrap();
    checkpoints::make(database.pool(), now()).await.unwrap();
    let kept: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT valid_until, count(*) FROM past.stream_map_tiles GROUP BY 1 ORDER BY 1",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    assert_eq!(kept, [(2 * LEADS - 1, 1)], "one tile was there before");
    let found = verify::run(&database.connect_options(), &[], |_, _| {}).await;
    assert_eq!(found.unwrap().differences, Vec::<String>::new());
}
