//! Questions: create, list, get, delete, reorder; what a campaign shows of them.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{TestServer, ids, int};

fn choice(text: &str, values: &[&str]) -> Value {
    let options: Vec<_> = values.iter().map(|value| json!({"value": value})).collect();
    json!({"text": text, "question_type": "single_choice", "required": true, "campaign_id": null, "options": options})
}

fn open(text: &str) -> Value {
    json!({"text": text, "question_type": "text"})
}

fn priorities(questions: &Value) -> Vec<i64> {
    let rows = questions.as_array().expect("questions");
    rows.iter().map(|row| int(&row["priority"])).collect()
}

fn values(question: &Value) -> Vec<String> {
    let options = question["options"].as_array().expect("options");
    let value = |option: &Value| option["value"].as_str().expect("a text").to_owned();
    options.iter().map(value).collect()
}

#[tokio::test]
async fn questions_are_asked_in_order_until_they_are_deleted() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let path = format!("/api/v1/companies/{company}/questions");
    let post = |body: Value| server.post(&path).token(&ana.token).json(&body);
    let first = post(choice(" Garden? ", &["Yes ", "No"])).expect(201).await;
    assert_as_in("POST /api/v1/companies/{company_id}/questions", &first);
    let first = first["question"].clone();
    assert_eq!(first["text"], "Garden?");
    assert_eq!(
        (&first["required"], values(&first)),
        (&json!(true), vec!["Yes".into(), "No".into()])
    );
    let mut made = vec![int(&first["id"])];
    for text in ["A", "B", "C"] {
        made.push(int(&post(open(text)).expect(201).await["question"]["id"]));
    }
    let list = async |query: &str| {
        let answer = server
            .get(format!("{path}?{query}"))
            .token(&ana.token)
            .expect(200)
            .await;
        assert_as_in("GET /api/v1/companies/{company_id}/questions", &answer);
        answer
    };
    let all = list("").await;
    assert_eq!(ids(&all["questions"]), made);
    assert_eq!(priorities(&all["questions"]), [1, 2, 3, 4]);
    assert_eq!(all["questions"][0], first);

    let order = format!("{path}/priority");
    let put = |ids: Value| {
        server
            .put(&order)
            .token(&ana.token)
            .json(&json!({"question_ids": ids}))
    };
    let wanted = [made[2], made[0], made[3], made[1]];
    let ordered = put(json!(wanted)).expect(200).await;
    assert_as_in(
        "PUT /api/v1/companies/{company_id}/questions/priority",
        &ordered,
    );
    assert_eq!(ids(&ordered["questions"]), wanted);
    assert_eq!(priorities(&ordered["questions"]), [1, 2, 3, 4]);
    for wrong in [
        json!([]),
        json!([made[0]]),
        json!([made[0], made[0], made[1], made[2]]),
        json!([made[0], made[1], made[2], made[3], made[3]]),
        json!([made[0], made[1], made[2], 999]),
        json!("x"),
        Value::Null,
    ] {
        let refused = put(wrong).expect(422).await;
        assert!(refused["errors"]["question_ids"].is_array(), "{refused}");
    }

    let one = format!("{path}/{}", made[0]);
    assert_eq!(
        server.delete(&one).token(&ana.token).expect(200).await,
        json!({})
    );
    server.delete(&one).token(&ana.token).expect(404).await;
    server
        .get(format!("/api/v1/questions/{}", made[0]))
        .token(&ana.token)
        .expect(404)
        .await;
    let rest = list("").await;
    assert_eq!(ids(&rest["questions"]), [made[2], made[3], made[1]]);
    assert_eq!(priorities(&rest["questions"]), [1, 2, 3]);
    // What comes next is asked last.
    let newest = post(open("D")).expect(201).await;
    assert_eq!(newest["question"]["priority"], 4);
    let shown = server
        .get(format!("/api/v1/questions/{}", made[3]))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_as_in("GET /api/v1/questions/{id}", &shown);
    assert_eq!(shown["question"]["priority"], 2);

    let page = list("per_page=2").await;
    let cursor = page["meta"]["next_cursor"].as_str().unwrap();
    let next = list(&format!("per_page=2&cursor={cursor}")).await;
    assert_eq!(
        ids(&next["questions"]),
        [made[1], int(&newest["question"]["id"])]
    );
    assert_eq!(next["meta"]["next_cursor"], Value::Null);
    assert_eq!(
        ids(&list("per_page=2&page=2").await["questions"]),
        ids(&next["questions"])
    );
    assert_sound(&server).await;
}

