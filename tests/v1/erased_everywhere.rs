//! After an erasure nothing of the person is left: not in any column of any table, not in a dump, not in the objects, the mails
//! or the log; what other people said stays.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use leadledger::ledger::erasure;
use serde_json::{Value, json};
use sqlx::Row;
use tracing_subscriber::fmt::MakeWriter;

use crate::imports::{Scene, code, people};
use crate::server::{Person, TestServer, int};

/// Everything that is logged while it lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the log").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A lead with something to find in every field that the API lets one write about a person.
struct Marked {
    lead: i64,
    markers: Vec<String>,
}

/// What a marker is not: cut by a rule of some field.
fn marker(of: &str, field: &str) -> String {
    format!("zq{of}{field}zq")
}

impl Marked {
    async fn make(server: &TestServer, ana: &Person, company: i64, of: &str) -> Self {
        let m = |field: &str| marker(of, field);
        // Digits that no other number of the test contains.
        let phone = |n: u32| {
            format!(
                "+52155{:04}{}",
                4100 + n,
                if of == "a" { "777" } else { "888" }
            )
        };
        let question = json!({"text": "What for?", "question_type": "text"});
        let question = int(&server.question(ana, company, question).await["id"]);
        let post = async |path: String, key: &str, body: Value| {
            let call = server.post(path).token(&ana.token).json(&body);
            let call = call.header("idempotency-key", &format!("{}-{key}", m("key")));
            call.header("x-reason", &m("reason")).expect(201).await
        };
        let body = json!({"first_name": m("first"), "last_name": m("last"),
            "email": format!("{}@people.example", m("mail")), "phone_number": phone(1),
            "answers": [{"question_id": question, "value": m("answer")}],
            "extra": {m("name"): m("value")}});
        let made = post(format!("/api/v1/companies/{company}/leads"), "lead", body).await;
        let lead = int(&made["lead"]["id"]);
        let path = format!("/api/v1/leads/{lead}");
        let changed = json!({"first_name": m("newfirst"), "email": format!("{}@people.example", m("newmail")),
            "phone_number": phone(2), "answers": [{"question_id": question, "value": m("newanswer")}],
            "extra": {m("name"): null, m("newname"): m("newvalue")}});
        let call = server.put(&path).token(&ana.token).json(&changed);
        let call = call.header("idempotency-key", &m("changekey"));
        call.header("x-reason", &m("why")).expect(200).await;
        // A change that changes nothing is answered, and kept, all the same.
        let call = server.put(&path).token(&ana.token).json(&changed);
        let call = call.header("idempotency-key", &format!("{of}-nothing"));
        call.expect(200).await;
        let note = json!({"content": m("note")});
        let note = post(format!("{path}/notes"), "note", note).await;
        let gone = json!({"content": m("gonenote")});
        let gone = post(format!("{path}/notes"), "gone", gone).await;
        assert_ne!(note["note"]["id"], gone["note"]["id"]);
        let gone = server.delete(format!("{path}/notes/{}", gone["note"]["id"]));
        gone.token(&ana.token).expect(200).await;
        let meeting = json!({"title": m("title"), "description": m("description"), "location": m("place"),
            "starts_at": "2037-01-01T10:00:00Z", "ends_at": "2037-01-01T11:00:00Z"});
        let meeting = post(format!("{path}/appointments"), "meeting", meeting).await;
        let meeting = format!("/api/v1/appointments/{}", meeting["appointment"]["id"]);
        let changed = json!({"title": m("newtitle"), "location": m("newplace")});
        let call = server.put(&meeting).token(&ana.token).json(&changed);
        call.expect(200).await;
        let held = json!({"reason": m("hold")});
        let held = post(format!("{path}/legal_holds"), "hold", held).await;
        let release = format!("{path}/legal_holds/{}/release", held["legal_hold"]["id"]);
        server.post(release).token(&ana.token).expect(200).await;
        let fields = [
            "first",
            "last",
            "mail",
            "answer",
            "name",
            "value",
            "newfirst",
            "newmail",
            "newanswer",
            "newname",
            "newvalue",
            "note",
            "gonenote",
            "title",
            "description",
            "place",
            "newtitle",
            "newplace",
            "hold",
            "reason",
            "why",
            "key",
            "changekey",
        ];
        let mut markers: Vec<_> = fields.map(m).into();
        markers.extend(
            [phone(1), phone(2)].map(|phone| phone.trim_start_matches("+52155").to_owned()),
        );
        Self { lead, markers }
    }

    /// What is shown of it while it is in use, of all that was ever said.
    fn shown(&self, of: &str) -> Vec<String> {
        let fields = [
            "newfirst",
            "last",
            "newmail",
            "newanswer",
            "newname",
            "newvalue",
            "note",
        ];
        assert!(!self.markers.is_empty());
        fields.map(|field| marker(of, field)).into()
    }
}

