//! Rules about what a company catalogues: sources, questions, campaigns, cycles, territories; and legal terms.

use serde_json::json;

use super::Row;
use super::scene::Scene;
use crate::server::int;

pub async fn rows(scene: &Scene) -> Vec<Row> {
    let mut rows = questions(scene).await;
    rows.extend(periods(scene).await);
    rows.extend(sources(scene).await);
    rows.extend(of_a_held_company(scene).await);
    rows
}

/// What a hold on the company keeps from being deleted.
async fn of_a_held_company(scene: &Scene) -> Vec<Row> {
    let company = scene.made("/companies", &json!({"name": "Kept"})).await;
    let here = format!("/companies/{}", int(&company["company"]["id"]));
    let source = json!({"name": "Fair"});
    let source = scene.made(format!("{here}/sources"), &source).await;
    let question = json!({"text": "Why?", "question_type": "text"});
    let question = scene.made(format!("{here}/questions"), &question).await;
    let holds = format!("{here}/legal_holds");
    scene.made(holds, &json!({"reason": "Case"})).await;
    let (source, question) = (&source["source"]["id"], &question["question"]["id"]);
    let row = |operation: &str, path: String| {
        Row::new(operation, 422, "legal_hold", &[], scene.delete(path))
    };
    vec![
        row(
            "DELETE /companies/{company_id}/sources/{id}",
            format!("{here}/sources/{source}"),
        ),
        row(
            "DELETE /companies/{company_id}/questions/{id}",
            format!("{here}/questions/{question}"),
        ),
    ]
}

async fn questions(scene: &Scene) -> Vec<Row> {
    let all = format!("/companies/{}/questions", scene.company);
    let size = json!({"text": "Size?", "question_type": "single_choice", "options": [{"value": "S"}, {"value": "L"}]});
    let asked =
        |campaign: i64| json!({"text": "Why?", "question_type": "text", "campaign_id": campaign});
    let other = json!({"name": "Other"});
    let other = scene
        .server
        .campaign(&scene.ana, scene.company, other)
        .await;
    let size = int(&scene.made(&all, &size).await["question"]["id"]);
    let others = int(&scene.made(&all, &asked(other)).await["question"]["id"]);
    let asked = int(&scene.made(&all, &asked(scene.place.campaign)).await["question"]["id"]);
    let options = format!("/campaigns/{}/questions/options", scene.place.campaign);
    let (create, order) = (
        "POST /companies/{company_id}/questions",
        "PUT /companies/{company_id}/questions/priority",
    );
    let show = "PUT /campaigns/{campaign_id}/questions/options";
    vec![
        Row::new(create, 422, "no_options", &["options"],
            scene.post(&all, &json!({"text": "Q", "question_type": "single_choice"}))),
        Row::new(create, 422, "takes_no_options", &["options"],
            scene.post(&all, &json!({"text": "Q", "question_type": "text", "options": [{"value": "S"}]}))),
        Row::new(create, 422, "same_option", &["options[1].value"],
            scene.post(&all, &json!({"text": "Q", "question_type": "single_choice", "options": [{"value": "S"}, {"value": "S"}]}))),
        Row::new(create, 422, "validation", &["question_type"], scene.post(&all, &json!({"text": "Q", "question_type": "x"}))),
        Row::new(create, 422, "unknown_campaign", &["campaign_id"],
            scene.post(&all, &json!({"text": "Q", "question_type": "text", "campaign_id": 999_999}))),
        Row::new(order, 422, "incomplete_order", &["question_ids"],
            scene.put(format!("{all}/priority"), &json!({"question_ids": [size]}))),
        Row::new(show, 422, "not_of_campaign", &["questions[0].id"],
            scene.put(&options, &json!({"questions": [{"id": others, "options": []}]}))),
        Row::new(show, 422, "not_of_question", &["questions[0].options"],
            scene.put(&options, &json!({"questions": [{"id": asked, "options": [{"id": 999_999}]}]}))),
    ]
}

