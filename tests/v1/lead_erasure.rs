//! Erasing a lead: in two steps, for owners, for good; everything that counts leads goes on counting them.

use aggregates::access::Role;
use cqrs_es::CqrsFramework;
use cqrs_es::persist::PersistedEventStore;
use leadledger::ledger::{rebuild, verify};
use leadledger::proof::note::{self, VerifierKey};
use postgres_es::PostgresEventRepository;
use serde_json::{Value, json};

use crate::server::{Answer, Person, TestServer, ids, int};

async fn step(server: &TestServer, by: &Person, lead: i64, step: &str) -> Answer {
    let call = server.post(format!("/api/v1/leads/{lead}/erasure"));
    let body = json!({"step": step, "reason": "consent_withdrawn"});
    call.token(&by.token).json(&body).answer().await
}

async fn done(server: &TestServer, by: &Person, lead: i64, name: &str) -> Value {
    let answer = step(server, by, lead, name).await;
    assert_eq!(answer.status, 200, "{name} {}", answer.body);
    answer.body["erasure"].clone()
}

async fn shown(server: &TestServer, by: &Person, path: String) -> Value {
    server.get(path).token(&by.token).expect(200).await
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one lead's way from in use to erased, told once"
)]
async fn a_lead_is_blocked_then_erased_and_counts_as_before() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let same =
        json!({"first_name": "Bo", "email": "bo@example.com", "stage_id": 3, "extra": {"a": "b"}});
    let first = int(&server.lead(&ana, company, same.clone()).await["id"]);
    let second = int(&server.lead(&ana, company, same).await["id"]);
    let of_lead = format!("/api/v1/leads/{second}");
    let note = server.post(format!("{of_lead}/notes")).token(&ana.token);
    note.json(&json!({"content": "n"})).expect(201).await;
    let metrics = format!("/api/v1/companies/{company}/leads/metrics");
    let counted = shown(&server, &ana, metrics.clone()).await;
    let duplicates = format!("/api/v1/companies/{company}/leads/duplicates");
    let before = shown(&server, &ana, of_lead.clone()).await;
    assert_eq!(before["lead"]["duplicate_of_id"], first);

    let refused = step(&server, &ana, second, "erase").await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (422, &json!("not_blocked"))
    );
    let erasure = done(&server, &ana, second, "block").await;
    assert_eq!(erasure["status"], "blocked");
    assert_eq!(erasure["reason"], "consent_withdrawn");
    let blocked = shown(&server, &ana, of_lead.clone()).await;
    assert_eq!(blocked["lead"]["blocked_at"], erasure["blocked_at"]);
    for field in ["first_name", "email", "duplicate_of_id", "erased_at"] {
        assert_eq!(blocked["lead"][field], Value::Null, "{field}");
    }
    assert_eq!(blocked["lead"]["extra"], json!({}));
    assert_eq!(blocked["lead"]["notes"], json!([]));
    assert_eq!(
        ids(&shown(&server, &ana, duplicates.clone()).await["leads"]),
        [0; 0]
    );
    let refused = server
        .put(&of_lead)
        .token(&ana.token)
        .json(&json!({"stage_id": 5}));
    assert_eq!(refused.expect(422).await["code"], "blocked");
    server.assert_sound().await;

    // Taken back, everything is as before but for the version.
    let back = server
        .delete(format!("{of_lead}/erasure"))
        .token(&ana.token);
    assert_eq!(back.expect(200).await["erasure"]["status"], "in_use");
    let mut again = shown(&server, &ana, of_lead.clone()).await;
    again["lead"]["updated_at"] = before["lead"]["updated_at"].clone();
    assert_eq!(again, before);
    assert_eq!(
        ids(&shown(&server, &ana, duplicates.clone()).await["leads"]),
        [first, second]
    );
    server.assert_sound().await;

    done(&server, &ana, second, "block").await;
    let erasure = done(&server, &ana, second, "erase").await;
    assert_eq!(erasure["status"], "erased");
    let erased = shown(&server, &ana, of_lead.clone()).await;
    assert_eq!(erased["lead"]["erased_at"], erasure["erased_at"]);
    assert_eq!(erased["lead"]["full_name"], "");
    assert_eq!(erased["lead"]["notes"], json!([]));
    assert_eq!(shown(&server, &ana, metrics).await, counted);
    let list = shown(&server, &ana, format!("/api/v1/companies/{company}/leads")).await;
    assert_eq!(list["meta"]["total_count"], 2);
    assert_eq!(ids(&list["leads"]), [second, first]);
    let key: Option<i64> = sqlx::query_scalar(
        "SELECT 1::bigint FROM subject_keys WHERE aggregate_type = 'lead' AND aggregate_id = $1",
    )
    .bind(second)
    .fetch_optional(server.database.pool())
    .await
    .expect("reading keys");
    assert_eq!(key, None);

    // The certificate is signed by a key that is published, and names the key that is gone.
    let certificate = erasure["certificate"].as_str().expect("a certificate");
    let keys = reqwest::get(format!(
        "{}/.well-known/leadledger-checkpoint-keys",
        server.url()
    ));
    let keys = keys
        .await
        .expect("the keys")
        .text()
        .await
        .expect("the keys");
    let keys: Vec<_> = keys
        .split_whitespace()
        .filter_map(|word| VerifierKey::parse(word).ok())
        .collect();
    let (text, _) = note::open(certificate, &keys).expect("a signed note");
    let destroyed: String =
        sqlx::query_scalar("SELECT key_id::text FROM destroyed_keys WHERE aggregate_id = $1")
            .bind(second)
            .fetch_one(server.database.pool())
            .await
            .expect("reading destroyed keys");
    let said = [
        format!("lead: {second}"),
        "reason: consent_withdrawn".to_owned(),
        format!("by: user:{}", ana.id),
        format!("destroyed key: {destroyed}"),
    ];
    for line in said {
        assert!(
            text.lines().any(|known| known == line),
            "{line} is not in {text}"
        );
    }
    let forged = certificate.replace("consent_withdrawn", "other");
    assert!(note::open(&forged, &keys).is_err());

    // For good: a repeat changes nothing, nothing is taken back, nothing is written any more.
    assert_eq!(done(&server, &ana, second, "erase").await, erasure);
    let back = server
        .delete(format!("{of_lead}/erasure"))
        .token(&ana.token);
    assert_eq!(back.expect(422).await["code"], "erased");
    let note = server.post(format!("{of_lead}/notes")).token(&ana.token);
    let note = note.json(&json!({"content": "n"})).expect(422).await;
    assert_eq!(note["code"], "erased");
    server.assert_sound().await;
}

