//! First steps: the onboarding, and the legal terms.

use aggregates::access::Role;
use leadledger::ledger::verify;
use serde_json::json;

use crate::contract::assert_as_in;
use crate::mailbox::token;
use crate::server::{TestServer, int};

const TERMS: &str = "/api/v1/legal_terms";

#[tokio::test]
async fn the_onboarding_completes_once() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let path = format!("/api/v1/users/{}/onboarding/complete", bob.person.id);
    server.put(&path).expect(401).await;
    server.put(&path).token(&eve.token).expect(404).await;
    server.put(&path).token(&ana.token).expect(403).await;
    server
        .put("/api/v1/users/x/onboarding/complete")
        .token(&ana.token)
        .expect(400)
        .await;
    let first = server.put(&path).token(&bob.person.token).expect(200).await;
    assert_as_in("PUT /api/v1/users/{user_id}/onboarding/complete", &first);
    assert!(first["user"]["onboarding_completed_at"].is_string());
    let second = server.put(&path).token(&bob.person.token).expect(200).await;
    assert_eq!(first, second);
}

#[tokio::test]
async fn current_terms_are_approved_and_new_ones_ask_again() {
    let server = TestServer::start().await;
    let (owner, ana) = (server.owner().await, server.sign_up("Ana").await);
    let bob = server.sign_up("Bob").await;
    let current = || server.get(format!("{TERMS}/current")).token(&ana.token);
    let first = current().expect(200).await;
    assert_as_in("GET /api/v1/legal_terms/current", &first);
    let first_id = int(&first["legal_term"]["id"]);
    let path = format!("/api/v1/users/{}/onboarding/terms_and_conditions", ana.id);
    let approve = |id: i64| {
        let call = server.put(&path).token(&ana.token);
        call.json(&json!({"legal_term_id": id}))
    };
    let answer = approve(first_id).expect(200).await;
    assert_as_in(
        "PUT /api/v1/users/{user_id}/onboarding/terms_and_conditions",
        &answer,
    );
    assert_eq!(answer["user"]["terms_pending"], false);
    assert_eq!(approve(first_id).expect(200).await, answer);
    let stored: String = sqlx::query_scalar(
        "SELECT payload::text FROM events WHERE event_type = 'LegalTermsApproved'",
    )
    .fetch_one(server.database.pool())
    .await
    .unwrap();
    let hash = first["legal_term"]["content_hash"].as_str().unwrap();
    assert!(
        stored.contains(hash) && !stored.contains("127.0.0.1"),
        "{stored}"
    );

    let body = json!({"title": "Terms", "content": "New ones.", "version": "2026-11"});
    let published = server
        .post(TERMS)
        .token(&owner.token)
        .json(&body)
        .expect(201)
        .await;
    let second_id = int(&published["legal_term"]["id"]);
    assert_eq!(current().expect(200).await, published);
    let old = server
        .get(format!("{TERMS}/{first_id}"))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_as_in("GET /api/v1/legal_terms/{id}", &old);
    assert_eq!(old["legal_term"]["current"], false);
    assert_eq!(old["legal_term"]["content"], first["legal_term"]["content"]);
    let me = server
        .get("/api/v1/users/validate_jwt")
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(me["user"]["terms_pending"], true);
    let refused = approve(first_id).expect(422).await;
    assert!(refused["errors"]["legal_term_id"].is_array(), "{refused}");
    approve(99).expect(422).await;
    assert_eq!(
        approve(second_id).expect(200).await["user"]["terms_pending"],
        false
    );

    let call = || server.put(&path).json(&json!({"legal_term_id": second_id}));
    call().expect(401).await;
    call().token(&bob.token).expect(404).await;
    call().token(&owner.token).expect(403).await;
    server
        .put(&path)
        .token(&ana.token)
        .raw("{")
        .expect(400)
        .await;
    server
        .put(&path)
        .token(&ana.token)
        .json(&json!({}))
        .expect(422)
        .await;
}

#[tokio::test]
async fn only_the_platform_owner_publishes_and_a_version_only_once() {
    let server = TestServer::start().await;
    let (owner, ana) = (server.owner().await, server.sign_up("Ana").await);
    let body = json!({"title": "Terms", "content": "Text", "version": "v"});
    server.post(TERMS).json(&body).expect(401).await;
    server
        .post(TERMS)
        .token(&ana.token)
        .json(&body)
        .expect(403)
        .await;
    server
        .post(TERMS)
        .token(&owner.token)
        .json(&body)
        .expect(201)
        .await;
    server
        .post(TERMS)
        .token(&owner.token)
        .json(&body)
        .expect(422)
        .await;
    let empty = json!({"title": " ", "content": "", "version": ""});
    let refused = server
        .post(TERMS)
        .token(&owner.token)
        .json(&empty)
        .expect(422)
        .await;
    assert_eq!(refused["errors"].as_object().unwrap().len(), 3, "{refused}");
    server
        .post(TERMS)
        .token(&owner.token)
        .raw("{")
        .expect(400)
        .await;
    server
        .get(format!("{TERMS}/99"))
        .token(&ana.token)
        .expect(404)
        .await;
    server
        .get(format!("{TERMS}/x"))
        .token(&ana.token)
        .expect(400)
        .await;
    server.get(format!("{TERMS}/current")).expect(401).await;
    server.get(format!("{TERMS}/1")).expect(401).await;
}

#[tokio::test]
async fn what_all_of_it_leaves_is_what_a_rebuild_makes() {
    let server = TestServer::start().await;
    let (owner, ana) = (server.owner().await, server.sign_up("Ana").await);
    let company = server.company(&ana, "Acme").await;
    let put = |path: String, body: serde_json::Value| {
        server.put(path).token(&ana.token).json(&body).expect(200)
    };
    // One pixel, transparent.
    let gif = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
    put(
        "/api/v1/users/avatar".to_owned(),
        json!({"avatar_base64": gif}),
    )
    .await;
    let body = json!({"company_id": company, "avatar_base64": gif});
    put("/api/v1/companies/avatar".to_owned(), body).await;
    let own = server.delete("/api/v1/users/avatar").token(&ana.token);
    own.expect(200).await;
    let steps = format!("/api/v1/users/{}/onboarding", ana.id);
    put(format!("{steps}/complete"), json!({})).await;
    let terms = json!({"legal_term_id": 1});
    put(format!("{steps}/terms_and_conditions"), terms).await;
    let body = json!({"title": "Terms", "content": "Text"});
    let publish = server.post(TERMS).token(&owner.token).json(&body);
    publish.expect(201).await;
    let body = json!({"email": ana.email});
    let ask = server.post("/api/v1/users/reset_password").json(&body);
    ask.expect(200).await;
    let token = token(&server, &ana.email, "users/password", 1).await;
    let body = json!({"token": token, "password": "Entirely-new-2026"});
    put("/api/v1/users/password".to_owned(), body).await;

    let options = server.database.connect_options();
    let found = verify::run(&options, &[], |_, _| {}).await.unwrap();
    let told: Vec<_> = found.differences.iter().map(ToString::to_string).collect();
    assert_eq!(told, Vec::<String>::new());
    assert!(found.rows > 10);
}
