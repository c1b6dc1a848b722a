//! What leads answer to the company's questions, and the wording that stays with it.

use serde_json::{Value, json};

use crate::questions::assert_sound;
use crate::server::{TestServer, int};

#[tokio::test]
async fn an_answer_keeps_the_wording_of_its_day() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let below = server
        .company_with(&ana, json!({"name": "Below", "parent_company_id": company}))
        .await;
    let campaign = server
        .campaign(&ana, company, json!({"name": "Spring"}))
        .await;
    let one = json!({"text": "Garden?", "question_type": "single_choice", "options": [{"value": "Yes"}, {"value": "No"}]});
    let one = server.question(&ana, company, one).await;
    let many = json!({"text": "Rooms", "question_type": "multiple_choice", "options": [{"value": "Bath"}, {"value": "Hall"}, {"value": "Attic"}]});
    let many = server.question(&ana, company, many).await;
    let (yes, no) = (&one["options"][0]["id"], &one["options"][1]["id"]);
    let (bath, attic) = (&many["options"][0]["id"], &many["options"][2]["id"]);
    let shown =
        json!({"questions": [{"id": one["id"], "options": [{"id": yes, "value": "Of course"}]}]});
    server
        .put(format!("/api/v1/campaigns/{campaign}/questions/options"))
        .token(&ana.token)
        .json(&shown)
        .expect(200)
        .await;

    let body = json!({"first_name": "A", "campaign_id": campaign, "answers": [
        {"question_id": one["id"], "option_id": yes}, {"question_id": many["id"], "option_ids": [attic, bath]}]});
    let lead = server.lead(&ana, below, body).await;
    assert_eq!(
        lead["answers"],
        json!([
        {"question_id": one["id"], "option_id": yes, "value": "Of course", "question_text": "Garden?"},
        {"question_id": many["id"], "option_id": null, "option_ids": [bath, attic], "value": "Bath, Attic", "question_text": "Rooms"}])
    );
    let path = format!("/api/v1/leads/{}", lead["id"]);
    let put = |answers: Value| {
        server
            .put(&path)
            .token(&ana.token)
            .json(&json!({"answers": answers}))
    };
    // Without the campaign the option says what the question says; the old answer stays as it was.
    let plain = server
        .lead(
            &ana,
            below,
            json!({"first_name": "B", "answers": [{"question_id": one["id"], "value": "Yes"}]}),
        )
        .await;
    assert_eq!(plain["answers"][0]["option_id"], *yes);
    assert_eq!(plain["answers"][0]["value"], "Yes");

    server
        .delete(format!(
            "/api/v1/companies/{company}/questions/{}",
            one["id"]
        ))
        .token(&ana.token)
        .expect(200)
        .await;
    let kept = server.get(&path).token(&ana.token).expect(200).await;
    assert_eq!(kept["lead"]["answers"], lead["answers"]);
    // What a client sends back as it was is no new answer; another one is.
    let same = put(lead["answers"].clone()).expect(200).await;
    assert_eq!(same["lead"]["answers"], lead["answers"]);
    let refused = put(json!([{"question_id": many["id"], "option_id": bath}, {"question_id": one["id"], "option_id": no}])).expect(422).await;
    assert_eq!(refused["code"], "answer_refused");
    assert!(
        refused["errors"]["answers[1].question_id"].is_array(),
        "{refused}"
    );
    let single = put(json!([{"question_id": many["id"], "option_id": bath}]))
        .expect(200)
        .await;
    assert_eq!(single["lead"]["answers"][1]["value"], "Bath");
    assert_eq!(single["lead"]["answers"][1]["option_id"], *bath);
    let taken = put(json!([{"question_id": one["id"]}])).expect(200).await;
    assert_eq!(taken["lead"]["answers"].as_array().unwrap().len(), 1);
    assert_sound(&server).await;
}

