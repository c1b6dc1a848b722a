//! What the columns of a file are taken for, through the server: headers as people have them lose nothing, neither in the leads nor
//! in the failed rows; templates and exports come back as they were, whatever a company asks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::imports::{Scene, code};
use crate::server::int;

impl Scene {
    pub async fn failed_rows(&self, import: &Value) -> String {
        let path = format!("/api/v1/import/{}/errors", code(import));
        let call = self.server.get(path).token(&self.ana.token);
        let text = call.expect_answer(200).await.text;
        text.trim_start_matches('\u{feff}').to_owned()
    }

    /// The answers of a lead by the texts of the questions.
    async fn answers(&self, lead: &Value) -> BTreeMap<String, String> {
        let path = format!("/api/v1/leads/{}", int(&lead["id"]));
        let lead = self.server.get(path).token(&self.ana.token);
        let lead = lead.expect(200).await;
        let answers = lead["lead"]["answers"].as_array().expect("answers").clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        answers
            .iter()
            .map(|answer| {
                let question = &answer["question"];
                let asked = if question.is_object() {
                    &question["text"]
                } else {
                    &answer["question_text"]
                };
                (text(asked), text(&answer["value"]))
            })
            .collect()
    }

    async fn file(&self, path: &str) -> String {
        let path = format!("/api/v1/companies/{}/{path}", self.company);
        let call = self.server.get(path).token(&self.ana.token);
        call.expect_answer(200).await.text
    }
}

