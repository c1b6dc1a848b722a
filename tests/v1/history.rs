//! The history: who changed what, when, from where, through what and why; in three forms; and what is not told.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::server::{Person, TestServer, int};

async fn get(server: &TestServer, person: &Person, path: &str) -> Value {
    server.get(path).token(&person.token).expect(200).await
}

/// Each change as `field: from -> to`, in order.
fn told(history: &Value) -> Vec<String> {
    let entries = history["history"].as_array().expect("a history");
    let changes = entries
        .iter()
        .flat_map(|entry| entry["changes"].as_array().expect("changes"));
    let line = |change: &Value| {
        format!(
            "{}: {} -> {}",
            change["field"].as_str().unwrap_or_default(),
            change["from"],
            change["to"]
        )
    };
    changes.map(line).collect()
}

fn types(history: &Value) -> Vec<&str> {
    let entries = history["history"].as_array().expect("a history");
    entries
        .iter()
        .filter_map(|entry| entry["event_type"].as_str())
        .collect()
}

#[tokio::test]
async fn a_lead_tells_who_changed_what_and_why() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = json!({"first_name": "=1+1", "email": "luz@example.com", "extra": {"size": "9"}});
    let lead = int(&server.lead(&ana, company, lead).await["id"]);
    let path = format!("/api/v1/leads/{lead}");
    let change =
        json!({"stage_id": 4, "phone_number": "+52 55 1234 5678", "extra": {"size": "10"}});
    let call = server
        .put(&path)
        .token(&ana.token)
        .header("x-reason", "Offer sent");
    call.header("user-agent", "Browser 7")
        .json(&change)
        .expect(200)
        .await;
    let note = server.post(format!("{path}/notes")).token(&ana.token);
    let note = int(&note.json(&json!({"content": "Called."})).expect(201).await["note"]["id"]);
    server
        .delete(format!("{path}/notes/{note}"))
        .token(&ana.token)
        .expect(200)
        .await;

    let history = get(&server, &ana, &format!("{path}/history")).await;
    let changes = told(&history);
    for line in [
        format!("id: null -> {lead}"),
        format!("company_id: null -> {company}"),
        r#"first_name: null -> "=1+1""#.to_owned(),
        r#"email: null -> "luz@example.com""#.to_owned(),
        "stage_id: null -> 1".to_owned(),
        r#"phone_number: null -> "+525512345678""#.to_owned(),
        "stage_id: 1 -> 4".to_owned(),
        r#"extra.size: "9" -> "10""#.to_owned(),
        format!(r#"notes[{note}].content: null -> "Called.""#),
        format!(r#"notes[{note}].content: "Called." -> null"#),
    ] {
        assert!(changes.contains(&line), "{line} is not among {changes:#?}");
    }
    let moved = history["history"].as_array().expect("entries").iter();
    let moved = moved
        .clone()
        .find(|entry| entry["event_type"] == "LeadStageChanged");
    let moved = moved.expect("the move");
    assert_eq!(
        moved["actor"],
        json!({"type": "user", "id": ana.id, "name": "Ana Tester"})
    );
    assert_eq!(moved["reason"], "Offer sent");
    assert_eq!(moved["user_agent"], "Browser 7");
    assert_eq!(moved["ip"], "127.0.0.1");
    assert_eq!(moved["through"], "api");
    assert!(moved["request_id"].is_string() && moved["recorded_at"].is_string());

    // By field, by actor, by time.
    let of = async |query: &str| get(&server, &ana, &format!("{path}/history?{query}")).await;
    assert_eq!(
        types(&of("field=stage_id").await),
        ["LeadCreated", "LeadStageChanged"]
    );
    assert_eq!(
        types(&of("field=extra").await),
        ["LeadCreated", "LeadExtraFieldsChanged"]
    );
    assert_eq!(
        types(&of(&format!("field=notes[{note}]")).await),
        ["LeadNoteAdded", "LeadNoteRemoved"]
    );
    assert_eq!(
        types(&of(&format!("actor={}&field=stage_id", ana.id)).await).len(),
        2
    );
    assert!(types(&of("actor=user:999").await).is_empty());
    assert!(types(&of("actor=token:1").await).is_empty());
    assert!(types(&of("actor=anonymous").await).is_empty());
    assert!(types(&of("to=2020-01-01T00:00:00Z").await).is_empty());
    assert!(types(&of("from=2020-01-01T00:00:00Z").await).len() >= 5);
    for query in [
        "sort=x",
        "per_page=0",
        "per_page=101",
        "cursor=x",
        "format=xml",
        "from=x",
        "to=2026-11-26",
        "from=-100000-01-01T00:00:00Z",
        "actor=bogus",
        "actor=user:x",
        "actor=-1",
        "actor=99999999999999999999",
    ] {
        let call = server
            .get(format!("{path}/history?{query}"))
            .token(&ana.token);
        let refused = call.expect(400).await;
        let (field, _) = query.split_once('=').expect("a parameter");
        assert!(refused["errors"][field].is_array(), "{query}: {refused}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_in_either_order() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server.lead(&ana, company, json!({"first_name": "L"})).await["id"]);
    for stage in [2, 3, 4, 5] {
        let call = server
            .put(format!("/api/v1/leads/{lead}"))
            .token(&ana.token);
        call.json(&json!({"stage_id": stage})).expect(200).await;
    }
    for (sort, expected) in [
        ("position", [1, 2, 3, 4, 5]),
        ("-position", [5, 4, 3, 2, 1]),
    ] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/leads/{lead}/history?sort={sort}&per_page=2{cursor}");
            let page = get(&server, &ana, &path).await;
            let entries = page["history"].as_array().expect("entries");
            seen.extend(entries.iter().map(|entry| int(&entry["sequence"])));
            match page["meta"]["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn it_comes_as_csv_without_formulas_and_as_cloud_events() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server
        .lead(&ana, company, json!({"first_name": "=1+1"}))
        .await["id"]);
    let call = server
        .put(format!("/api/v1/leads/{lead}"))
        .token(&ana.token);
    call.json(&json!({"stage_id": 2})).expect(200).await;
    let path = format!("/api/v1/leads/{lead}/history");
    let csv = server
        .get(format!("{path}?format=csv&per_page=1"))
        .token(&ana.token)
        .expect_answer(200)
        .await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert!(
        csv.text.starts_with("position,recorded_at,event_type,"),
        "{}",
        csv.text
    );
    assert!(csv.text.contains(",first_name,,'=1+1,\r\n"), "{}", csv.text);
    let next = csv
        .header("link")
        .trim_start_matches('<')
        .split('>')
        .next()
        .expect("a link");
    let rest = server.get(next).token(&ana.token).expect_answer(200).await;
    assert!(rest.text.contains(",stage_id,1,2,\r\n"), "{}", rest.text);
    assert_eq!(rest.header("link"), "");

    let events = server
        .get(&path)
        .token(&ana.token)
        .header("accept", "application/x-ndjson, */*");
    let events = events.expect_answer(200).await;
    assert_eq!(events.header("content-type"), "application/x-ndjson");
    let events: Vec<Value> = events
        .text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(events.len(), 2);
    for event in &events {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["source"], format!("/api/v1/leads/{lead}"));
        assert_eq!(event["subject"], format!("lead/{lead}"));
        assert!(event["time"].is_string() && event["id"].is_string());
    }
    assert_eq!(events[1]["type"], "leadledger.lead.LeadStageChanged");
    assert_eq!(
        events[1]["data"]["changes"][0],
        json!({"field": "stage_id", "from": 1, "to": 2})
    );
}

/// A person can be called what a withheld value is said to be.
#[tokio::test]
async fn csv_tells_a_withheld_value_from_a_word() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let lead = server.lead(&ana, company, json!({"first_name": "erased"}));
        ids.push(int(&lead.await["id"]));
    }
    for step in ["block", "erase"] {
        let call = server.post(format!("/api/v1/leads/{}/erasure", ids[0]));
        let body = json!({"step": step, "reason": "subject_request"});
        call.token(&ana.token).json(&body).expect(200).await;
    }
    for (lead, line) in [
        (ids[0], ",contact,,,erased\r\n"),
        (ids[1], ",first_name,,erased,\r\n"),
    ] {
        let call = server.get(format!("/api/v1/leads/{lead}/history?format=csv"));
        let csv = call.token(&ana.token).expect_answer(200).await.text;
        let (header, rest) = csv.split_once("\r\n").expect("a header");
        assert!(header.ends_with(",field,from,to,withheld"), "{header}");
        assert!(rest.contains(line), "{rest}");
    }
}