#[tokio::test]
async fn every_node_forgets_an_erased_lead_and_gives_it_no_new_key() {
    let server = TestServer::start().await;
    let beside = server.beside().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let agent = server.member(company, &ana, Role::Agent, "Bo").await;
    let body = json!({"first_name": "Cy", "user_access_id": agent.access_id});
    let lead = int(&server.lead(&ana, company, body).await["id"]);
    let path = format!("/api/v1/leads/{lead}");
    let change = |on: &TestServer, name: &str| {
        let call = on.put(&path).token(&ana.token);
        call.json(&json!({"first_name": name}))
    };
    change(&beside, "Di").expect(200).await;
    change(&server, "Ed").expect(200).await;
    done(&server, &ana, lead, "block").await;
    done(&server, &ana, lead, "erase").await;
    assert_eq!(change(&beside, "Flo").expect(422).await["code"], "erased");
    let erased = shown(&beside, &ana, path.clone()).await;
    assert_eq!(erased["lead"]["first_name"], Value::Null);

    // The end of an access changes the lead all the same; that makes no new key.
    let revoke = format!(
        "/api/v1/users/{}/user_access/{}",
        agent.person.id, agent.access_id
    );
    let revoke = beside.delete(revoke).token(&ana.token);
    revoke.header("x-reason", "left").expect(200).await;
    let events = server.events("lead", lead).await;
    assert_eq!(events.last().map(String::as_str), Some("LeadAssigned"));
    let keys: i64 =
        sqlx::query_scalar("SELECT count(*) FROM subject_keys WHERE aggregate_type = 'lead'")
            .fetch_one(server.database.pool())
            .await
            .expect("counting keys");
    assert_eq!(keys, 0);
    server.assert_sound().await;
}

