//! Histories read forward: what a field was is what was told of it last, also where the event that changed it does not hold it.

use std::collections::BTreeMap;

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::company_membership::attach;
use crate::imports::{Scene, code};
use crate::server::{Person, TestServer, int};

async fn history(server: &TestServer, person: &Person, thing: &str) -> Vec<Value> {
    let path = format!("/api/v1/{thing}/history?per_page=100");
    let history = server.get(path).token(&person.token).expect(200).await;
    history["history"].as_array().expect("a history").clone()
}

/// The last value of each field, of which each change has told what it was before.
#[track_caller]
fn adds_up(history: &[Value]) -> BTreeMap<String, Value> {
    let mut last = BTreeMap::new();
    for entry in history {
        for change in entry["changes"].as_array().expect("changes") {
            let field = change["field"].as_str().expect("a field").to_owned();
            if change["withheld"].is_null() {
                let before = last.get(&field).unwrap_or(&Value::Null);
                assert_eq!(&change["from"], before, "{field} in {entry}");
                last.insert(field, change["to"].clone());
            }
        }
    }
    last
}

/// The changes of the last event of this type: field, from and to.
#[track_caller]
fn told(history: &[Value], event_type: &str) -> Vec<Value> {
    let entry = history.iter().rfind(|e| e["event_type"] == event_type);
    let entry = entry.unwrap_or_else(|| panic!("{event_type} is not told"));
    let changes = entry["changes"].as_array().expect("changes").iter();
    changes
        .map(|change| json!([change["field"], change["from"], change["to"]]))
        .collect()
}

