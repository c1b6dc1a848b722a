//! Cycles: create, list, and the company's flag.

use aggregates::access::Role;
use chrono::Days;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::questions::assert_sound;
use crate::server::{TestServer, ids, int};

#[tokio::test]
async fn new_leads_are_stamped_with_the_open_cycle_while_the_flag_is_on() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let today = server.app.clock.now().date_naive();
    let path = format!("/api/v1/companies/{company}/cycles");
    let body = json!({"name": " Now ", "start_date": today, "end_date": today});
    let made = server
        .post(&path)
        .token(&ana.token)
        .json(&body)
        .expect(201)
        .await;
    assert_as_in("POST /api/v1/companies/{company_id}/cycles", &made);
    let cycle = &made["cycle"];
    assert_eq!(
        (&cycle["name"], &cycle["active"]),
        (&json!("Now"), &json!(true))
    );
    let lead = async || server.lead(&ana, company, json!({"first_name": "A"})).await;
    assert_eq!(lead().await["cycle"], Value::Null);
    let switch = async |on: bool| {
        let answer = server
            .put(&path)
            .token(&ana.token)
            .json(&json!({"cycles": on}))
            .expect(200)
            .await;
        assert_as_in("PUT /api/v1/companies/{company_id}/cycles", &answer);
        assert_eq!(answer["company"]["cycles"], on);
        let shown = server
            .get(format!("/api/v1/companies/{company}"))
            .token(&ana.token)
            .expect(200)
            .await;
        assert_eq!(shown, answer);
    };
    switch(true).await;
    switch(true).await;
    let stamped = lead().await;
    assert_eq!(stamped["cycle"], json!({"id": cycle["id"], "name": "Now"}));
    let events: Vec<String> = sqlx::query_scalar(
        "SELECT payload -> 'LeadCreated' ->> 'cycle_id' FROM events WHERE aggregate_type = 'lead' AND aggregate_id = $1",
    )
    .bind(int(&stamped["id"]).to_string())
    .fetch_all(server.database.pool())
    .await
    .unwrap();
    assert_eq!(events, [cycle["id"].to_string()]);
    let listed = server
        .get(format!(
            "/api/v1/companies/{company}/leads?cycle_id={}",
            cycle["id"]
        ))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(ids(&listed["leads"]), [int(&stamped["id"])]);
    switch(false).await;
    assert_eq!(lead().await["cycle"], Value::Null);
    // A company below has cycles of its own, or none.
    switch(true).await;
    let below = server
        .company_with(&ana, json!({"name": "Below", "parent_company_id": company}))
        .await;
    let other = server.lead(&ana, below, json!({"first_name": "A"})).await;
    assert_eq!(other["cycle"], Value::Null);
    assert_sound(&server).await;
}

#[tokio::test]
async fn cycles_share_no_day_and_are_listed_by_their_first() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let other = server.company(&ana, "Other").await;
    let path = format!("/api/v1/companies/{company}/cycles");
    let post = |start: &str, end: &str| {
        server
            .post(&path)
            .token(&ana.token)
            .json(&json!({"name": "C", "start_date": start, "end_date": end}))
    };
    let second = int(&post("2020-04-01", "2020-06-30").expect(201).await["cycle"]["id"]);
    let first = int(&post("2020-01-01", "2020-03-31").expect(201).await["cycle"]["id"]);
    let third = int(&post("2020-07-01", "2020-07-01").expect(201).await["cycle"]["id"]);
    for (start, end) in [
        ("2020-03-31", "2020-03-31"),
        ("2019-01-01", "2021-01-01"),
        ("2020-06-30", "2020-07-02"),
        ("2020-05-01", "2020-05-02"),
    ] {
        let refused = post(start, end).expect(422).await;
        assert_eq!(refused["code"], "cycles_overlap");
        assert!(refused["errors"]["start_date"].is_array(), "{refused}");
    }
    let elsewhere = json!({"name": "C", "start_date": "2020-01-01", "end_date": "2020-12-31"});
    server
        .post(format!("/api/v1/companies/{other}/cycles"))
        .token(&ana.token)
        .json(&elsewhere)
        .expect(201)
        .await;
    let list = async |query: &str| {
        server
            .get(format!("{path}?{query}"))
            .token(&ana.token)
            .expect(200)
            .await
    };
    let all = list("").await;
    assert_eq!(ids(&all["cycles"]), [first, second, third]);
    assert_eq!(all["cycles"][0]["active"], false);
    let page = list("per_page=1").await;
    let cursor = page["meta"]["next_cursor"].as_str().unwrap();
    assert_eq!(
        ids(&list(&format!("cursor={cursor}")).await["cycles"]),
        [second, third]
    );
    for query in ["cursor=x", "cursor=Ii0yNjIxNDMtMDEtMDEi", "per_page=0"] {
        server
            .get(format!("{path}?{query}"))
            .token(&ana.token)
            .expect(400)
            .await;
    }
    assert_sound(&server).await;
}