/// Every read row is that which the events make.
pub async fn assert_sound(server: &TestServer) {
    let options = server.database.connect_options();
    let found = leadledger::ledger::verify::run(&options, &[], |_, _| {})
        .await
        .expect("a database that answers");
    assert_eq!(found.differences, Vec::<String>::new());
    assert!(found.rows > 0);
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let other = server.company(&ana, "Other").await;
    let foreign = server.campaign(&ana, other, json!({"name": "C"})).await;
    let path = format!("/api/v1/companies/{company}/questions");
    let many: Vec<_> = (0..101).map(|n| json!({"value": n.to_string()})).collect();
    for (field, body) in [
        ("text", json!({"question_type": "text"})),
        ("text", json!({"text": " ", "question_type": "text"})),
        ("text", json!({"text": "a\u{0}", "question_type": "text"})),
        (
            "text",
            json!({"text": "x".repeat(501), "question_type": "text"}),
        ),
        ("question_type", json!({"text": "A"})),
        (
            "question_type",
            json!({"text": "A", "question_type": "essay"}),
        ),
        (
            "required",
            json!({"text": "A", "question_type": "text", "required": "yes"}),
        ),
        (
            "campaign_id",
            json!({"text": "A", "question_type": "text", "campaign_id": foreign}),
        ),
        (
            "campaign_id",
            json!({"text": "A", "question_type": "text", "campaign_id": "x"}),
        ),
        (
            "options",
            json!({"text": "A", "question_type": "single_choice"}),
        ),
        (
            "options",
            json!({"text": "A", "question_type": "multiple_choice", "options": []}),
        ),
        (
            "options",
            json!({"text": "A", "question_type": "number", "options": [{"value": "1"}]}),
        ),
        (
            "options",
            json!({"text": "A", "question_type": "single_choice", "options": many}),
        ),
        ("options[1].value", choice("A", &["x", " "])),
        ("options[1].value", choice("A", &["x", "x"])),
    ] {
        let refused = server
            .post(&path)
            .token(&ana.token)
            .json(&body)
            .expect(422)
            .await;
        assert!(refused["errors"][field].is_array(), "{field} in {refused}");
    }
    for raw in ["", "{", "[]", "7"] {
        for (method, path) in [
            ("POST", path.clone()),
            ("PUT", format!("{path}/priority")),
            (
                "PUT",
                format!("/api/v1/campaigns/{foreign}/questions/options"),
            ),
        ] {
            let answer = server
                .call(method.parse().unwrap(), &path)
                .token(&ana.token)
                .raw(raw)
                .answer()
                .await;
            assert!(
                matches!(answer.status, 400 | 422),
                "{method} {path} {raw}: {}",
                answer.body
            );
        }
    }
    let all = server.get(&path).token(&ana.token).expect(200).await;
    assert_eq!(all["meta"]["total_count"], 0);
    for query in ["per_page=0", "page=0", "cursor=x"] {
        server
            .get(format!("{path}?{query}"))
            .token(&ana.token)
            .expect(400)
            .await;
    }
    server
        .get("/api/v1/questions/x")
        .token(&ana.token)
        .expect(400)
        .await;
}

