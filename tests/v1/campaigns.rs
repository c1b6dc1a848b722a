//! Campaigns: list, get, create, update.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::questions::assert_sound;
use crate::server::{TestServer, ids, int};

#[tokio::test]
async fn a_campaign_begins_changes_and_ends() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let body = json!({"name": " Spring ", "start_date": "2026-01-01", "end_date": "2026-01-01"});
    let path = format!("/api/v1/companies/{company}/campaigns");
    let made = server
        .post(&path)
        .token(&ana.token)
        .json(&body)
        .expect(201)
        .await;
    assert_as_in("GET /api/v1/campaigns/{id}", &made);
    let campaign = &made["campaign"];
    assert_eq!(
        (&campaign["name"], &campaign["status"]),
        (&json!("Spring"), &json!("active"))
    );
    let one = format!("/api/v1/campaigns/{}", campaign["id"]);
    assert_eq!(server.get(&one).token(&ana.token).expect(200).await, made);
    let put = |body: Value| server.put(&one).token(&ana.token).json(&body);
    let paused = put(json!({"status": "paused", "end_date": null}))
        .expect(200)
        .await;
    assert_eq!(paused["campaign"]["status"], "paused");
    assert_eq!(paused["campaign"]["end_date"], Value::Null);
    assert_eq!(paused["campaign"]["start_date"], "2026-01-01");
    assert_eq!(put(json!({})).expect(200).await, paused);
    put(json!({"status": "active", "name": "Summer"}))
        .expect(200)
        .await;
    let ended = put(json!({"status": "ended"})).expect(200).await;
    assert_eq!(ended["campaign"]["name"], "Summer");
    for status in ["active", "paused"] {
        let refused = put(json!({"status": status})).expect(422).await;
        assert!(refused["errors"]["status"].is_array(), "{refused}");
    }
    let renamed = put(json!({"name": "Summer 1", "status": "ended"}))
        .expect(200)
        .await;
    assert_eq!(renamed["campaign"]["name"], "Summer 1");
    let stale = put(json!({"name": "x"}))
        .header("if-match", "\"1\"")
        .expect(409)
        .await;
    assert_eq!(stale["code"], "version_conflict");
    assert_sound(&server).await;
}

#[tokio::test]
async fn campaigns_are_found_by_name_and_status() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let mut made = Vec::new();
    for body in [
        json!({"name": "Búsqueda"}),
        json!({"name": "Display", "status": "paused"}),
        json!({"name": "Búho"}),
    ] {
        made.push(server.campaign(&ana, company, body).await);
    }
    let ended = json!({"status": "ended"});
    server
        .put(format!("/api/v1/campaigns/{}", made[2]))
        .token(&ana.token)
        .json(&ended)
        .expect(200)
        .await;
    let path = format!("/api/v1/companies/{company}/campaigns");
    let list = async |query: &str| {
        let answer = server
            .get(format!("{path}?{query}"))
            .token(&ana.token)
            .expect(200)
            .await;
        assert_as_in("GET /api/v1/companies/{company_id}/campaigns", &answer);
        assert_eq!(answer["campaigns"][0].get("questions"), None);
        answer
    };
    for (query, expected) in [
        ("", vec![0, 1, 2]),
        ("search=bu", vec![0, 2]),
        ("status=paused", vec![1]),
        ("status=active&search=b", vec![0]),
        ("per_page=2", vec![0, 1]),
        ("per_page=2&page=2", vec![2]),
    ] {
        let expected: Vec<i64> = expected.into_iter().map(|n: usize| made[n]).collect();
        assert_eq!(ids(&list(query).await["campaigns"]), expected, "{query}");
    }
    let first = list("per_page=2").await;
    assert_eq!(first["meta"]["total_count"], 3);
    let cursor = first["meta"]["next_cursor"].as_str().unwrap();
    assert_eq!(
        ids(&list(&format!("per_page=2&cursor={cursor}")).await["campaigns"]),
        [made[2]]
    );
    let none = server
        .get(format!("{path}?status=active&search=nothing"))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(none["campaigns"], json!([]));
    for query in ["status=busy", "per_page=101", "cursor=e30"] {
        server
            .get(format!("{path}?{query}"))
            .token(&ana.token)
            .expect(400)
            .await;
    }
}

#[tokio::test]
async fn a_campaign_that_makes_no_sense_is_refused() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let create = format!("/api/v1/companies/{company}/campaigns");
    let update = format!(
        "/api/v1/campaigns/{}",
        server.campaign(&ana, company, json!({"name": "C"})).await
    );
    for (field, value) in [
        ("name", json!(" ")),
        ("name", json!("a\u{0}")),
        ("name", json!("x".repeat(201))),
        ("name", json!(7)),
        ("status", json!("busy")),
        ("source_id", json!(0)),
        ("source_id", json!("x")),
        ("start_date", json!("tomorrow")),
        ("start_date", json!("+262142-12-31")),
        ("end_date", json!("2026-02-30")),
    ] {
        let mut body = json!({"name": "B"});
        body[field] = value;
        for call in [server.post(&create), server.put(&update)] {
            let refused = call.token(&ana.token).json(&body).expect(422).await;
            assert!(refused["errors"][field].is_array(), "{field} in {refused}");
        }
    }
    for call in [server.post(&create), server.put(&update)] {
        let body = json!({"name": "B", "start_date": "2026-02-01", "end_date": "2026-01-31"});
        let refused = call.token(&ana.token).json(&body).expect(422).await;
        assert!(refused["errors"]["end_date"].is_array(), "{refused}");
    }
    for (field, body) in [
        ("name", json!({})),
        ("status", json!({"name": "B", "status": "ended"})),
    ] {
        let refused = server
            .post(&create)
            .token(&ana.token)
            .json(&body)
            .expect(422)
            .await;
        assert!(refused["errors"][field].is_array(), "{refused}");
    }
    for raw in ["", "{", "[]", "null"] {
        for call in [server.post(&create), server.put(&update)] {
            let status = call.token(&ana.token).raw(raw).answer().await.status;
            assert!(matches!(status, 400 | 422), "{raw}: {status}");
        }
    }
    let all = server.get(&create).token(&ana.token).expect(200).await;
    assert_eq!(all["meta"]["total_count"], 1);
}

