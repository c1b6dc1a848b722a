//! Rules about leads, their notes and their appointments.

use serde_json::json;

use super::Row;
use super::scene::Scene;
use crate::server::int;

pub async fn rows(scene: &Scene) -> Vec<Row> {
    let (company, lead) = (scene.company, scene.place.lead);
    let leads = format!("/companies/{company}/leads");
    let one = format!("/leads/{lead}");
    let (create, change) = ("POST /companies/{company_id}/leads", "PUT /leads/{id}");
    let lists = [
        "GET /companies/{company_id}/leads",
        "GET /companies/{company_id}/leads/metrics",
    ];
    let mut rows = vec![
        Row::new(create, 422, "no_contact", &["email"], scene.post(&leads, &json!({}))),
        Row::new(create, 422, "validation", &["email", "phone_number", "stage_id"],
            scene.post(&leads, &json!({"email": "no", "phone_number": "x", "stage_id": 7}))),
        Row::new(create, 422, "unknown_reference", &["source_id"],
            scene.post(&leads, &json!({"first_name": "L", "source_id": 999_999}))),
        Row::new(create, 422, "unknown_campaign", &["campaign_id"],
            scene.post(&leads, &json!({"first_name": "L", "campaign_id": 999_999}))),
        Row::new(create, 422, "answer_refused", &["answers[0].question_id"],
            scene.post(&leads, &json!({"first_name": "L", "answers": [{"question_id": 999_999, "value": "x"}]}))),
        Row::new(change, 422, "validation", &["user_access_id"], scene.put(&one, &json!({"user_access_id": 999_999}))),
        Row::new(change, 422, "no_contact", &["email"],
            scene.put(&one, &json!({"first_name": null, "last_name": null, "email": null, "phone_number": null}))),
        Row::new("POST /leads/{lead_id}/notes", 422, "validation", &["content"],
            scene.post(format!("{one}/notes"), &json!({"content": " "}))),
    ];
    for (operation, path) in lists
        .into_iter()
        .zip([leads.clone(), format!("{leads}/metrics")])
    {
        for name in ["created_from", "created_to"] {
            let call = scene.get(format!("{path}?{name}=yesterday"));
            rows.push(Row::new(operation, 400, "malformed_query", &[name], call));
        }
    }
    let early = scene.get("/checkpoint?as_of=10");
    rows.push(Row::new("GET /checkpoint", 404, "not_found", &[], early));
    rows.extend(appointments(scene).await);
    rows.extend(erasure_and_holds(scene).await);
    rows.push(too_wide_an_export(scene).await);
    rows
}

async fn erasure_and_holds(scene: &Scene) -> Vec<Row> {
    let leads = format!("/companies/{}/leads", scene.company);
    let lead = scene.made(&leads, &json!({"first_name": "H"})).await;
    let held = format!("/leads/{}", lead["lead"]["id"]);
    let note = scene
        .made(format!("{held}/notes"), &json!({"content": "n"}))
        .await;
    let note = format!("{held}/notes/{}", note["note"]["id"]);
    scene
        .made(format!("{held}/legal_holds"), &json!({"reason": "Case"}))
        .await;
    let free = format!("/leads/{}/erasure", scene.place.lead);
    let company = format!("/companies/{}/legal_holds", scene.company);
    let (erase, back) = ("POST /leads/{id}/erasure", "DELETE /leads/{id}/erasure");
    let step = |step: &str| json!({"step": step, "reason": "other"});
    vec![
        Row::new(
            erase,
            422,
            "not_blocked",
            &["step"],
            scene.post(&free, &step("erase")),
        ),
        Row::new(
            erase,
            422,
            "validation",
            &["step", "reason"],
            scene.post(&free, &json!({})),
        ),
        Row::new(
            erase,
            422,
            "legal_hold",
            &[],
            scene.post(format!("{held}/erasure"), &step("block")),
        ),
        Row::new(back, 422, "not_blocked", &["step"], scene.delete(&free)),
        Row::new(
            "DELETE /leads/{lead_id}/notes/{id}",
            422,
            "legal_hold",
            &[],
            scene.delete(note),
        ),
        Row::new(
            "POST /leads/{id}/legal_holds",
            422,
            "validation",
            &["reason"],
            scene.post(format!("{held}/legal_holds"), &json!({})),
        ),
        Row::new(
            "POST /companies/{id}/legal_holds",
            422,
            "validation",
            &["reason"],
            scene.post(company, &json!({})),
        ),
    ]
}

/// More different extra fields than a file has columns.
async fn too_wide_an_export(scene: &Scene) -> Row {
    let leads = format!("/companies/{}/leads", scene.company);
    for lead in 0..10 {
        let fields = (0..100).map(|field| (format!("f{lead}-{field}"), json!("x")));
        let extra: serde_json::Map<_, _> = fields.collect();
        let body = json!({"first_name": "Wide", "extra": extra});
        scene.made(&leads, &body).await;
    }
    let export = "GET /companies/{company_id}/leads/export";
    let call = scene.get(format!("{leads}/export"));
    Row::new(export, 422, "validation", &["format"], call)
}

async fn appointments(scene: &Scene) -> Vec<Row> {
    let all = format!("/leads/{}/appointments", scene.place.lead);
    let hours = json!({"title": "A", "starts_at": "2027-01-01T10:00:00Z", "ends_at": "2027-01-01T11:00:00Z"});
    let done = int(&scene.made(&all, &hours).await["appointment"]["id"]);
    let done = format!("/appointments/{done}");
    scene
        .put(&done, &json!({"status": "done"}))
        .expect(200)
        .await;
    let cancelled = int(&scene.made(&all, &hours).await["appointment"]["id"]);
    let cancelled = format!("/appointments/{cancelled}");
    scene
        .post(format!("{cancelled}/cancel"), &json!({}))
        .expect(200)
        .await;
    let (create, change) = (
        "POST /leads/{lead_id}/appointments",
        "PUT /appointments/{id}",
    );
    let backwards = json!({"title": "A", "starts_at": "2027-01-01T10:00:00Z", "ends_at": "2027-01-01T09:00:00Z"});
    let long = json!({"title": "A", "starts_at": "2027-01-01T10:00:00Z", "ends_at": "2027-03-01T09:00:00Z"});
    let eves = json!({"title": "A", "starts_at": "2027-01-01T10:00:00Z", "ends_at": "2027-01-01T11:00:00Z", "user_id": scene.eve.id});
    vec![
        Row::new(
            create,
            422,
            "ends_before_start",
            &["ends_at"],
            scene.post(&all, &backwards),
        ),
        Row::new(
            create,
            422,
            "appointment_too_long",
            &["ends_at"],
            scene.post(&all, &long),
        ),
        Row::new(
            create,
            422,
            "user_has_no_role",
            &["user_id"],
            scene.post(&all, &eves),
        ),
        Row::new(
            create,
            422,
            "validation",
            &["title"],
            scene.post(&all, &json!({})),
        ),
        Row::new(
            change,
            422,
            "appointment_cancelled",
            &["status"],
            scene.put(&cancelled, &json!({"title": "B"})),
        ),
        Row::new(
            change,
            422,
            "validation",
            &["status"],
            scene.put(&done, &json!({"status": "late"})),
        ),
        Row::new(
            "POST /appointments/{id}/cancel",
            422,
            "appointment_not_scheduled",
            &["status"],
            scene.post(format!("{done}/cancel"), &json!({})),
        ),
        Row::new(
            "GET /appointments",
            400,
            "malformed_query",
            &["from"],
            scene.get("/appointments?from=soon"),
        ),
    ]
}
