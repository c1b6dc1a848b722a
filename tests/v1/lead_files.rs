//! The template of a company, and the export: what they hold, for whom, and that nothing is lost on the way out and back.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use aggregates::access::Role;
use aggregates::ids::CompanyId;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use leadledger::lead_files::export::{Export, Format};
use leadledger::lead_files::{READ_ONLY_COLUMNS, read_only_places};
use leadledger::tabular::{self, Options, Reader, Row};
use projections::leads::counts::LeadFilter;
use projections::leads::export::Selection;
use projections::leads::list::{LeadRow, Sort, SortColumn};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::contract::assert_as_in;
use crate::server::{Person, TestServer, ids, int};

/// A file as it was sent.
struct Sent {
    media_type: String,
    disposition: String,
    total: Option<usize>,
    bytes: Vec<u8>,
}

async fn fetch(server: &TestServer, person: &Person, path: &str) -> Sent {
    let request = reqwest::Client::new().get(format!("{}{path}", server.url()));
    let response = request
        .bearer_auth(&person.token)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200, "{path}");
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().expect("ASCII").to_owned())
    };
    Sent {
        media_type: header("content-type").expect("a media type"),
        disposition: header("content-disposition").expect("a disposition"),
        total: header("x-total-count").map(|count| count.parse().expect("a number")),
        bytes: response.bytes().await.expect("the whole body").to_vec(),
    }
}

impl Sent {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("UTF-8")
    }

    fn open(&self) -> Reader {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&self.bytes).expect("writing");
        tabular::open(file, &Options::default()).expect("a file that is read")
    }

    /// Each row as column to text; the first of two columns of a name counts.
    fn rows(&self) -> Vec<BTreeMap<String, String>> {
        let reader = self.open();
        let header = reader.header().to_vec();
        let rows: Vec<Row> = reader.collect::<Result<_, _>>().expect("rows");
        let named = rows.into_iter().map(|row| {
            let cells = header.iter().cloned().zip(row.fields).rev();
            cells.collect()
        });
        named.collect()
    }
}

/// A company with catalogues, and people in it.
struct Scene {
    server: TestServer,
    ana: Person,
    company: i64,
    source: i64,
    campaign: i64,
    question: Value,
}

async fn scene() -> Scene {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let source = server.source(&ana, company, "Web, shop").await;
    let campaign = server
        .campaign(&ana, company, json!({"name": "Spring"}))
        .await;
    let question = json!({"text": "¿Jardín?", "question_type": "single_choice",
        "options": [{"value": "Sí"}, {"value": "No"}]});
    let question = server.question(&ana, company, question).await;
    Scene {
        server,
        ana,
        company,
        source,
        campaign,
        question,
    }
}

impl Scene {
    async fn export(&self, query: &str) -> Sent {
        let path = format!("/api/v1/companies/{}/leads/export{query}", self.company);
        fetch(&self.server, &self.ana, &path).await
    }

    async fn template(&self, query: &str) -> Sent {
        let path = format!(
            "/api/v1/companies/{}/import/leads/template{query}",
            self.company
        );
        fetch(&self.server, &self.ana, &path).await
    }

    async fn lead(&self, body: Value) -> i64 {
        int(&self.server.lead(&self.ana, self.company, body).await["id"])
    }

    /// A lead that has everything, and what a spreadsheet would run.
    async fn full_lead(&self) -> i64 {
        self.lead(json!({"first_name": "José", "last_name": "=HYPERLINK(\"http://x\")", "email": "jose@example.com",
            "phone_number": "+52 55 1234 5678", "source_id": self.source, "campaign_id": self.campaign, "stage_id": 4,
            "estimated_value": {"amount": "1200.50", "currency": "MXN"},
            "answers": [{"question_id": self.question["id"], "value": "Sí"}],
            "extra": {"notes": "two\nlines, \"quoted\"; and more", "=key": "@SUM(A1)", "debt": "-12.5", "email": "other",
                "quoted": "'=already"}}))
            .await
    }
}

