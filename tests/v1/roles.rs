//! User company relation under competition, and what follows from a change of role.

use aggregates::access::Role;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::server::{TestServer, ids, int};

#[tokio::test]
async fn of_two_owners_who_leave_at_once_one_stays() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let oda = server.member(company, &ana, Role::Owner, "Oda").await;
    let list = server
        .get(format!("/api/v1/users/{}/user_access", ana.id))
        .token(&ana.token)
        .expect(200)
        .await;
    let access = int(&list["user_accesses"][0]["id"]);
    let one = server
        .delete(format!("/api/v1/users/{}/user_access/{access}", ana.id))
        .token(&ana.token)
        .answer();
    let other = server
        .delete(format!(
            "/api/v1/users/{}/user_access/{}",
            oda.person.id, oda.access_id
        ))
        .token(&oda.person.token)
        .answer();
    let (one, other) = tokio::join!(one, other);
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 422], "{} {}", one.body, other.body);
}

#[tokio::test]
async fn a_users_accesses_are_filtered() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let (one, two) = (
        server.company(&ana, "One").await,
        server.company(&ana, "Two").await,
    );
    let path = format!("/api/v1/users/{}/user_access", ana.id);
    let list = async |query: String| {
        let answer = server
            .get(format!("{path}?{query}"))
            .token(&ana.token)
            .expect(200)
            .await;
        ids(&answer["user_accesses"]).len()
    };
    assert_eq!(list(String::new()).await, 2);
    assert_eq!(list(format!("company_id={two}")).await, 1);
    assert_eq!(list("access_id=1".to_owned()).await, 2);
    assert_eq!(list("access_id=4".to_owned()).await, 0);
    assert_eq!(list("primary=true".to_owned()).await, 1);
    assert_eq!(list(format!("primary=true&company_id={one}")).await, 1);
    let refused = server
        .get(format!("{path}?primary=maybe"))
        .token(&ana.token)
        .expect(400)
        .await;
    assert!(refused["errors"]["primary"].is_array(), "{refused}");
}

#[tokio::test]
async fn a_role_that_is_taken_ends_at_once_and_its_leads_are_nobodys() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let lead = server
        .lead(
            &ana,
            company,
            json!({"email": "l@example.com", "user_access_id": bob.access_id}),
        )
        .await;
    assert_eq!(lead["user_access"]["id"], bob.access_id);
    let path = format!("/api/v1/leads/{}", lead["id"]);
    server.get(&path).token(&bob.person.token).expect(200).await;
    server
        .delete(format!(
            "/api/v1/users/{}/user_access/{}",
            bob.person.id, bob.access_id
        ))
        .token(&ana.token)
        .expect(200)
        .await;
    server.get(&path).token(&bob.person.token).expect(404).await;
    let after = server.get(&path).token(&ana.token).expect(200).await;
    assert_eq!(after["lead"]["user_access"], Value::Null);
    let nobodys = server
        .get(format!("/api/v1/companies/{company}/leads/unassigned"))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(ids(&nobodys["leads"]), [int(&lead["id"])]);
}

#[tokio::test]
async fn leads_do_not_stay_with_an_access_that_moved_to_another_company() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let (company, other) = (
        server.company(&ana, "One").await,
        server.company(&ana, "Two").await,
    );
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let lead = server
        .lead(
            &ana,
            company,
            json!({"email": "l@example.com", "user_access_id": bob.access_id}),
        )
        .await;
    let path = format!(
        "/api/v1/users/{}/user_access/{}",
        bob.person.id, bob.access_id
    );
    server
        .put(path)
        .token(&ana.token)
        .json(&json!({"company_id": other}))
        .expect(200)
        .await;
    let after = server
        .get(format!("/api/v1/leads/{}", lead["id"]))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(after["lead"]["user_access"], Value::Null);
}

#[tokio::test]
async fn of_simultaneous_grants_in_one_company_one_succeeds() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let (company, other) = (
        server.company(&ana, "One").await,
        server.company(&ana, "Two").await,
    );
    let bob = server
        .member(company, &ana, Role::Agent, "Bob")
        .await
        .person;
    let path = format!("/api/v1/users/{}/user_access", bob.id);
    let grants = join_all((1..=6).map(|role| {
        let body = json!({"company_id": other, "access_id": role, "primary": true});
        server.post(&path).token(&ana.token).json(&body).answer()
    }))
    .await;
    let count = |status| {
        grants
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!((count(201), count(422)), (1, 5));
    let list = server
        .get(format!("{path}?primary=true"))
        .token(&bob.token)
        .expect(200)
        .await;
    assert_eq!(list["meta"]["total_count"], 1);
    assert_eq!(list["user_accesses"][0]["company"]["id"], other);
}

