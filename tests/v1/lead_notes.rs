//! Lead notes: create, delete.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::TestServer;

#[tokio::test]
async fn a_note_is_written_read_with_its_lead_and_deleted() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let path = format!("/api/v1/leads/{}", lead["id"]);
    let notes = format!("{path}/notes");
    let post = |text: &str| {
        server
            .post(&notes)
            .token(&ana.token)
            .json(&json!({"content": text}))
    };
    let first = post("Called.\nNobody at home.").expect(201).await;
    assert_as_in("POST /api/v1/leads/{lead_id}/notes", &first);
    assert_eq!(first["note"]["user"]["id"], ana.id);
    let second = post("Called again 📞").expect(201).await;
    let shown = server.get(&path).token(&ana.token).expect(200).await;
    assert_as_in("GET /api/v1/leads/{id}", &shown);
    let mut both = shown["lead"]["notes"].as_array().unwrap().clone();
    both.sort_by_key(|note| note["id"].as_i64());
    assert_eq!(both, [first["note"].clone(), second["note"].clone()]);

    let one = format!("{notes}/{}", first["note"]["id"]);
    assert_eq!(
        server.delete(&one).token(&ana.token).expect(200).await,
        json!({})
    );
    let shown = server.get(&path).token(&ana.token).expect(200).await;
    assert_eq!(shown["lead"]["notes"], json!([second["note"]]));
    server.delete(&one).token(&ana.token).expect(404).await;
    // A note of another lead is none of this one's.
    let other = server.lead(&ana, company, json!({"first_name": "B"})).await;
    let foreign = format!(
        "/api/v1/leads/{}/notes/{}",
        other["id"], second["note"]["id"]
    );
    server.delete(foreign).token(&ana.token).expect(404).await;
}

#[tokio::test]
async fn a_note_has_text() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let path = format!("/api/v1/leads/{}/notes", lead["id"]);
    let post = |body: Value| server.post(&path).token(&ana.token).json(&body);
    for body in [
        json!({}),
        json!({"content": null}),
        json!({"content": "  "}),
        json!({"content": 1}),
        json!({"content": "a\u{0}"}),
        json!({"content": "x".repeat(10_001)}),
    ] {
        let refused = post(body).expect(422).await;
        assert!(refused["errors"]["content"].is_array(), "{refused}");
    }
    post(json!({"content": "é".repeat(10_000)}))
        .expect(201)
        .await;
}

#[tokio::test]
async fn notes_are_for_those_who_may_change_the_lead() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    server.company(&eve, "Elsewhere").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let analyst = server
        .member(company, &ana, Role::Analyst, "Lis")
        .await
        .person;
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let notes = format!("/api/v1/leads/{}/notes", lead["id"]);
    let post = |token: &str| {
        server
            .post(&notes)
            .token(token)
            .json(&json!({"content": "n"}))
    };
    let note = post(&ana.token).expect(201).await;
    let one = format!("{notes}/{}", note["note"]["id"]);
    for (person, status) in [(&bob.person, 403), (&analyst, 403), (&eve, 404)] {
        post(&person.token).expect(status).await;
        server
            .delete(&one)
            .token(&person.token)
            .expect(status)
            .await;
    }
    server
        .post(&notes)
        .json(&json!({"content": "n"}))
        .expect(401)
        .await;
    server.delete(&one).expect(401).await;
    server.delete(&one).token("bad").expect(401).await;
    server
        .post("/api/v1/leads/999999/notes")
        .token(&ana.token)
        .json(&json!({"content": "n"}))
        .expect(404)
        .await;
    let assign = json!({"user_access_id": bob.access_id});
    server
        .put(format!("/api/v1/leads/{}", lead["id"]))
        .token(&ana.token)
        .json(&assign)
        .expect(200)
        .await;
    post(&bob.person.token).expect(201).await;
}