#[tokio::test]
async fn a_template_has_the_columns_of_the_contract_and_the_companys_questions() {
    let scene = scene().await;
    let below = json!({"name": "Below", "parent_company_id": scene.company});
    let below = scene.server.company_with(&scene.ana, below).await;
    let sent = scene.template("").await;
    assert_eq!(
        sent.text(),
        "first_name,last_name,email,phone_number,source,campaign,stage,¿Jardín?\r\n"
    );
    assert_as_in(
        "GET /api/v1/companies/{company_id}/import/leads/template",
        &json!(sent.text()),
    );
    assert!(
        sent.media_type.starts_with("text/csv"),
        "{}",
        sent.media_type
    );
    assert_eq!(
        sent.disposition,
        format!("attachment; filename=\"template-{}.csv\"", scene.company)
    );
    // What a company asks, the companies below it ask too.
    let path = format!("/api/v1/companies/{below}/import/leads/template?format=csv");
    assert_eq!(
        fetch(&scene.server, &scene.ana, &path).await.text(),
        sent.text()
    );
}

#[tokio::test]
async fn a_template_for_spreadsheets_offers_what_the_company_has() {
    let scene = scene().await;
    let sent = scene.template("?format=xlsx").await;
    assert_eq!(
        sent.media_type,
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    );
    let reader = sent.open();
    assert_eq!(reader.sheets(), ["Leads", "Lists"]);
    assert_eq!(reader.header()[6..], ["stage", "¿Jardín?"]);
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&sent.bytes).expect("writing");
    let options = Options {
        sheet: Some("Lists".to_owned()),
        ..Options::default()
    };
    let lists = tabular::open(file, &options).expect("the sheet of lists");
    assert_eq!(lists.header(), ["stage", "source", "campaign", "¿Jardín?"]);
    let rows: Vec<Row> = lists.collect::<Result<_, _>>().expect("rows");
    assert_eq!(rows[0].fields, ["new", "Web, shop", "Spring", "Sí"]);
    assert_eq!(rows[5].fields, ["lost", "", "", ""]);
}

