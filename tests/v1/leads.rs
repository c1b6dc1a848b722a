//! Leads: create, get, update.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{TestServer, int};

#[tokio::test]
async fn a_lead_is_created_in_full_and_read_back() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server
        .company_with(&ana, json!({"name": "Acme", "region": "MX"}))
        .await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let source = server.source(&ana, company, "Web").await;
    let territory = server.territory(&ana, company, "North").await;
    let campaign = server
        .campaign(&ana, company, json!({"name": "Spring"}))
        .await;
    let question =
        json!({"text": "Garden?", "question_type": "single_choice", "options": [{"value": "yes"}]});
    let question = server.question(&ana, company, question).await;
    let answer = json!({"question_id": question["id"], "option_id": question["options"][0]["id"], "value": "yes"});
    let body = json!({
        "first_name": "José", "last_name": "Muñoz", "email": " Jose@Example.com ", "phone_number": "55 1234 5678",
        "stage_id": 3, "source_id": source, "campaign_id": campaign, "territory_id": territory, "user_access_id": bob.access_id,
        "answers": [answer],
        "extra": {"shoe size": "42"}, "estimated_value": {"amount": "1200.50", "currency": "MXN"},
    });
    let path = format!("/api/v1/companies/{company}/leads");
    let created = server
        .post(path)
        .token(&ana.token)
        .json(&body)
        .expect_answer(201)
        .await;
    assert_as_in("POST /api/v1/companies/{company_id}/leads", &created.body);
    let lead = &created.body["lead"];
    assert_eq!(lead["full_name"], "José Muñoz");
    assert_eq!(lead["email"], "jose@example.com");
    assert_eq!(lead["phone_number"], "+525512345678");
    assert_eq!(lead["stage"]["code"], "qualified");
    assert_eq!(lead["user_access"]["user"]["id"], bob.person.id);
    assert_eq!(lead["source"], json!({"id": source, "name": "Web"}));
    assert_eq!(lead["territory"], json!({"id": territory, "name": "North"}));
    assert_eq!(lead["answers"][0]["value"], "yes");
    assert_eq!(lead["campaign"]["name"], "Spring");
    assert_eq!(lead["extra"], json!({"shoe size": "42"}));
    assert_eq!(
        lead["estimated_value"],
        json!({"amount": "1200.50", "currency": "MXN"})
    );
    assert_eq!(
        (&lead["duplicate"], &lead["duplicate_of_id"]),
        (&json!(false), &Value::Null)
    );

    let shown = server
        .get(format!("/api/v1/leads/{}", lead["id"]))
        .token(&bob.person.token)
        .expect_answer(200)
        .await;
    assert_as_in("GET /api/v1/leads/{id}", &shown.body);
    assert_eq!(shown.body, created.body);
    assert_eq!(shown.header("etag"), created.header("etag"));
    assert_eq!(shown.body["lead"]["notes"], json!([]));
}

#[tokio::test]
async fn a_lead_needs_no_more_than_one_way_to_name_it() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    for body in [
        json!({"first_name": "A"}),
        json!({"last_name": "B"}),
        json!({"email": "a@example.com"}),
        json!({"phone_number": "+14155550100"}),
    ] {
        let lead = server.lead(&ana, company, body).await;
        assert_eq!(lead["stage"]["code"], "new");
        assert_eq!(lead["user_access"], Value::Null);
    }
    let path = format!("/api/v1/companies/{company}/leads");
    for body in [
        json!({}),
        json!({"email": null}),
        json!({"first_name": " ", "phone_number": ""}),
        json!({"stage_id": 1}),
    ] {
        let refused = server
            .post(&path)
            .token(&ana.token)
            .json(&body)
            .expect(422)
            .await;
        assert_eq!(refused["code"], "no_contact");
    }
}