#[tokio::test]
async fn secrets_are_named_and_never_told() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let invitation = json!({"email": "bob@people.example", "company_id": company, "access_id": 4});
    let call = server.post("/api/v1/invitations").token(&ana.token);
    let made = call.json(&invitation).expect(201).await;
    let call = server
        .post(format!("/api/v1/companies/{company}/integration_tokens"))
        .token(&ana.token);
    call.json(&json!({"name": "n", "scopes": ["users.readonly"]}))
        .expect(201)
        .await;
    let owner = server.owner().await;
    for (path, field) in [
        (
            format!("/api/v1/invitations/{}/history", made["invitation"]["id"]),
            "code",
        ),
        (
            format!("/api/v1/companies/{company}/history"),
            "integration_tokens[1].token",
        ),
        ("/api/v1/users/1/history".to_owned(), "password"),
    ] {
        let history = get(&server, &owner, &path).await;
        let entries = history["history"].as_array().expect("entries");
        let all = entries
            .iter()
            .flat_map(|entry| entry["changes"].as_array().expect("changes"));
        let secret = all.clone().find(|change| change["field"] == field);
        assert_eq!(secret.expect(field)["withheld"], "secret");
        let text = history.to_string();
        for word in ["hash", "nonce", "argon2"] {
            assert!(!text.contains(word), "{path} tells of a {word}: {text}");
        }
    }
}

