//! Tokens: made, listed, revoked, expired, last used; kept as hashes.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::agency::Agency;
use crate::server::{TestServer, ids, int};

fn tokens_path(company: i64) -> String {
    format!("/api/v1/companies/{company}/integration_tokens")
}

#[tokio::test]
async fn a_token_is_shown_once_and_kept_as_a_hash() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let path = tokens_path(agency.id);
    let body = json!({"name": " Nightly sync ", "scopes": ["users.write", "users.readonly", "users.write"],
        "expires_at": "2100-01-01T00:00:00Z"});
    let made = server
        .post(&path)
        .token(&agency.owner.token)
        .json(&body)
        .expect(201)
        .await;
    let made = &made["integration_token"];
    let secret = made["token"].as_str().unwrap();
    assert!(secret.starts_with("pit-") && secret.len() == 40, "{secret}");
    assert_eq!(made["name"], "Nightly sync");
    assert_eq!(made["scopes"], json!(["users.readonly", "users.write"]));
    assert_eq!(int(&made["company_id"]), agency.id);

    let listed = server
        .get(&path)
        .token(&agency.owner.token)
        .expect(200)
        .await;
    assert_eq!(listed["meta"]["total_count"], 2);
    let found = &listed["integration_tokens"][1];
    assert_eq!(found["id"], made["id"]);
    assert!(found["token"].is_null());
    let stored: Vec<String> = sqlx::query_scalar(
        "SELECT payload::text FROM events UNION ALL SELECT t::text FROM integration_tokens t",
    )
    .fetch_all(server.database.pool())
    .await
    .unwrap();
    assert!(!stored.iter().any(|text| text.contains(&secret[4..])));
    agency.assert_sound().await;
}

#[tokio::test]
async fn a_revoked_token_ends_at_once() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let owner = &agency.owner.token;
    let search = format!("/users/search?companyId={}", agency.id);
    agency.get(&search).expect(200).await;
    let listed = server
        .get(tokens_path(agency.id))
        .token(owner)
        .expect(200)
        .await;
    let id = ids(&listed["integration_tokens"])[0];
    let one = format!("{}/{id}", tokens_path(agency.id));
    // Another company's path does not lead there.
    let wrong = format!("{}/{id}", tokens_path(agency.north));
    server.delete(&wrong).token(owner).expect(404).await;
    assert_eq!(
        server.delete(&one).token(owner).expect(200).await,
        json!({})
    );
    agency.get(&search).expect(401).await;
    server.delete(&one).token(owner).expect(404).await;
    let listed = server
        .get(tokens_path(agency.id))
        .token(owner)
        .expect(200)
        .await;
    assert_eq!(listed["meta"]["total_count"], 0);
    agency.assert_sound().await;
}

#[tokio::test]
async fn a_token_expires() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let end = server.app.clock.now() + chrono::TimeDelta::seconds(3);
    let body = json!({"scopes": ["users.readonly"], "expires_at": end});
    let made = server
        .post(tokens_path(agency.id))
        .token(&agency.owner.token)
        .json(&body);
    let made = made.expect(201).await;
    let token = made["integration_token"]["token"].as_str().unwrap();
    let call = || {
        server
            .get(format!("/users/{}", agency.owner.id))
            .token(token)
            .header("version", "v3")
    };
    call().expect(200).await;
    tokio::time::sleep(std::time::Duration::from_millis(3_100)).await;
    call().expect(401).await;
}

#[tokio::test]
async fn its_last_use_is_noted_without_an_event() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let position = async || -> i64 {
        let query = sqlx::query_scalar("SELECT position FROM ledger_head");
        query.fetch_one(server.database.pool()).await.unwrap()
    };
    let before = position().await;
    let last_used = async || -> Value {
        let call = server
            .get(tokens_path(agency.id))
            .token(&agency.owner.token);
        call.expect(200).await["integration_tokens"][0]["last_used_at"].take()
    };
    assert!(last_used().await.is_null());
    agency
        .get(format!("/users/{}", agency.owner.id))
        .expect(200)
        .await;
    let mut seen = Value::Null;
    for _ in 0..50 {
        seen = last_used().await;
        if !seen.is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(seen.is_string());
    agency
        .get(format!("/users/{}", agency.owner.id))
        .expect(200)
        .await;
    assert_eq!(last_used().await, seen, "once a minute is enough");
    assert_eq!(position().await, before);
}