/// Every column of every row of every table of the database that contains one of the markers.
async fn in_tables(server: &TestServer, markers: &[String]) -> Vec<String> {
    let pool = server.database.pool();
    let tables = sqlx::query(
        "SELECT table_schema, table_name FROM information_schema.tables \
         WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema') \
         UNION ALL SELECT 'pg_catalog', 'pg_stats'",
    )
    .fetch_all(pool)
    .await
    .expect("the tables");
    assert!(tables.len() > 30, "only {} tables", tables.len());
    let mut found = Vec::new();
    for table in tables {
        let (schema, name): (String, String) = (table.get(0), table.get(1));
        // Keys and kept answers are bytes; what they hold is compared as bytes.
        let rows: Vec<String> = sqlx::query_scalar(&format!(
            "SELECT DISTINCT m FROM {schema}.{name} t, unnest($1::text[]) AS m \
             WHERE t::text ILIKE '%' || m || '%' \
             OR t::text ILIKE '%' || encode(convert_to(m, 'UTF8'), 'hex') || '%'"
        ))
        .bind(markers)
        .fetch_all(pool)
        .await
        .expect("reading a table");
        found.extend(
            rows.into_iter()
                .map(|marker| format!("{schema}.{name}: {marker}")),
        );
    }
    found
}

fn in_bytes(what: &str, bytes: &[u8], markers: &[String]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let found = markers
        .iter()
        .filter(|marker| text.contains(&marker.to_lowercase()));
    found.map(|marker| format!("{what}: {marker}")).collect()
}

pub fn in_folder(folder: &Path, markers: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        let what = path.display().to_string();
        found.extend(in_bytes(&what, what.as_bytes(), markers));
        if path.is_dir() {
            found.extend(in_folder(&path, markers));
        } else {
            found.extend(in_bytes(
                &what,
                &std::fs::read(&path).expect("a file"),
                markers,
            ));
        }
    }
    found
}

fn dump(server: &TestServer) -> Vec<u8> {
    let program = server.database.bin_dir().join("pg_dump");
    let dumped = Command::new(program)
        .arg(server.database.url())
        .output()
        .expect("running pg_dump");
    assert!(
        dumped.status.success(),
        "{}",
        String::from_utf8_lossy(&dumped.stderr)
    );
    assert!(
        dumped.stdout.len() > 100_000,
        "a dump of {} bytes",
        dumped.stdout.len()
    );
    dumped.stdout
}

pub async fn everywhere(server: &TestServer, markers: &[String]) -> Vec<String> {
    let mut found = in_tables(server, markers).await;
    found.extend(in_bytes("the dump", &dump(server), markers));
    found.extend(in_folder(server.data.path(), markers));
    found
}

pub async fn step(server: &TestServer, ana: &Person, lead: i64, step: &str) {
    let call = server.post(format!("/api/v1/leads/{lead}/erasure"));
    let body = json!({"step": step, "reason": "subject_request"});
    let call = call.token(&ana.token).json(&body);
    call.header("idempotency-key", step).expect(200).await;
}

/// What the API tells about the lead, wherever it is told.
async fn told(server: &TestServer, ana: &Person, company: i64, lead: i64, search: &str) -> String {
    let mut texts = Vec::new();
    for path in [
        format!("/api/v1/leads/{lead}"),
        format!("/api/v1/leads/{lead}/stages"),
        format!("/api/v1/leads/{lead}/erasure"),
        format!("/api/v1/leads/{lead}/legal_holds"),
        format!("/api/v1/leads/{lead}/reads"),
        format!("/api/v1/companies/{company}/leads"),
        format!("/api/v1/companies/{company}/leads?search={search}"),
        format!("/api/v1/companies/{company}/leads?sort=full_name"),
        format!("/api/v1/companies/{company}/leads/duplicates"),
        format!("/api/v1/companies/{company}/leads/unassigned"),
        "/api/v1/appointments".to_owned(),
    ] {
        texts.push(
            server
                .get(path)
                .token(&ana.token)
                .expect(200)
                .await
                .to_string(),
        );
    }
    texts.concat()
}

