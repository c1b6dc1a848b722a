//! A forgotten password: asking for a link by mail, and choosing a new password with it.

use serde_json::json;

use crate::contract::assert_as_in;
use crate::mailbox::{mails, token};
use crate::server::TestServer;

const RESET: &str = "/api/v1/users/reset_password";
const PASSWORD: &str = "/api/v1/users/password";
const NEW: &str = "Entirely-new-2026";

#[tokio::test]
async fn a_mailed_link_changes_the_password_once_and_ends_older_tokens() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let asked = json!({"email": " ANA@people.example "});
    let answer = server.post(RESET).json(&asked).expect(200).await;
    assert_as_in("POST /api/v1/users/reset_password", &answer);
    let token = token(&server, &ana.email, "users/password", 1).await;
    let events: String =
        sqlx::query_scalar("SELECT string_agg(payload::text || metadata::text, ' ') FROM events")
            .fetch_one(server.database.pool())
            .await
            .unwrap();
    assert!(!events.contains(&token), "the token is stored");

    let weak = json!({"token": token, "password": "weak"});
    let refused = server.put(PASSWORD).json(&weak).expect(422).await;
    assert!(refused["errors"]["password"].is_array(), "{refused}");
    let good = json!({"token": token, "password": NEW});
    server.put(PASSWORD).json(&good).expect(200).await;

    let me = "/api/v1/users/validate_jwt";
    server.get(me).token(&ana.token).expect(401).await;
    let credentials = json!({"email": ana.email, "password": NEW});
    let login = server.post("/api/v1/users/login").json(&credentials);
    assert_eq!(login.expect(200).await["user"]["status"], "active");
    let again = server.put(PASSWORD).json(&good).expect(422).await;
    assert_eq!(again["code"], "invalid_token");
}

#[tokio::test]
async fn a_known_and_an_unknown_address_are_answered_alike() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let mut answers = Vec::new();
    for email in [ana.email.as_str(), "nobody@people.example"] {
        let body = json!({"email": email});
        let first = server.post(RESET).json(&body).expect(200).await;
        let mut second = server.post(RESET).json(&body).expect_answer(409).await;
        assert_eq!(second.header("retry-after"), "60");
        second.body["instance"].take();
        answers.push((first, second.body));
    }
    assert_eq!(answers[0], answers[1]);
    token(&server, &ana.email, "users/password", 1).await;
    assert!(mails(&server).iter().all(|mail| !mail.contains("nobody@")));

    // A minute later it may be asked for again; the older link ends.
    let first = token(&server, &ana.email, "users/password", 1).await;
    sqlx::query(
        "UPDATE password_reset_requests SET requested_at = requested_at - interval '1 minute'",
    )
    .execute(server.database.pool())
    .await
    .unwrap();
    let body = json!({"email": ana.email});
    server.post(RESET).json(&body).expect(200).await;
    let second = token(&server, &ana.email, "users/password", 2).await;
    let old = json!({"token": first, "password": NEW});
    server.put(PASSWORD).json(&old).expect(422).await;
    let new = json!({"token": second, "password": NEW});
    server.put(PASSWORD).json(&new).expect(200).await;
}

#[tokio::test]
async fn wrong_bodies_and_tokens_are_told() {
    let server = TestServer::start().await;
    server.post(RESET).raw("{").expect(400).await;
    let refused = server.post(RESET).json(&json!({"email": "x"})).expect(422);
    assert!(refused.await["errors"]["email"].is_array());
    server.post(RESET).json(&json!({})).expect(422).await;
    server.put(PASSWORD).raw("{").expect(400).await;
    for token in ["", "x", "é", "AAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAA"] {
        let body = json!({"token": token, "password": NEW});
        server.put(PASSWORD).json(&body).expect(422).await;
    }
}

#[tokio::test]
async fn the_link_opens_a_page_that_changes_the_password() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let asked = json!({"email": ana.email});
    server.post(RESET).json(&asked).expect(200).await;
    let token = token(&server, &ana.email, "users/password", 1).await;
    let opened = server.get(format!("{PASSWORD}?token={token}&lang=pt"));
    let opened = opened.expect_answer(200).await;
    assert!(opened.header("content-type").starts_with("text/html"));
    assert!(
        opened
            .header("content-security-policy")
            .contains("default-src 'none'")
    );
    server.get(PASSWORD).expect(400).await;
    let form = |password: &str| {
        let body = format!("token={token}&lang=en&password={password}");
        server.post(PASSWORD).form(body)
    };
    form("weak").expect(422).await;
    form(NEW).expect(200).await;
    form(NEW).expect(422).await;
    let credentials = json!({"email": ana.email, "password": NEW});
    let login = server.post("/api/v1/users/login").json(&credentials);
    login.expect(200).await;
}
