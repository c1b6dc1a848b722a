//! User company relation: create, list, update, delete.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{Person, TestServer, int};

/// The codes of this user's accesses, by company, and which is primary, as the user sees them.
async fn held(server: &TestServer, user: &Person) -> Vec<(i64, String, bool)> {
    let path = format!("/api/v1/users/{}/user_access", user.id);
    let list = server.get(path).token(&user.token).expect(200).await;
    let rows = list["user_accesses"].as_array().expect("a list").iter();
    let mut all: Vec<_> = rows
        .map(|row| {
            let code = row["access"]["code"].as_str().expect("a code").to_owned();
            (int(&row["company"]["id"]), code, row["primary"] == true)
        })
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn an_administrator_gives_changes_and_takes_a_role() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let second = server.company(&ana, "Second").await;
    let bob = server
        .member(company, &ana, Role::Agent, "Bob")
        .await
        .person;
    let path = format!("/api/v1/users/{}/user_access", bob.id);
    let body = json!({"user_id": bob.id, "company_id": second, "access_id": 5, "primary": false});
    let created = server
        .post(&path)
        .token(&ana.token)
        .json(&body)
        .expect(201)
        .await;
    assert_as_in("POST /api/v1/users/{user_id}/user_access", &created);
    assert_eq!(created["user_access"]["access"]["code"], "analyst");
    assert_eq!(created["user_access"]["user"]["id"], bob.id);
    let list = server.get(&path).token(&bob.token).expect(200).await;
    assert_as_in("GET /api/v1/users/{user_id}/user_access", &list);
    assert_eq!(
        held(&server, &bob).await,
        [
            (company, "agent".to_owned(), true),
            (second, "analyst".to_owned(), false)
        ]
    );

    let one = format!("{path}/{}", created["user_access"]["id"]);
    let body = json!({"access_id": 3});
    let updated = server
        .put(&one)
        .token(&ana.token)
        .json(&body)
        .expect(200)
        .await;
    assert_as_in(
        "PUT /api/v1/users/{user_id}/user_access/{user_access_id}",
        &updated,
    );
    assert_eq!(updated["user_access"]["access"]["code"], "manager");
    assert_eq!(updated["user_access"]["company"]["id"], second);

    assert_eq!(
        server.delete(&one).token(&ana.token).expect(200).await,
        json!({})
    );
    assert_eq!(
        held(&server, &bob).await,
        [(company, "agent".to_owned(), true)]
    );
    server.delete(&one).token(&ana.token).expect(404).await;
    server
        .put(&one)
        .token(&ana.token)
        .json(&body)
        .expect(404)
        .await;
}

#[tokio::test]
async fn exactly_one_access_is_primary() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let mut companies = Vec::new();
    for name in ["One", "Two", "Three"] {
        companies.push(server.company(&ana, name).await);
    }
    let bob = server.member(companies[0], &ana, Role::Agent, "Bob").await;
    let path = format!("/api/v1/users/{}/user_access", bob.person.id);
    let mut accesses = vec![bob.access_id];
    for company in &companies[1..] {
        let body = json!({"company_id": company, "access_id": 4, "primary": true});
        let made = server
            .post(&path)
            .token(&ana.token)
            .json(&body)
            .expect(201)
            .await;
        assert_eq!(made["user_access"]["primary"], true);
        accesses.push(int(&made["user_access"]["id"]));
    }
    let primaries = async || -> Vec<bool> {
        held(&server, &bob.person)
            .await
            .into_iter()
            .map(|h| h.2)
            .collect()
    };
    assert_eq!(primaries().await, [false, false, true]);
    let put = |n: usize, primary: bool| {
        server
            .put(format!("{path}/{}", accesses[n]))
            .token(&ana.token)
            .json(&json!({"primary": primary}))
            .expect(200)
    };
    put(1, true).await;
    assert_eq!(primaries().await, [false, true, false]);
    put(1, false).await;
    assert_eq!(primaries().await, [true, false, false]);
    let delete = |n: usize| {
        server
            .delete(format!("{path}/{}", accesses[n]))
            .token(&ana.token)
            .expect(200)
    };
    delete(0).await;
    // The oldest of those that are left is promoted.
    assert_eq!(primaries().await, [true, false]);
    delete(2).await;
    put(1, false).await;
    assert_eq!(primaries().await, [true]);
}