#[tokio::test]
async fn of_a_lead() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = json!({"first_name": "Luz", "email": "luz@example.com", "extra": {"zip": "1", "phone": "p"}});
    let lead = int(&server.lead(&ana, company, lead).await["id"]);
    let path = format!("/api/v1/leads/{lead}");
    let post = async |to: String, body: Value| {
        let call = server.post(format!("{path}/{to}")).token(&ana.token);
        call.json(&body).answer().await.body
    };
    let put = async |body: Value| {
        let call = server.put(&path).token(&ana.token);
        call.json(&body).expect(200).await
    };
    put(json!({"extra": {"zip": "2", "phone": null}, "stage_id": 4})).await;
    let note = int(&post("notes".to_owned(), json!({"content": "Called."})).await["note"]["id"]);
    let call = server.delete(format!("{path}/notes/{note}"));
    call.token(&ana.token).expect(200).await;
    let step = json!({"step": "block", "reason": "subject_request"});
    post("erasure".to_owned(), step.clone()).await;
    let call = server.delete(format!("{path}/erasure")).token(&ana.token);
    call.expect(200).await;
    let hold = post("legal_holds".to_owned(), json!({"reason": "Case 1"})).await;
    let hold = int(&hold["legal_hold"]["id"]);
    post(format!("legal_holds/{hold}/release"), json!({})).await;
    put(json!({"estimated_value": {"amount": "5.00", "currency": "MXN"}})).await;
    post("erasure".to_owned(), step).await;

    let thing = format!("leads/{lead}");
    let whole = history(&server, &ana, &thing).await;
    let end = adds_up(&whole);
    assert_eq!(
        told(&whole, "LeadNoteRemoved"),
        [
            json!([format!("notes[{note}].author_id"), ana.id, null]),
            json!([format!("notes[{note}].content"), "Called.", null]),
        ]
    );
    assert_eq!(
        told(&whole, "LeadUnblocked"),
        [
            json!(["data_status", "blocked", "in_use"]),
            json!(["data_status_reason", "subject_request", null]),
        ]
    );
    assert_eq!(end["extra.zip"], "2");
    assert_eq!(end["extra.phone"], Value::Null);

    let types = async |query: &str| {
        let path = format!("{path}/history?{query}");
        let found = server.get(path).token(&ana.token).expect(200).await;
        let found = found["history"].as_array().expect("a history").clone();
        found
            .iter()
            .map(|e| e["event_type"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        types("field=extra.zip").await,
        ["LeadCreated", "LeadExtraFieldsChanged"]
    );
    assert_eq!(
        types(&format!("field=notes[{note}]")).await,
        ["LeadNoteAdded", "LeadNoteRemoved"]
    );
    // From the end, page by page, it says the same.
    let mut backward = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("{path}/history?sort=-position&per_page=2{cursor}");
        let page = server.get(path).token(&ana.token).expect(200).await;
        backward.extend(page["history"].as_array().expect("a history").clone());
        match page["meta"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    backward.reverse();
    assert_eq!(backward, whole);

    // Of what is blocked, an auditor is told that it changed.
    let bo = server.member(company, &ana, Role::Auditor, "Bo").await;
    let blocked = history(&server, &bo.person, &thing).await;
    adds_up(&blocked);
    let withheld = |name: &str| {
        let entry = blocked.iter().find(|entry| entry["event_type"] == name);
        let changes = entry.expect("told")["changes"].as_array().expect("changes");
        let closed = changes.iter().filter(|c| c["withheld"] == "blocked");
        closed.map(|c| c["field"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(withheld("LeadCreated"), ["contact", "answers", "extra"]);
    let content = json!(format!("notes[{note}].content"));
    for event_type in ["LeadNoteAdded", "LeadNoteRemoved"] {
        assert_eq!(withheld(event_type), std::slice::from_ref(&content));
    }
    assert!(!json!(blocked).to_string().contains("Called."));
}

#[tokio::test]
async fn of_a_company() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let (bo, di) = (
        server.member(company, &ana, Role::Agent, "Bo").await,
        server.member(company, &ana, Role::Agent, "Di").await,
    );
    let path = format!("/api/v1/companies/{company}");
    let (mut sources, mut questions) = (Vec::new(), Vec::new());
    for name in ["web", "fair", "radio"] {
        sources.push(server.source(&ana, company, name).await);
        let body = json!({"text": name, "question_type": "text"});
        questions.push(int(&server.question(&ana, company, body).await["id"]));
    }
    for (kind, key, ids) in [
        ("sources", "source_ids", &sources),
        ("questions", "question_ids", &questions),
    ] {
        let order = [ids[2], ids[1], ids[0]];
        let call = server
            .put(format!("{path}/{kind}/priority"))
            .token(&ana.token);
        call.json(&json!({key: order})).expect(200).await;
    }
    for access in [bo.access_id, di.access_id] {
        let users = format!("{path}/sources/{}/user_access", sources[1]);
        let call = server.post(&users).token(&ana.token);
        let call = call.json(&json!({"user_access_id": access}));
        let answer = call.answer().await;
        assert!(answer.status < 300, "{}", answer.body);
    }
    for (kind, id) in [("sources", sources[1]), ("questions", questions[2])] {
        let call = server.delete(format!("{path}/{kind}/{id}"));
        call.token(&ana.token).expect(200).await;
    }
    let whole = history(&server, &ana, &format!("companies/{company}")).await;
    adds_up(&whole);
    let [web, fair, radio] = sources[..] else {
        panic!("three sources were made")
    };
    assert_eq!(
        told(&whole, "SourceRemoved"),
        [
            json!([format!("sources[{fair}].name"), "fair", null]),
            json!([
                format!("sources[{fair}].user_accesses"),
                [bo.access_id, di.access_id],
                null
            ]),
            json!([format!("sources[{fair}].priority"), 2, null]),
            json!(["sources.order", [radio, fair, web], [radio, web]]),
            json!([format!("sources[{web}].priority"), 3, 2]),
        ]
    );
    let archived = told(&whole, "QuestionArchived");
    let gone = questions[2];
    let text = json!([format!("questions[{gone}].text"), "radio", null]);
    assert!(archived.contains(&text), "{archived:?}");
    let order = json!([
        "questions.order",
        [questions[2], questions[1], questions[0]],
        [questions[1], questions[0]]
    ]);
    assert!(archived.contains(&order), "{archived:?}");
}

#[tokio::test]
async fn of_a_membership() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let cancel = async |how: &str| {
        let path = format!("/api/v1/companies/{company}/membership/cancel{how}");
        server.post(path).token(&ana.token).expect(200).await;
    };
    attach(&server, &ana, company, 2).await;
    cancel("").await;
    attach(&server, &ana, company, 3).await;
    cancel("").await;
    cancel("?immediately=true").await;
    attach(&server, &ana, company, 2).await;
    let whole = history(&server, &ana, &format!("companies/{company}/membership")).await;
    adds_up(&whole);
    let cancelled = told(&whole, "SubscriptionCancelled");
    assert_eq!(cancelled[0], json!(["phase", "trialing", "cancelling"]));
    let ended = told(&whole, "SubscriptionEnded");
    assert_eq!(ended[0], json!(["phase", "cancelling", "ended"]));
    let limits = ended.iter().find(|change| change[0] == "limits");
    let limits = limits.expect("other limits hold");
    assert!(limits[1].is_object() && limits[2].is_object(), "{limits}");
}

#[tokio::test]
async fn of_a_user() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bo = server.member(company, &ana, Role::Agent, "Bo").await;
    let access = format!(
        "/api/v1/users/{}/user_access/{}",
        bo.person.id, bo.access_id
    );
    let call = server.put(&access).token(&ana.token);
    call.json(&json!({"access_id": 3})).expect(200).await;
    for name in ["Bob", "Robert"] {
        let call = server.put(format!("/api/v1/users/{}", bo.person.id));
        let call = call.token(&bo.person.token);
        call.json(&json!({"first_name": name})).expect(200).await;
    }
    server.delete(&access).token(&ana.token).answer().await;
    let owner = server.owner().await;
    let whole = history(&server, &owner, &format!("users/{}", bo.person.id)).await;
    let end = adds_up(&whole);
    assert_eq!(end["first_name"], "Robert");
}

/// What an import changed and its undo took back, and what the undo took away.
#[tokio::test(flavor = "multi_thread")]
async fn of_leads_that_an_import_touched() {
    let scene = Scene::start().await;
    let (server, ana) = (&scene.server, &scene.ana);
    let lead = json!({"first_name": "Luz", "email": "luz@example.com"});
    let lead = server.lead(ana, scene.company, lead).await;
    let id = int(&lead["id"]);
    let file = "first name,email,stage,zip\nAna,luz@example.com,won,1\nBo,bo@example.com,won,2\n";
    let update = [("duplicates", "update"), ("update", "overwrite")];
    let import = scene.import(file, &update).await;
    let made = scene.leads().await.into_iter();
    let mut made = made.filter(|lead| lead["email"] == "bo@example.com");
    let made = made.next().expect("Bo");
    let undo = server.post(format!("/api/v1/import/{}/undo", code(&import)));
    undo.token(&ana.token).expect(202).await;
    assert_eq!(scene.ended(code(&import)).await["status"], "undone");

    let whole = history(server, ana, &format!("leads/{id}")).await;
    let end = adds_up(&whole);
    assert_eq!(end["stage_entered_at"], lead["stage_entered_at"]);
    assert_eq!(end["stage_id"], 1);
    assert_eq!(end["first_name"], "Luz");

    let gone = format!("leads/{}", made["id"]);
    let whole = history(server, ana, &gone).await;
    let end = adds_up(&whole);
    let removed = told(&whole, "LeadRemoved");
    for line in [
        json!(["email", "bo@example.com", null]),
        json!(["first_name", "Bo", null]),
        json!(["stage_id", 5, null]),
        json!(["stage_entered_at", made["stage_entered_at"], null]),
        json!(["extra.zip", "2", null]),
        json!(["removed", null, true]),
    ] {
        assert!(removed.contains(&line), "{line} is not among {removed:?}");
    }
    let left = end.iter().filter(|(_, value)| !value.is_null());
    let left: Vec<_> = left.map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        left,
        [
            "company_id",
            "data_status",
            "id",
            "removed",
            "removed_by_undoing_import_id"
        ]
    );
    // It is on record still. To who may not erase it, what it held is closed with the rest.
    let erasure = format!("/api/v1/{gone}/erasure");
    let block = json!({"step": "block", "reason": "subject_request"});
    let call = server.post(&erasure).token(&ana.token).json(&block);
    call.expect(200).await;
    let bo = server.member(scene.company, ana, Role::Auditor, "Bo").await;
    let closed = history(server, &bo.person, &gone).await;
    assert!(!json!(closed).to_string().contains("bo@example.com"));
    let entry = closed.iter().find(|e| e["event_type"] == "LeadRemoved");
    let changes = entry.expect("told")["changes"].as_array().expect("changes");
    let withheld = changes.iter().filter(|c| c["withheld"] == "blocked");
    let withheld: Vec<_> = withheld.map(|c| c["field"].clone()).collect();
    assert_eq!(withheld, ["answers", "contact", "extra"]);
}

/// Each part of a nested value is a field, and the whole finds them all.
#[tokio::test]
async fn of_the_parts_of_a_lead() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let mut questions = Vec::new();
    for text in ["Colour?", "Size?"] {
        let body = json!({"text": text, "question_type": "text"});
        questions.push(int(&server.question(&ana, company, body).await["id"]));
    }
    let [colour, size] = questions[..] else {
        panic!("two questions were made")
    };
    let answer = |question: i64, value: &str| json!({"question_id": question, "value": value});
    let lead = json!({"first_name": "Luz", "estimated_value": {"amount": "5.00", "currency": "MXN"},
        "answers": [answer(colour, "red"), answer(size, "L")]});
    let lead = int(&server.lead(&ana, company, lead).await["id"]);
    let path = format!("/api/v1/leads/{lead}");
    for change in [
        json!({"estimated_value": {"amount": "7.00", "currency": "MXN"}}),
        json!({"answers": [answer(size, "M")]}),
        json!({"estimated_value": null}),
    ] {
        let call = server.put(&path).token(&ana.token).json(&change);
        call.expect(200).await;
    }
    let meeting = json!({"title": "Visit", "location": "Here", "starts_at": "2037-01-01T10:00:00Z",
        "ends_at": "2037-01-01T11:00:00Z"});
    let call = server.post(format!("{path}/appointments"));
    let meeting = call.token(&ana.token).json(&meeting).expect(201).await;
    let meeting = int(&meeting["appointment"]["id"]);
    let appointment = format!("appointments[{meeting}]");
    for change in [
        json!({"title": "Call"}),
        json!({"location": null, "description": "By phone"}),
        json!({"ends_at": "2037-01-01T12:00:00Z"}),
    ] {
        let call = server.put(format!("/api/v1/appointments/{meeting}"));
        call.token(&ana.token).json(&change).expect(200).await;
    }

    let found = async |person: &Person, field: &str| -> Vec<Value> {
        let query = format!("{path}/history?field={field}");
        let found = server.get(query).token(&person.token).expect(200).await;
        let entries = found["history"].as_array().expect("a history").iter();
        entries.map(|entry| entry["event_type"].clone()).collect()
    };
    let (made, valued) = ("LeadCreated", "LeadValueChanged");
    let (scheduled, moved) = ("LeadAppointmentScheduled", "LeadAppointmentChanged");
    let by_field = [
        (
            "estimated_value.amount".to_owned(),
            vec![made, valued, valued],
        ),
        ("estimated_value.currency".to_owned(), vec![made, valued]),
        ("estimated_value".to_owned(), vec![made, valued, valued]),
        (format!("answers[{colour}]"), vec![made]),
        (format!("answers[{size}]"), vec![made, "LeadAnswersChanged"]),
        ("answers".to_owned(), vec![made, "LeadAnswersChanged"]),
        (format!("{appointment}.title"), vec![scheduled, moved]),
        (format!("{appointment}.description"), vec![moved]),
        (format!("{appointment}.location"), vec![scheduled, moved]),
        (appointment.clone(), vec![scheduled, moved, moved, moved]),
        (format!("{appointment}.starts_at"), vec![scheduled]),
    ];
    for (field, wanted) in &by_field {
        assert_eq!(found(&ana, field).await, *wanted, "{field}");
    }
    let whole = history(&server, &ana, &format!("leads/{lead}")).await;
    let end = adds_up(&whole);
    assert_eq!(end[&format!("{appointment}.title")], "Call");
    assert_eq!(end["estimated_value.amount"], Value::Null);
    assert_eq!(end[&format!("answers[{size}]")]["value"], "M");
    assert!(!end.contains_key("answers") && !end.contains_key(&format!("{appointment}.text")));

    // What is sealed as a whole is closed as a whole, and found by its parts.
    let call = server.post(format!("{path}/erasure")).token(&ana.token);
    let block = json!({"step": "block", "reason": "subject_request"});
    call.json(&block).expect(200).await;
    let bo = server.member(company, &ana, Role::Auditor, "Bo").await;
    for field in [format!("{appointment}.title"), format!("answers[{size}]")] {
        let found = found(&bo.person, &field).await;
        assert!(found.len() >= 2, "{field}: {found:?}");
    }
    assert_eq!(
        found(&bo.person, &format!("{appointment}.starts_at")).await,
        [scheduled]
    );
}
