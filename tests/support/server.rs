//! A server of its own for each test, in this process and on a free port, with a database of its own; and a client that
//! states at each call the status it expects.

use std::net::SocketAddr;
use std::sync::Arc;

use aggregates::access::Role;
use aggregates::ids::{CompanyId, UserId};
use axum::http::{HeaderMap, Method};
use clap::Parser;
use leadledger::app::App;
use leadledger::auth::token::Session;
use leadledger::clock::Clock;
use leadledger::config::{Cli, Settings};
use leadledger::import::runner;
use leadledger::ledger::verify;
use leadledger::mail::delivery::{self, Delivery};
use leadledger::{api, connection_pool, serve};
use metrics_exporter_prometheus::PrometheusBuilder;
use projections::zone_maps;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::database::TestDatabase;

/// Who is there after the first run.
pub const OWNER_EMAIL: &str = "owner@leadledger.example";
/// Their password.
pub const OWNER_PASSWORD: &str = "Correct-horse-7-battery";

/// A running server. It ends with the test.
pub struct TestServer {
    /// Its data directory: objects and mails.
    pub data: tempfile::TempDir,
    /// Its database, to look at what is stored.
    pub database: Arc<TestDatabase>,
    /// Its parts, to issue tokens with.
    pub app: App,
    /// Its imports' background work, to be killed.
    pub runner: tokio::task::AbortHandle,
    base: String,
    client: reqwest::Client,
}

/// A user and a token of theirs.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: i64,
    pub email: String,
    pub token: String,
}

/// A user who holds a role.
#[derive(Debug, Clone)]
pub struct Member {
    pub person: Person,
    pub access_id: i64,
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Null when the body is not JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

/// A request on its way.
#[must_use]
pub struct Call {
    request: reqwest::RequestBuilder,
    what: String,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_by(Clock::system()).await
    }

    /// With a clock that the test moves.
    pub async fn start_by(clock: Clock) -> Self {
        let database = Arc::new(TestDatabase::create().await);
        Box::pin(Self::on(database, clock, &[])).await
    }