#[tokio::test]
async fn a_kept_answer_does_not_bring_the_person_back() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let create = || {
        let call = server.post(format!("/api/v1/companies/{company}/leads"));
        let call = call.token(&ana.token).header("idempotency-key", "k-1");
        call.json(&json!({"first_name": "Bo"}))
    };
    let made = create().expect(201).await;
    assert_eq!(create().expect(201).await, made);
    let lead = int(&made["lead"]["id"]);
    done(&server, &ana, lead, "block").await;
    done(&server, &ana, lead, "erase").await;
    let again = create().expect(201).await;
    assert_eq!(again["lead"]["id"], lead);
    assert_eq!(again["lead"]["first_name"], Value::Null);
    let once_more = create().expect(201).await;
    assert_eq!(once_more, again);
}

#[tokio::test]
async fn appointments_to_come_are_called_off_and_lose_their_words() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server
        .lead(&ana, company, json!({"first_name": "Bo"}))
        .await["id"]);
    let make = async |starts: &str, ends: &str| {
        let call = server.post(format!("/api/v1/leads/{lead}/appointments"));
        let body =
            json!({"title": "Visit Bo", "location": "Bo's", "starts_at": starts, "ends_at": ends});
        let made = call.token(&ana.token).json(&body).expect(201).await;
        int(&made["appointment"]["id"])
    };
    let past = make("2020-01-01T10:00:00Z", "2020-01-01T11:00:00Z").await;
    let coming = make("2120-01-01T10:00:00Z", "2120-01-01T11:00:00Z").await;
    let of = async |id: i64| {
        let mut answer = shown(&server, &ana, format!("/api/v1/appointments/{id}")).await;
        answer["appointment"].take()
    };
    done(&server, &ana, lead, "block").await;
    assert_eq!(of(coming).await["title"], "");
    assert_eq!(of(coming).await["status"], "scheduled");
    done(&server, &ana, lead, "erase").await;
    for (id, status) in [(past, "scheduled"), (coming, "cancelled")] {
        let found = of(id).await;
        assert_eq!(found["status"], status);
        assert_eq!(found["title"], "");
        assert_eq!(found["location"], Value::Null);
    }
    server.assert_sound().await;
}

#[tokio::test]
async fn what_a_stock_program_stored_unsealed_is_refused_to_be_called_erased() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server
        .lead(&ana, company, json!({"first_name": "Bo"}))
        .await["id"]);
    let events = PostgresEventRepository::new(server.database.pool().clone());
    let store = PersistedEventStore::<_, aggregates::lead::Lead>::new_event_store(events);
    let stock = CqrsFramework::new(store, vec![], ());
    let note = aggregates::lead::LeadCommand::AddNote {
        note_id: aggregates::ids::NoteId(70),
        author_id: aggregates::ids::UserId(ana.id),
        content: "Bo said so".to_owned(),
        only_of: None,
    };
    stock
        .execute(&lead.to_string(), note)
        .await
        .expect("a stock program");
    done(&server, &ana, lead, "block").await;
    let refused = step(&server, &ana, lead, "erase").await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (422, &json!("unsealed_events"))
    );
    let kept = shown(&server, &ana, format!("/api/v1/leads/{lead}/erasure")).await;
    assert_eq!(kept["erasure"]["status"], "blocked");
}

#[tokio::test]
async fn what_is_wrong_about_a_step_is_named() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server
        .lead(&ana, company, json!({"first_name": "Bo"}))
        .await["id"]);
    let path = format!("/api/v1/leads/{lead}/erasure");
    let refused = server.post(&path).token(&ana.token).json(&json!({}));
    let refused = refused.expect(422).await;
    assert!(refused["errors"]["step"].is_array(), "{refused}");
    assert!(refused["errors"]["reason"].is_array(), "{refused}");
    let back = server.delete(&path).token(&ana.token).expect(422).await;
    assert_eq!(back["code"], "not_blocked");
    server
        .get("/api/v1/leads/99/erasure")
        .token(&ana.token)
        .expect(404)
        .await;
}