#[tokio::test]
async fn every_wrong_field_of_a_lead_is_named() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = server
        .lead(&ana, company, json!({"email": "a@example.com"}))
        .await;
    let create = format!("/api/v1/companies/{company}/leads");
    let update = format!("/api/v1/leads/{}", lead["id"]);
    for (field, value) in [
        ("email", json!("nothing")),
        ("email", json!(7)),
        ("phone_number", json!("123")),
        ("phone_number", json!("+1 415 555 010")),
        ("first_name", json!("x".repeat(1000))),
        ("first_name", json!("a\u{0}b")),
        ("first_name", json!({})),
        ("stage_id", json!(7)),
        ("stage_id", json!(0)),
        ("stage_id", json!("1")),
        ("stage_id", json!(1.5)),
        ("source_id", json!(-1)),
        ("source_id", json!(9_223_372_036_854_775_808_u64)),
        ("campaign_id", json!("x")),
        ("territory_id", json!(0)),
        ("user_access_id", json!(999_999)),
        ("user_access_id", json!(1)),
        ("answers", json!({})),
        ("answers[0].question_id", json!(0)),
        (
            "estimated_value",
            json!({"amount": "1.005", "currency": "USD"}),
        ),
        (
            "estimated_value",
            json!({"amount": "many", "currency": "USD"}),
        ),
        ("estimated_value", json!({"amount": "1", "currency": "XQQ"})),
        ("extra", json!([])),
    ] {
        let mut body = json!({"email": "b@example.com"});
        let name = field.split('[').next().unwrap();
        body[name] = if field.contains('[') {
            json!([{"question_id": value}])
        } else {
            value
        };
        for call in [server.post(&create), server.put(&update)] {
            let refused = call.token(&ana.token).json(&body).expect(422).await;
            let errors = refused["errors"].as_object().unwrap();
            assert!(
                errors.keys().any(|key| key.starts_with(field)),
                "{field} in {refused}"
            );
        }
    }
    let unchanged = server.get(&update).token(&ana.token).expect(200).await;
    assert_eq!(unchanged["lead"], lead);
}

#[tokio::test]
async fn an_update_changes_only_what_it_names_and_null_clears() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let source = server.source(&ana, company, "Web").await;
    let question = json!({"text": "Q", "question_type": "text"});
    let one = int(&server.question(&ana, company, question.clone()).await["id"]);
    let two = int(&server.question(&ana, company, question).await["id"]);
    let lead = server.lead(&ana, company, json!({"first_name": "Zoë", "email": "z@example.com", "phone_number": "+14155550100",
        "source_id": source, "extra": {"a": "1", "b": "2"}, "answers": [{"question_id": one, "value": "old"}]})).await;
    let path = format!("/api/v1/leads/{}", lead["id"]);
    let put = async |body: Value| {
        let answer = server
            .put(&path)
            .token(&ana.token)
            .json(&body)
            .expect(200)
            .await;
        assert_as_in("PUT /api/v1/leads/{id}", &answer);
        let read = server.get(&path).token(&ana.token).expect(200).await;
        assert_eq!(read, answer);
        answer["lead"].clone()
    };
    let after = put(json!({"stage_id": 5, "last_name": "Q", "extra": {"a": null, "c": "3"}})).await;
    assert_eq!(after["stage"]["code"], "won");
    assert_eq!(after["full_name"], "Zoë Q");
    assert_eq!(after["email"], "z@example.com");
    assert_eq!(after["extra"], json!({"b": "2", "c": "3"}));
    assert_eq!(after["source"]["id"], source);
    let after = put(json!({"phone_number": null, "source_id": null, "stage_id": null})).await;
    assert_eq!(
        (&after["phone_number"], &after["source"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(after["stage"]["code"], "won");
    let after = put(json!({"answers": [{"question_id": one, "value": "new"}, {"question_id": two, "value": "9"}]})).await;
    assert_eq!(after["answers"].as_array().unwrap().len(), 2);
    assert_eq!(after["answers"][0]["value"], "new");
    let nothing = put(json!({})).await;
    assert_eq!(nothing, after);
    let refused = server
        .put(&path)
        .token(&ana.token)
        .json(&json!({"first_name": null, "last_name": null, "email": null}))
        .expect(422)
        .await;
    assert_eq!(refused["code"], "no_contact");
}

#[tokio::test]
async fn of_answers_to_one_question_the_last_holds() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let question = json!({"text": "Q", "question_type": "text"});
    let one = int(&server.question(&ana, company, question.clone()).await["id"]);
    let two = int(&server.question(&ana, company, question).await["id"]);
    let answers = json!([{"question_id": one, "value": "first"}, {"question_id": two, "value": "x"}, {"question_id": one, "value": "last"}]);
    let lead = server
        .lead(
            &ana,
            company,
            json!({"first_name": "A", "answers": answers}),
        )
        .await;
    let kept = lead["answers"].as_array().unwrap();
    let of_one: Vec<_> = kept
        .iter()
        .filter(|a| a["question_id"] == one)
        .map(|a| a["value"].clone())
        .collect();
    assert_eq!(of_one, ["last"], "{kept:?}");
    let path = format!("/api/v1/leads/{}", lead["id"]);
    let answers = json!([{"question_id": one, "value": "1"}, {"question_id": two, "value": "2"}, {"question_id": one, "value": "3"}]);
    let after = server
        .put(path)
        .token(&ana.token)
        .json(&json!({"answers": answers}))
        .expect(200)
        .await;
    assert_eq!(
        after["lead"]["answers"].as_array().unwrap().len(),
        2,
        "{after}"
    );
}

#[tokio::test]
async fn a_lead_changes_only_at_the_version_that_the_caller_knows() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let path = format!("/api/v1/leads/{}", lead["id"]);
    let tag = server
        .get(&path)
        .token(&ana.token)
        .expect_answer(200)
        .await
        .header("etag")
        .to_owned();
    let put = |tag: &str, stage: i64| {
        server
            .put(&path)
            .token(&ana.token)
            .header("if-match", tag)
            .json(&json!({"stage_id": stage}))
    };
    let (one, other) = tokio::join!(put(&tag, 2).answer(), put(&tag, 3).answer());
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(put(&tag, 4).expect(409).await["code"], "version_conflict");
    put(&format!("W/{tag}"), 4).expect(409).await;
    put("*", 4).expect(200).await;
    put("garbage", 4).expect(400).await;
    let note = server
        .post(format!("{path}/notes"))
        .token(&ana.token)
        .json(&json!({"content": "n"}))
        .expect_answer(201)
        .await;
    let shown = server.get(&path).token(&ana.token).expect_answer(200).await;
    assert_eq!(note.header("etag"), shown.header("etag"));
}

