//! Imports: a file in, its status, and what became of its rows.

use std::fmt::Write as _;
use std::time::Duration;

use aggregates::access::Role;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{Person, TestServer, ids, int};

/// A company with its owner.
pub struct Scene {
    pub server: TestServer,
    pub ana: Person,
    pub company: i64,
}

impl Scene {
    pub async fn start() -> Self {
        let server = TestServer::start().await;
        let ana = server.sign_up("Ana").await;
        let company = server.company(&ana, "Acme").await;
        Self {
            server,
            ana,
            company,
        }
    }

    pub fn path(&self) -> String {
        format!("/api/v1/companies/{}/import/leads", self.company)
    }

    /// Uploads and answers the import as it began.
    pub async fn upload(&self, file: &str, fields: &[(&str, &str)]) -> Value {
        let call = self.server.post(self.path()).token(&self.ana.token);
        let mut answer = call.upload("leads.csv", file, fields).expect(201).await;
        answer["import_file"].take()
    }

    /// Uploads and waits for the end.
    pub async fn import(&self, file: &str, fields: &[(&str, &str)]) -> Value {
        let begun = self.upload(file, fields).await;
        self.ended(code(&begun)).await
    }

    /// The import once nothing more happens by itself.
    pub async fn ended(&self, code: &str) -> Value {
        ended(&self.server, &self.ana, code).await
    }

    pub async fn leads(&self) -> Vec<Value> {
        let path = format!("/api/v1/companies/{}/leads?per_page=100", self.company);
        let mut list = self
            .server
            .get(path)
            .token(&self.ana.token)
            .expect(200)
            .await;
        match list["leads"].take() {
            Value::Array(leads) => leads,
            other => panic!("{other} is no list"),
        }
    }
}

