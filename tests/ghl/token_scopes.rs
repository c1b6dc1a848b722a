//! Integration tokens in API V1: within their scopes, as an administrator of their company; never where a person is meant.

use axum::http::Method;
use serde_json::{Value, json};

use crate::agency::{Agency, token};
use crate::server::int;

#[tokio::test]
async fn a_token_works_in_v1_within_its_scopes() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let reader = token(server, &agency.owner, agency.id, &["leads.readonly"]).await;
    let writer = token(
        server,
        &agency.owner,
        agency.id,
        &["leads.readonly", "leads.write"],
    )
    .await;
    let leads = format!("/api/v1/companies/{}/leads", agency.north);
    let body = json!({"email": "lead@example.com", "first_name": "Lea"});
    let refused = server
        .post(&leads)
        .token(&reader)
        .json(&body)
        .expect(403)
        .await;
    assert!(refused["detail"].as_str().unwrap().contains("leads.write"));
    let made = server
        .post(&leads)
        .token(&writer)
        .json(&body)
        .expect(201)
        .await;
    let lead = int(&made["lead"]["id"]);
    server.get(&leads).token(&reader).expect(200).await;
    let one = format!("/api/v1/leads/{lead}");
    server
        .put(&one)
        .token(&writer)
        .json(&json!({"first_name": "Leo"}))
        .expect(200)
        .await;
    let notes = format!("{one}/notes");
    server
        .post(&notes)
        .token(&writer)
        .json(&json!({"content": "n"}))
        .expect(201)
        .await;
    server
        .get("/api/v1/stages")
        .token(&reader)
        .expect(200)
        .await;
    server.get("/api/v1/users").token(&reader).expect(403).await;
    let actor = &server.metadata("lead", lead).await[0]["actor"];
    assert!(actor.as_str().unwrap().starts_with("token:"), "{actor}");

    let users = token(
        server,
        &agency.owner,
        agency.id,
        &["users.readonly", "users.write"],
    )
    .await;
    let body = json!({"first_name": "Bob", "email": "bob@people.example",
        "user_accesses_attributes": [{"company_id": agency.south, "access_id": 4}]});
    server
        .post("/api/v1/users")
        .token(&users)
        .json(&body)
        .expect(201)
        .await;
    let listed = server.get("/api/v1/users").token(&users).expect(200).await;
    assert_eq!(int(&listed["meta"]["total_count"]), 2);
    server.get(&leads).token(&users).expect(403).await;
}

#[tokio::test]
async fn a_token_sees_its_company_and_below_and_nothing_else() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let eve = server.sign_up("Eve").await;
    let elsewhere = server.company(&eve, "Elsewhere").await;
    let scopes = [
        "companies.readonly",
        "leads.readonly",
        "leads.write",
        "users.write",
    ];
    let of_north = token(server, &agency.owner, agency.north, &scopes).await;
    for (company, status) in [
        (agency.north, 200),
        (agency.id, 404),
        (agency.south, 404),
        (elsewhere, 404),
    ] {
        for path in [
            format!("/api/v1/companies/{company}"),
            format!("/api/v1/companies/{company}/leads"),
        ] {
            server.get(path).token(&of_north).expect(status).await;
        }
    }
    let body = json!({"password": "Taken-over-2026"});
    let role = aggregates::access::Role::Agent;
    let leo = server
        .member(agency.north, &agency.owner, role, "Leo")
        .await;
    for (user, status) in [(leo.person.id, 403), (agency.owner.id, 404)] {
        let path = format!("/api/v1/users/{user}");
        let call = server.put(path).token(&of_north);
        call.json(&body).expect(status).await;
    }
}

#[tokio::test]
async fn what_is_a_persons_is_not_a_tokens() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let all: Vec<String> = aggregates::company::integration_token::RESOURCES
        .iter()
        .flat_map(|resource| [format!("{resource}.readonly"), format!("{resource}.write")])
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let token = token(server, &agency.owner, agency.id, &all).await;
    let tokens = format!("/api/v1/companies/{}/integration_tokens", agency.id);
    for (method, path) in [
        (Method::GET, "/api/v1/users/validate_jwt"),
        (Method::POST, "/api/v1/companies"),
        (Method::GET, tokens.as_str()),
        (Method::POST, tokens.as_str()),
    ] {
        let call = server.call(method.clone(), path).token(&token);
        let refused = call
            .json(&json!({"name": "X", "scopes": ["users.write"]}))
            .answer()
            .await;
        assert_eq!(refused.status, 403, "{method} {path}: {}", refused.body);
    }
}

/// An operation that forgets tokens would be open to all of them: every one asks for a scope or a person.
#[tokio::test]
async fn a_token_without_the_scope_gets_nowhere() {
    // There are more operations than a token may ask for in ten seconds.
    let agency = Agency::start_with(&["--token-rate", "10000"]).await;
    let server = &agency.server;
    let token = token(server, &agency.owner, agency.id, &["cycles.readonly"]).await;
    let document = server.get("/openapi.json").expect(200).await;
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let takes_token = operation["security"]
                .as_array()
                .is_some_and(|all| !all.is_empty());
            let is_v1 = path.starts_with("/api/v1");
            let tags: &Value = &operation["tags"];
            if !is_v1 || !takes_token || tags == &json!(["Cycles"]) {
                continue;
            }
            let method: Method = method.to_uppercase().parse().unwrap();
            let mut filled = path.clone();
            while let Some((before, rest)) = filled.split_once('{') {
                let after = rest.split_once('}').map_or("", |(_, after)| after);
                filled = format!("{before}1{after}");
            }
            let call = server.call(method.clone(), &filled).token(&token);
            let answer = call.json(&json!({})).answer().await;
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
            asked += 1;
        }
    }
    assert!(asked >= 20, "only {asked} operations");
}
