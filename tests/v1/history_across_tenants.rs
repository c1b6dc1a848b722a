//! A person who works for companies that have nothing to do with each other: what the one does with them, and why, is not told to the other.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::server::{Person, TestServer, int};

async fn history(server: &TestServer, who: &Person, path: &str) -> Vec<Value> {
    let answer = server.get(path).token(&who.token).expect(200).await;
    answer["history"].as_array().expect("entries").clone()
}

fn of_type<'h>(history: &'h [Value], event_type: &str) -> Vec<&'h Value> {
    let entries = history.iter();
    entries
        .filter(|entry| entry["event_type"] == event_type)
        .collect()
}

fn assert_withheld(entry: &Value) {
    let nobody = json!({"type": "elsewhere", "id": null, "name": null});
    assert_eq!(entry["actor"], nobody, "{entry}");
    for field in ["reason", "ip", "user_agent", "request_id"] {
        assert!(entry[field].is_null(), "{field}: {entry}");
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one person's time in two companies")]
async fn what_another_tenant_does_with_a_shared_person_is_told_without_who_and_why() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let acme = server.company(&ana, "Acme").await;
    let elsewhere = server.company(&eve, "Elsewhere").await;
    let bob = server.member(acme, &ana, Role::Agent, "Bob").await;
    let owner = server.owner().await;
    let accesses = format!("/api/v1/users/{}/user_access", bob.person.id);
    let access = async |company: i64| {
        let call = server.post(&accesses).token(&owner.token);
        let made = call.json(&json!({"company_id": company, "access_id": 4}));
        int(&made.expect(201).await["user_access"]["id"])
    };
    let there = access(elsewhere).await;
    let branch = {
        let body = json!({"name": "Branch", "parent_company_id": acme});
        server.company_with(&ana, body).await
    };
    let in_branch = access(branch).await;
    let by_ana = |call: crate::server::Call| {
        let call = call.token(&ana.token).header("x-reason", "Acme's own");
        call.header("user-agent", "Acme Browser")
    };
    let primary = async |access: i64| {
        let call = by_ana(server.put(format!("{accesses}/{access}")));
        call.json(&json!({"primary": true})).expect(200).await
    };
    let profile = format!("/api/v1/users/{}", bob.person.id);
    let path = format!("{profile}/history");

    // Between two of Acme's accesses: nobody else's business.
    primary(in_branch).await;
    assert_eq!(
        of_type(&history(&server, &eve, &path).await, "PrimaryAccessChanged").len(),
        0
    );
    primary(bob.access_id).await;
    // Who they are, and what they say themselves, is told to both.
    let call = server.put(&profile).token(&bob.person.token);
    let call = call.header("x-reason", "Bob's own");
    call.json(&json!({"first_name": "Robert"}))
        .expect(200)
        .await;
    let picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let call = by_ana(server.put("/api/v1/users/avatar"));
    call.json(&json!({"user_id": bob.person.id, "avatar_base64": picture}))
        .expect(200)
        .await;
    for access in [in_branch, bob.access_id] {
        let call = by_ana(server.delete(format!("{accesses}/{access}")));
        call.expect(200).await;
    }
    let seen = history(&server, &eve, &path).await;
    let text = serde_json::to_string(&seen).expect("JSON");
    for word in ["Acme's own", "Acme Browser", "Ana Tester"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let of_self = of_type(&seen, "ProfileChanged");
    assert_eq!(of_self[0]["reason"], "Bob's own");
    assert_eq!(of_self[0]["actor"]["id"], bob.person.id);
    let pictures = of_type(&seen, "UserAvatarChanged");
    assert_eq!(pictures[0]["changes"][0]["field"], "avatar");
    assert_withheld(pictures[0]);
    let moved = of_type(&seen, "PrimaryAccessChanged");
    assert_eq!(moved.len(), 1, "{text}");
    assert_eq!(
        moved[0]["changes"],
        json!([{"field": "primary_access_id", "from": null, "to": there, "withheld": "elsewhere"}])
    );
    assert_withheld(moved[0]);
    // Nor is it to be found out by asking.
    for query in [
        format!("actor=user:{}", ana.id),
        format!("field=user_accesses[{in_branch}]"),
    ] {
        let found = history(&server, &eve, &format!("{path}?{query}")).await;
        assert_eq!(found, [] as [Value; 0], "{query}");
    }
    let csv = server
        .get(format!("{path}?format=csv"))
        .token(&eve.token)
        .expect_answer(200)
        .await;
    assert!(!csv.text.contains("Acme"), "{}", csv.text);

    // Who audits all of it reads all of it, and each what they did themselves.
    let all = history(&server, &owner, &path).await;
    let moved = of_type(&all, "PrimaryAccessChanged");
    assert_eq!(moved.last().expect("the last")["reason"], "Acme's own");
    let own = history(&server, &ana, &path).await;
    let pictures = of_type(&own, "UserAvatarChanged");
    assert_eq!(pictures[0]["reason"], "Acme's own");
    assert_eq!(pictures[0]["actor"]["name"], "Ana Tester");
    // Somebody who works for both companies acted for one that the reader audits.
    let call = server
        .post(format!("/api/v1/users/{}/user_access", ana.id))
        .token(&owner.token);
    call.json(&json!({"company_id": elsewhere, "access_id": 2}))
        .expect(201)
        .await;
    let call = server
        .delete(format!("/api/v1/users/avatar?user_id={}", bob.person.id))
        .token(&ana.token);
    let call = call.header("x-reason", "For both");
    call.expect(200).await;
    let seen = history(&server, &eve, &path).await;
    let pictures = of_type(&seen, "UserAvatarChanged");
    assert_withheld(pictures[0]);
    assert_eq!(pictures[1]["reason"], "For both");
}

/// Whoever takes somebody in reads their past from then on; of before, as it was: nothing.
#[tokio::test]
async fn who_came_to_a_company_later_is_nobody_there_before() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let acme = server.company(&ana, "Acme").await;
    let elsewhere = server.company(&eve, "Elsewhere").await;
    let bob = server.member(acme, &ana, Role::Agent, "Bob").await;
    let path = format!("/api/v1/users/{}/history", bob.person.id);
    let then: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(server.database.pool())
        .await
        .expect("the ledger's end");
    let refused = server.get(&path).token(&eve.token).answer().await;
    let owner = server.owner().await;
    let call = server.post(format!("/api/v1/users/{}/user_access", bob.person.id));
    let body = json!({"company_id": elsewhere, "access_id": 4});
    call.token(&owner.token).json(&body).expect(201).await;
    assert!(!history(&server, &eve, &path).await.is_empty());
    let as_of = format!("{path}?as_of={then}");
    let before = server.get(&as_of).token(&eve.token).answer().await;
    assert_eq!((before.status, refused.status), (404, 404));
    assert!(!history(&server, &ana, &as_of).await.is_empty());
}