#[tokio::test]
async fn of_a_persons_roles_only_those_are_told_whose_companies_one_audits() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let acme = server.company(&ana, "Acme").await;
    let elsewhere = server.company(&eve, "Elsewhere").await;
    let bob = server.member(acme, &ana, Role::Agent, "Bob").await;
    let owner = server.owner().await;
    let accesses = format!("/api/v1/users/{}/user_access", bob.person.id);
    let call = server.post(&accesses).token(&owner.token);
    let other = call
        .json(&json!({"company_id": elsewhere, "access_id": 4}))
        .expect(201)
        .await;
    let path = format!("/api/v1/users/{}/history", bob.person.id);
    let companies = |history: &Value| {
        let lines = told(history).into_iter();
        lines
            .filter(|line| line.contains("company_id"))
            .collect::<Vec<_>>()
    };
    let seen = companies(&get(&server, &ana, &path).await);
    assert_eq!(
        seen,
        [format!(
            "user_accesses[{}].company_id: null -> {acme}",
            bob.access_id
        )]
    );
    let seen = companies(&get(&server, &eve, &path).await);
    let access = int(&other["user_access"]["id"]);
    assert_eq!(
        seen,
        [format!(
            "user_accesses[{access}].company_id: null -> {elsewhere}"
        )]
    );
    assert_eq!(companies(&get(&server, &owner, &path).await).len(), 2);
    // Who has left is remembered up to then.
    server
        .delete(format!("{accesses}/{}", bob.access_id))
        .token(&ana.token)
        .expect(200)
        .await;
    let call = server
        .put(format!("/api/v1/users/{}", bob.person.id))
        .token(&bob.person.token);
    call.json(&json!({"first_name": "Robert"}))
        .expect(200)
        .await;
    let after = get(&server, &ana, &path).await;
    assert!(types(&after).contains(&"AccessRevoked"), "{after}");
    assert!(!after.to_string().contains("Robert"), "{after}");
    assert!(
        get(&server, &eve, &path)
            .await
            .to_string()
            .contains("Robert")
    );
    // Nobody's colleague.
    let zoe = server.sign_up("Zoe").await;
    server.company(&zoe, "Zoe's").await;
    server.get(&path).token(&zoe.token).expect(404).await;
    // A colleague without the right.
    let dan = server.member(elsewhere, &eve, Role::Agent, "Dan").await;
    server.get(&path).token(&dan.person.token).expect(403).await;
}