#[tokio::test]
async fn a_cycle_has_a_name_and_two_days() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let path = format!("/api/v1/companies/{company}/cycles");
    for (field, value) in [
        ("name", json!(" ")),
        ("name", Value::Null),
        ("start_date", json!("x")),
        ("start_date", json!("-0001-01-01")),
        ("end_date", Value::Null),
        ("end_date", json!("2019-12-31")),
    ] {
        let mut body = json!({"name": "C", "start_date": "2020-01-01", "end_date": "2020-03-31"});
        body[field] = value;
        let refused = server
            .post(&path)
            .token(&ana.token)
            .json(&body)
            .expect(422)
            .await;
        assert!(refused["errors"][field].is_array(), "{field} in {refused}");
    }
    for body in [json!({}), json!({"cycles": null}), json!({"cycles": "yes"})] {
        let refused = server
            .put(&path)
            .token(&ana.token)
            .json(&body)
            .expect(422)
            .await;
        assert!(refused["errors"]["cycles"].is_array(), "{refused}");
    }
    for raw in ["", "{", "[]"] {
        for call in [server.post(&path), server.put(&path)] {
            let status = call.token(&ana.token).raw(raw).answer().await.status;
            assert!(matches!(status, 400 | 422), "{raw}: {status}");
        }
    }
    let all = server.get(&path).token(&ana.token).expect(200).await;
    assert_eq!(all["cycles"], json!([]));
}

#[tokio::test]
async fn cycles_are_managers_to_make_and_members_to_read() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    server.company(&eve, "Elsewhere").await;
    let manager = server
        .member(company, &ana, Role::Manager, "Mia")
        .await
        .person;
    let agent = server
        .member(company, &ana, Role::Agent, "Bob")
        .await
        .person;
    let path = format!("/api/v1/companies/{company}/cycles");
    let today = server.app.clock.now().date_naive();
    let new =
        json!({"name": "C", "start_date": today + Days::new(1), "end_date": today + Days::new(1)});
    let flag = json!({"cycles": true});
    for (token, status) in [
        (Some(&agent.token), 403),
        (Some(&eve.token), 404),
        (None, 401),
    ] {
        for call in [server.post(&path).json(&new), server.put(&path).json(&flag)] {
            let call = match token {
                Some(token) => call.token(token),
                None => call,
            };
            call.expect(status).await;
        }
    }
    let made = server
        .post(&path)
        .token(&manager.token)
        .json(&new)
        .expect(201)
        .await;
    assert_eq!(made["cycle"]["active"], false);
    server
        .put(&path)
        .token(&manager.token)
        .json(&flag)
        .expect(200)
        .await;
    // No cycle is open today.
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    assert_eq!(lead["cycle"], Value::Null);
    server.get(&path).token(&agent.token).expect(200).await;
    server.get(&path).token(&eve.token).expect(404).await;
    server.get(&path).expect(401).await;
    let stale = server
        .put(&path)
        .token(&ana.token)
        .header("if-match", "\"1\"")
        .json(&flag);
    stale.expect(409).await;
}