#[tokio::test]
async fn campaigns_are_managers_to_make_and_members_to_read() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    server.company(&eve, "Elsewhere").await;
    let manager = server
        .member(company, &ana, Role::Manager, "Mia")
        .await
        .person;
    let analyst = server
        .member(company, &ana, Role::Analyst, "Lis")
        .await
        .person;
    let list = format!("/api/v1/companies/{company}/campaigns");
    let made = server
        .campaign(&manager, company, json!({"name": "C"}))
        .await;
    let one = format!("/api/v1/campaigns/{made}");
    for path in [&list, &one] {
        server.get(path).token(&analyst.token).expect(200).await;
        server.get(path).token(&eve.token).expect(404).await;
        server.get(path).expect(401).await;
    }
    let body = json!({"name": "Mine"});
    for call in [
        |s: &TestServer, l: &str, _: &str| s.post(l),
        |s: &TestServer, _: &str, o: &str| s.put(o),
    ] {
        call(&server, &list, &one)
            .token(&analyst.token)
            .json(&body)
            .expect(403)
            .await;
        call(&server, &list, &one)
            .token(&eve.token)
            .json(&body)
            .expect(404)
            .await;
        call(&server, &list, &one).json(&body).expect(401).await;
    }
    server
        .put("/api/v1/campaigns/999")
        .token(&ana.token)
        .json(&body)
        .expect(404)
        .await;
    server
        .get("/api/v1/campaigns/999")
        .token(&ana.token)
        .expect(404)
        .await;
    server
        .get("/api/v1/campaigns/x")
        .token(&ana.token)
        .expect(400)
        .await;
}

#[tokio::test]
async fn leads_come_from_open_campaigns_of_the_company_or_one_above() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let below = json!({"name": "Below", "parent_company_id": company});
    let below = server.company_with(&ana, below).await;
    let other = server.company(&ana, "Other").await;
    let today = server.app.clock.now().date_naive();
    let yesterday = today.pred_opt().unwrap();
    let open = server
        .campaign(
            &ana,
            company,
            json!({"name": "Open", "source_id": 7, "end_date": today}),
        )
        .await;
    let paused = server
        .campaign(&ana, company, json!({"name": "Paused", "status": "paused"}))
        .await;
    let over = server
        .campaign(
            &ana,
            company,
            json!({"name": "Over", "end_date": yesterday}),
        )
        .await;
    let foreign = server
        .campaign(&ana, other, json!({"name": "Foreign"}))
        .await;
    let lower = server.campaign(&ana, below, json!({"name": "Lower"})).await;

    let lead = server
        .lead(&ana, below, json!({"first_name": "A", "campaign_id": open}))
        .await;
    assert_eq!(lead["campaign"], json!({"id": open, "name": "Open"}));
    assert_eq!(lead["source"]["id"], 7);
    let own = json!({"first_name": "A", "campaign_id": open, "source_id": 3});
    assert_eq!(server.lead(&ana, company, own).await["source"]["id"], 3);

    let lead = server.lead(&ana, company, json!({"first_name": "B"})).await;
    let one = format!("/api/v1/leads/{}", lead["id"]);
    let create = format!("/api/v1/companies/{company}/leads");
    for (campaign, code) in [
        (paused, "campaign_not_open"),
        (over, "campaign_not_open"),
        (foreign, "unknown_campaign"),
        (lower, "unknown_campaign"),
        (999, "unknown_campaign"),
    ] {
        let body = json!({"first_name": "C", "campaign_id": campaign});
        for call in [server.post(&create), server.put(&one)] {
            let refused = call.token(&ana.token).json(&body).expect(422).await;
            assert_eq!(refused["code"], code);
            assert!(refused["errors"]["campaign_id"].is_array(), "{refused}");
        }
    }
    let put = |body: Value| server.put(&one).token(&ana.token).json(&body);
    let after = put(json!({"campaign_id": open})).expect(200).await;
    assert_eq!(after["lead"]["campaign"]["name"], "Open");
    // What has ended since stays with whom it brought.
    let ended = json!({"status": "ended", "name": "Ended"});
    server
        .put(format!("/api/v1/campaigns/{open}"))
        .token(&ana.token)
        .json(&ended)
        .expect(200)
        .await;
    let after = put(json!({"campaign_id": open, "last_name": "B"}))
        .expect(200)
        .await;
    assert_eq!(
        after["lead"]["campaign"],
        json!({"id": open, "name": "Ended"})
    );
    let after = put(json!({"campaign_id": null})).expect(200).await;
    assert_eq!(after["lead"]["campaign"], Value::Null);
    put(json!({"campaign_id": open})).expect(422).await;
    let listed = server
        .get(format!("{create}?campaign_id={open}"))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(int(&listed["meta"]["total_count"]), 1);
    assert_eq!(listed["leads"][0]["campaign"]["name"], "Ended");
    assert_sound(&server).await;
}