#[tokio::test]
async fn an_answer_fits_its_question() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let other = server.company(&ana, "Other").await;
    let choice = |kind: &str| json!({"text": "Q", "question_type": kind, "options": [{"value": "Yes"}, {"value": "No"}]});
    let one = server
        .question(&ana, company, choice("single_choice"))
        .await;
    let many = server
        .question(&ana, company, choice("multiple_choice"))
        .await;
    let foreign = int(&server
        .question(&ana, other, json!({"text": "Q", "question_type": "text"}))
        .await["id"]);
    let mut typed = Vec::new();
    for kind in ["text", "number", "date", "boolean"] {
        let question = json!({"text": "Q", "question_type": kind});
        typed.push(int(&server.question(&ana, company, question).await["id"]));
    }
    let [text, number, date, boolean] = typed[..] else {
        panic!("four questions")
    };
    let (yes, no) = (&one["options"][0]["id"], &one["options"][1]["id"]);
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let create = format!("/api/v1/companies/{company}/leads");
    let update = format!("/api/v1/leads/{}", lead["id"]);
    for (field, answer) in [
        ("question_id", json!({"question_id": 999, "value": "x"})),
        ("question_id", json!({"question_id": foreign, "value": "x"})),
        (
            "option_id",
            json!({"question_id": one["id"], "option_id": 999}),
        ),
        (
            "option_id",
            json!({"question_id": many["id"], "option_id": yes}),
        ),
        (
            "option_id",
            json!({"question_id": many["id"], "option_ids": [many["options"][0]["id"], yes]}),
        ),
        (
            "option_ids",
            json!({"question_id": one["id"], "option_ids": [yes, no]}),
        ),
        (
            "option_ids",
            json!({"question_id": one["id"], "option_ids": [0]}),
        ),
        (
            "value",
            json!({"question_id": one["id"], "value": "Perhaps"}),
        ),
        (
            "value",
            json!({"question_id": one["id"], "option_id": yes, "value": "No"}),
        ),
        (
            "option_id",
            json!({"question_id": text, "option_id": yes, "value": "x"}),
        ),
        ("value", json!({"question_id": number, "value": "many"})),
        ("value", json!({"question_id": number, "value": "1e5"})),
        ("value", json!({"question_id": date, "value": "2026-02-30"})),
        ("value", json!({"question_id": date, "value": "1.2.2026"})),
        ("value", json!({"question_id": boolean, "value": "yes"})),
    ] {
        let body =
            json!({"first_name": "A", "answers": [{"question_id": text, "value": "fine"}, answer]});
        for call in [server.post(&create), server.put(&update)] {
            let refused = call.token(&ana.token).json(&body).expect(422).await;
            assert!(
                refused["errors"][format!("answers[1].{field}")].is_array(),
                "{field} of {body} in {refused}"
            );
        }
    }
    let unchanged = server.get(&update).token(&ana.token).expect(200).await;
    assert_eq!(unchanged["lead"]["answers"], json!([]));
}

#[tokio::test]
async fn a_value_that_fits_is_kept_as_it_was_said() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let update = format!("/api/v1/leads/{}", lead["id"]);
    for (kind, value) in [
        ("text", "two\nlines"),
        ("number", "-12.50"),
        ("date", "2028-02-29"),
        ("boolean", "false"),
    ] {
        let question = json!({"text": "Q", "question_type": kind});
        let question = server.question(&ana, company, question).await["id"].clone();
        let body = json!({"answers": [{"question_id": question, "value": value}]});
        let after = server
            .put(&update)
            .token(&ana.token)
            .json(&body)
            .expect(200)
            .await;
        let answers = after["lead"]["answers"].as_array().unwrap();
        let kept = answers
            .iter()
            .find(|answer| answer["question_id"] == question)
            .unwrap();
        assert_eq!(
            (&kept["value"], &kept["question_text"]),
            (&json!(value), &json!("Q"))
        );
    }
    assert_sound(&server).await;
}
