//! What a certificate of an erasure rests on: the ledger, and not what somebody wrote into the register beside it.

use leadledger::ledger::verify;
use leadledger::worker;
use serde_json::{Value, json};

use crate::server::{Person, TestServer, int};

/// A lead that is blocked, and its owner.
async fn blocked(server: &TestServer) -> (Person, i64) {
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = json!({"first_name": "Bo", "email": "bo@example.com"});
    let lead = int(&server.lead(&ana, company, lead).await["id"]);
    step(server, &ana, lead, "block").await;
    (ana, lead)
}

async fn step(server: &TestServer, by: &Person, lead: i64, step: &str) -> Value {
    let call = server.post(format!("/api/v1/leads/{lead}/erasure"));
    let body = json!({"step": step, "reason": "subject_request"});
    let done = call.token(&by.token).json(&body).expect(200).await;
    done["erasure"]["certificate"].clone()
}

async fn shown(server: &TestServer, by: &Person, lead: i64) -> Value {
    let call = server.get(format!("/api/v1/leads/{lead}/erasure"));
    call.token(&by.token).expect(200).await["erasure"]["certificate"].clone()
}

async fn run(server: &TestServer, sql: &str) {
    let done = sqlx::raw_sql(sql).execute(server.database.pool()).await;
    done.expect("a superuser's change");
}

async fn differences(server: &TestServer) -> Vec<String> {
    let options = server.database.connect_options();
    let found = verify::run(&options, &[], |_, _| ()).await;
    found.expect("a verified ledger").differences
}

/// The lines that do not depend on when it was signed.
fn certified(certificate: &Value) -> Vec<&str> {
    let lines = certificate.as_str().expect("a certificate").lines();
    lines
        .take_while(|line| !line.starts_with("tree "))
        .collect()
}

#[tokio::test]
async fn what_the_register_says_otherwise_is_not_signed() {
    let server = TestServer::start().await;
    let (ana, lead) = blocked(&server).await;
    let first = step(&server, &ana, lead, "erase").await;
    server.assert_sound().await;
    run(&server, "CREATE TABLE kept AS SELECT * FROM destroyed_keys").await;
    let other = "00000000-0000-0000-0000-000000000666";
    for (change, signed, told) in [
        (
            "certificate = NULL, cleared_at = now()",
            true,
            vec!["has no certificate"],
        ),
        (
            &format!("key_id = '{other}'"),
            true,
            vec!["names another key than the event"],
        ),
        (
            &format!("certificate = NULL, key_id = '{other}'"),
            false,
            vec!["names another key than the event"],
        ),
        (
            "certificate = NULL, destroyed_at = '2020-01-01'",
            false,
            vec!["was not destroyed when the event says"],
        ),
        (
            "certificate = NULL, position = position - 1",
            false,
            vec!["is not of the event that erased it"],
        ),
        (
            "certificate = replace(certificate, 'reason: subject_request', 'reason: other')",
            true,
            vec!["its certificate is not"],
        ),
    ] {
        run(&server, &format!("UPDATE destroyed_keys SET {change}")).await;
        let found = differences(&server).await;
        for told in &told {
            let told = format!("destroyed_keys: lead {lead}: {told}");
            let tells = |found: &String| found.starts_with(&told);
            assert!(found.iter().any(tells), "{change}: {found:?}");
        }
        let again = shown(&server, &ana, lead).await;
        assert_eq!(again.is_string(), signed, "{change}: {again}");
        if change.contains("certificate = NULL") && signed {
            assert_eq!(certified(&again), certified(&first));
            assert_eq!(differences(&server).await, Vec::<String>::new());
        }
        run(
            &server,
            "DELETE FROM destroyed_keys; INSERT INTO destroyed_keys SELECT * FROM kept",
        )
        .await;
    }
    // What stands in the events themselves is not signed once it was changed.
    let forged = "UPDATE destroyed_keys SET certificate = NULL; SET session_replication_role = replica; \
        UPDATE events SET metadata = replace(metadata::text, 'user:', 'user:9')::json WHERE event_type = 'LeadErased'; \
        RESET session_replication_role";
    run(&server, forged).await;
    assert_eq!(shown(&server, &ana, lead).await, Value::Null);
}

/// A stock program erases and knows of no certificate; nothing in the ledger says which key was destroyed.
#[tokio::test]
async fn the_background_work_certifies_what_nobody_asked_for() {
    let server = TestServer::start().await;
    let (ana, lead) = blocked(&server).await;
    let erased = format!(
        "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) \
         SELECT 'lead', '{lead}', max(sequence) + 1, 'LeadErased', '1', '{{\"LeadErased\":{{\"reason\":\"other\"}}}}', '{{}}' \
         FROM events WHERE aggregate_type = 'lead' AND aggregate_id = '{lead}'"
    );
    run(&server, &erased).await;
    server.company(&ana, "Another").await;
    worker::round(&server.app).await;
    let kept: Option<String> =
        sqlx::query_scalar("SELECT certificate FROM destroyed_keys WHERE key_id IS NOT NULL")
            .fetch_one(server.database.pool())
            .await
            .expect("a destroyed key");
    let certificate = shown(&server, &ana, lead).await;
    assert_eq!(certificate.as_str(), kept.as_deref());
    let lines = certified(&certificate);
    for line in ["by: unknown", "reason: other", "destroyed key: unknown"] {
        assert!(lines.contains(&line), "{lines:?}");
    }
    server.assert_sound().await;
}
