//! The stages that a lead went through, and since when it is where it is.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::questions::assert_sound;
use crate::server::{TestServer, int};

#[tokio::test]
async fn a_lead_remembers_where_it_was_and_for_how_long() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = server
        .lead(&ana, company, json!({"first_name": "A", "stage_id": 2}))
        .await;
    assert_eq!(lead["stage_entered_at"], lead["created_at"]);
    let one = format!("/api/v1/leads/{}", lead["id"]);
    let put = async |body: Value| {
        server
            .put(&one)
            .token(&ana.token)
            .json(&body)
            .expect(200)
            .await["lead"]
            .clone()
    };
    let mut entered = vec![lead["stage_entered_at"].clone()];
    for stage in [3, 1, 5] {
        let after = put(json!({"stage_id": stage})).await;
        assert_eq!(after["stage_entered_at"], after["updated_at"]);
        entered.push(after["stage_entered_at"].clone());
    }
    // Nothing but a move is one.
    let after = put(json!({"stage_id": 5, "first_name": "B"})).await;
    assert_eq!(after["stage_entered_at"], entered[3]);
    assert_ne!(after["updated_at"], entered[3]);

    let list = async |query: &str| {
        server
            .get(format!("{one}/stages?{query}"))
            .token(&ana.token)
            .expect(200)
            .await
    };
    let all = list("").await;
    let stays = all["stages"].as_array().unwrap();
    let stages: Vec<i64> = stays.iter().map(|stay| int(&stay["stage"]["id"])).collect();
    assert_eq!(stages, [2, 3, 1, 5]);
    for (n, stay) in stays.iter().enumerate() {
        assert_eq!(stay["entered_at"], entered[n]);
        assert_eq!(
            stay["left_at"],
            entered.get(n + 1).cloned().unwrap_or_default()
        );
    }
    assert_eq!(all["meta"]["total_count"], 4);
    let page = list("per_page=3").await;
    assert_eq!(page["stages"].as_array().unwrap()[..], stays[..3]);
    let cursor = page["meta"]["next_cursor"].as_str().unwrap();
    let rest = list(&format!("cursor={cursor}")).await;
    assert_eq!(rest["stages"].as_array().unwrap()[..], stays[3..]);
    assert_eq!(rest["meta"]["next_cursor"], Value::Null);
    assert_eq!(list("per_page=3&page=2").await["stages"], rest["stages"]);

    let unmoved = server.lead(&ana, company, json!({"first_name": "C"})).await;
    let stages = server
        .get(format!("/api/v1/leads/{}/stages", unmoved["id"]))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(stages["stages"][0]["entered_at"], unmoved["created_at"]);
    assert_eq!(stages["stages"][0]["left_at"], Value::Null);
    assert_sound(&server).await;
}

#[tokio::test]
async fn who_reads_the_lead_reads_its_stages() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    server.company(&eve, "Elsewhere").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let cas = server
        .member(company, &ana, Role::Agent, "Cas")
        .await
        .person;
    let auditor = server
        .member(company, &ana, Role::Auditor, "Aud")
        .await
        .person;
    let lead = server
        .lead(
            &ana,
            company,
            json!({"first_name": "A", "user_access_id": bob.access_id}),
        )
        .await;
    let path = format!("/api/v1/leads/{}/stages", lead["id"]);
    for (token, status) in [
        (&bob.person.token, 200),
        (&auditor.token, 200),
        (&cas.token, 403),
        (&eve.token, 404),
    ] {
        server.get(&path).token(token).expect(status).await;
    }
    server.get(&path).expect(401).await;
    server
        .get("/api/v1/leads/999/stages")
        .token(&ana.token)
        .expect(404)
        .await;
    for path in [
        format!("{path}?cursor=x"),
        format!("{path}?per_page=0"),
        "/api/v1/leads/x/stages".to_owned(),
    ] {
        server.get(path).token(&ana.token).expect(400).await;
    }
}
