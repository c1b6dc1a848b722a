//! Membership of a company: attach, cancel, show.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{Person, TestServer};

/// Attaches this plan, and answers the subscription.
pub async fn attach(server: &TestServer, owner: &Person, company: i64, plan: i64) -> Value {
    let path = format!("/api/v1/companies/{company}/membership?membership_id={plan}");
    let mut answer = server.post(path).token(&owner.token).expect(201).await;
    answer["company_membership"].take()
}

#[tokio::test]
async fn a_plan_is_attached_changed_cancelled_and_taken_up_again() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let path = format!("/api/v1/companies/{company}/membership");
    server.get(&path).token(&ana.token).expect(404).await;
    let cancel = format!("{path}/cancel");
    let refused = server.post(&cancel).token(&ana.token).expect(422).await;
    assert_eq!(refused["code"], "not_subscribed");

    let call = server.post(format!("{path}?membership_id=2&currency=USD"));
    let attached = call.token(&ana.token).expect(201).await;
    assert_as_in("POST /api/v1/companies/{company_id}/membership", &attached);
    let attached = &attached["company_membership"];
    assert_eq!(attached["status"], "active");
    assert_eq!(attached["membership"]["code"], "team");
    assert_eq!(attached["membership"]["price"], "29.00");
    assert!(attached["trial_ends_at"].is_string(), "{attached}");
    assert_eq!(attached["ends_at"], Value::Null);

    let changed = attach(&server, &ana, company, 3).await;
    assert_eq!(changed["id"], attached["id"]);
    assert_eq!(changed["membership"]["code"], "business");
    assert_eq!(changed["membership"]["currency"], "MXN");
    assert_eq!(changed["trial_ends_at"], attached["trial_ends_at"]);

    let cancelled = server.post(&cancel).token(&ana.token).expect(200).await;
    assert_as_in(
        "POST /api/v1/companies/{company_id}/membership/cancel",
        &cancelled,
    );
    let cancelled = &cancelled["company_membership"];
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["ends_at"], attached["trial_ends_at"]);
    assert!(cancelled["cancelled_at"].is_string());
    let resumed = attach(&server, &ana, company, 3).await;
    assert_eq!(resumed["status"], "active");
    assert_eq!(resumed["cancelled_at"], Value::Null);
    assert_eq!(resumed["ends_at"], Value::Null);
    let shown = server.get(&path).token(&ana.token).expect(200).await;
    assert_eq!(shown["company_membership"], resumed);
    assert_eq!(
        server.events("subscription", company).await,
        [
            "SubscriptionStarted",
            "SubscriptionChanged",
            "SubscriptionCancelled",
            "SubscriptionResumed"
        ]
    );
    server.assert_sound().await;
}

#[tokio::test]
async fn it_ends_at_once_when_that_is_said_in_the_query_or_the_body() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let cancel = format!("/api/v1/companies/{company}/membership/cancel");
    let first = attach(&server, &ana, company, 2).await;
    let path = format!("{cancel}?immediately=true");
    let ended = server.post(path).token(&ana.token).expect(200).await;
    let ended = &ended["company_membership"];
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(ended["ends_at"], ended["cancelled_at"]);
    server.post(&cancel).token(&ana.token).expect(422).await;

    let second = attach(&server, &ana, company, 2).await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(second["trial_ends_at"], Value::Null, "one trial only");
    let call = server.post(&cancel).token(&ana.token);
    let ended = call.json(&json!({"immediately": true})).expect(200).await;
    assert!(ended["company_membership"]["ends_at"].is_string());
    server.assert_sound().await;
}

#[tokio::test]
async fn the_membership_is_the_owners_business() {
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
    let eve = server.sign_up("Eve").await;
    server.company(&eve, "Elsewhere").await;
    let path = format!("/api/v1/companies/{company}/membership");
    let attach = format!("{path}?membership_id=1");
    let cancel = format!("{path}/cancel");
    for (person, status) in [(&admin, 403), (&manager, 403), (&eve, 404)] {
        server
            .post(&attach)
            .token(&person.token)
            .expect(status)
            .await;
        server
            .post(&cancel)
            .token(&person.token)
            .expect(status)
            .await;
    }
    server.post(&attach).expect(401).await;
    server.post(&cancel).expect(401).await;
    server.get(&path).expect(401).await;
    server.post(&attach).token(&ana.token).expect(201).await;
    server.get(&path).token(&admin.token).expect(200).await;
    server.get(&path).token(&manager.token).expect(403).await;
    server.get(&path).token(&eve.token).expect(404).await;

    for (query, status, field) in [
        ("", 400, "membership_id"),
        ("?membership_id=x", 400, "membership_id"),
        ("?membership_id=9", 422, "membership_id"),
        ("?membership_id=2&currency=JPY", 400, "currency"),
    ] {
        let call = server.post(format!("{path}{query}")).token(&ana.token);
        let refused = call.expect(status).await;
        assert!(refused["errors"][field].is_array(), "{query}: {refused}");
    }
    let post = |query: &str| server.post(format!("{cancel}{query}")).token(&ana.token);
    post("?immediately=maybe").expect(400).await;
    post("").raw("{").expect(400).await;
    post("").json(&json!({"immediately": 1})).expect(422).await;
}