    /// With further arguments of the command line.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let database = Arc::new(TestDatabase::create().await);
        Box::pin(Self::on(database, Clock::system(), arguments)).await
    }

    /// With a clock that the test moves, and further arguments of the command line.
    pub async fn start_by_with(clock: Clock, arguments: &[&str]) -> Self {
        let database = Arc::new(TestDatabase::create().await);
        Box::pin(Self::on(database, clock, arguments)).await
    }

    /// One more server on the same database.
    pub async fn beside(&self) -> Self {
        Box::pin(Self::on(self.database.clone(), self.app.clock.clone(), &[])).await
    }

    /// One more server on the same database that finds the files of this one: its objects are the same folder.
    pub async fn beside_with_files(&self) -> Self {
        let other = Self::beside(self).await;
        let (mine, theirs) = (
            self.data.path().join("objects"),
            other.data.path().join("objects"),
        );
        std::fs::create_dir_all(&mine).expect("a folder of objects");
        std::os::unix::fs::symlink(&mine, &theirs).expect("a link to the folder of objects");
        other
    }

    async fn on(database: Arc<TestDatabase>, clock: Clock, arguments: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a temporary directory");
        let options = database.connect_options();
        let settings = settings(data.path(), arguments);
        let app = assembled(&database, clock, &settings).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port just bound");
        let base = format!("http://{address}");
        let (secrets, ledger) = (&app.secrets, app.ledger.clone());
        let mails = Delivery::of(&settings, &base, secrets, ledger, options)
            .expect("settings that mails go out by");
        tokio::spawn(delivery::run(mails, std::future::pending()));
        let runner = tokio::spawn(runner::run(app.imports.clone(), database.connect_options()));
        let service = api::service(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self {
            database,
            app,
            base,
            data,
            runner: runner.abort_handle(),
            client: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
        }
    }

    /// The read tables are what a rebuild from the ledger gives.
    pub async fn assert_sound(&self) {
        assert_eq!(self.differences().await, Vec::<String>::new());
    }

    /// What `leadledger verify` finds.
    pub async fn differences(&self) -> Vec<String> {
        verify::run(&self.database.connect_options(), &[], |_, _| {})
            .await
            .expect("verifying")
            .differences
    }

    /// Makes the zone map of every list of the company's leads, as the server does of slow ones, but with a zone for each row.
    pub async fn map_zones(&self, company: i64) {
        self.map_zones_of(company, 1).await;
    }

    /// Makes these maps with zones of so many rows.
    pub async fn map_zones_of(&self, company: i64, zone_rows: i64) {
        for list in &zone_maps::ALL {
            let mut transaction = self.database.pool().begin().await.expect("beginning");
            zone_maps::build::build(&mut transaction, CompanyId(company), list, zone_rows)
                .await
                .expect("making a map");
            transaction.commit().await.expect("committing");
        }
    }

    /// The types of a stream's events, in their order.
    pub async fn events(&self, aggregate: &str, id: i64) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT event_type FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 ORDER BY sequence",
        )
        .bind(aggregate)
        .bind(id.to_string())
        .fetch_all(self.database.pool())
        .await
        .expect("reading events")
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.base
    }

    pub fn get(&self, path: impl AsRef<str>) -> Call {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: impl AsRef<str>) -> Call {
        self.call(Method::POST, path)
    }

    pub fn put(&self, path: impl AsRef<str>) -> Call {
        self.call(Method::PUT, path)
    }

    pub fn delete(&self, path: impl AsRef<str>) -> Call {
        self.call(Method::DELETE, path)
    }

    pub fn call(&self, method: Method, path: impl AsRef<str>) -> Call {
        let path = path.as_ref();
        Call {
            what: format!("{method} {path}"),
            request: self.client.request(method, format!("{}{path}", self.base)),
        }
    }

    /// The platform owner of the first run.
    pub async fn owner(&self) -> Person {
        self.person(1, OWNER_EMAIL).await
    }

    /// A new user without a password (hashing one takes long), signed in by a token made here.
    pub async fn sign_up(&self, first_name: &str) -> Person {
        let email = format!("{}@people.example", first_name.to_lowercase());
        let body = json!({"first_name": first_name, "last_name": "Tester", "email": email});
        let user = self.post("/api/v1/users").json(&body).expect(201).await;
        self.person(int(&user["user"]["id"]), &email).await
    }

    /// Signs the user in, without their password.
    pub async fn person(&self, id: i64, email: &str) -> Person {
        let (authority, _) = self
            .app
            .authority_of(UserId(id))
            .await
            .expect("a database that answers")
            .expect("a known user");
        let session = Session {
            user_id: UserId(id),
            epoch: authority.session_epoch,
        };
        let (token, _) = self.app.tokens.issue(session);
        Person {
            id,
            email: email.to_owned(),
            token,
        }
    }

    /// A new top-level company of this person's.
    pub async fn company(&self, owner: &Person, name: &str) -> i64 {
        self.company_with(owner, json!({"name": name})).await
    }

    pub async fn company_with(&self, owner: &Person, body: Value) -> i64 {
        let call = self.post("/api/v1/companies").token(&owner.token);
        int(&call.json(&body).expect(201).await["company"]["id"])
    }

    /// A new user with this role in the company.
    pub async fn member(&self, company: i64, granter: &Person, role: Role, name: &str) -> Member {
        let email = format!("{}@people.example", name.to_lowercase());
        let body = json!({"first_name": name, "email": email, "user_accesses_attributes": [
            {"company_id": company, "access_id": role.id(), "primary": true}]});
        let call = self.post("/api/v1/users").token(&granter.token);
        let user = call.json(&body).expect(201).await;
        Member {
            access_id: int(&user["user"]["primary_access"]["id"]),
            person: self.person(int(&user["user"]["id"]), &email).await,
        }
    }

    /// A new lead, as answered.
    pub async fn lead(&self, creator: &Person, company: i64, body: Value) -> Value {
        let call = self.post(format!("/api/v1/companies/{company}/leads"));
        let mut answer = call.token(&creator.token).json(&body).expect(201).await;
        answer["lead"].take()
    }

    /// A new campaign's id.
    pub async fn campaign(&self, creator: &Person, company: i64, body: Value) -> i64 {
        let call = self.post(format!("/api/v1/companies/{company}/campaigns"));
        let answer = call.token(&creator.token).json(&body).expect(201).await;
        int(&answer["campaign"]["id"])
    }

    /// A new question, as answered.
    pub async fn question(&self, creator: &Person, company: i64, body: Value) -> Value {
        let call = self.post(format!("/api/v1/companies/{company}/questions"));
        let mut answer = call.token(&creator.token).json(&body).expect(201).await;
        answer["question"].take()
    }

    /// A new source of the company.
    pub async fn source(&self, person: &Person, company: i64, name: &str) -> i64 {
        let call = self.post(format!("/api/v1/companies/{company}/sources"));
        let call = call.token(&person.token).json(&json!({"name": name}));
        int(&call.expect(201).await["source"]["id"])
    }

    /// A new territory of the company that no rule puts leads into.
    pub async fn territory(&self, person: &Person, company: i64, name: &str) -> i64 {
        let call = self.post(format!("/api/v1/companies/{company}/territories"));
        let body = json!({"territories": [{"name": name}]});
        let made = call.token(&person.token).json(&body).expect(201).await;
        int(&made["territories"][0]["id"])
    }

    /// The payloads of a stream's events, in their order.
    pub async fn payloads(&self, aggregate: &str, id: i64) -> Vec<Value> {
        self.stored("payload", aggregate, id).await
    }

    /// The metadata of a stream's events, in their order.
    pub async fn metadata(&self, aggregate: &str, id: i64) -> Vec<Value> {
        self.stored("metadata", aggregate, id).await
    }

    async fn stored(&self, column: &str, aggregate: &str, id: i64) -> Vec<Value> {
        let texts: Vec<String> = sqlx::query_scalar(&format!(
            "SELECT {column}::text FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 ORDER BY sequence"
        ))
        .bind(aggregate)
        .bind(id.to_string())
        .fetch_all(self.database.pool())
        .await
        .expect("reading events");
        let read = |text: &String| serde_json::from_str(text).expect("stored JSON");
        texts.iter().map(read).collect()
    }
}

