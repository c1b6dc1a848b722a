//! The unassigned leads, metrics, and who sees which list.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{Person, TestServer, ids, int};

/// The ids that the list answers, in its order.
async fn list(server: &TestServer, who: &Person, company: i64, query: &str) -> Vec<i64> {
    let path = format!("/api/v1/companies/{company}/leads?{query}");
    let answer = server.get(path).token(&who.token).expect(200).await;
    ids(&answer["leads"])
}

#[tokio::test]
async fn unassigned_leads_are_listed_until_somebody_takes_them() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let free = server
        .lead(&ana, company, json!({"first_name": "Free"}))
        .await;
    let taken = server
        .lead(
            &ana,
            company,
            json!({"first_name": "Taken", "user_access_id": bob.access_id}),
        )
        .await;
    let unassigned = async |who: &Person| {
        let path = format!("/api/v1/companies/{company}/leads/unassigned");
        let answer = server.get(path).token(&who.token).expect(200).await;
        assert_as_in(
            "GET /api/v1/companies/{company_id}/leads/unassigned",
            &answer,
        );
        ids(&answer["leads"])
    };
    assert_eq!(unassigned(&ana).await, ids(&json!([free])));
    assert_eq!(unassigned(&bob.person).await, ids(&json!([free])));
    let put = |lead: &Value, access: Value| {
        server
            .put(format!("/api/v1/leads/{}", lead["id"]))
            .token(&ana.token)
            .json(&json!({"user_access_id": access}))
            .expect(200)
    };
    put(&free, json!(bob.access_id)).await;
    assert_eq!(unassigned(&ana).await, [0; 0]);
    put(&taken, Value::Null).await;
    assert_eq!(unassigned(&ana).await, ids(&json!([taken])));
}

#[tokio::test]
async fn an_agent_lists_their_own_leads_and_nobodys() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let cleo = server.member(company, &ana, Role::Agent, "Cleo").await;
    let mut made = Vec::new();
    for access in [json!(bob.access_id), json!(cleo.access_id), Value::Null] {
        made.push(int(&server
            .lead(
                &ana,
                company,
                json!({"first_name": "A", "email": "same@example.com", "user_access_id": access}),
            )
            .await["id"]));
    }
    assert_eq!(
        list(&server, &bob.person, company, "sort=id").await,
        [made[0], made[2]]
    );
    assert_eq!(
        list(
            &server,
            &bob.person,
            company,
            &format!("user_access_id={}", bob.access_id)
        )
        .await,
        [made[0]]
    );
    assert_eq!(
        list(
            &server,
            &bob.person,
            company,
            &format!("user_access_id={}", cleo.access_id)
        )
        .await,
        [0; 0]
    );
    assert_eq!(
        list(&server, &bob.person, company, "sort=id&search=same").await,
        [made[0], made[2]]
    );
    let get = |path: &str| {
        server
            .get(format!("/api/v1/companies/{company}/leads/{path}"))
            .token(&bob.person.token)
            .expect(200)
    };
    assert_eq!(get("metrics").await["total"], 1);
    assert_eq!(
        get(&format!("metrics?user_access_id={}", cleo.access_id)).await["total"],
        0
    );
    let duplicates = ids(&get("duplicates").await["leads"]);
    assert!(
        duplicates.contains(&made[0]) && !duplicates.contains(&made[1]),
        "{duplicates:?}"
    );
}

#[tokio::test]
async fn metrics_count_each_stage_under_every_filter() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let campaign = server.campaign(&ana, company, json!({"name": "C"})).await;
    for body in [
        json!({"first_name": "A", "stage_id": 1, "source_id": 1, "campaign_id": campaign}),
        json!({"first_name": "B", "stage_id": 1, "source_id": 2, "user_access_id": bob.access_id}),
        json!({"first_name": "C", "stage_id": 5, "source_id": 1}),
    ] {
        server.lead(&ana, company, body).await;
    }
    let metrics = async |query: &str| {
        let path = format!("/api/v1/companies/{company}/leads/metrics?{query}");
        let answer = server.get(path).token(&ana.token).expect(200).await;
        assert_as_in("GET /api/v1/companies/{company_id}/leads/metrics", &answer);
        let rows = answer["metrics"].as_array().unwrap().clone();
        let stages: Vec<i64> = rows.iter().map(|row| int(&row["stage"]["id"])).collect();
        assert_eq!(stages, [1, 2, 3, 4, 5, 6]);
        let counts: Vec<i64> = rows.iter().map(|row| int(&row["count"])).collect();
        assert_eq!(int(&answer["total"]), counts.iter().sum::<i64>());
        (counts, rows[0]["percentage"].clone())
    };
    let today = server.app.clock.now().date_naive();
    let (yesterday, tomorrow) = (today.pred_opt().unwrap(), today.succ_opt().unwrap());
    assert_eq!(metrics("").await, (vec![2, 0, 0, 0, 1, 0], json!(66.67)));
    for (query, expected) in [
        ("source_id=1".to_owned(), [1, 0, 0, 0, 1, 0]),
        (format!("campaign_id={campaign}"), [1, 0, 0, 0, 0, 0]),
        ("cycle_id=1".into(), [0; 6]),
        (
            format!("user_access_id={}", bob.access_id),
            [1, 0, 0, 0, 0, 0],
        ),
        (format!("created_to={yesterday}"), [0; 6]),
        (
            format!("created_from={yesterday}&created_to={tomorrow}"),
            [2, 0, 0, 0, 1, 0],
        ),
        (format!("created_from={tomorrow}"), [0; 6]),
        (
            format!("created_from={yesterday}&source_id=2"),
            [1, 0, 0, 0, 0, 0],
        ),
        ("source_id=99".into(), [0; 6]),
    ] {
        assert_eq!(metrics(&query).await.0, expected, "{query}");
    }
    assert_eq!(metrics("source_id=99").await.1, json!(0.0));
    let lead = server.lead(&ana, company, json!({"first_name": "D"})).await;
    server
        .put(format!("/api/v1/leads/{}", lead["id"]))
        .token(&ana.token)
        .json(&json!({"stage_id": 6}))
        .expect(200)
        .await;
    assert_eq!(metrics("").await.0, [2, 0, 0, 0, 1, 1]);
    server
        .get(format!(
            "/api/v1/companies/{company}/leads/metrics?created_from=-262143-01-01"
        ))
        .token(&ana.token)
        .expect(400)
        .await;
}

#[tokio::test]
async fn the_lists_are_for_those_who_see_the_company() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    server.company(&eve, "Elsewhere").await;
    for list in ["", "/duplicates", "/unassigned", "/metrics"] {
        let path = format!("/api/v1/companies/{company}/leads{list}");
        server.get(&path).expect(401).await;
        server.get(&path).token("bad").expect(401).await;
        server.get(&path).token(&eve.token).expect(404).await;
        server.get(&path).token(&ana.token).expect(200).await;
    }
}