#[tokio::test]
async fn the_last_owner_stays() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let path = format!("/api/v1/users/{}/user_access", ana.id);
    let list = server.get(&path).token(&ana.token).expect(200).await;
    let one = format!("{path}/{}", list["user_accesses"][0]["id"]);
    let refused = server.delete(&one).token(&ana.token).expect(422).await;
    assert_eq!(refused["code"], "last_owner");
    let demote = json!({"access_id": 2});
    server
        .put(&one)
        .token(&ana.token)
        .json(&demote)
        .expect(422)
        .await;
    let elsewhere = server.company(&server.owner().await, "Elsewhere").await;
    let away = json!({"company_id": elsewhere});
    server
        .put(&one)
        .token(&server.owner().await.token)
        .json(&away)
        .expect(422)
        .await;

    server.member(company, &ana, Role::Owner, "Oda").await;
    server
        .put(&one)
        .token(&ana.token)
        .json(&demote)
        .expect(200)
        .await;
    assert_eq!(
        held(&server, &ana).await,
        [(company, "admin".to_owned(), true)]
    );
}

#[tokio::test]
async fn roles_are_given_by_those_who_may_and_see() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let admin = server
        .member(company, &ana, Role::Admin, "Adam")
        .await
        .person;
    let manager = server
        .member(company, &ana, Role::Manager, "Mia")
        .await
        .person;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let eve = server.sign_up("Eve").await;
    server.company(&eve, "Elsewhere").await;
    let second = server
        .company_with(&ana, json!({"name": "Below", "parent_company_id": company}))
        .await;
    let path = format!("/api/v1/users/{}/user_access", bob.person.id);
    let one = format!("{path}/{}", bob.access_id);
    let body = json!({"company_id": second, "access_id": 4});
    server
        .post(&path)
        .token(&manager.token)
        .json(&body)
        .expect(403)
        .await;
    server
        .post(&path)
        .token(&eve.token)
        .json(&body)
        .expect(404)
        .await;
    server.post(&path).json(&body).expect(401).await;
    let post = |body: Value| server.post(&path).token(&admin.token).json(&body);
    post(json!({"company_id": second, "access_id": 1}))
        .expect(403)
        .await;
    for (field, body) in [
        ("access_id", json!({"company_id": second, "access_id": 9})),
        ("company_id", json!({"company_id": 999_999, "access_id": 4})),
        ("company_id", json!({"company_id": company, "access_id": 4})),
        (
            "user_id",
            json!({"company_id": second, "access_id": 4, "user_id": ana.id}),
        ),
        ("company_id", json!({"access_id": 4})),
        (
            "primary",
            json!({"company_id": second, "access_id": 4, "primary": 1}),
        ),
    ] {
        let refused = post(body).expect(422).await;
        assert!(refused["errors"][field].is_array(), "{field} in {refused}");
    }
    post(body.clone()).expect(201).await;

    let put = |token: &str| server.put(&one).token(token).json(&json!({"access_id": 5}));
    put(&manager.token).expect(403).await;
    put(&bob.person.token).expect(403).await;
    put(&eve.token).expect(404).await;
    server.delete(&one).token(&manager.token).expect(403).await;
    server.delete(&one).token(&eve.token).expect(404).await;
    server.delete(&one).expect(401).await;
    server.get(&path).token(&eve.token).expect(404).await;
    // The access of another user than the path's is none.
    let foreign = format!("/api/v1/users/{}/user_access/{}", manager.id, bob.access_id);
    server.delete(&foreign).token(&ana.token).expect(404).await;
    // An administrator does not touch an owner's access, nor make an owner.
    let list = server
        .get(format!("/api/v1/users/{}/user_access", ana.id))
        .token(&ana.token)
        .expect(200)
        .await;
    let of_ana = format!(
        "/api/v1/users/{}/user_access/{}",
        ana.id, list["user_accesses"][0]["id"]
    );
    server.delete(&of_ana).token(&admin.token).expect(403).await;
    server
        .put(&one)
        .token(&admin.token)
        .json(&json!({"access_id": 1}))
        .expect(403)
        .await;
}