fn settings(data_dir: &std::path::Path, arguments: &[&str]) -> Settings {
    let fixed = [
        "leadledger",
        "--data-dir",
        data_dir.to_str().expect("a path in UTF-8"),
        "--owner-email",
        OWNER_EMAIL,
        "--owner-password",
        OWNER_PASSWORD,
        "--region",
        "US",
    ];
    Cli::parse_from(fixed.iter().chain(arguments)).settings
}

async fn assembled(database: &TestDatabase, clock: Clock, settings: &Settings) -> App {
    let options = database.connect_options();
    let pool = connection_pool::settings(8)
        .connect_with(options.clone())
        .await
        .expect("connecting to the test's database");
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let (app, _, _) = serve::build_app_by(clock, &pool, &options, settings, metrics)
        .await
        .expect("putting the server together");
    app
}

/// The parts of one more node on this database, which nobody reaches by HTTP.
pub async fn node(database: &TestDatabase, clock: Clock) -> App {
    let data = tempfile::tempdir().expect("a temporary directory");
    assembled(database, clock, &settings(data.path(), &[])).await
}

impl Call {
    /// With `Authorization: Bearer`.
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value.as_bytes());
        self
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// A body that claims to be JSON.
    pub fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request = self
            .request
            .header("content-type", "application/json")
            .body(body.into());
        self
    }

    /// A form with a file and further fields.
    pub fn upload(mut self, name: &str, file: impl Into<Vec<u8>>, fields: &[(&str, &str)]) -> Self {
        let part = reqwest::multipart::Part::bytes(file.into()).file_name(name.to_owned());
        let form = reqwest::multipart::Form::new();
        let form = fields.iter().fold(form, |form, (name, value)| {
            form.text((*name).to_owned(), (*value).to_owned())
        });
        self.request = self.request.multipart(form.part("file", part));
        self
    }

    /// A body of any media type.
    pub fn typed(mut self, media_type: &str, body: Vec<u8>) -> Self {
        self.request = self.request.header("content-type", media_type).body(body);
        self
    }

    /// A form as a browser sends it.
    pub fn form(mut self, body: String) -> Self {
        let form = "application/x-www-form-urlencoded";
        self.request = self.request.header("content-type", form).body(body);
        self
    }

    /// Sends it; whatever comes back is right.
    pub async fn answer(self) -> Answer {
        let response = self.request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.bytes().await.expect("a body to its end");
        // Pictures are compared in this form too.
        let text = String::from_utf8_lossy(&body).into_owned();
        Answer {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    /// Sends it and takes the answer, which must have this status.
    pub async fn expect_answer(self, status: u16) -> Answer {
        let what = self.what.clone();
        let answer = self.answer().await;
        assert_eq!(
            answer.status, status,
            "{what} answered {} {}",
            answer.status, answer.body
        );
        answer
    }

    /// Sends it and takes the body of the answer, which must have this status.
    pub async fn expect(self, status: u16) -> Value {
        self.expect_answer(status).await.body
    }
}

impl Answer {
    /// A header's text; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a header in ASCII"))
    }
}

/// The integer that must be there.
#[track_caller]
pub fn int(value: &Value) -> i64 {
    match value.as_i64() {
        Some(number) => number,
        None => panic!("{value} is no integer"),
    }
}

/// The ids of a list's rows, in its order.
#[track_caller]
pub fn ids(rows: &Value) -> Vec<i64> {
    let rows = rows.as_array().expect("a list of rows");
    rows.iter().map(|row| int(&row["id"])).collect()
}
