//! Deleting: the roles, tokens and e-mail go; the history and the record stay.

use std::collections::BTreeMap;

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::agency::{Agency, PASSWORD};
use crate::server::int;

async fn filtered(agency: &Agency, body: Value) -> Value {
    let path = "/users/search/filter-by-email";
    agency.post(path, &body).expect(200).await
}

#[tokio::test]
async fn a_deleted_user_is_gone_but_not_forgotten() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let user = agency.create("Ana", json!({"phone": "+15046218927"})).await;
    let credentials = json!({"email": "ana@people.example", "password": PASSWORD});
    let session = server
        .post("/api/v1/users/login")
        .json(&credentials)
        .expect(200)
        .await;
    let token = session["token"].as_str().unwrap();
    let path = Agency::path(&user);
    let deleted = agency
        .delete(&path)
        .header("content-type", "application/json");
    let deleted = deleted.expect(200).await;
    assert_eq!(
        (&deleted["succeeded"], &deleted["succeded"]),
        (&json!(true), &json!(true))
    );
    let message = deleted["message"].as_str().unwrap();
    assert!(message.contains("ana@people.example") && message.contains("Ana Tester"));

    agency.get(&path).expect(404).await;
    agency
        .put(&path, &json!({"firstName": "X"}))
        .expect(404)
        .await;
    agency.delete(&path).expect(404).await;
    assert_eq!(agency.search("query=ana").await.1, 0);
    let v1 = format!("/api/v1{path}");
    let owner = server.owner().await;
    server.get(&v1).token(&owner.token).expect(404).await;
    server.get(&v1).token(&agency.owner.token).expect(404).await;
    server
        .get("/api/v1/users/find_by_email?email=ana%40people.example")
        .token(&owner.token)
        .expect(404)
        .await;
    let listed = server
        .get("/api/v1/users?search=ana")
        .token(&owner.token)
        .expect(200)
        .await;
    assert_eq!(int(&listed["meta"]["total_count"]), 0);
    server
        .get("/api/v1/users/validate_jwt")
        .token(token)
        .expect(401)
        .await;
    server
        .post("/api/v1/users/login")
        .json(&credentials)
        .expect(401)
        .await;

    // The record shows who it was, the ledger what happened.
    let company = agency.id.to_string();
    let body = json!({"companyId": company, "emails": "ANA@people.example", "deleted": true, "projection": "all"});
    let found = filtered(&agency, body).await;
    assert_eq!(found["count"], 1);
    let mut seen = found["users"][0].clone();
    assert_eq!(seen["deleted"], true);
    seen["deleted"] = json!(false);
    seen["dateUpdated"] = user["dateUpdated"].clone();
    assert_eq!(seen, user);
    let body = json!({"companyId": company, "emails": "ana@people.example"});
    assert_eq!(filtered(&agency, body).await["count"], 0);
    let id = user["id"].as_str().unwrap().parse().unwrap();
    let last = server.metadata("user", id).await.pop().unwrap();
    assert!(
        last["actor"].as_str().unwrap().starts_with("token:"),
        "{last}"
    );

    let location = format!("deleted=true&query=ana&locationId={}", agency.north);
    assert_eq!(agency.search(&location).await.1, 1);
    assert_eq!(agency.search("deleted=true&type=agency").await.1, 0);

    // The e-mail is free.
    let again = agency.create("Ana", json!({})).await;
    assert_ne!(again["id"], user["id"]);
    server
        .post("/api/v1/users/login")
        .json(&credentials)
        .expect(200)
        .await;
    agency.assert_sound().await;
}

/// What they held is told by their deletion, each field from what was told of it last; of secrets only that they held them.
#[tokio::test]
async fn a_deletion_tells_what_the_user_held() {
    let agency = Agency::start().await;
    let north = agency.north.to_string();
    let body = json!({"phone": "+15046218927", "permissions": {"tagsEnabled": false}, "scopes": ["blogs.write"],
        "locationIds": [north], "twilioPhone": {north.as_str(): "+15046218928"}});
    let user = agency.create("Ana", body).await;
    let path = Agency::path(&user);
    let change = json!({"permissions": {"botService": true}});
    agency.put(&path, &change).expect(200).await;
    agency.delete(&path).expect(200).await;
    let owner = agency.server.owner().await;
    for person in [&owner, &agency.owner] {
        let call = agency.server.get(format!("/api/v1{path}/history"));
        let history = call.token(&person.token).expect(200).await;
        let entries = history["history"].as_array().unwrap();
        let mut last: BTreeMap<&str, &Value> = BTreeMap::new();
        for change in entries
            .iter()
            .flat_map(|e| e["changes"].as_array().unwrap())
        {
            let field = change["field"].as_str().unwrap();
            if change["withheld"].is_null() {
                let before = last.get(field).copied().unwrap_or(&Value::Null);
                assert_eq!(&change["from"], before, "{field} in {history}");
                last.insert(field, &change["to"]);
            }
        }
        let left = last.iter().filter(|(_, value)| !value.is_null());
        let left: Vec<_> = left.map(|(field, _)| *field).collect();
        assert_eq!(left, ["id", "status"], "{history}");
        let deleted = entries.last().unwrap();
        assert_eq!(deleted["event_type"], "UserDeleted");
        let changes = deleted["changes"].as_array().unwrap();
        let password = json!({"field": "password", "from": null, "to": null, "withheld": "secret"});
        for change in [
            json!({"field": "email", "from": "ana@people.example", "to": null}),
            json!({"field": "first_name", "from": "Ana", "to": null}),
            json!({"field": "settings.permissions", "from": {"botService": true, "tagsEnabled": false}, "to": null}),
            password,
        ] {
            assert!(changes.contains(&change), "{change} is not in {deleted}");
        }
    }
}