#[tokio::test]
async fn nothing_of_an_erased_person_is_left_and_all_of_another() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(log.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let a = Marked::make(&server, &ana, company, "a").await;
    let b = Marked::make(&server, &ana, company, "b").await;

    // Names stand at the edges of zones too, and in the samples by which the planner knows a column.
    server.map_zones(company).await;
    let analyzed = sqlx::raw_sql("ANALYZE").execute(server.database.pool());
    analyzed.await.expect("statistics");
    let named = in_tables(&server, &[marker("a", "first")]).await;
    assert!(named.join("\n").contains("past.zones"), "{named:?}");
    assert!(named.join("\n").contains("pg_stats"), "{named:?}");
    // What is in use is found by the very means that shall find nothing afterwards.
    let before = everywhere(&server, &a.shown("a")).await.join("\n");
    for marker in a.shown("a") {
        assert!(before.contains(&marker), "{marker} was never there");
    }
    assert!(before.contains("the dump"), "{before}");

    step(&server, &ana, a.lead, "block").await;
    let blocked = told(&server, &ana, company, a.lead, &marker("a", "last")).await;
    for marker in &a.markers {
        // A hold's words are for whoever audits, until they are erased.
        assert!(
            !blocked.contains(marker) || marker.contains("hold"),
            "{marker} is told of a blocked lead"
        );
    }
    let export = format!("/api/v1/leads/{}/personal_data", a.lead);
    let export = server.get(export).token(&ana.token);
    let export = export.expect(200).await.to_string();
    // Of a request's key only the hash is held.
    for marker in a.markers.iter().filter(|marker| !marker.ends_with("keyzq")) {
        assert!(export.contains(marker), "{marker} is not in the export");
    }

    step(&server, &ana, a.lead, "erase").await;
    // The last pass comes a while later, and vacuums.
    let later = server.app.clock.now() + chrono::TimeDelta::minutes(2);
    let done = erasure::clear(server.app.pool.today(), later)
        .await
        .expect("clearing");
    assert_eq!(done, 1);
    assert_eq!(everywhere(&server, &a.markers).await, Vec::<String>::new());
    let erased = told(&server, &ana, company, a.lead, &marker("a", "last")).await;
    for marker in &a.markers {
        assert!(
            !erased.contains(marker),
            "{marker} is told of an erased lead"
        );
    }
    let export = format!("/api/v1/leads/{}/personal_data", a.lead);
    let export = server.get(export).token(&ana.token);
    let export = export.expect(200).await.to_string();
    for marker in &a.markers {
        assert!(!export.contains(marker), "{marker} is still exported");
    }

    let others = everywhere(&server, &b.shown("b")).await.join("\n");
    for marker in b.shown("b") {
        assert!(
            others.contains(&marker),
            "{marker} went with another person"
        );
    }
    let logged = log.0.lock().expect("the log").clone();
    assert!(logged.len() > 1_000, "{} bytes were logged", logged.len());
    let all: Vec<_> = a.markers.iter().chain(&b.markers).cloned().collect();
    assert_eq!(in_bytes("the log", &logged, &all), Vec::<String>::new());
    server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_that_an_erased_lead_came_in_is_gone() {
    let scene = Scene::start().await;
    let import = scene.import(&people(3, "example.com"), &[]).await;
    assert_eq!(int(&import["imported_rows"]), 3);
    let address = ["p1@example.com".to_owned()];
    let server = &scene.server;
    let before = everywhere(server, &address).await.join("\n");
    assert!(before.contains(code(&import)), "the file is kept: {before}");
    let leads = scene.leads().await;
    let lead = leads
        .iter()
        .find(|lead| lead["email"] == address[0].as_str());
    let lead = int(&lead.expect("an imported lead")["id"]);
    step(server, &scene.ana, lead, "block").await;
    step(server, &scene.ana, lead, "erase").await;
    assert_eq!(everywhere(server, &address).await, Vec::<String>::new());
    server.assert_sound().await;
}

/// A row that was passed over, or refused, says as much of a person as one of which something came.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_row_that_came_to_nothing_is_gone_too() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let lead = json!({"first_name": "Zoe", "email": "zoe@example.com"});
    let lead = int(&server.lead(&scene.ana, scene.company, lead).await["id"]);
    let skip = &[("duplicates", "skip")][..];
    let skipped = scene.import("email\nzoe@example.com\n", skip).await;
    assert_eq!(int(&skipped["skipped_rows"]), 1);
    let failed = scene.import("email,phone\nzoe@example.com,12\n", &[]).await;
    assert_eq!(int(&failed["failed_rows"]), 1);
    // Of others, and of another company: these stay.
    let other = scene.import("email\nbo@example.com\n", &[]).await;
    let files = async |address: &str| {
        let found = in_folder(server.data.path(), &[address.to_owned()]);
        found.join("\n")
    };
    let before = files("zoe@example.com").await;
    for import in [&skipped, &failed] {
        assert!(before.contains(code(import)), "the file is kept: {before}");
    }
    step(server, &scene.ana, lead, "block").await;
    step(server, &scene.ana, lead, "erase").await;
    assert_eq!(files("zoe@example.com").await, "");
    assert!(files("bo@example.com").await.contains(code(&other)));
    let errors = format!("/api/v1/import/{}/errors", code(&failed));
    let gone = server.get(errors).token(&scene.ana.token).answer().await;
    assert!(
        (400..500).contains(&gone.status),
        "{} {}",
        gone.status,
        gone.text
    );
    server.assert_sound().await;
}
