//! Plan limits: what exceeds them is refused, however many try at once, and nobody else is.

use std::io::Write;

use aggregates::access::Role;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::company_membership::attach;
use crate::invitations::invite;
use crate::server::{Answer, Person, TestServer, int};

const FREE: i64 = 1;
const TEAM: i64 = 2;
const ENTERPRISE: i64 = 4;

/// Creates leads, 32 at a time, and answers how each went.
async fn create_leads(server: &TestServer, by: &Person, company: i64, count: usize) -> Vec<Answer> {
    let path = format!("/api/v1/companies/{company}/leads");
    let mut answers = Vec::new();
    let all: Vec<usize> = (0..count).collect();
    for some in all.chunks(32) {
        let calls = some.iter().map(|n| {
            let body = json!({"email": format!("l{n}@of{company}.example")});
            server.post(&path).token(&by.token).json(&body).answer()
        });
        answers.extend(join_all(calls).await);
    }
    answers
}

fn created(answers: &[Answer]) -> usize {
    for answer in answers {
        assert!(matches!(answer.status, 201 | 422), "{}", answer.body);
        if answer.status == 422 {
            assert_limit(&answer.body, "leads");
        }
    }
    answers.iter().filter(|a| a.status == 201).count()
}

#[track_caller]
fn assert_limit(body: &Value, limited: &str) {
    assert_eq!(body["code"], "plan_limit", "{body}");
    assert!(body["errors"][limited].is_array(), "{body}");
}

#[tokio::test]
async fn leads_never_exceed_the_plan_and_neither_do_those_below() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let below = json!({"name": "Below", "parent_company_id": company});
    let below = server.company_with(&ana, below).await;
    let apart = server.company(&ana, "Apart").await;
    // What was there before counts, also that of the company below.
    assert_eq!(created(&create_leads(&server, &ana, below, 30).await), 30);
    attach(&server, &ana, company, FREE).await;
    assert_eq!(created(&create_leads(&server, &ana, company, 96).await), 70);
    assert_eq!(created(&create_leads(&server, &ana, below, 32).await), 0);
    // Who never subscribed is unlimited.
    assert_eq!(created(&create_leads(&server, &ana, apart, 128).await), 128);
    // A subscription of its own takes the company below out of the one above.
    attach(&server, &ana, below, TEAM).await;
    assert_eq!(created(&create_leads(&server, &ana, below, 32).await), 32);
    assert_eq!(created(&create_leads(&server, &ana, company, 64).await), 30);
    attach(&server, &ana, company, ENTERPRISE).await;
    assert_eq!(created(&create_leads(&server, &ana, company, 64).await), 64);
    server.assert_sound().await;
}

#[tokio::test]
async fn two_servers_together_do_not_exceed_it_either() {
    let server = TestServer::start().await;
    let other = server.beside().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    attach(&server, &ana, company, FREE).await;
    let (here, there) = tokio::join!(
        create_leads(&server, &ana, company, 96),
        create_leads(&other, &ana, company, 96),
    );
    assert_eq!(created(&here) + created(&there), 100);
    server.assert_sound().await;
}

#[tokio::test]
async fn an_import_at_the_console_stops_at_the_plans_limit() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    attach(&server, &ana, company, FREE).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "first_name,email").unwrap();
    for n in 0..150 {
        writeln!(file, "N,l{n}@leads.example").unwrap();
    }
    let done = tokio::process::Command::new(env!("CARGO_BIN_EXE_leadledger"))
        .arg("import")
        .arg(file.path())
        .args(["--company", &company.to_string()])
        .env("DATABASE_URL", server.database.url())
        .env("LEADLEDGER_DATA_DIR", server.data.path())
        .env("LEADLEDGER_LOG", "off")
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("the plan allows no more leads"), "{said}");
    let list = format!("/api/v1/companies/{company}/leads");
    let list = server.get(list).token(&ana.token).expect(200).await;
    assert_eq!(list["meta"]["total_count"], 100, "{said}");
    server.assert_sound().await;
}