#[tokio::test]
async fn of_several_primary_roles_given_at_once_one_is_primary() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let (one, two) = (
        server.company(&ana, "One").await,
        server.company(&ana, "Two").await,
    );
    let grant = |company: i64, primary: bool| json!({"company_id": company, "access_id": 4, "primary": primary});
    for (name, primary) in [("both", true), ("neither", false)] {
        let body = json!({"first_name": name, "email": format!("{name}@example.com"),
            "user_accesses_attributes": [grant(one, primary), grant(two, primary)]});
        let user = server
            .post("/api/v1/users")
            .token(&ana.token)
            .json(&body)
            .expect(201)
            .await;
        let path = format!("/api/v1/users/{}/user_access", user["user"]["id"]);
        let primary = server
            .get(format!("{path}?primary=true"))
            .token(&ana.token)
            .expect(200)
            .await;
        assert_eq!(primary["meta"]["total_count"], 1, "{primary}");
        assert_eq!(
            primary["user_accesses"][0]["id"],
            user["user"]["primary_access"]["id"]
        );
    }
}

#[tokio::test]
async fn a_role_changes_only_at_the_version_that_the_caller_knows() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let one = format!(
        "/api/v1/users/{}/user_access/{}",
        bob.person.id, bob.access_id
    );
    let put = |tag: &str, role: i64| {
        let call = server.put(&one).token(&ana.token).header("if-match", tag);
        call.json(&json!({"access_id": role}))
    };
    let known = put("*", 3).expect_answer(200).await;
    let next = put(known.header("etag"), 4).expect_answer(200).await;
    put(known.header("etag"), 5).expect(409).await;
    server
        .delete(&one)
        .token(&ana.token)
        .header("if-match", known.header("etag"))
        .expect(409)
        .await;
    server
        .delete(&one)
        .token(&ana.token)
        .header("if-match", next.header("etag"))
        .expect(200)
        .await;
}

#[tokio::test]
async fn a_change_of_role_holds_from_the_next_request_on_and_its_reason_is_kept() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Analyst, "Bob").await;
    let leads = format!("/api/v1/companies/{company}/leads");
    let create = || {
        server
            .post(&leads)
            .token(&bob.person.token)
            .json(&json!({"first_name": "L"}))
    };
    create().expect(403).await;
    let one = format!(
        "/api/v1/users/{}/user_access/{}",
        bob.person.id, bob.access_id
    );
    let put = |role: Role| {
        let call = server
            .put(&one)
            .token(&ana.token)
            .header("x-reason", "promotion");
        call.json(&json!({"access_id": role.id()})).expect(200)
    };
    put(Role::Manager).await;
    create().expect(201).await;
    put(Role::Auditor).await;
    create().expect(403).await;
    let kept = server.metadata("user", bob.person.id).await;
    let reasons = kept.iter().filter(|event| event["reason"] == "promotion");
    assert_eq!(reasons.count(), 2, "{kept:?}");
}

#[tokio::test]
async fn an_assignee_who_moves_away_while_leads_come_in_keeps_none() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let (company, other) = (
        server.company(&ana, "One").await,
        server.company(&ana, "Two").await,
    );
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let leads = format!("/api/v1/companies/{company}/leads");
    let body = json!({"first_name": "L", "user_access_id": bob.access_id});
    let creating =
        join_all((0..20).map(|_| server.post(&leads).token(&ana.token).json(&body).answer()));
    let one = format!(
        "/api/v1/users/{}/user_access/{}",
        bob.person.id, bob.access_id
    );
    let moving = server
        .put(one)
        .token(&ana.token)
        .json(&json!({"company_id": other}))
        .expect(200);
    let (created, _) = tokio::join!(creating, moving);
    for answer in created {
        assert!(
            matches!(answer.status, 201 | 422),
            "{} {}",
            answer.status,
            answer.body
        );
    }
    let his = server
        .get(format!("{leads}?user_access_id={}", bob.access_id))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(his["meta"]["total_count"], 0);
}

#[tokio::test]
async fn what_one_server_takes_or_gives_holds_on_the_other_at_once() {
    let here = TestServer::start().await;
    let there = here.beside().await;
    let owner = here.owner().await;
    let ana = here.sign_up("Ana").await;
    let company = here.company(&ana, "Acme").await;
    let bob = here.member(company, &ana, Role::Manager, "Bob").await;
    let leads = format!("/api/v1/companies/{company}/leads");
    let create = async |email: &str| {
        let body = json!({"email": email, "first_name": "Lea"});
        let call = there.post(&leads).token(&bob.person.token).json(&body);
        call.answer().await.status
    };
    let accesses = format!("/api/v1/users/{}/user_access", bob.person.id);
    let lead = int(&there
        .lead(&bob.person, company, json!({"email": "a@example.com"}))
        .await["id"]);
    for round in 0..5 {
        // The other server remembers what Bob may do when it is taken here, and that he may nothing when it is given.
        assert_eq!(create(&format!("b{round}@example.com")).await, 201);
        let list = here.get(&accesses).token(&ana.token).expect(200).await;
        let access = int(&list["user_accesses"][0]["id"]);
        let path = format!("{accesses}/{access}");
        here.delete(path).token(&ana.token).expect(200).await;
        assert_eq!(create(&format!("c{round}@example.com")).await, 404);
        let note = there.post(format!("/api/v1/leads/{lead}/notes"));
        let note = note.token(&bob.person.token).json(&json!({"content": "x"}));
        note.expect(404).await;
        let grant = json!({"company_id": company, "access_id": 3});
        // Who has no access in her companies any more is not visible to Ana.
        let grant = here.post(&accesses).token(&owner.token).json(&grant);
        grant.expect(201).await;
    }
}
