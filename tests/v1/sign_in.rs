//! Signing up and signing in.

use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{OWNER_EMAIL, OWNER_PASSWORD, TestServer};

#[tokio::test]
async fn whoever_signs_up_is_pending_and_can_sign_in() {
    let server = TestServer::start().await;
    let body = json!({"first_name": "Ana", "last_name": "Núñez", "email": "Ana@Example.com", "password": "Long-enough-1"});
    let created = server.post("/api/v1/users").json(&body).expect(201).await;
    assert_as_in("POST /api/v1/users", &created);
    assert_eq!(created["user"]["status"], "pending");
    assert_eq!(created["user"]["full_name"], "Ana Núñez");

    let body = json!({"email": " ana@example.COM ", "password": "Long-enough-1"});
    let session = server
        .post("/api/v1/users/login")
        .json(&body)
        .expect(200)
        .await;
    assert_as_in("POST /api/v1/users/login", &session);
    assert!(session["expires_at"].is_string());
    let token = session["token"].as_str().unwrap();
    let path = "/api/v1/users/validate_jwt";
    let me = server.get(path).token(token).expect(200).await;
    assert_as_in("GET /api/v1/users/validate_jwt", &me);
    assert_eq!(me["user"]["id"], created["user"]["id"]);
    // Clients of the original send the token without a scheme.
    let bare = server.get(path).header("authorization", token);
    assert_eq!(bare.expect(200).await, me);
}

#[tokio::test]
async fn the_platform_owner_signs_in_and_has_the_default_company() {
    let server = TestServer::start().await;
    let body = json!({"email": OWNER_EMAIL, "password": OWNER_PASSWORD});
    let session = server
        .post("/api/v1/users/login")
        .json(&body)
        .expect(200)
        .await;
    assert_as_in("POST /api/v1/users/login", &session);
    assert_eq!(session["user"]["status"], "active");
    assert_eq!(session["user"]["primary_access"]["access_name"], "Owner");
    assert_eq!(session["user"]["primary_company"]["default"], true);
}

#[tokio::test]
async fn a_wrong_email_and_a_wrong_password_are_answered_alike() {
    let server = TestServer::start().await;
    let mut answers = Vec::new();
    for (email, password) in [
        (OWNER_EMAIL, "Wrong-password-1"),
        ("nobody@example.com", OWNER_PASSWORD),
        ("no e-mail", OWNER_PASSWORD),
    ] {
        let body = json!({"email": email, "password": password});
        let mut answer = server
            .post("/api/v1/users/login")
            .json(&body)
            .expect(401)
            .await;
        answer["instance"].take();
        answers.push(answer);
    }
    assert_eq!(answers[0]["code"], "wrong_credentials");
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

#[tokio::test]
async fn a_user_without_a_password_cannot_sign_in() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    for password in ["", "Long-enough-1"] {
        let body = json!({"email": ana.email, "password": password});
        server
            .post("/api/v1/users/login")
            .json(&body)
            .expect(401)
            .await;
    }
}

#[tokio::test]
async fn sign_up_names_every_field_that_is_wrong() {
    let server = TestServer::start().await;
    let post = |body: Value| server.post("/api/v1/users").json(&body).expect(422);
    let refused =
        post(json!({"first_name": " ", "email": "not an e-mail", "password": "short"})).await;
    for field in ["first_name", "email", "password"] {
        assert!(refused["errors"][field].is_array(), "{field} in {refused}");
    }
    let refused = post(json!({"email": "a@example.com"})).await;
    assert!(refused["errors"]["first_name"].is_array(), "{refused}");
    let refused = post(json!({"first_name": "A", "email": 7})).await;
    assert!(refused["errors"]["email"].is_array(), "{refused}");
    let refused =
        post(json!({"first_name": "A", "email": "a@example.com", "password": "alllowercase-1"}))
            .await;
    assert!(refused["errors"]["password"].is_array(), "{refused}");
}

#[tokio::test]
async fn an_email_is_taken_whatever_its_case() {
    let server = TestServer::start().await;
    server.sign_up("Ana").await;
    let body = json!({"first_name": "Other", "email": "ANA@people.example"});
    let refused = server.post("/api/v1/users").json(&body).expect(422).await;
    assert!(refused["errors"]["email"].is_array(), "{refused}");
}

#[tokio::test]
async fn of_simultaneous_sign_ups_with_one_email_one_succeeds() {
    let server = TestServer::start().await;
    let body = json!({"first_name": "Ana", "email": "ana@example.com"});
    let calls = (0..8).map(|_| server.post("/api/v1/users").json(&body).answer());
    let answers = futures::future::join_all(calls).await;
    let count = |status| answers.iter().filter(|a| a.status == status).count();
    assert_eq!((count(201), count(422)), (1, 7));
}

#[tokio::test]
async fn a_changed_password_ends_older_tokens() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let path = format!("/api/v1/users/{}", ana.id);
    let body = json!({"password": "Another-one-22"});
    server
        .put(&path)
        .token(&ana.token)
        .json(&body)
        .expect(200)
        .await;
    server.get(&path).token(&ana.token).expect(401).await;
    let body = json!({"email": ana.email, "password": "Another-one-22"});
    let session = server
        .post("/api/v1/users/login")
        .json(&body)
        .expect(200)
        .await;
    server
        .get(&path)
        .token(session["token"].as_str().unwrap())
        .expect(200)
        .await;
}
