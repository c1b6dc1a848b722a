//! Evidence packs and proofs from outside: what a stranger can check with nothing but the answers.

use std::ffi::OsStr;
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use leadledger::clock::Clock;
use leadledger::ledger::checkpoints;
use leadledger::ledger::verify;
use leadledger::ledger::verify::Depth;
use leadledger::ledger::verify_proofs::Witnessed;
use leadledger::witness::Witness;
use leadledger::worker;

use leadledger::evidence_command;
use leadledger::proof::checkpoint::Checkpoint;
use leadledger::proof::keys::{TrustedKey, keys_in};
use leadledger::proof::note::Signer;
use leadledger::proof::{hash_from_base64, merkle};
use serde_json::{Value, json};

use crate::server::{Person, TestServer, int};

/// The keys as anybody can read them.
async fn keys(server: &TestServer) -> String {
    let url = format!("{}/.well-known/leadledger-checkpoint-keys", server.url());
    let client = reqwest::Client::builder().no_proxy().build();
    let answer = client.expect("a client").get(url).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.text().await.expect("a body")
}

/// A company with two leads, one of which has a life.
async fn a_life(server: &TestServer) -> (Person, i64) {
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Casa Verde").await;
    let contact = json!({"first_name": "Lucía", "email": "lucia@example.com", "phone_number": "+52 55 1234 5678"});
    let lead = int(&server.lead(&ana, company, contact).await["id"]);
    let of_lead = format!("/api/v1/leads/{lead}");
    let note = server.post(format!("{of_lead}/notes")).token(&ana.token);
    note.json(&json!({"content": "Wants an offer"}))
        .expect(201)
        .await;
    server
        .lead(&ana, company, json!({"first_name": "Another"}))
        .await;
    let change = server.put(&of_lead).token(&ana.token);
    let change = change.header("x-reason", "offer sent");
    change.json(&json!({"stage_id": 4})).expect(200).await;
    (ana, lead)
}

async fn pack(server: &TestServer, person: &Person, lead: i64) -> Value {
    let call = server.get(format!("/api/v1/leads/{lead}/evidence"));
    call.token(&person.token).expect(200).await
}

/// What the command says of a pack.
fn check(pack: &Value, key: &str) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("pack.json");
    std::fs::write(&file, pack.to_string()).expect("writing a file");
    let verdict = evidence_command::check(&file, &[key.to_owned()]).expect("a file and a key");
    (verdict.holds, verdict.text)
}

#[tokio::test]
async fn a_stranger_with_pack_and_key_convinces_himself_of_a_whole_history() {
    let server = TestServer::start().await;
    let (ana, lead) = a_life(&server).await;
    let keys = keys(&server).await;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("keys");
    std::fs::write(&file, &keys).expect("writing a file");
    let key = file.to_str().expect("a path");

    let whole = pack(&server, &ana, lead).await;
    let (holds, told) = check(&whole, key);
    assert!(holds, "{told}");
    for part in [
        "Lucía",
        "Wants an offer",
        "because: \"offer sent\"",
        "PROVED",
        "3 events",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    // The same with the key's text.
    let text = keys.lines().find(|line| !line.starts_with('#'));
    let text = text.and_then(|line| line.split(' ').next()).expect("a key");
    assert!(check(&whole, text).0);

    // One event withheld, as a server would that has something to hide.
    let mut withheld = whole.clone();
    withheld["events"].as_array_mut().expect("events").pop();
    withheld["stream_events"] = json!(2);
    let (holds, told) = check(&withheld, key);
    assert!(!holds && told.contains("NOT PROVED"), "{told}");

    // What happened meanwhile is in the next pack at once.
    let note = server.post(format!("/api/v1/leads/{lead}/notes"));
    let note = note.token(&ana.token).json(&json!({"content": "Again"}));
    note.expect(201).await;
    let next = pack(&server, &ana, lead).await;
    assert_eq!(next["events"].as_array().map(Vec::len), Some(4));
    assert!(check(&next, key).0);
    server.assert_sound().await;
}

/// Runs a program on a pack and a key, and answers whether it is content, with what it says.
fn judged(mut program: Command, pack: &Value, keys: &[&OsStr]) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("pack.json");
    std::fs::write(&file, pack.to_string()).expect("writing a file");
    let done = program.arg(&file).args(keys).output().expect("a program");
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.stderr.is_empty(), "{done:?}");
    (done.status.success(), told)
}

