//! Rules about files of leads, and about imports that are held, ended, or whose file is gone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Row;
use super::scene::Scene;
use crate::imports;
use crate::server::int;

fn file(text: &str) -> Value {
    json!({"file_base64": STANDARD.encode(text)})
}

pub async fn rows(scene: &Scene) -> Vec<Row> {
    let leads = format!("/companies/{}/import/leads", scene.company);
    let upload = "POST /companies/{company_id}/import/leads";
    let good = file("email\na@example.com\n");
    scene.made(&leads, &good).await;
    let mut wrong = good.clone();
    wrong["duplicates"] = json!("merge");
    vec![
        Row::new(
            upload,
            422,
            "validation",
            &["duplicates"],
            scene.post(&leads, &wrong),
        ),
        Row::new(
            upload,
            422,
            "unreadable_file",
            &["file"],
            scene.post(&leads, &file("\n\n")),
        ),
        Row::new(
            upload,
            422,
            "header_not_understood",
            &["mapping"],
            scene.post(&leads, &file("a,b\n1,2\n")),
        ),
        Row::new(
            upload,
            422,
            "imported_before",
            &["force"],
            scene.post(&leads, &good),
        ),
        Row::new(
            "POST /import/{import_code}/cancel",
            422,
            "import_ended",
            &[],
            scene.post(format!("/import/{}/cancel", scene.place.import), &json!({})),
        ),
        held(scene).await,
        without_its_file(scene).await,
    ]
}

/// A company with an import that has ended.
async fn imported(scene: &Scene, name: &str) -> (i64, String) {
    let company = scene.made("/companies", &json!({"name": name})).await;
    let company = int(&company["company"]["id"]);
    let leads = format!("/companies/{company}/import/leads");
    let begun = scene.made(leads, &file("email\nb@example.com\nno\n")).await;
    let code = imports::code(&begun["import_file"]).to_owned();
    imports::ended(&scene.server, &scene.ana, &code).await;
    (company, code)
}

async fn held(scene: &Scene) -> Row {
    let (company, code) = imported(scene, "Held").await;
    let holds = format!("/companies/{company}/legal_holds");
    scene.made(holds, &json!({"reason": "Case"})).await;
    let call = scene.post(format!("/import/{code}/undo"), &json!({}));
    Row::new(
        "POST /import/{import_code}/undo",
        422,
        "legal_hold",
        &[],
        call,
    )
}

async fn without_its_file(scene: &Scene) -> Row {
    let (_, code) = imported(scene, "Forgetful").await;
    scene.server.app.imports.files.remove(&code).await;
    let call = scene.get(format!("/import/{code}/errors"));
    Row::new(
        "GET /import/{import_code}/errors",
        410,
        "file_not_kept",
        &[],
        call,
    )
}