#[tokio::test]
async fn a_deletion_stands_in_the_history_of_whom_it_concerned() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let leo = server
        .member(agency.north, &agency.owner, Role::Agent, "Leo")
        .await;
    let eve = server.sign_up("Eve").await;
    let elsewhere = server.company(&eve, "Elsewhere").await;
    let user = format!("/users/{}", leo.person.id);
    agency.delete(&user).expect(200).await;
    let path = format!("/api/v1{user}/history");
    for person in [&server.owner().await, &agency.owner] {
        let history = server.get(&path).token(&person.token).expect(200).await;
        let entries = history["history"].as_array().unwrap();
        assert_eq!(entries[0]["event_type"], "UserRegistered");
        let last = entries.last().unwrap();
        assert_eq!(last["event_type"], "UserDeleted");
        let status = json!({"field": "status", "from": "pending", "to": "deleted"});
        assert!(
            last["changes"].as_array().unwrap().contains(&status),
            "{last}"
        );
        assert_eq!(last["actor"]["type"], "token");
    }
    assert_ne!(elsewhere, agency.id);
    server.get(&path).token(&eve.token).expect(404).await;
    let owner = server.owner().await;
    let call = server.get("/api/v1/users/999/history").token(&owner.token);
    call.expect(404).await;
}

#[tokio::test]
async fn leads_of_a_deleted_user_become_unassigned() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let leo = server
        .member(agency.north, &agency.owner, Role::Agent, "Leo")
        .await;
    let mut leads = Vec::new();
    for n in 0..3 {
        let body = json!({"email": format!("l{n}@example.com"), "user_access_id": leo.access_id});
        leads.push(int(
            &server.lead(&agency.owner, agency.north, body).await["id"],
        ));
    }
    agency
        .delete(format!("/users/{}", leo.person.id))
        .expect(200)
        .await;
    for lead in leads {
        let path = format!("/api/v1/leads/{lead}");
        let seen = server
            .get(path)
            .token(&agency.owner.token)
            .expect(200)
            .await;
        assert!(seen["lead"]["user_access"].is_null(), "{seen}");
    }
    let path = format!("/api/v1/companies/{}/leads/unassigned", agency.north);
    let list = server
        .get(path)
        .token(&agency.owner.token)
        .expect(200)
        .await;
    assert_eq!(int(&list["meta"]["total_count"]), 3);
    agency.assert_sound().await;
}

#[tokio::test]
async fn owners_are_not_deleted_by_tokens() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let path = format!("/users/{}", agency.owner.id);
    let refused = agency.delete(&path).expect(422).await;
    let told = json!({"statusCode": 422, "error": "Unprocessable Entity",
        "message": ["the last owner of a company cannot be removed or demoted"]});
    assert_eq!(refused, told);
    let second = server
        .member(agency.id, &agency.owner, Role::Owner, "Second")
        .await;
    agency
        .delete(format!("/users/{}", second.person.id))
        .expect(403)
        .await;
    server
        .get("/api/v1/users/validate_jwt")
        .token(&second.person.token)
        .expect(200)
        .await;
    // The platform's owner is no company's to delete.
    let owner = server.owner().await;
    let of_default = crate::agency::token(server, &owner, 1, &["users.write"]).await;
    let call = server
        .delete(format!("/users/{}", owner.id))
        .token(&of_default);
    call.header("version", "v3").expect(403).await;
}

#[tokio::test]
async fn of_two_deletions_one_succeeds() {
    let agency = Agency::start().await;
    let user = agency.create("Ana", json!({})).await;
    let path = Agency::path(&user);
    let calls = (0..4).map(|_| agency.delete(&path).answer());
    let answers = futures::future::join_all(calls).await;
    let count = |status| answers.iter().filter(|a| a.status == status).count();
    assert_eq!((count(200), count(404)), (1, 3));
    agency.assert_sound().await;
}