async fn periods(scene: &Scene) -> Vec<Row> {
    let here = format!("/companies/{}", scene.company);
    let (cycles, campaigns) = (format!("{here}/cycles"), format!("{here}/campaigns"));
    let first = json!({"name": "First", "start_date": "2030-01-01", "end_date": "2030-02-01"});
    scene.made(&cycles, &first).await;
    let ended = scene.made(&campaigns, &json!({"name": "Ended"})).await;
    let ended = format!("/campaigns/{}", int(&ended["campaign"]["id"]));
    scene
        .put(&ended, &json!({"status": "ended"}))
        .expect(200)
        .await;
    let (cycle, campaign) = (
        "POST /companies/{company_id}/cycles",
        "POST /companies/{company_id}/campaigns",
    );
    let legal = scene
        .server
        .post("/api/v1/legal_terms")
        .token(&scene.owner.token);
    let version = json!({"title": "Terms", "content": "Be kind.", "version": "2"});
    let call = scene
        .server
        .post("/api/v1/legal_terms")
        .token(&scene.owner.token);
    let taken = call.json(&version).answer().await;
    assert!(matches!(taken.status, 201 | 422), "{}", taken.body);
    vec![
        Row::new(
            cycle,
            422,
            "cycles_overlap",
            &["start_date"],
            scene.post(&cycles, &first),
        ),
        Row::new(
            cycle,
            422,
            "ends_before_start",
            &["end_date"],
            scene.post(
                &cycles,
                &json!({"name": "B", "start_date": "2031-01-02", "end_date": "2031-01-01"}),
            ),
        ),
        Row::new(
            campaign,
            422,
            "ends_before_start",
            &["end_date"],
            scene.post(
                &campaigns,
                &json!({"name": "B", "start_date": "2031-01-02", "end_date": "2031-01-01"}),
            ),
        ),
        Row::new(
            campaign,
            422,
            "unknown_reference",
            &["source_id"],
            scene.post(&campaigns, &json!({"name": "B", "source_id": 999_999})),
        ),
        Row::new(
            campaign,
            422,
            "validation",
            &["name"],
            scene.post(&campaigns, &json!({})),
        ),
        Row::new(
            "PUT /campaigns/{id}",
            422,
            "campaign_ended",
            &["status"],
            scene.put(ended, &json!({"status": "active"})),
        ),
        Row::new(
            "GET /companies/{company_id}/campaigns",
            400,
            "malformed_query",
            &["status"],
            scene.get(format!("{campaigns}?status=x")),
        ),
        Row::new(
            "POST /legal_terms",
            422,
            "version_published",
            &["version"],
            legal.json(&version),
        ),
    ]
}

async fn sources(scene: &Scene) -> Vec<Row> {
    let here = format!("/companies/{}", scene.company);
    let all = format!("{here}/sources");
    scene.made(&all, &json!({"name": "Web"})).await;
    let people = format!("{all}/{}/user_access", scene.place.source);
    let territory = json!({"territories": [{"name": "N", "postal_codes": ["*"]}]});
    vec![
        Row::new(
            "POST /companies/{company_id}/sources",
            422,
            "name_taken",
            &["name"],
            scene.post(&all, &json!({"name": "wEB"})),
        ),
        Row::new(
            "PUT /companies/{company_id}/sources/priority",
            422,
            "incomplete_order",
            &["source_ids"],
            scene.put(format!("{all}/priority"), &json!({"source_ids": []})),
        ),
        Row::new(
            "POST /companies/{company_id}/sources/{source_id}/user_access",
            422,
            "unknown_reference",
            &["user_access_id"],
            scene.post(people, &json!({"user_access_id": 999_999})),
        ),
        Row::new(
            "POST /companies/{company_id}/territories",
            422,
            "validation",
            &["territories[0].postal_codes[0]"],
            scene.post(format!("{here}/territories"), &territory),
        ),
    ]
}