/// The command, and a verifier in another language that was written from the description alone, are of one mind.
#[tokio::test]
async fn two_verifiers_without_server_or_database_agree() {
    let server = TestServer::start().await;
    let (ana, lead) = a_life(&server).await;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trusted = folder.path().join("keys");
    std::fs::write(&trusted, keys(&server).await).expect("writing a file");
    let whole = pack(&server, &ana, lead).await;
    let nowhere = folder.path().join("nowhere");
    let ours = |pack: &Value| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_leadledger"));
        program.env("LEADLEDGER_DATA_DIR", &nowhere);
        program.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
        program.args(["verify-evidence"]);
        judged(program, pack, &["--key".as_ref(), trusted.as_os_str()])
    };
    let python = Command::new("python3").arg("--version").output().is_ok();
    let theirs = |pack: &Value, lead: Option<i64>| {
        let mut program = Command::new("python3");
        program.arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/scripts/verify-evidence.py"
        ));
        let lead = lead.map(|lead| lead.to_string());
        let lead = lead.iter().map(OsStr::new);
        let arguments: Vec<&OsStr> = std::iter::once(trusted.as_os_str()).chain(lead).collect();
        judged(program, pack, &arguments)
    };
    let mut packs = vec![whole.clone()];
    let mut deceive = |change: &dyn Fn(&mut Value)| {
        let mut pack = whole.clone();
        change(&mut pack);
        packs.push(pack);
    };
    deceive(&|p| drop(p["events"].as_array_mut().expect("events").pop()));
    deceive(&|p| {
        p["events"].as_array_mut().expect("events").pop();
        p["stream_events"] = json!(2);
    });
    deceive(&|p| p["events"][1]["sequence"] = json!(3));
    deceive(&|p| p["events"][0]["recorded_at_micros"] = json!(0));
    deceive(&|p| p["events"][2]["inclusion_path"][0] = json!("AAAA"));
    deceive(&|p| p["stream_proof"] = json!([]));
    deceive(&|p| p["checkpoint"] = json!("a\n1\nb\n\n\u{2014} c d\n"));
    deceive(&|p| {
        let note = p["checkpoint"].as_str().expect("a note").trim_end();
        p["checkpoint"] = json!(note);
    });
    deceive(&|p| p["events"] = json!({}));
    deceive(&|p| *p = json!([]));
    for (n, pack) in packs.iter().enumerate() {
        let (holds, told) = ours(pack);
        assert_eq!(holds, n == 0, "{n}: {told}");
        assert_eq!(told.contains("NOT PROVED"), n != 0);
        if python {
            let (holds, told) = theirs(pack, None);
            assert_eq!(holds, n == 0, "{n}: {told}");
        }
    }
    if python {
        let (holds, told) = theirs(&whole, Some(lead));
        assert!(
            holds && told.contains(&format!(" of lead {lead}: ")),
            "{told}"
        );
        let (holds, told) = theirs(&whole, Some(lead + 1));
        assert!(!holds && told.contains("and not of lead"), "{told}");
    }
    assert!(!nowhere.exists(), "no data directory is made");
}