fn columns(import: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let columns = import["columns"].as_array().expect("columns").iter();
    columns
        .map(|column| (text(&column["header"]), text(&column["field"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_without_a_name_and_with_the_same_are_kept() {
    let scene = Scene::start().await;
    let import = scene
        .import(
            ",email,note,,note\n7,a@example.com,x,,y\n8,b@example.com,,,\n",
            &[],
        )
        .await;
    assert_eq!(int(&import["imported_rows"]), 2, "{import}");
    let named = [
        ("column 1", "extra"),
        ("email", "email"),
        ("note", "extra"),
        ("column 4", "extra"),
        ("note (2)", "extra"),
    ];
    let named = named.map(|(name, field)| (name.to_owned(), field.to_owned()));
    assert_eq!(columns(&import), named);
    let leads = scene.leads().await;
    let of = |email: &str| leads.iter().find(|lead| lead["email"] == email);
    assert_eq!(
        of("a@example.com").expect("a")["extra"],
        json!({"column 1": "7", "note": "x", "note (2)": "y"})
    );
    assert_eq!(
        of("b@example.com").expect("b")["extra"],
        json!({"column 1": "8"})
    );
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_characters_in_a_header_are_refused_alike_in_dry_run_and_import() {
    let scene = Scene::start().await;
    for file in [
        "email,first\0_name\na@example.com,A\n",
        "email,fo\u{7}o\na@example.com,A\n",
    ] {
        for dry_run in ["true", "false"] {
            let call = scene.server.post(scene.path()).token(&scene.ana.token);
            let call = call.upload("a.csv", file, &[("dry_run", dry_run)]);
            let refused = call.expect(422).await;
            assert_eq!(refused["code"], "header_not_understood", "{refused}");
            let detail = refused["detail"].as_str().expect("a detail");
            assert!(detail.contains("column 2"), "{detail}");
        }
    }
}

/// Also of a row that was refused for something else than its length.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_row_keeps_what_stands_beyond_the_header() {
    let scene = Scene::start().await;
    let import = scene.import("email,name\nno,A,more,,\n", &[]).await;
    assert_eq!(int(&import["failed_rows"]), 1, "{import}");
    assert_eq!(
        scene.failed_rows(&import).await,
        "email,name,column 3,import_failure_reason\r\nno,A,more,email: is not an e-mail address\r\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failed_rows_lose_nothing() {
    let scene = Scene::start().await;
    let file = "email,reason,nota\na@example.com,because,x,beyond,,further\nno,mine,y\nb@example.com,fine,z\n";
    let import = scene.import(file, &[]).await;
    assert_eq!(int(&import["failed_rows"]), 2, "{import}");
    let text = scene.failed_rows(&import).await;
    assert_eq!(
        text,
        "email,reason,nota,column 4,column 5,column 6,import_failure_reason\r\n\
         a@example.com,because,x,beyond,,further,the row has more fields than the header\r\n\
         no,mine,y,,,,email: is not an e-mail address\r\n"
    );
    let mended = text.replace("no,mine", "c@example.com,mine");
    let import = scene.import(&mended, &[]).await;
    assert_eq!(int(&import["imported_rows"]), 2, "{import}");
    let leads = scene.leads().await;
    let lead = leads.iter().find(|lead| lead["email"] == "a@example.com");
    assert_eq!(
        lead.expect("a")["extra"],
        json!({"reason": "because", "nota": "x", "column 4": "beyond", "column 6": "further"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_several_have_is_refused() {
    let scene = Scene::start().await;
    let server = &scene.server;
    for email in ["luz@people.example", "luz2@people.example"] {
        let body = json!({"first_name": "Luz", "last_name": "Ríos", "email": email, "user_accesses_attributes": [
            {"company_id": scene.company, "access_id": 4, "primary": true}]});
        let call = server.post("/api/v1/users").token(&scene.ana.token);
        call.json(&body).expect(201).await;
    }
    let file = "email,assignee\na@example.com,luz rios\nb@example.com,luz2@people.example\n";
    let import = scene.import(file, &[]).await;
    assert_eq!(int(&import["imported_rows"]), 1, "{import}");
    assert_eq!(import["errors"][0]["code"], "ambiguous_assignee");
    let message = import["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("several people"), "{message}");
}

/// Texts that are usual headers, or look like them.
const ASKED: [&str; 10] = [
    "Responsable",
    "WhatsApp",
    "Fuente",
    "Moneda",
    "Email",
    "email",
    "first name?",
    "2024",
    "territory",
    "¿Presupuesto?",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_filled_template_and_an_export_give_all_answers_whatever_is_asked() {
    let scene = Scene::start().await;
    let mut asked = BTreeMap::new();
    for text in ASKED {
        let body = json!({"text": text, "question_type": "text"});
        let call = scene
            .server
            .post(format!("/api/v1/companies/{}/questions", scene.company));
        let answer = call.token(&scene.ana.token).json(&body).answer().await;
        // Two that read alike may not be allowed.
        if answer.status == 201 {
            asked.insert(text.to_owned(), format!("answer to {text}"));
        }
    }
    assert!(asked.len() >= 9, "{asked:?}");
    let template = scene.file("import/leads/template?format=csv").await;
    let header = template.trim_start_matches('\u{feff}').trim_end();
    let questions = header.split(',').skip(7).map(str::to_owned);
    let questions: Vec<String> = questions.collect();
    assert_eq!(questions.len(), asked.len(), "{header}");
    let mut file = format!("{header}\r\nAna,Paz,ana@example.com,+525512345678,,,won");
    for question in &questions {
        write!(file, ",answer to {question}").expect("writing into a text");
    }
    let import = scene.import(&format!("{file}\r\n"), &[]).await;
    assert_eq!(int(&import["imported_rows"]), 1, "{import:#}");
    let lead = scene.leads().await.remove(0);
    assert_eq!(lead["email"], "ana@example.com");
    assert_eq!(lead["extra"], json!({}));
    assert_eq!(scene.answers(&lead).await, asked);

    let export = scene.file("leads/export?format=csv").await;
    let fields = [("duplicates", "update"), ("update", "overwrite")];
    let import = scene.import(&export, &fields).await;
    assert_eq!(int(&import["skipped_rows"]), 1, "{import:#}");
    let import = scene.import(&export, &[("force", "true")]).await;
    assert_eq!(int(&import["imported_rows"]), 1, "{import:#}");
    let leads = scene.leads().await;
    assert_eq!(leads.len(), 2);
    for lead in &leads {
        assert_eq!(scene.answers(lead).await, asked);
        assert_eq!(lead["extra"], json!({}));
    }
    // In a file of somebody's own, a header means what it usually means, unless another column says that already.
    let import = scene
        .import(
            "correo,Email,WhatsApp\nx@example.com,said,5512340000\n",
            &[],
        )
        .await;
    let fields: Vec<String> = columns(&import)
        .into_iter()
        .map(|(_, field)| field)
        .collect();
    assert!(fields[1].starts_with("question:"), "{fields:?}");
    assert_eq!((&*fields[0], &*fields[2]), ("email", "phone_number"));
    scene.server.assert_sound().await;
}

/// As people in Mexico have them: two family names, the name turned round, and what a spreadsheet writes where a formula came to nothing.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_put_together_and_errors_of_formulas_are_no_names() {
    let scene = Scene::start().await;
    let file = "Nombre,Apellido paterno,Apellido materno,Valor,Moneda,Notas\n\
                Ana,Pérez,López,1200.50,MXN,#REF!\n\
                Eva,,Ruiz,,,\n\
                #N/A,Gil,,,,\n";
    let import = scene.import(file, &[]).await;
    assert_eq!(int(&import["imported_rows"]), 2, "{import:#}");
    let error = &import["errors"][0];
    assert_eq!(error["message"], "Nombre: holds the error of a formula");
    let mut leads = scene.leads().await;
    leads.sort_by_key(|lead| int(&lead["id"]));
    assert_eq!(leads[0]["last_name"], "Pérez López");
    assert_eq!(
        leads[0]["estimated_value"],
        json!({"amount": "1200.50", "currency": "MXN"})
    );
    assert_eq!(leads[0]["extra"]["Notas"], "#REF!");
    assert_eq!(leads[1]["last_name"], "Ruiz");

    let file =
        "Nombre completo\n\"Pérez López, Ana María\"\n\"Acme, S.A. de C.V.\"\n\"John Doe, Jr\"\n";
    scene.import(file, &[]).await;
    let mut leads = scene.leads().await;
    leads.sort_by_key(|lead| int(&lead["id"]));
    let names: Vec<_> = leads[2..]
        .iter()
        .map(|lead| json!([lead["first_name"], lead["last_name"]]))
        .collect();
    let expected = [
        json!(["Ana María", "Pérez López"]),
        json!(["Acme,", "S.A. de C.V."]),
        json!(["John", "Doe, Jr"]),
    ];
    assert_eq!(names, expected);
}
