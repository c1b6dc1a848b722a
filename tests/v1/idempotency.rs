//! `Idempotency-Key`: sent again, a write acts once and is answered as the first time.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::server::{Call, Person, TestServer, int};

async fn shop(server: &TestServer) -> (Person, String) {
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    (ana, format!("/api/v1/companies/{company}/leads"))
}

fn create(server: &TestServer, who: &Person, path: &str, key: &str, body: &Value) -> Call {
    server
        .post(path)
        .token(&who.token)
        .header("idempotency-key", key)
        .json(body)
}

async fn count(server: &TestServer, who: &Person, path: &str) -> i64 {
    int(&server.get(path).token(&who.token).expect(200).await["meta"]["total_count"])
}

#[tokio::test]
async fn a_repeated_write_acts_once_and_is_answered_alike() {
    let server = TestServer::start().await;
    let (ana, path) = shop(&server).await;
    let body = json!({"email": "a@example.com"});
    let first = create(&server, &ana, &path, "key-1", &body)
        .expect_answer(201)
        .await;
    // What happened since does not change the answer.
    let one = format!("/api/v1/leads/{}", first.body["lead"]["id"]);
    server
        .put(one)
        .token(&ana.token)
        .json(&json!({"stage_id": 2}))
        .expect(200)
        .await;
    let again = create(&server, &ana, &path, "key-1", &body)
        .expect_answer(201)
        .await;
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(
        (
            first.header("idempotency-replayed"),
            again.header("idempotency-replayed")
        ),
        ("", "true")
    );
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(count(&server, &ana, &path).await, 1);
}

#[tokio::test]
async fn a_key_stands_for_one_request_of_one_user() {
    let server = TestServer::start().await;
    let (ana, path) = shop(&server).await;
    let body = json!({"email": "a@example.com"});
    create(&server, &ana, &path, "key", &body).expect(201).await;
    let refused = create(
        &server,
        &ana,
        &path,
        "key",
        &json!({"email": "b@example.com"}),
    )
    .expect(409)
    .await;
    assert_eq!(refused["code"], "idempotency_key_reused");
    create(&server, &ana, "/api/v1/companies", "key", &body)
        .expect(409)
        .await;
    create(&server, &ana, &format!("{path}?x=1"), "key", &body)
        .expect(409)
        .await;
    create(&server, &ana, &path, "other", &body)
        .expect(201)
        .await;
    assert_eq!(count(&server, &ana, &path).await, 2);
    // Another user's keys are their own.
    let company = path.split('/').nth(4).unwrap().parse().unwrap();
    let mia = server
        .member(company, &ana, aggregates::access::Role::Manager, "Mia")
        .await
        .person;
    create(&server, &mia, &path, "key", &body).expect(201).await;
    assert_eq!(count(&server, &ana, &path).await, 3);
}

#[tokio::test]
async fn simultaneous_repeats_act_once() {
    let server = TestServer::start().await;
    let (ana, path) = shop(&server).await;
    let body = json!({"email": "a@example.com"});
    let answers =
        join_all((0..10).map(|_| create(&server, &ana, &path, "rush", &body).answer())).await;
    for answer in &answers {
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(answer.body, answers[0].body);
    }
    assert_eq!(count(&server, &ana, &path).await, 1);
}

#[tokio::test]
async fn of_simultaneous_requests_with_one_key_and_other_bodies_one_acts() {
    let server = TestServer::start().await;
    let (ana, path) = shop(&server).await;
    let bodies: Vec<_> = (0..6)
        .map(|n| json!({"email": format!("{n}@example.com")}))
        .collect();
    let answers = join_all(
        bodies
            .iter()
            .map(|body| create(&server, &ana, &path, "rush", body).answer()),
    )
    .await;
    let count_of = |status| answers.iter().filter(|a| a.status == status).count();
    assert_eq!((count_of(201), count_of(409)), (1, 5));
    assert_eq!(count(&server, &ana, &path).await, 1);
}

#[tokio::test]
async fn a_refused_request_does_not_use_its_key_up() {
    let server = TestServer::start().await;
    let (ana, path) = shop(&server).await;
    create(&server, &ana, &path, "key", &json!({}))
        .expect(422)
        .await;
    create(&server, &ana, &path, "key", &json!({"email": "no"}))
        .expect(422)
        .await;
    create(
        &server,
        &ana,
        &path,
        "key",
        &json!({"email": "a@example.com"}),
    )
    .expect(201)
    .await;
}

#[tokio::test]
async fn updates_and_deletes_are_repeated_too() {
    let server = TestServer::start().await;
    let (ana, path) = shop(&server).await;
    let lead = create(
        &server,
        &ana,
        &path,
        "a",
        &json!({"email": "a@example.com"}),
    )
    .expect(201)
    .await;
    let one = format!("/api/v1/leads/{}", lead["lead"]["id"]);
    let put = || {
        server
            .put(&one)
            .token(&ana.token)
            .header("idempotency-key", "b")
            .header("if-match", "\"1\"")
    };
    let first = server.get(&one).token(&ana.token).expect_answer(200).await;
    assert_eq!(first.header("etag"), "\"1\"");
    let changed = put().json(&json!({"stage_id": 2})).expect(200).await;
    // The repeat succeeds although the version is gone meanwhile: nothing is done again.
    assert_eq!(
        put().json(&json!({"stage_id": 2})).expect(200).await,
        changed
    );
    let note = server
        .post(format!("{one}/notes"))
        .token(&ana.token)
        .json(&json!({"content": "n"}))
        .expect(201)
        .await;
    let delete = || {
        server
            .delete(format!("{one}/notes/{}", note["note"]["id"]))
            .token(&ana.token)
            .header("idempotency-key", "c")
    };
    assert_eq!(delete().expect(200).await, json!({}));
    assert_eq!(delete().expect(200).await, json!({}));
    server
        .delete(format!("{one}/notes/{}", note["note"]["id"]))
        .token(&ana.token)
        .expect(404)
        .await;
}

#[tokio::test]
async fn a_sign_up_is_repeated_without_a_token() {
    let server = TestServer::start().await;
    let sign_up = |key: &str| {
        let body = json!({"first_name": "Ana", "email": "ana@example.com"});
        server
            .post("/api/v1/users")
            .header("idempotency-key", key)
            .json(&body)
    };
    let first = sign_up("one").expect(201).await;
    assert_eq!(sign_up("one").expect(201).await, first);
    sign_up("two").expect(422).await;
}

#[tokio::test]
async fn a_key_is_visible_ascii_and_not_endless() {
    let server = TestServer::start().await;
    let (ana, path) = shop(&server).await;
    for key in ["", "a b", "é", &"x".repeat(256)] {
        let refused = create(
            &server,
            &ana,
            &path,
            key,
            &json!({"email": "a@example.com"}),
        )
        .expect(400)
        .await;
        assert_eq!(refused["code"], "malformed_header", "{key}");
    }
    create(
        &server,
        &ana,
        &path,
        &"x".repeat(255),
        &json!({"email": "a@example.com"}),
    )
    .expect(201)
    .await;
    server
        .post(&path)
        .header("idempotency-key", "k")
        .json(&json!({"email": "a@example.com"}))
        .expect(401)
        .await;
}