/// The import once nothing more happens by itself.
pub async fn ended(server: &TestServer, person: &Person, code: &str) -> Value {
    for _ in 0..600 {
        let path = format!("/api/v1/import/{code}");
        let mut answer = server.get(path).token(&person.token).expect(200).await;
        let import = answer["import_file"].take();
        assert_sums(&import);
        if !matches!(
            import["status"].as_str(),
            Some("pending" | "processing" | "undoing")
        ) {
            return import;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("import {code} does not end");
}

/// `processed_rows` is the sum of its parts at every moment.
pub fn assert_sums(import: &Value) {
    let parts = [
        "imported_rows",
        "updated_rows",
        "skipped_rows",
        "failed_rows",
    ];
    let sum: i64 = parts.iter().map(|part| int(&import[*part])).sum();
    assert_eq!(int(&import["processed_rows"]), sum, "{import:#}");
}

#[track_caller]
pub fn code(import: &Value) -> &str {
    import["import_code"].as_str().expect("a code")
}

/// A file of so many people, each with an e-mail.
pub fn people(rows: usize, host: &str) -> String {
    let mut file = "First name,E-mail,City\n".to_owned();
    for n in 0..rows {
        writeln!(file, "P{n},p{n}@{host},Town {n}").expect("writing into a text");
    }
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_becomes_leads_and_its_counts_add_up() {
    let scene = Scene::start().await;
    let file = "Nombre,Correo,Teléfono,Ciudad\n\
        Ana,ana@example.com,504-621-8927,Metairie\n\
        Bea,not an e-mail,,\n\
        Cid,ANA@example.com,,\n\
        ,,,only a city\n";
    let begun = scene.upload(file, &[("name", "Fair of May")]).await;
    assert_eq!(begun["status"], "pending");
    assert_as_in(
        "POST /api/v1/companies/{company_id}/import/leads",
        &json!({"import_file": begun}),
    );
    let import = scene.ended(code(&begun)).await;
    assert_as_in(
        "GET /api/v1/import/{import_code}",
        &json!({"import_file": import}),
    );
    assert_eq!(import["status"], "completed", "{import:#}");
    assert_eq!(import["name"], "Fair of May");
    let counts = [
        "total_rows",
        "imported_rows",
        "failed_rows",
        "duplicate_rows",
    ];
    assert_eq!(counts.map(|count| int(&import[count])), [4, 2, 2, 1]);
    assert_eq!(
        import["errors"],
        json!([
            {"row": 3, "message": "Correo: is not an e-mail address", "code": "invalid_email", "column": "Correo"},
            {"row": 5, "message": "the row has neither a name nor an e-mail nor a phone number", "code": "no_contact",
             "column": null}])
    );
    let fields = import["columns"].as_array().expect("columns").iter();
    let fields: Vec<_> = fields.map(|column| column["field"].clone()).collect();
    assert_eq!(fields, ["first_name", "email", "phone_number", "extra"]);

    let leads = scene.leads().await;
    assert_eq!(leads.len(), 2);
    let ana = leads
        .iter()
        .find(|lead| lead["first_name"] == "Ana")
        .expect("Ana");
    assert_eq!(ana["phone_number"], "+15046218927");
    assert_eq!(ana["extra"], json!({"Ciudad": "Metairie"}));
    let metadata = &scene.server.metadata("lead", int(&ana["id"])).await[0];
    assert_eq!(metadata["source"], format!("import {} row 2", code(&begun)));
    assert_eq!(metadata["actor"], format!("user:{}", scene.ana.id));
    // The reasons name columns, never what stands in them.
    let payloads = scene.server.payloads("import", int(&import["id"])).await;
    assert!(!format!("{payloads:?}").contains("not an e-mail"));
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_come_as_base64_and_is_listed() {
    let scene = Scene::start().await;
    let body = json!({"file_base64": STANDARD.encode("email\na@example.com\n"), "name": "One", "type": "leads"});
    let call = scene.server.post(scene.path()).token(&scene.ana.token);
    let begun = call.json(&body).expect(201).await;
    scene.ended(code(&begun["import_file"])).await;
    scene.import("email\nb@example.com\n", &[]).await;
    let list = |query: &str| {
        let path = format!("/api/v1/import{query}");
        scene.server.get(path).token(&scene.ana.token).expect(200)
    };
    let all = list("").await;
    assert_as_in("GET /api/v1/import", &all);
    assert_eq!(ids(&all["import_files"]), [2, 1]);
    let first = list("?per_page=1").await;
    let cursor = first["meta"]["next_cursor"].as_str().expect("a cursor");
    let second = list(&format!("?per_page=1&cursor={cursor}")).await;
    assert_eq!(ids(&second["import_files"]), [1]);
    assert_eq!(
        ids(&list("?status=completed").await["import_files"]),
        [2, 1]
    );
    assert_eq!(list("?status=failed").await["meta"]["total_count"], 0);
    let of = format!("?company_id={}&import_type=leads", scene.company);
    assert_eq!(list(&of).await["meta"]["total_count"], 2);
    assert_eq!(list("?company_id=999").await["meta"]["total_count"], 0);
    let call = scene.server.get("/api/v1/import?status=odd");
    call.token(&scene.ana.token).expect(400).await;
    // Who sees the company without the right, and who does not see it.
    let analyst = scene
        .server
        .member(scene.company, &scene.ana, Role::Analyst, "Al")
        .await;
    let eve = scene.server.sign_up("Eve").await;
    for (person, status) in [(&analyst.person, 403), (&eve, 404)] {
        let path = format!("/api/v1/import/{}", code(&begun["import_file"]));
        scene
            .server
            .get(path)
            .token(&person.token)
            .expect(status)
            .await;
        let none = scene.server.get("/api/v1/import").token(&person.token);
        assert_eq!(none.expect(200).await["meta"]["total_count"], 0);
    }
    // Of a company that the caller sees it is said that the right is missing.
    let path = format!("/api/v1/import?company_id={}", scene.company);
    for (person, status) in [(&analyst.person, 403), (&eve, 200)] {
        let call = scene.server.get(path.clone()).token(&person.token);
        call.expect(status).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_imported_is_told_with_the_field() {
    let scene = Scene::start().await;
    let refused = async |file: &str, fields: &[(&str, &str)]| {
        let call = scene.server.post(scene.path()).token(&scene.ana.token);
        call.upload("leads.csv", file, fields).expect(422).await
    };
    let errors = |problem: &Value, field: &str| problem["errors"][field].is_array();
    let problem = refused("city\nParis\n", &[]).await;
    assert_eq!(problem["code"], "header_not_understood");
    let problem = refused("email\na@b.cc\n", &[("mapping", r#"{"mail": "email"}"#)]).await;
    assert!(errors(&problem, "mapping"), "{problem}");
    let problem = refused("", &[]).await;
    assert!(errors(&problem, "file"), "{problem}");
    let problem = refused("%PDF-1.4 and so on", &[]).await;
    assert_eq!(problem["code"], "unreadable_file");
    for (field, value) in [
        ("type", "companies"),
        ("duplicates", "merge"),
        ("source_id", "999"),
        ("source_id", "x"),
        ("campaign_id", "999"),
        ("force", "perhaps"),
        ("mapping", "[1]"),
    ] {
        let problem = refused("email\na@b.cc\n", &[(field, value)]).await;
        assert!(errors(&problem, field), "{problem}");
    }
    let post = || scene.server.post(scene.path()).token(&scene.ana.token);
    post().json(&json!({"name": "x"})).expect(422).await;
    post().json(&json!({"file_base64": "§"})).expect(422).await;
    post().raw("{").expect(400).await;
    post().form("a=b".to_owned()).expect(415).await;
    assert_eq!(scene.leads().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_again_asks_for_force() {
    let scene = Scene::start().await;
    let file = people(3, "example.com");
    let before = scene.import(&file, &[]).await;
    let again = || scene.server.post(scene.path()).token(&scene.ana.token);
    let problem = again()
        .upload("other.csv", file.as_str(), &[])
        .expect(422)
        .await;
    assert_eq!(problem["code"], "imported_before");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(before["import_code"].as_str().unwrap()));
    let forced = scene.import(&file, &[("force", "true")]).await;
    assert_eq!(forced["duplicate_rows"], 3);
    // Another company may import it.
    let other = scene.server.company(&scene.ana, "Other").await;
    let path = format!("/api/v1/companies/{other}/import/leads");
    let call = scene.server.post(path).token(&scene.ana.token);
    call.upload("leads.csv", file.as_str(), &[])
        .expect(201)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_upload_with_the_same_key_acts_once() {
    let scene = Scene::start().await;
    let upload = |file: &'static str| {
        let call = scene.server.post(scene.path()).token(&scene.ana.token);
        call.header("idempotency-key", "one")
            .upload("a.csv", file, &[])
    };
    let first = upload("email\na@example.com\n").expect(201).await;
    let second = upload("email\na@example.com\n").expect(201).await;
    assert_eq!(first["import_file"]["id"], second["import_file"]["id"]);
    upload("email\nb@example.com\n").expect(409).await;
    scene.ended(code(&first["import_file"])).await;
    assert_eq!(scene.leads().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_limits_the_imports_of_a_month() {
    let scene = Scene::start().await;
    let path = format!(
        "/api/v1/companies/{}/membership?membership_id=1",
        scene.company
    );
    scene
        .server
        .post(path)
        .token(&scene.ana.token)
        .expect(201)
        .await;
    let free = scene
        .server
        .get("/api/v1/memberships/1")
        .token(&scene.ana.token);
    let free = free.expect(200).await;
    let limit = int(&free["membership"]["limits"]["imports_per_month"]);
    for n in 0..limit {
        scene
            .upload(&format!("email\nn{n}@example.com\n"), &[])
            .await;
    }
    let call = scene.server.post(scene.path()).token(&scene.ana.token);
    let problem = call
        .upload("a.csv", "email\nlast@example.com\n", &[])
        .expect(422)
        .await;
    assert_eq!(problem["code"], "plan_limit");
}

/// Else its lists are planned as if it had none of the file's leads, until autovacuum comes around; and those of the past as if nothing had ever changed.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_file_the_planner_knows_how_many_leads_there_are_and_were() {
    let scene = Scene::start().await;
    let file = people(4_000, "example.com");
    for (table, fields) in [
        ("public.leads", &[][..]),
        (
            "past.leads",
            &[("duplicates", "update"), ("update", "overwrite")],
        ),
    ] {
        // The second one changes what the first one made.
        let file = if fields.is_empty() {
            file.clone()
        } else {
            file.replace("\nP", "\nQ")
        };
        // Without what autovacuum did.
        let looked_at = async || -> (i64, f32) {
            sqlx::query_as(
                "SELECT pg_stat_get_analyze_count(oid), reltuples FROM pg_class WHERE oid = $1::regclass",
            )
            .bind(table)
            .fetch_one(scene.server.database.pool())
            .await
            .expect("an estimate")
        };
        let (before, _) = looked_at().await;
        scene.import(&file, fields).await;
        let began = std::time::Instant::now();
        loop {
            let (times, rows) = looked_at().await;
            if times > before && rows >= 4_000.0 {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{table}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Else a version of an import that somebody forged would not be looked at any more.
#[tokio::test(flavor = "multi_thread")]
async fn that_versions_of_imports_were_kept_earlier_than_is_said_is_found() {
    let scene = Scene::start().await;
    scene.import(&people(3, "example.com"), &[]).await;
    scene.server.assert_sound().await;
    // Of a schema that is older than an hour it would be found by the time of that position, whenever versions were kept.
    let later = "UPDATE _sqlx_migrations SET installed_on = now() WHERE version = 27; UPDATE past.kept_tables SET kept_from = (SELECT position FROM ledger_head) WHERE table_name = 'imports'";
    let pool = scene.server.database.pool();
    sqlx::raw_sql(later).execute(pool).await.expect("a change");
    let found = scene.server.differences().await;
    let tells = |told: &String| {
        told.starts_with("past.kept_tables: imports: a version until ")
            && told.contains("was kept before")
    };
    assert!(found.iter().any(tells), "{found:?}");
}
