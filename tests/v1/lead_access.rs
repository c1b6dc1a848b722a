//! Who may read and change which leads.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::server::TestServer;

#[tokio::test]
async fn a_lead_of_an_unseen_company_is_not_found() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    let own = server.company(&eve, "Elsewhere").await;
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let (one, all) = (
        format!("/api/v1/leads/{}", lead["id"]),
        format!("/api/v1/companies/{company}/leads"),
    );
    let body = json!({"first_name": "B"});
    server.get(&one).token(&eve.token).expect(404).await;
    server
        .put(&one)
        .token(&eve.token)
        .json(&body)
        .expect(404)
        .await;
    server
        .post(&all)
        .token(&eve.token)
        .json(&body)
        .expect(404)
        .await;
    for token in [None, Some("bad")] {
        for call in [
            server.get(&one),
            server.put(&one).json(&body),
            server.post(&all).json(&body),
        ] {
            let call = match token {
                Some(token) => call.token(token),
                None => call,
            };
            call.expect(401).await;
        }
    }
    for (path, status) in [("999999", 404), ("0", 404), ("x", 400)] {
        server
            .get(format!("/api/v1/leads/{path}"))
            .token(&ana.token)
            .expect(status)
            .await;
    }
    // Nor can somebody else's people be made to work on a lead.
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let body = json!({"first_name": "B", "user_access_id": bob.access_id});
    let refused = server
        .post(format!("/api/v1/companies/{own}/leads"))
        .token(&eve.token)
        .json(&body)
        .expect(422)
        .await;
    assert!(refused["errors"]["user_access_id"].is_array(), "{refused}");
}

#[tokio::test]
async fn an_agent_reaches_their_own_leads_and_reads_nobodys() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let cleo = server.member(company, &ana, Role::Agent, "Cleo").await;
    let path = |lead: &Value| format!("/api/v1/leads/{}", lead["id"]);
    // What an agent creates is theirs.
    let own = server
        .lead(&bob.person, company, json!({"first_name": "Own"}))
        .await;
    assert_eq!(own["user_access"]["id"], bob.access_id);
    let nobodys = server
        .lead(&ana, company, json!({"first_name": "Nobody's"}))
        .await;
    let others = server
        .lead(
            &ana,
            company,
            json!({"first_name": "Other's", "user_access_id": cleo.access_id}),
        )
        .await;
    let get = |lead: &Value| server.get(path(lead)).token(&bob.person.token);
    let put =
        |lead: &Value, body: Value| server.put(path(lead)).token(&bob.person.token).json(&body);
    get(&own).expect(200).await;
    get(&nobodys).expect(200).await;
    get(&others).expect(403).await;
    put(&own, json!({"stage_id": 2})).expect(200).await;
    put(&nobodys, json!({"stage_id": 2})).expect(403).await;
    put(&nobodys, json!({"user_access_id": bob.access_id}))
        .expect(403)
        .await;
    put(&others, json!({"stage_id": 2})).expect(403).await;
    put(&own, json!({"user_access_id": cleo.access_id}))
        .expect(403)
        .await;
    let body = json!({"first_name": "For Cleo", "user_access_id": cleo.access_id});
    server
        .post(format!("/api/v1/companies/{company}/leads"))
        .token(&bob.person.token)
        .json(&body)
        .expect(403)
        .await;
    // They may hand one back, and then only read it.
    put(&own, json!({"user_access_id": null})).expect(200).await;
    put(&own, json!({"stage_id": 3})).expect(403).await;
    get(&own).expect(200).await;
}

#[tokio::test]
async fn each_role_reads_and_writes_leads_as_the_table_says() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let one = format!("/api/v1/leads/{}", lead["id"]);
    let all = format!("/api/v1/companies/{company}/leads");
    for (role, writes) in [
        (Role::Admin, true),
        (Role::Manager, true),
        (Role::Analyst, false),
        (Role::Auditor, false),
    ] {
        let person = server.member(company, &ana, role, role.code()).await.person;
        server.get(&one).token(&person.token).expect(200).await;
        server.get(&all).token(&person.token).expect(200).await;
        server
            .get(format!("{all}/metrics"))
            .token(&person.token)
            .expect(200)
            .await;
        let body = json!({"first_name": role.code()});
        server
            .put(&one)
            .token(&person.token)
            .json(&body)
            .expect(if writes { 200 } else { 403 })
            .await;
        server
            .post(&all)
            .token(&person.token)
            .json(&body)
            .expect(if writes { 201 } else { 403 })
            .await;
        server
            .post(format!("{one}/notes"))
            .token(&person.token)
            .json(&json!({"content": "x"}))
            .expect(if writes { 201 } else { 403 })
            .await;
    }
}

#[tokio::test]
async fn a_role_in_a_company_holds_for_the_leads_below() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let parent = server.company(&ana, "Parent").await;
    let child = server
        .company_with(&ana, json!({"name": "Child", "parent_company_id": parent}))
        .await;
    let manager = server.member(parent, &ana, Role::Manager, "Mia").await;
    let below = server.member(child, &ana, Role::Manager, "Mel").await;
    let lead = server
        .lead(
            &manager.person,
            child,
            json!({"first_name": "A", "user_access_id": manager.access_id}),
        )
        .await;
    assert_eq!(lead["user_access"]["id"], manager.access_id);
    server
        .get(format!("/api/v1/leads/{}", lead["id"]))
        .token(&below.person.token)
        .expect(200)
        .await;
    // Not the other way round.
    let body = json!({"first_name": "B", "user_access_id": below.access_id});
    server
        .post(format!("/api/v1/companies/{parent}/leads"))
        .token(&below.person.token)
        .json(&body)
        .expect(404)
        .await;
    server
        .post(format!("/api/v1/companies/{parent}/leads"))
        .token(&ana.token)
        .json(&body)
        .expect(422)
        .await;
}