/// Whoever kept the secret of a key that was retired signs a pack of today with it.
#[tokio::test]
async fn a_pack_that_a_retired_key_signed_is_not_proved() {
    let server = TestServer::start().await;
    let (ana, lead) = a_life(&server).await;
    let before = pack(&server, &ana, lead).await;
    let pool = server.database.pool();
    let seed = sqlx::query_scalar("SELECT value FROM server_secrets WHERE name = 'checkpoints'");
    let seed: Vec<u8> = seed.fetch_one(pool).await.expect("a seed");
    let now = server.app.clock.now();
    checkpoints::rotate(pool, now).await.expect("another key");
    let keys = keys(&server).await;
    let trusted = keys_in(&keys).expect("keys");
    let note = before["checkpoint"].as_str().expect("a note");
    let mut forged = Checkpoint::open(note, &trusted).expect("a checkpoint");
    forged.time = now + TimeDelta::days(90);
    let old = Signer::from_seed(&forged.origin, &seed).expect("a signer");
    let mut after = before.clone();
    after["checkpoint"] = json!(forged.signed_by(&[&old]));
    let again = pack(&server, &ana, lead).await;

    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("keys");
    std::fs::write(&file, &keys).expect("writing a file");
    let python = Command::new("python3").arg("--version").output().is_ok();
    for (pack, proved) in [(&before, true), (&after, false), (&again, true)] {
        let (holds, told) = check(pack, file.to_str().expect("a path"));
        assert_eq!(holds, proved, "{told}");
        assert!(proved || told.contains(" the key that signed it ended at "));
        if python {
            let mut program = Command::new("python3");
            program.arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/scripts/verify-evidence.py"
            ));
            let (holds, told) = judged(program, pack, &[file.as_os_str()]);
            assert_eq!(holds, proved, "{told}");
        }
    }
}

#[tokio::test]
async fn a_checkpoint_is_made_and_witnessed_in_each_minute_in_which_something_happened() {
    let start: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().expect("a time");
    let clock = Clock::fixed(start);
    let server = TestServer::start_by(clock.clone()).await;
    let folder = server.data.path().join("checkpoints");
    worker::round(&server.app).await;
    let witness = Witness::existing(folder.to_str().expect("a path"));
    let witness = witness.expect("the folder of checkpoints");
    let count = async || witness.read().await.expect("checkpoints").len();
    assert_eq!(count().await, 1, "of the first run");
    clock.advance(TimeDelta::minutes(5));
    worker::round(&server.app).await;
    assert_eq!(count().await, 1, "nothing happened");
    let (ana, lead) = a_life(&server).await;
    worker::round(&server.app).await;
    worker::round(&server.app).await;
    assert_eq!(count().await, 2, "once a minute");
    // What an evidence pack signed is witnessed too.
    let note = server.post(format!("/api/v1/leads/{lead}/notes"));
    let note = note.token(&ana.token).json(&json!({"content": "Again"}));
    note.expect(201).await;
    pack(&server, &ana, lead).await;
    worker::round(&server.app).await;
    let notes = witness.read().await.expect("checkpoints");
    assert_eq!(notes.len(), 3);
    let witnessed = Witnessed {
        notes,
        keys: keys_in(&keys(&server).await).expect("keys"),
        complete_to: Some(i64::MAX),
    };
    let options = server.database.connect_options();
    let found = verify::run_with(&options, &[], &witnessed, Depth::USUAL, |_, _| {}).await;
    let found = found.expect("verifying");
    assert_eq!(found.differences, Vec::<String>::new());
}