#[tokio::test]
async fn the_history_of_a_blocked_lead_is_opened_for_owners_only() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let auditor = server.member(company, &ana, Role::Auditor, "Bo").await;
    let lead = server.lead(&ana, company, json!({"first_name": "Cyrano"}));
    let lead = int(&lead.await["id"]);
    let change = server.put(format!("/api/v1/leads/{lead}"));
    let change = change.token(&ana.token).header("x-reason", "Roxane asked");
    change.json(&json!({"stage_id": 2})).expect(200).await;
    let path = format!("/api/v1/leads/{lead}/history");
    let by = async |person: &Person| shown(&server, person, path.clone()).await.to_string();
    for person in [&ana, &auditor.person] {
        let history = by(person).await;
        assert!(history.contains("Cyrano"), "{history}");
        assert!(history.contains("Roxane asked"), "{history}");
    }
    done(&server, &ana, lead, "block").await;
    assert!(by(&ana).await.contains("Cyrano"));
    let history = by(&auditor.person).await;
    assert!(!history.contains("Cyrano"), "{history}");
    assert!(!history.contains("Roxane asked"), "{history}");
    done(&server, &ana, lead, "erase").await;
    assert!(!by(&ana).await.contains("Cyrano"));
    let reads = shown(&server, &ana, format!("/api/v1/leads/{lead}/reads")).await;
    assert_eq!(reads["meta"]["total_count"], 5, "{reads}");
}

/// What was answered while a lead was blocked is answered as of that moment, after the block was taken back too.
#[tokio::test]
async fn a_block_that_was_taken_back_is_shown_as_of_its_time() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = json!({"first_name": "Bo", "email": "bo@example.com"});
    let lead = int(&server.lead(&ana, company, lead).await["id"]);
    let (of_lead, list) = (
        format!("/api/v1/leads/{lead}"),
        format!("/api/v1/companies/{company}/leads"),
    );
    let erasure = format!("{of_lead}/erasure");
    let paths = [&of_lead, &list, &erasure];
    let mut then: Vec<(i64, Vec<Value>)> = Vec::new();
    let position = async || -> i64 {
        sqlx::query_scalar("SELECT position FROM ledger_head")
            .fetch_one(server.database.pool())
            .await
            .expect("the ledger's end")
    };
    for block in [None, Some(true), Some(false), Some(true), Some(false)] {
        match block {
            Some(true) => drop(done(&server, &ana, lead, "block").await),
            Some(false) => drop(server.delete(&erasure).token(&ana.token).expect(200).await),
            None => {}
        }
        let mut answers = Vec::new();
        for path in paths {
            answers.push(shown(&server, &ana, path.clone()).await);
        }
        then.push((position().await, answers));
    }
    assert_eq!(then[1].1[0]["lead"]["email"], Value::Null);
    // Tables that are exchanged take the view of their past along.
    let options = server.database.connect_options();
    rebuild::run(&options, &[], |_, _| ())
        .await
        .expect("rebuilt tables");
    for (position, answers) in then {
        for (path, answer) in paths.into_iter().zip(answers) {
            let mut again = shown(&server, &ana, format!("{path}?as_of={position}")).await;
            let meta = again["meta"].as_object_mut().expect("the moment");
            meta.remove("as_of");
            if meta.is_empty() {
                again.as_object_mut().expect("an answer").remove("meta");
            }
            assert_eq!(again, answer, "{path} as of {position}");
        }
    }
}

