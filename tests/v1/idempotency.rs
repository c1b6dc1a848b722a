//! `Idempotency-Key`: sent again, a write acts once and is answered as the first time.

use aggregates::access::Role;
use chrono::{DateTime, TimeDelta};
use futures::future::join_all;
use leadledger::clock::Clock;
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

/// A change of the lead's stage with a key.
fn move_on(server: &TestServer, who: &Person, lead: i64, key: &str) -> Call {
    server
        .put(format!("/api/v1/leads/{lead}"))
        .token(&who.token)
        .header("idempotency-key", key)
        .json(&json!({"stage_id": 3}))
}

#[tokio::test]
async fn who_lost_their_role_is_not_told_again() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let mia = server.member(company, &ana, Role::Manager, "Mia").await;
    let lead = int(&server
        .lead(&ana, company, json!({"email": "a@example.com"}))
        .await["id"]);
    move_on(&server, &mia.person, lead, "m").expect(200).await;
    let again = move_on(&server, &mia.person, lead, "m").expect_answer(200);
    assert_eq!(again.await.header("idempotency-replayed"), "true");
    let access = format!(
        "/api/v1/users/{}/user_access/{}",
        mia.person.id, mia.access_id
    );
    // With another role, and with none, the repeat is judged as of now.
    let demoted = server.put(&access).token(&ana.token);
    let analyst = json!({"access_id": Role::Analyst.id()});
    demoted.json(&analyst).expect(200).await;
    move_on(&server, &mia.person, lead, "m").expect(403).await;
    server.delete(&access).token(&ana.token).expect(200).await;
    move_on(&server, &mia.person, lead, "m").expect(404).await;
}

#[tokio::test]
async fn who_gained_a_role_is_answered_as_before() {
    let server = TestServer::start().await;
    let (ana, path) = shop(&server).await;
    let body = json!({"email": "a@example.com"});
    let first = create(&server, &ana, &path, "k", &body).expect(201).await;
    server.company(&ana, "Second").await;
    let again = create(&server, &ana, &path, "k", &body).expect_answer(201);
    let again = again.await;
    assert_eq!(again.body, first);
    assert_eq!(again.header("idempotency-replayed"), "true");
    // Also for what gave them the role itself.
    let company = || {
        server
            .post("/api/v1/companies")
            .token(&ana.token)
            .header("idempotency-key", "c")
            .json(&json!({"name": "Third"}))
    };
    let made = company().expect(201).await;
    let again = company().expect_answer(201).await;
    assert_eq!(again.body, made);
    assert_eq!(again.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn what_is_blocked_since_is_not_shown_again() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let mia = server
        .member(company, &ana, Role::Manager, "Mia")
        .await
        .person;
    let lead = int(&server
        .lead(&ana, company, json!({"email": "a@example.com"}))
        .await["id"]);
    let first = move_on(&server, &mia, lead, "m").expect(200).await;
    assert_eq!(first["lead"]["email"], "a@example.com");
    let erasure = format!("/api/v1/leads/{lead}/erasure");
    let block = server.post(&erasure).token(&ana.token);
    block
        .json(&json!({"step": "block", "reason": "subject_request"}))
        .expect(200)
        .await;
    let again = move_on(&server, &mia, lead, "m").expect_answer(200).await;
    assert_eq!(again.body["lead"]["email"], Value::Null);
    assert_eq!(again.header("idempotency-replayed"), "true");
    server.delete(&erasure).token(&ana.token).expect(200).await;
    let again = move_on(&server, &mia, lead, "m").expect(200).await;
    assert_eq!(again["lead"]["email"], "a@example.com");
}

#[tokio::test]
async fn an_agent_is_not_told_again_of_a_lead_that_went_to_somebody_else() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bea = server.member(company, &ana, Role::Agent, "Bea").await;
    let cid = server.member(company, &ana, Role::Agent, "Cid").await;
    let new = json!({"email": "a@example.com", "user_access_id": bea.access_id});
    let lead = int(&server.lead(&ana, company, new).await["id"]);
    move_on(&server, &bea.person, lead, "b").expect(200).await;
    let give = server
        .put(format!("/api/v1/leads/{lead}"))
        .token(&ana.token);
    give.json(&json!({"user_access_id": cid.access_id}))
        .expect(200)
        .await;
    let shown = server
        .get(format!("/api/v1/leads/{lead}"))
        .token(&bea.person.token);
    let hidden = shown.answer().await.status;
    let again = move_on(&server, &bea.person, lead, "b").answer().await;
    assert_eq!((hidden, again.status), (403, 403), "{}", again.body);
}