#[tokio::test]
async fn what_is_erased_reads_as_erased() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server
        .lead(&ana, company, json!({"first_name": "Luz"}))
        .await["id"]);
    sqlx::query("DELETE FROM subject_keys WHERE aggregate_type = 'lead' AND aggregate_id = $1")
        .bind(lead)
        .execute(server.database.pool())
        .await
        .expect("destroying a key");
    let history = get(&server, &ana, &format!("/api/v1/leads/{lead}/history")).await;
    let changes = history["history"][0]["changes"]
        .as_array()
        .expect("changes");
    let contact = changes.iter().find(|change| change["field"] == "contact");
    let erased = json!({"field": "contact", "from": null, "to": null, "withheld": "erased"});
    assert_eq!(contact, Some(&erased), "{history}");
    assert!(!history.to_string().contains("Luz"));
}

#[tokio::test]
async fn the_console_tells_the_life_of_a_lead_step_by_step() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let body = json!({"first_name": "Luz", "extra": {"zip": "1"}});
    let lead = int(&server.lead(&ana, company, body).await["id"]);
    let then: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(server.database.pool())
        .await
        .expect("the ledger's end");
    let call = server
        .put(format!("/api/v1/leads/{lead}"))
        .token(&ana.token)
        .header("x-reason", "Offer sent");
    call.json(&json!({"stage_id": 4, "extra": {"zip": "2"}}))
        .expect(200)
        .await;
    let notes = format!("/api/v1/leads/{lead}/notes");
    let note = server
        .post(&notes)
        .token(&ana.token)
        .json(&json!({"content": "Called."}));
    let note = int(&note.expect(201).await["note"]["id"]);
    let call = server.delete(format!("{notes}/{note}")).token(&ana.token);
    call.expect(200).await;
    let replay = |more: Vec<String>| {
        let url = server.database.url();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_leadledger"))
            .args(["replay", "lead"])
            .args(more)
            .env("DATABASE_URL", url)
            .env("LEADLEDGER_DATA_DIR", env!("CARGO_TARGET_TMPDIR"))
            .output()
            .expect("running the program");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (done, told, _) = replay(vec![lead.to_string()]);
    assert!(done, "{told}");
    for line in [
        format!(
            "by Ana Tester (user:{}) through api from 127.0.0.1 because Offer sent",
            ana.id
        ),
        "  stage_id: 1 -> 4".to_owned(),
        r#"  extra.zip: "1" -> "2""#.to_owned(),
        r#"  notes[1].content: "Called." -> nothing"#.to_owned(),
        format!("lead {lead} after 5 changes"),
    ] {
        assert!(told.contains(&line), "{line} is not in {told}");
    }
    let (_, end) = told.split_once("after 5 changes").expect("the end");
    assert!(end.contains("\n  stage_id: 4\n"), "{told}");
    assert!(end.contains("\n  extra.zip: \"2\"\n"), "{told}");
    assert_eq!(end.matches("extra").count(), 1, "{told}");
    assert!(!end.contains("notes"), "{told}");
    let (_, told, _) = replay(vec![lead.to_string(), "--at".to_owned(), then.to_string()]);
    assert!(
        told.contains("after 1 changes") && told.contains("\n  stage_id: 1\n"),
        "{told}"
    );
    let (done, _, refused) = replay(vec!["999".to_owned()]);
    assert!(!done && refused.contains("no such lead"), "{refused}");
    let (done, _, refused) = replay(vec![lead.to_string(), "--at=tomorrow".to_owned()]);
    assert!(!done && refused.contains("--at"), "{refused}");
}