#[tokio::test]
async fn after_the_end_the_free_plans_limits_hold() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    attach(&server, &ana, company, TEAM).await;
    assert_eq!(
        created(&create_leads(&server, &ana, company, 128).await),
        128
    );
    let cancel = format!("/api/v1/companies/{company}/membership/cancel");
    server.post(&cancel).token(&ana.token).expect(200).await;
    assert_eq!(created(&create_leads(&server, &ana, company, 2).await), 2);
    let now = format!("{cancel}?immediately=true");
    server.post(now).token(&ana.token).expect(200).await;
    assert_eq!(created(&create_leads(&server, &ana, company, 32).await), 0);
    server.assert_sound().await;
}

#[tokio::test]
async fn users_never_exceed_the_plan_by_whatever_way_they_come() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let below = json!({"name": "Below", "parent_company_id": company});
    let below = server.company_with(&ana, below).await;
    let elsewhere = server.company(&ana, "Elsewhere").await;
    let guest = server.member(elsewhere, &ana, Role::Agent, "Guest").await;
    attach(&server, &ana, company, FREE).await;
    let bob = server.sign_up("Bob").await;
    let bobs = invite(&server, &ana, company, Role::Agent, &bob.email).await;
    let cleos = invite(&server, &ana, below, Role::Agent, "cleo@people.example").await;

    // One seat is left; 32 try to take it.
    let calls = (0..32).map(|n| {
        let at = if n % 2 == 0 { company } else { below };
        let body = json!({"first_name": "N", "email": format!("n{n}@people.example"), "user_accesses_attributes": [
            {"company_id": at, "access_id": 4}]});
        server.post("/api/v1/users").token(&ana.token).json(&body).answer()
    });
    let answers = join_all(calls).await;
    let taken: Vec<_> = answers.iter().filter(|a| a.status == 201).collect();
    assert_eq!(taken.len(), 1);
    for refused in answers.iter().filter(|a| a.status != 201) {
        assert_limit(&refused.body, "users");
    }
    let accept = format!(
        "/api/v1/invitations/{}/accept",
        bobs["code"].as_str().unwrap()
    );
    let refused = server.post(&accept).token(&bob.token).expect(422).await;
    assert_limit(&refused, "users");
    let body = json!({"first_name": "Cleo", "email": "cleo@people.example", "invitation_code": cleos["code"]});
    let refused = server.post("/api/v1/users").json(&body).expect(422).await;
    assert_limit(&refused, "users");
    let path = format!("/api/v1/users/{}/user_access", guest.person.id);
    let grant = json!({"company_id": below, "access_id": 4});
    let call = server.post(&path).token(&ana.token);
    assert_limit(&call.json(&grant).expect(422).await, "users");
    let call = server
        .put(format!("{path}/{}", guest.access_id))
        .token(&ana.token);
    let moved = json!({"company_id": company});
    assert_limit(&call.json(&moved).expect(422).await, "users");

    // Who is in already takes no second seat.
    let member = int(&taken[0].body["user"]["id"]);
    let at = int(&taken[0].body["user"]["primary_company"]["id"]);
    let other = if at == company { below } else { company };
    let path = format!("/api/v1/users/{member}/user_access");
    let grant = json!({"company_id": other, "access_id": 4});
    let call = server.post(&path).token(&ana.token);
    call.json(&grant).expect(201).await;
    // More room, and the invitation holds still.
    attach(&server, &ana, company, TEAM).await;
    server.post(&accept).token(&bob.token).expect(200).await;
    server.assert_sound().await;
}

#[tokio::test]
async fn companies_never_exceed_the_plan() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    attach(&server, &ana, company, TEAM).await;
    let calls = (0..32).map(|n| {
        let body = json!({"name": format!("Below {n}"), "parent_company_id": company});
        server
            .post("/api/v1/companies")
            .token(&ana.token)
            .json(&body)
            .answer()
    });
    let answers = join_all(calls).await;
    assert_eq!(answers.iter().filter(|a| a.status == 201).count(), 2);
    for refused in answers.iter().filter(|a| a.status != 201) {
        assert_limit(&refused.body, "companies");
    }
    server.company(&ana, "Apart").await;
}