/// Of requests at the same time one acts, and all the others are told what it was told: also a secret that is shown once.
#[tokio::test]
async fn simultaneous_repeats_are_told_what_the_first_was() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let make = || {
        server
            .post(format!("/api/v1/companies/{company}/integration_tokens"))
            .token(&ana.token)
            .header("idempotency-key", "t")
            .json(&json!({"name": "sync", "scopes": ["leads.readonly"]}))
            .answer()
    };
    let answers = join_all((0..12).map(|_| make())).await;
    let acted = answers
        .iter()
        .filter(|answer| answer.header("idempotency-replayed").is_empty());
    assert_eq!(acted.count(), 1);
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (201, &answers[0].body));
    }
    let secret = &answers[0].body["integration_token"]["token"];
    assert!(secret.is_string(), "{}", answers[0].body);
}

/// What leaves no event is repeated too.
#[tokio::test]
async fn what_the_ledger_does_not_record_acts_once_as_well() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let upload = || {
        server
            .post(format!("/api/v1/companies/{company}/import/uploads"))
            .token(&ana.token)
            .header("idempotency-key", "u")
    };
    let first = upload().expect(201).await;
    assert_eq!(upload().expect(201).await, first);
    let reset = || {
        server
            .post("/api/v1/users/reset_password")
            .header("idempotency-key", "r")
            .json(&json!({"email": "nobody@example.com"}))
    };
    let first = reset().expect(200).await;
    assert_eq!(reset().expect(200).await, first);
}

/// What clients call their requests may name a person: the table knows it by its hash, also what an older version stored.
#[tokio::test]
async fn the_text_of_a_key_is_not_kept_and_a_key_of_an_older_version_is_known() {
    let server = TestServer::start().await;
    let (ana, path) = shop(&server).await;
    let body = json!({"email": "zoe@example.com"});
    let made = || create(&server, &ana, &path, "zoe@example.com", &body);
    let first = made().expect(201).await;
    let pool = server.database.pool();
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT idempotency_keys::text FROM idempotency_keys")
            .fetch_all(pool)
            .await
            .expect("the kept keys");
    assert!(!kept.join("\n").contains("zoe@"), "{kept:?}");
    sqlx::query("UPDATE idempotency_keys SET key = 'zoe@example.com' WHERE user_id = $1")
        .bind(ana.id)
        .execute(pool)
        .await
        .expect("a key as it was stored before");
    let migration = include_str!("../../migrations/0041_hashes_of_idempotency_keys.sql");
    sqlx::raw_sql(migration)
        .execute(pool)
        .await
        .expect("the migration");
    let again = made().expect_answer(201).await;
    assert_eq!(again.body, first);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(count(&server, &ana, &path).await, 1);
}

/// An answer that was kept without what it rests on is not repeated as it was.
#[tokio::test]
async fn an_answer_kept_by_an_older_version_is_made_anew() {
    let server = TestServer::start().await;
    let (ana, path) = shop(&server).await;
    let body = json!({"email": "a@example.com"});
    let first = create(&server, &ana, &path, "k", &body).expect(201).await;
    sqlx::query("UPDATE idempotency_keys SET response = NULL")
        .execute(server.database.pool())
        .await
        .expect("forgotten answers");
    let again = create(&server, &ana, &path, "k", &body)
        .expect_answer(201)
        .await;
    assert_eq!(again.body, first);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(count(&server, &ana, &path).await, 1);
}

/// What was in the future when it was sent may be past when it is sent again.
#[tokio::test]
async fn a_hold_that_ended_meanwhile_is_answered_as_it_was() {
    let clock = Clock::fixed(DateTime::from_timestamp(1_767_000_000, 0).expect("a time"));
    let server = TestServer::start_by(clock.clone()).await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let until = clock.now() + TimeDelta::minutes(5);
    let place = || {
        server
            .post(format!("/api/v1/companies/{company}/legal_holds"))
            .token(&ana.token)
            .header("idempotency-key", "h")
            .json(&json!({"reason": "Case", "until": until}))
    };
    let first = place().expect(201).await;
    clock.advance(TimeDelta::minutes(10));
    assert_eq!(place().expect(201).await, first);
}

/// The words of a note are those of the person's file: kept when the lead is blocked, and shown to nobody.
#[tokio::test]
async fn a_repeated_note_does_not_tell_what_was_blocked_since() {
    let server = TestServer::start().await;
    let (ana, path) = shop(&server).await;
    let body = json!({"email": "a@example.com"});
    let lead = create(&server, &ana, &path, "lead", &body)
        .expect(201)
        .await;
    let lead = format!("/api/v1/leads/{}", lead["lead"]["id"]);
    let body = json!({"content": "Prefers mornings"});
    let notes = format!("{lead}/notes");
    let note = || create(&server, &ana, &notes, "note", &body);
    note().expect(201).await;
    let block = server.post(format!("{lead}/erasure")).token(&ana.token);
    let block = block.json(&json!({"step": "block", "reason": "subject_request"}));
    block.expect(200).await;
    let again = note().expect(404).await;
    assert!(!again.to_string().contains("mornings"), "{again}");
}