#[tokio::test]
async fn proofs_verify_against_checkpoints() {
    let server = TestServer::start().await;
    let (ana, lead) = a_life(&server).await;
    let key = keys(&server).await;
    let key = keys_in(&key).expect("keys");
    let get = async |path: &str| server.get(path).token(&ana.token).expect(200).await;
    let first = opened(&get("/api/v1/checkpoint").await, &key);
    pack(&server, &ana, lead).await;
    let second = opened(&get("/api/v1/checkpoint").await, &key);
    assert!(first.size <= second.size);

    for position in 1..=second.size {
        let path = format!("/api/v1/proofs/inclusion?position={position}");
        let proof = &get(&path).await["inclusion"];
        let hash_of_event = hash(&proof["leaf_hash"]);
        let path = hashes(&proof["inclusion_path"]);
        assert_eq!(hash(&proof["root_hash"]), second.root);
        let (index, size) = (position - 1, second.size);
        assert!(merkle::verify_inclusion(
            index,
            size,
            &hash_of_event,
            &path,
            &second.root
        ));
        let path = format!("/api/v1/proofs/consistency?from={position}");
        let proof = &get(&path).await["consistency"];
        let from = hash(&proof["from_root_hash"]);
        let path = hashes(&proof["consistency_path"]);
        let (to, root) = (second.size, &second.root);
        assert!(merkle::verify_consistency(
            (position, &from),
            (to, root),
            &path
        ));
    }
    let beyond = second.size + 1;
    for (path, field) in [
        ("inclusion".to_owned(), "position"),
        ("inclusion?position=0".to_owned(), "position"),
        (format!("inclusion?position={beyond}"), "position"),
        (format!("inclusion?position={}", i64::MIN), "position"),
        ("inclusion?position=1&tree_size=0".to_owned(), "tree_size"),
        (
            format!("inclusion?position=1&tree_size={}", i64::MAX),
            "tree_size",
        ),
        ("consistency?from=-1".to_owned(), "from"),
        (format!("consistency?from=1&to={beyond}"), "to"),
        ("consistency?from=3&to=2".to_owned(), "from"),
    ] {
        let call = server.get(format!("/api/v1/proofs/{path}"));
        let answer = call.token(&ana.token).expect(400).await;
        assert!(answer["errors"][field].is_array(), "{path}: {answer}");
    }
}

fn opened(answer: &Value, keys: &[TrustedKey]) -> Checkpoint {
    let note = answer["checkpoint"]["note"].as_str().expect("a note");
    Checkpoint::open(note, keys).expect("a signed checkpoint")
}

fn hash(value: &Value) -> [u8; 32] {
    hash_from_base64(value.as_str().expect("a text")).expect("a hash")
}

fn hashes(value: &Value) -> Vec<[u8; 32]> {
    value.as_array().expect("a list").iter().map(hash).collect()
}

#[tokio::test]
async fn the_pack_of_then_is_given_again_and_still_verifies() {
    let clock = Clock::fixed("2027-01-01T09:00:00Z".parse().expect("an instant"));
    let server = TestServer::start_by(clock.clone()).await;
    let (ana, lead) = a_life(&server).await;
    let key = keys(&server).await;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("keys");
    std::fs::write(&file, &key).expect("writing a file");
    let key = file.to_str().expect("a path");
    let path = format!("/api/v1/leads/{lead}/evidence");

    let mut then = Vec::new();
    for n in 0..4 {
        clock.advance(TimeDelta::seconds(10));
        let change = server
            .put(format!("/api/v1/leads/{lead}"))
            .token(&ana.token);
        change
            .json(&json!({"first_name": format!("Lucía {n}")}))
            .expect(200)
            .await;
        let pack = server.get(&path).token(&ana.token).answer().await;
        then.push((clock.now(), pack.text));
    }
    // The map is made anew: what held at the checkpoints still does.
    let mut connection = server
        .database
        .pool()
        .acquire()
        .await
        .expect("a connection");
    leadledger::ledger::checkpoints::rebuild(&mut connection)
        .await
        .expect("a rebuilt map");
    drop(connection);
    clock.advance(TimeDelta::seconds(10));
    for (instant, text) in &then {
        let as_of = instant.format("%FT%TZ");
        let again = server
            .get(format!("{path}?as_of={as_of}"))
            .token(&ana.token);
        let mut again = again.expect(200).await;
        again.as_object_mut().expect("an object").remove("meta");
        let first: Value = serde_json::from_str(text).expect("a pack");
        assert_eq!(again, first, "as of {as_of}");
        let (holds, told) = check(&again, key);
        assert!(holds, "as of {as_of}: {told}");
    }
    // Before the first checkpoint there was none.
    let created: i64 = sqlx::query_scalar(
        "SELECT position FROM events WHERE aggregate_type = 'lead' AND aggregate_id = $1 AND sequence = 1",
    )
    .bind(lead.to_string())
    .fetch_one(server.database.pool())
    .await
    .expect("the lead's first event");
    for path in ["/api/v1/checkpoint", path.as_str()] {
        let none = server.get(format!("{path}?as_of={created}"));
        none.token(&ana.token).expect(404).await;
    }
    server.assert_sound().await;
}