#[tokio::test]
async fn only_administrators_have_to_do_with_tokens() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let body = json!({"scopes": ["users.readonly"]});
    for (role, status) in [
        (Role::Admin, 201),
        (Role::Manager, 403),
        (Role::Auditor, 403),
    ] {
        let member = server
            .member(agency.id, &agency.owner, role, role.name())
            .await;
        let token = &member.person.token;
        let path = tokens_path(agency.id);
        server
            .post(&path)
            .token(token)
            .json(&body)
            .expect(status)
            .await;
        let status = if status == 201 { 200 } else { 403 };
        server.get(&path).token(token).expect(status).await;
        let one = format!("{path}/999999");
        let status = if status == 200 { 404 } else { 403 };
        server.delete(one).token(token).expect(status).await;
    }
    let eve = server.sign_up("Eve").await;
    let path = tokens_path(agency.id);
    server
        .post(&path)
        .token(&eve.token)
        .json(&body)
        .expect(404)
        .await;
    server.get(&path).token(&eve.token).expect(404).await;
    server
        .delete(format!("{path}/1"))
        .token(&eve.token)
        .expect(404)
        .await;
    server.get(&path).expect(401).await;
    // A token makes no tokens.
    let refused = server
        .post(&path)
        .token(&agency.token)
        .json(&body)
        .expect(403)
        .await;
    assert_eq!(refused["code"], "forbidden");
}

#[tokio::test]
async fn a_token_is_refused_naming_each_wrong_field() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let post = |body: Value| {
        let call = server
            .post(tokens_path(agency.id))
            .token(&agency.owner.token);
        call.json(&body).expect(422)
    };
    for (body, field) in [
        (json!({}), "scopes"),
        (json!({"scopes": []}), "scopes"),
        (json!({"scopes": "users.write"}), "scopes"),
        (
            json!({"scopes": ["users.write", "moon.write"]}),
            "scopes[1]",
        ),
        (json!({"scopes": ["users.write"], "name": " "}), "name"),
        (
            json!({"scopes": ["users.write"], "expires_at": "2001-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (
            json!({"scopes": ["users.write"], "expires_at": "soon"}),
            "expires_at",
        ),
    ] {
        let refused = post(body).await;
        assert!(refused["errors"][field].is_array(), "{field}: {refused}");
    }
    let call = server
        .post(tokens_path(agency.id))
        .token(&agency.owner.token);
    call.raw("{").expect(400).await;
}

/// The command prints the token, and a running server takes it at once.
#[tokio::test]
async fn the_console_makes_tokens_beside_a_running_server() {
    let server = TestServer::start().await;
    let url = server.database.url();
    let run = |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_leadledger"));
        command.args(["token", "create"]).args(arguments);
        command
            .env("DATABASE_URL", &url)
            .env("LEADLEDGER_DATA_DIR", env!("CARGO_TARGET_TMPDIR"))
            .env("LEADLEDGER_LOG", "error")
            .output()
    };
    let made = run(&[
        "--company",
        "1",
        "--scopes",
        "users.readonly,users.write",
        "--name",
        "Console",
    ])
    .await;
    let made = made.unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let token = String::from_utf8(made.stdout).unwrap();
    let call = server.get("/users/search?companyId=1").token(token.trim());
    assert_eq!(call.header("version", "v3").expect(200).await["count"], 1);
    let last = server.metadata("company", 1).await.pop().unwrap();
    assert_eq!(
        (&last["actor"], &last["source"]),
        (&json!("system"), &json!("console"))
    );
    for (wrong, told) in [
        (
            ["--company", "999999", "--scopes", "users.readonly"],
            "there is no company 999999",
        ),
        (["--company", "1", "--scopes", "moon.write"], "moon.write"),
    ] {
        let refused = run(&wrong).await.unwrap();
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(told), "{said}");
        assert!(refused.stdout.is_empty());
    }
}