#[tokio::test]
async fn a_format_that_is_not_known_is_refused() {
    let scene = scene().await;
    for path in [
        "leads/export?format=pdf",
        "import/leads/template?format=jsonl",
    ] {
        let path = format!("/api/v1/companies/{}/{path}", scene.company);
        let answer = scene
            .server
            .get(path)
            .token(&scene.ana.token)
            .answer()
            .await;
        assert!(matches!(answer.status, 400 | 422), "{}", answer.status);
        assert!(
            answer.body.to_string().contains("format"),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn an_export_says_all_of_a_lead_and_holds_no_formula() {
    let scene = scene().await;
    let lead = scene.full_lead().await;
    let sent = scene.export("").await;
    assert_eq!(sent.total, Some(1));
    assert_eq!(
        sent.disposition,
        format!("attachment; filename=\"leads-{}.csv\"", scene.company)
    );
    for cell in sent.text().split([',', '\n']) {
        let cell = cell.trim_start_matches('"');
        assert!(!cell.starts_with(['=', '@']), "{cell} would be run");
    }
    assert!(sent.text().contains("+525512345678,"), "a phone stays one");
    let header = sent.open().header().join(",");
    assert_eq!(
        header,
        "lead_id,first_name,last_name,email,phone_number,source,campaign,stage,territory,assignee,estimated_value,\
         currency,duplicate_of_id,cycle,created_at,updated_at,¿Jardín?,=key,debt,email,notes,quoted"
    );
    let rows = sent.rows();
    assert_eq!(rows[0]["lead_id"], lead.to_string());
    assert_eq!(rows[0]["last_name"], "=HYPERLINK(\"http://x\")");
    assert_eq!(rows[0]["email"], "jose@example.com");
    assert_eq!(
        (&*rows[0]["source"], &*rows[0]["stage"]),
        ("Web, shop", "proposal")
    );
    assert_eq!(
        (&*rows[0]["estimated_value"], &*rows[0]["currency"]),
        ("1200.50", "MXN")
    );
    assert_eq!(rows[0]["¿Jardín?"], "Sí");
    assert_eq!(rows[0]["notes"], "two\nlines, \"quoted\"; and more");
    assert_eq!(
        (&*rows[0]["=key"], &*rows[0]["quoted"]),
        ("@SUM(A1)", "'=already")
    );
    // The same in a workbook, where nothing needs to be neutralised.
    let workbook = scene.export("?format=xlsx").await;
    assert_eq!(workbook.total, Some(1));
    assert_eq!(workbook.rows(), rows);
}

#[tokio::test]
async fn lines_of_json_are_what_the_list_shows() {
    let scene = scene().await;
    scene.full_lead().await;
    scene.lead(json!({"first_name": "Bea"})).await;
    let sent = scene.export("?format=jsonl&sort=-created_at").await;
    assert_eq!(sent.media_type, "application/jsonl");
    let lines = sent.text().lines();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let list = format!("/api/v1/companies/{}/leads", scene.company);
    let list = scene
        .server
        .get(list)
        .token(&scene.ana.token)
        .expect(200)
        .await;
    assert_eq!(json!(lines), list["leads"]);
}

#[tokio::test]
async fn an_export_obeys_the_filters_of_the_list() {
    let scene = scene().await;
    scene.full_lead().await;
    for (name, stage) in [("Bea", 1), ("Cleo", 2), ("Dora", 2)] {
        scene
            .lead(json!({"first_name": name, "stage_id": stage}))
            .await;
    }
    for query in [
        "stage_id=2",
        "search=jose",
        "sort=-id",
        "sort=full_name&stage_id=2",
        "created_to=2020-01-01",
        "search=%20",
        "campaign_id=1",
        "source_id=999",
        "user_access_id=1",
        "cycle_id=3",
        "territory_id=3",
    ] {
        let list = format!("/api/v1/companies/{}/leads?{query}", scene.company);
        let list = scene
            .server
            .get(list)
            .token(&scene.ana.token)
            .expect(200)
            .await;
        let mut wanted = ids(&list["leads"]);
        if !query.contains("sort") {
            wanted.sort_unstable();
        }
        let sent = scene.export(&format!("?{query}")).await;
        let found: Vec<i64> = sent
            .rows()
            .iter()
            .map(|row| row["lead_id"].parse().expect("an id"))
            .collect();
        assert_eq!(found, wanted, "{query}");
        assert_eq!(sent.total, Some(wanted.len()), "{query}");
    }
    let path = format!(
        "/api/v1/companies/{}/leads/export?sort=shoe_size",
        scene.company
    );
    scene
        .server
        .get(path)
        .token(&scene.ana.token)
        .expect(400)
        .await;
}

#[tokio::test]
async fn an_agent_exports_their_own_leads_and_nobody_elses() {
    let scene = scene().await;
    let bob = scene
        .server
        .member(scene.company, &scene.ana, Role::Agent, "Bob")
        .await;
    let own = scene
        .lead(json!({"first_name": "Own", "user_access_id": bob.access_id}))
        .await;
    scene.lead(json!({"first_name": "Nobody's"})).await;
    let path = format!("/api/v1/companies/{}/leads/export", scene.company);
    let sent = fetch(&scene.server, &bob.person, &path).await;
    let rows = sent.rows();
    assert_eq!((rows.len(), sent.total), (1, Some(1)));
    assert_eq!(rows[0]["lead_id"], own.to_string());
    assert_eq!(rows[0]["assignee"], "bob@people.example");
}

/// What an export says of a lead but for what only the ledger gives, as the body that creates it again.
fn body_of(scene: &Scene, header: &[String], row: &Row) -> Value {
    let passed_over = read_only_places(header);
    assert_eq!(passed_over.len(), READ_ONLY_COLUMNS.len());
    let (mut body, mut extra) = (json!({}), json!({}));
    for (place, (name, text)) in header.iter().zip(&row.fields).enumerate() {
        let first = header.iter().position(|there| there == name) == Some(place);
        if text.is_empty() || passed_over.contains(&place) {
            continue;
        }
        match (name.as_str(), first) {
            ("first_name" | "last_name" | "email" | "phone_number", true) => {
                body[name] = json!(text);
            }
            ("source", true) => body["source_id"] = json!(scene.source),
            ("campaign", true) => body["campaign_id"] = json!(scene.campaign),
            ("stage", true) => body["stage_id"] = json!(if text == "proposal" { 4 } else { 1 }),
            ("estimated_value", true) => body["estimated_value"]["amount"] = json!(text),
            ("currency", true) => body["estimated_value"]["currency"] = json!(text),
            ("¿Jardín?", true) => {
                body["answers"] = json!([{"question_id": scene.question["id"], "value": text}]);
            }
            _ => extra[name] = json!(text),
        }
    }
    body["extra"] = extra;
    body
}

#[tokio::test]
async fn what_was_exported_comes_back_unchanged() {
    let scene = scene().await;
    scene.full_lead().await;
    scene
        .lead(json!({"first_name": "Bea", "extra": {"+": "-", "plain": "x"}}))
        .await;
    for format in ["csv", "xlsx"] {
        let first = scene.export(&format!("?format={format}&sort=id")).await;
        let before = first.rows();
        let reader = first.open();
        let header = reader.header().to_vec();
        let rows: Vec<Row> = reader.collect::<Result<_, _>>().expect("rows");
        for row in &rows {
            scene.lead(body_of(&scene, &header, row)).await;
        }
        let after = scene
            .export(&format!("?format={format}&sort=id"))
            .await
            .rows();
        let told = |row: &BTreeMap<String, String>| {
            let mut row = row.clone();
            row.retain(|name, _| !READ_ONLY_COLUMNS.contains(&name.as_str()));
            row
        };
        let again: Vec<_> = after[before.len()..].iter().map(told).collect();
        assert_eq!(
            again,
            before.iter().map(told).collect::<Vec<_>>(),
            "{format}"
        );
    }
}

impl Scene {
    async fn opened(
        &self,
        format: Format,
        line: fn(LeadRow) -> serde_json::Result<Vec<u8>>,
    ) -> Export {
        let (_, position) = self
            .server
            .app
            .authority_of(aggregates::ids::UserId(self.ana.id))
            .await
            .expect("an authority")
            .expect("a user");
        let company = self
            .server
            .app
            .company(CompanyId(self.company), position)
            .await;
        let company = company.expect("an answer").expect("the company");
        let selection = Selection {
            company: CompanyId(self.company),
            filter: LeadFilter::default(),
            text: None,
            sort: Sort {
                column: SortColumn::Id,
                descending: false,
            },
        };
        let opened = Export::open(&self.server.app.pool, &company, selection, format, line).await;
        opened.expect("an export")
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "an export gives its rows away"
)]
fn id_line(row: LeadRow) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&row.id)
}

#[tokio::test]
async fn an_export_is_of_one_moment_whatever_happens_while_it_is_written() {
    use futures::TryStreamExt;
    let scene = scene().await;
    let lead = scene.full_lead().await;
    let export = scene.opened(Format::JsonLines, id_line).await;
    scene.lead(json!({"first_name": "Late"})).await;
    assert_eq!(export.total, 1);
    let pieces: Vec<Vec<u8>> = export
        .stream()
        .try_collect()
        .await
        .expect("the whole export");
    assert_eq!(pieces.concat(), format!("{lead}\n").into_bytes());
}

#[tokio::test]
async fn a_client_can_tell_that_an_export_was_cut_off() {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an export gives its rows away"
    )]
    fn failing(row: LeadRow) -> serde_json::Result<Vec<u8>> {
        if row.first_name.as_deref() == Some("Last") {
            return Err(serde::ser::Error::custom("something broke"));
        }
        serde_json::to_vec(&row.id)
    }
    let scene = scene().await;
    scene.full_lead().await;
    scene.lead(json!({"first_name": "Last"})).await;
    let export = scene.opened(Format::JsonLines, failing).await;
    let body = Body::from_stream(export.stream());
    let body = Arc::new(Mutex::new(Some(body)));
    let once = move || {
        let body = body.clone();
        async move { body.lock().expect("no panic").take().expect("asked once") }
    };
    let app = Router::new().route("/", get(once));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("the port just bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    let answer = reqwest::get(format!("http://{address}/")).await;
    let whole = match answer {
        Ok(answer) => answer.bytes().await,
        Err(error) => Err(error),
    };
    assert!(whole.is_err(), "a cut-off export looked whole");
}