#[tokio::test]
async fn a_campaign_shows_options_in_its_own_order_and_wording() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let campaign = server
        .campaign(&ana, company, json!({"name": "Spring"}))
        .await;
    let other = server
        .campaign(&ana, company, json!({"name": "Autumn"}))
        .await;
    let wide = server
        .question(&ana, company, choice("Garden?", &["Yes", "No", "Maybe"]))
        .await;
    let mut own = choice("How big?", &["S", "L"]);
    own["campaign_id"] = json!(campaign);
    let own = server.question(&ana, company, own).await;
    assert_eq!(own["campaign_id"], campaign);
    let mut others = open("Of another");
    others["campaign_id"] = json!(other);
    let others = server.question(&ana, company, others).await;

    let list = format!("/api/v1/campaigns/{campaign}/questions");
    let asked = server.get(&list).token(&ana.token).expect(200).await;
    assert_as_in("GET /api/v1/campaigns/{campaign_id}/questions", &asked);
    assert_eq!(asked["questions"], json!([wide, own]));

    let path = format!("{list}/options");
    let put = |body: Value| server.put(&path).token(&ana.token).json(&body);
    let (yes, no) = (&wide["options"][0]["id"], &wide["options"][1]["id"]);
    let body = json!({"questions": [{"id": wide["id"], "options": [
        {"id": yes, "value": "Of course", "priority": 2}, {"id": no, "value": "No", "priority": 1}]}]});
    let shown = put(body.clone()).expect(200).await;
    assert_as_in(
        "PUT /api/v1/campaigns/{campaign_id}/questions/options",
        &shown,
    );
    assert_eq!(values(&shown["questions"][0]), ["No", "Of course"]);
    assert_eq!(ids(&shown["questions"][0]["options"]), [int(no), int(yes)]);
    assert_eq!(shown["questions"][1], own);
    assert_eq!(server.get(&list).token(&ana.token).expect(200).await, shown);
    assert_eq!(put(body).expect(200).await, shown);
    // Elsewhere the question is what it was.
    let elsewhere = server
        .get(format!("/api/v1/campaigns/{other}/questions"))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(elsewhere["questions"], json!([wide, others]));
    let single = server
        .get(format!("/api/v1/campaigns/{campaign}"))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_as_in("GET /api/v1/campaigns/{id}", &single);
    assert_eq!(single["campaign"]["questions"], shown["questions"]);
    assert_sound(&server).await;

    for (field, entry) in [
        ("questions[1].id", json!({"id": 999, "options": []})),
        (
            "questions[1].id",
            json!({"id": others["id"], "options": []}),
        ),
        ("questions[1].id", json!({"id": wide["id"], "options": []})),
        (
            "questions[1].options",
            json!({"id": own["id"], "options": [{"id": yes}]}),
        ),
        (
            "questions[1].options",
            json!({"id": own["id"], "options": [{"id": own["options"][0]["id"]}, {"id": own["options"][0]["id"]}]}),
        ),
        (
            "questions[1].options",
            json!({"id": own["id"], "options": [{"id": own["options"][0]["id"], "value": " "}]}),
        ),
    ] {
        let refused = put(json!({"questions": [{"id": wide["id"], "options": []}, entry]}))
            .expect(422)
            .await;
        assert!(refused["errors"][field].is_array(), "{field} in {refused}");
    }
    assert_eq!(server.get(&list).token(&ana.token).expect(200).await, shown);
    let back = put(json!({"questions": [{"id": wide["id"], "options": []}]}))
        .expect(200)
        .await;
    assert_eq!(back["questions"], json!([wide, own]));
    put(json!({"questions": [{"id": own["id"], "options": [{"id": own["options"][1]["id"]}]}]}))
        .expect(200)
        .await;
    server
        .delete(format!(
            "/api/v1/companies/{company}/questions/{}",
            own["id"]
        ))
        .token(&ana.token)
        .expect(200)
        .await;
    let after = server.get(&list).token(&ana.token).expect(200).await;
    assert_eq!(after["questions"], json!([wide]));
    assert_sound(&server).await;
}

#[tokio::test]
async fn questions_are_managers_to_make_and_members_to_read() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    let elsewhere = server.company(&eve, "Elsewhere").await;
    let manager = server
        .member(company, &ana, Role::Manager, "Mia")
        .await
        .person;
    let agent = server
        .member(company, &ana, Role::Agent, "Bob")
        .await
        .person;
    let campaign = server
        .campaign(&manager, company, json!({"name": "C"}))
        .await;
    let question = server.question(&manager, company, open("A")).await;
    let id = int(&question["id"]);
    let base = format!("/api/v1/companies/{company}/questions");
    let reads = [
        base.clone(),
        format!("/api/v1/questions/{id}"),
        format!("/api/v1/campaigns/{campaign}/questions"),
    ];
    for path in &reads {
        server.get(path).token(&agent.token).expect(200).await;
        server.get(path).token(&eve.token).expect(404).await;
        server.get(path).expect(401).await;
    }
    let writes = [
        ("POST", base.clone(), open("B")),
        (
            "PUT",
            format!("{base}/priority"),
            json!({"question_ids": [id]}),
        ),
        (
            "PUT",
            format!("/api/v1/campaigns/{campaign}/questions/options"),
            json!({"questions": [{"id": id, "options": []}]}),
        ),
        ("DELETE", format!("{base}/{id}"), json!({})),
    ];
    for (method, path, body) in &writes {
        let call = || server.call(method.parse().unwrap(), path).json(body);
        call().token(&agent.token).expect(403).await;
        call().token(&eve.token).expect(404).await;
        call().expect(401).await;
    }
    // Another company's question is none of hers.
    server
        .delete(format!("/api/v1/companies/{elsewhere}/questions/{id}"))
        .token(&eve.token)
        .expect(404)
        .await;
    let kept = server.get(&reads[1]).token(&ana.token).expect(200).await;
    assert_eq!(kept["question"], question);
    for path in [
        "/api/v1/questions/999",
        "/api/v1/campaigns/999/questions",
        "/api/v1/companies/999/questions",
    ] {
        server.get(path).token(&ana.token).expect(404).await;
    }
    let stale = server
        .put(format!("{base}/priority"))
        .token(&ana.token)
        .header("if-match", "\"1\"");
    let refused = stale.json(&json!({"question_ids": [id]})).expect(409).await;
    assert_eq!(refused["code"], "version_conflict");
}