#[tokio::test]
async fn the_reason_and_the_caller_are_kept_with_every_event() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let path = format!("/api/v1/leads/{}", lead["id"]);
    let call = server
        .put(&path)
        .token(&ana.token)
        .header("x-reason", "corrección")
        .header("x-request-id", "req-7");
    let answer = call
        .json(&json!({"stage_id": 2, "last_name": "B"}))
        .expect_answer(200)
        .await;
    assert_eq!(answer.header("x-request-id"), "req-7");
    let kept = server.metadata("lead", int(&lead["id"])).await;
    assert_eq!(
        kept.len(),
        3,
        "created, contact changed, stage changed: {kept:?}"
    );
    assert_eq!(kept[0]["reason"], Value::Null);
    for event in &kept[1..] {
        // Free words may tell about the person: they are sealed with the lead's key.
        assert_eq!(event["reason"], Value::Null);
        assert!(event["sealed_reason"].is_string(), "{event}");
        assert!(!event.to_string().contains("corrección"), "{event}");
        assert_eq!(event["actor"], format!("user:{}", ana.id));
        assert_eq!(event["request_id"], "req-7");
        assert_eq!(event["ip"], "127.0.0.1");
    }
    let call = server
        .put(&path)
        .token(&ana.token)
        .header("x-reason", &"x".repeat(501));
    call.json(&json!({"stage_id": 3})).expect(400).await;
}

#[tokio::test]
async fn what_a_create_answers_is_what_a_read_answers() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let source = server.source(&ana, company, "Web").await;
    for body in [
        json!({"first_name": "Zoë", "last_name": "Núñez", "email": "Zoe@example.com", "phone_number": "+14155550100"}),
        json!({"last_name": "Only", "stage_id": 4, "estimated_value": {"amount": "12.50", "currency": "MXN"}}),
        // Like the first: a duplicate from the start.
        json!({"first_name": "Z", "email": "zoe@example.com"}),
        json!({"phone_number": "+14155550100"}),
        json!({"first_name": "E", "extra": {"zz": "1", "a": "2"}}),
        json!({"first_name": "S", "source_id": source}),
        json!({"email": "nobody.else@example.com"}),
    ] {
        let made = server.lead(&ana, company, body.clone()).await;
        let path = format!("/api/v1/leads/{}", made["id"]);
        let read = server.get(path).token(&ana.token).expect(200).await;
        assert_eq!(made, read["lead"], "{body}");
        let like_another = ["zoe@example.com", "+14155550100"];
        let is_second = made["id"] != 1
            && like_another
                .iter()
                .any(|key| made["email"] == **key || made["phone_number"] == **key);
        assert_eq!(made["duplicate"], is_second, "{body}");
    }
    server.assert_sound().await;
}