/// How far it went is nothing about the person: it is told as it was, whatever became of the lead.
#[tokio::test]
async fn how_far_an_erasure_had_gone_is_told_as_of_then() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let auditor = server.member(company, &ana, Role::Auditor, "Di").await;
    let lead = json!({"first_name": "Bo", "email": "bo@example.com"});
    let lead = int(&server.lead(&ana, company, lead).await["id"]);
    let path = format!("/api/v1/leads/{lead}/erasure");
    let list = format!("/api/v1/companies/{company}/leads");
    let of_lead = format!("/api/v1/leads/{lead}");
    let mut then: Vec<(i64, Value)> = Vec::new();
    for next in ["none", "block", "back", "block", "erase"] {
        match next {
            "none" => {}
            "back" => drop(server.delete(&path).token(&ana.token).expect(200).await),
            step => drop(done(&server, &ana, lead, step).await),
        }
        let position: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
            .fetch_one(server.database.pool())
            .await
            .expect("the ledger's end");
        let answer = shown(&server, &ana, path.clone()).await;
        then.push((position, answer["erasure"].clone()));
    }
    let statuses = then.iter().map(|(_, then)| then["status"].as_str());
    let statuses: Vec<_> = statuses.flatten().collect();
    let wanted = ["in_use", "blocked", "in_use", "blocked", "erased"];
    assert_eq!(statuses, wanted);
    for (position, mut answer) in then {
        let mut again = shown(&server, &ana, format!("{path}?as_of={position}")).await;
        // The clearing goes by the clock, and comes after the position.
        for answer in [&mut answer, &mut again["erasure"]] {
            answer["cleared_at"].take();
        }
        assert_eq!(again["erasure"], answer, "as of {position}");
        // The lead says the same wherever it is shown; whose it was is gone whatever the moment.
        let single = shown(&server, &ana, format!("{of_lead}?as_of={position}")).await;
        let listed = shown(&server, &ana, format!("{list}?as_of={position}")).await;
        let export = server
            .get(format!("{list}/export?format=jsonl&as_of={position}"))
            .token(&ana.token);
        let export = export.expect_answer(200).await.text;
        let exported: Value = serde_json::from_str(&export).expect("a line");
        let hides = answer["status"] != "in_use";
        for told in [&single["lead"], &listed["leads"][0], &exported] {
            assert_eq!(told["email"], Value::Null, "as of {position}: {told}");
            assert_eq!(told["erased_at"], answer["erased_at"], "as of {position}");
            let blocked_at = if hides {
                &answer["blocked_at"]
            } else {
                &Value::Null
            };
            assert_eq!(&told["blocked_at"], blocked_at, "as of {position}");
        }
        // To who may not erase it, its history is closed as of then, too.
        let history = format!("{of_lead}/history?as_of={position}");
        let history = shown(&server, &auditor.person, history).await.to_string();
        assert!(!history.contains("bo@example.com"), "{history}");
    }
}

/// A file of then has the columns of what is shown, and the name of an extra field can be as personal as its value.
#[tokio::test]
async fn what_only_a_hidden_lead_has_heads_no_column_of_an_export() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = json!({"first_name": "Bo", "extra": {"Nickname of Bo": "Bobo"}});
    let lead = int(&server.lead(&ana, company, lead).await["id"]);
    let other = json!({"first_name": "Cy", "extra": {"Shoes": "42"}});
    server.lead(&ana, company, other).await;
    let then: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(server.database.pool())
        .await
        .expect("the ledger's end");
    for (next, has_both) in [("none", true), ("block", false), ("back", true)] {
        match next {
            "none" => {}
            "back" => {
                let path = format!("/api/v1/leads/{lead}/erasure");
                server.delete(path).token(&ana.token).expect(200).await;
            }
            step => drop(done(&server, &ana, lead, step).await),
        }
        for moment in [String::new(), format!("&as_of={then}")] {
            let path = format!("/api/v1/companies/{company}/leads/export?format=csv{moment}");
            let call = server.get(path).token(&ana.token);
            let file = call.expect_answer(200).await.text;
            assert!(file.contains("Shoes"), "{next}{moment}: {file}");
            let said = file.contains("Nickname of Bo");
            assert_eq!(said, has_both, "{next}{moment}: {file}");
        }
    }
}

/// The register of destroyed keys is not made by a fold, and yet who changes it, or the time at the ledger's end, is found out.
#[tokio::test]
async fn a_changed_register_of_erasures_is_found() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = json!({"first_name": "Bo", "email": "bo@example.com"});
    let lead = int(&server.lead(&ana, company, lead).await["id"]);
    done(&server, &ana, lead, "block").await;
    done(&server, &ana, lead, "erase").await;
    server.assert_sound().await;
    for (change, tells) in [
        (
            "UPDATE destroyed_keys SET position = position - 1",
            "is not of the event",
        ),
        (
            "UPDATE destroyed_keys SET position = position + 1, certificate = replace(certificate, 'lead: ', 'lead: 9')",
            "its certificate",
        ),
        ("DELETE FROM destroyed_keys", "is missing"),
        (
            "UPDATE ledger_head SET recorded_at = recorded_at + interval '1 second'",
            "ledger_head: the last event was recorded at",
        ),
    ] {
        let change = format!(
            "SET session_replication_role = replica; {change}; RESET session_replication_role"
        );
        sqlx::raw_sql(&change)
            .execute(server.database.pool())
            .await
            .expect("a superuser's change");
        let options = server.database.connect_options();
        let found = verify::run(&options, &[], |_, _| ()).await;
        let found = found.expect("a verified ledger").differences;
        assert!(
            found.iter().any(|difference| difference.contains(tells)),
            "{change}: {found:?}"
        );
    }
}
