//! Evidence packs and proofs from outside: what a stranger can check with nothing but the answers.

use leadledger::evidence_command;
use leadledger::proof::checkpoint::Checkpoint;
use leadledger::proof::note::VerifierKey;
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
        "because: offer sent",
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

#[tokio::test]
async fn proofs_verify_against_checkpoints() {
    let server = TestServer::start().await;
    let (ana, lead) = a_life(&server).await;
    let key = keys(&server).await;
    let key = leadledger::proof::evidence::keys_in(&key).expect("keys");
    let get = async |path: &str| server.get(path).token(&ana.token).expect(200).await;
    let first = opened(&get("/api/v1/checkpoint").await, &key);
    pack(&server, &ana, lead).await;
    let second = opened(&get("/api/v1/checkpoint").await, &key);
    assert!(first.size <= second.size);

    for position in 1..=second.size {
        let path = format!("/api/v1/proofs/inclusion?position={position}");
        let proof = &get(&path).await["inclusion"];
        let (leaf, path) = (hash(&proof["leaf_hash"]), hashes(&proof["inclusion_path"]));
        assert_eq!(hash(&proof["root_hash"]), second.root);
        let (index, size) = (position - 1, second.size);
        assert!(merkle::verify_inclusion(
            index,
            size,
            &leaf,
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

fn opened(answer: &Value, keys: &[VerifierKey]) -> Checkpoint {
    let note = answer["checkpoint"]["note"].as_str().expect("a note");
    Checkpoint::open(note, keys).expect("a signed checkpoint")
}

fn hash(value: &Value) -> [u8; 32] {
    hash_from_base64(value.as_str().expect("a text")).expect("a hash")
}

fn hashes(value: &Value) -> Vec<[u8; 32]> {
    value.as_array().expect("a list").iter().map(hash).collect()
}
