//! A destroyed key that somebody puts back, as restoring a backup of the keys does: it opens nothing, is handed to nobody, and is named by
//! `verify`.

use serde_json::{Value, json};

use crate::erased_everywhere::step;
use crate::imports::{Scene, code};
use crate::server::{Person, TestServer, int};

async fn run(server: &TestServer, sql: &str) {
    let done = sqlx::raw_sql(sql).execute(server.database.pool()).await;
    done.expect("a superuser's change");
}

async fn answer(server: &TestServer, who: &Person, path: String) -> (u16, Value) {
    let answer = server.get(path).token(&who.token).answer().await;
    (answer.status, answer.body)
}

/// What the owner is told of the lead, wherever its events are opened.
async fn told(server: &TestServer, who: &Person, lead: i64) -> String {
    let mut told = String::new();
    for what in ["history", "personal_data", "evidence", "legal_holds"] {
        let (status, body) = answer(server, who, format!("/api/v1/leads/{lead}/{what}")).await;
        assert_eq!(status, 200, "{what}: {body}");
        if what == "evidence" {
            assert!(body.get("events").is_some(), "{body}");
            assert_eq!(body.get("subject_key"), Some(&Value::Null), "{body}");
        }
        told.push_str(&body.to_string());
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_an_erased_lead_that_is_put_back_opens_nothing() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = json!({"first_name": "Zoe", "email": "zoe@example.com"});
    let lead = int(&server.lead(&ana, company, lead).await["id"]);
    let other = json!({"first_name": "Bo", "email": "bo@example.com"});
    let other = int(&server.lead(&ana, company, other).await["id"]);
    run(
        &server,
        "CREATE TABLE backup AS SELECT * FROM subject_keys WHERE aggregate_type = 'lead'",
    )
    .await;
    step(&server, &ana, lead, "block").await;
    step(&server, &ana, lead, "erase").await;
    server.assert_sound().await;
    let named = format!("subject_keys: lead {lead}: has a key, though it was destroyed");
    let restored =
        format!("INSERT INTO subject_keys SELECT * FROM backup WHERE aggregate_id = {lead}");
    let another = format!(
        "INSERT INTO subject_keys VALUES ('lead', {lead}, gen_random_uuid(), sha256(random()::text::bytea))"
    );
    let register =
        "CREATE TABLE register AS SELECT * FROM destroyed_keys; DELETE FROM destroyed_keys";
    for back in [restored.as_str(), another.as_str()] {
        run(&server, back).await;
        // One that has nothing in memory.
        let beside = server.beside().await;
        let seen = told(&beside, &ana, lead).await;
        assert!(!seen.to_lowercase().contains("zoe"), "{seen}");
        assert_eq!(server.differences().await, [named.as_str()]);
        run(
            &server,
            &format!(
                "DELETE FROM subject_keys WHERE aggregate_type = 'lead' AND aggregate_id = {lead}"
            ),
        )
        .await;
        server.assert_sound().await;
    }
    // Without the register, as a backup of that time lacks the row, the ledger itself tells.
    run(&server, register).await;
    run(&server, &restored).await;
    let beside = server.beside().await;
    let seen = told(&beside, &ana, lead).await;
    assert!(!seen.to_lowercase().contains("zoe"), "{seen}");
    assert!(server.differences().await.contains(&named));
    // A row in the register by itself makes nobody unreadable.
    let forged = format!(
        "INSERT INTO destroyed_keys SELECT aggregate_type, {other}, key_id, position, destroyed_at FROM register LIMIT 1"
    );
    run(&server, &forged).await;
    let path = format!("/api/v1/leads/{other}/personal_data");
    let (_, body) = answer(&beside, &ana, path).await;
    assert_eq!(body["personal_data"]["first_name"], "Bo", "{body}");
}

/// It is still undone, and whoever does so may say why.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_key_is_put_back_goes_on_with_a_new_one() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let import = scene.import("email\nzoe@example.com\n", &[]).await;
    run(
        server,
        "CREATE TABLE backup AS SELECT * FROM subject_keys WHERE aggregate_type = 'import'",
    )
    .await;
    let leads = scene.leads().await;
    let lead = int(&leads[0]["id"]);
    step(server, &scene.ana, lead, "block").await;
    step(server, &scene.ana, lead, "erase").await;
    server.assert_sound().await;
    run(server, "INSERT INTO subject_keys SELECT * FROM backup").await;
    let named = format!(
        "subject_keys: import {}: has a key, though it was destroyed",
        import["id"]
    );
    assert_eq!(server.differences().await, [named]);
    let beside = server.beside_with_files().await;
    let undo = beside.post(format!("/api/v1/import/{}/undo", code(&import)));
    let undo = undo.token(&scene.ana.token).header("x-reason", "a mistake");
    let undo = undo.answer().await;
    assert!(undo.status < 300, "{} {}", undo.status, undo.text);
    assert_eq!(scene.ended(code(&import)).await["status"], "undone");
    server.assert_sound().await;
}
