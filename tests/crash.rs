//! The server killed under load, again and again: what was acknowledged is there, what was sent again happened once, and
//! nothing is half done.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

#[expect(dead_code, reason = "other test binaries need the rest")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use reqwest::{Client, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::database::TestDatabase;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Mutex;

const PASSWORD: &str = "Sunny-day-2026";

/// Where the servers of a test keep their data.
enum Store {
    Database(TestDatabase),
    /// Under this directory, in a PostgreSQL of their own.
    Embedded(TempDir),
}

impl Store {
    fn embedded() -> Self {
        // PostgreSQL's user must be able to pass through.
        let dir = TempDir::with_prefix("leadledger-").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        Self::Embedded(dir)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leadledger"));
        command.arg(name).env("LEADLEDGER_LOG", "off");
        match self {
            Self::Database(database) => command
                .env("DATABASE_URL", database.url())
                .env("LEADLEDGER_DATA_DIR", env!("CARGO_TARGET_TMPDIR")),
            Self::Embedded(dir) => command
                .env_remove("DATABASE_URL")
                .env("LEADLEDGER_DATA_DIR", dir.path().join("data")),
        };
        command
    }

    /// Every event is where it should be, and every read row that which the events make.
    async fn assert_sound(&self) {
        let verified = self.command("verify").output().await.unwrap();
        let said = String::from_utf8_lossy(&verified.stdout);
        assert!(verified.status.success(), "{said}");
    }
}

struct Server {
    process: Child,
    url: String,
    /// Kept open: whoever prints to a closed pipe fails.
    _printed: Lines<BufReader<ChildStdout>>,
}

impl Server {
    async fn start(store: &Store) -> Self {
        let mut process = store
            .command("serve")
            .args(["--listen", "127.0.0.1:0"])
            .env("LEADLEDGER_OWNER_PASSWORD", PASSWORD)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut printed = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = loop {
            let line = printed.next_line().await.unwrap();
            let line = line.expect("the server ended early");
            if let Some((_, url)) = line.split_once("serves at") {
                break url.trim().to_owned();
            }
        };
        Self {
            process,
            url,
            _printed: printed,
        }
    }

    async fn token(&self, client: &Client) -> String {
        let answer = client
            .post(format!("{}/api/v1/users/login", self.url))
            .json(&json!({"email": "owner@leadledger.example", "password": PASSWORD}))
            .send()
            .await
            .unwrap();
        let body: Value = answer.json().await.unwrap();
        body["token"].as_str().unwrap().to_owned()
    }

    /// Asks it to stop and waits until it has.
    async fn stop(mut self) {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        kill_process(id.and_then(Pid::from_raw).unwrap(), Signal::TERM).unwrap();
        assert!(self.process.wait().await.unwrap().success());
    }
}

/// What clients did, over all lives of the server.
#[derive(Default)]
struct Journal {
    next: AtomicUsize,
    /// E-mail to the lead's id, of all that was answered with 201.
    acknowledged: Mutex<BTreeMap<String, i64>>,
    /// E-mails of requests whose answer never came.
    open: Mutex<Vec<String>>,
}

impl Journal {
    async fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let again = self.open.lock().await.pop();
        again.unwrap_or_else(|| format!("lead{number}@example.com"))
    }

    /// Until ten more requests were answered: a slow machine must come under load as a fast one does.
    async fn wait_for_load(&self) {
        let enough = self.acknowledged.lock().await.len() + 10;
        let answered = async {
            while self.acknowledged.lock().await.len() < enough {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let answered = tokio::time::timeout(Duration::from_secs(60), answered);
        answered.await.expect("the server answers its clients");
    }
}

/// The id of the new lead, unless the server went away. The same e-mail is always the same request.
async fn create(client: &Client, url: &str, token: &str, email: &str) -> Option<i64> {
    let sent = client
        .post(format!("{url}/api/v1/companies/1/leads"))
        .bearer_auth(token)
        .header("Idempotency-Key", format!("key-{email}"))
        .json(&json!({"first_name": "Ana", "email": email}))
        .send()
        .await;
    let answer = sent.ok()?;
    let status = answer.status();
    let body = answer.json::<Value>().await.ok()?;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!(body["lead"]["email"], email);
    Some(body["lead"]["id"].as_i64().unwrap())
}

/// Creates leads until the server goes away, first those whose answers never came.
async fn load(client: Client, url: String, token: String, journal: Arc<Journal>) {
    loop {
        let email = journal.next().await;
        let Some(id) = create(&client, &url, &token, &email).await else {
            journal.open.lock().await.push(email);
            return;
        };
        let known = journal.acknowledged.lock().await.insert(email, id);
        assert_eq!(known, None);
    }
}

/// Eight clients on each of these servers; they end when their server does.
async fn start_load(
    servers: &[&Server],
    journal: &Arc<Journal>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let mut clients = Vec::new();
    for server in servers {
        let client = Client::new();
        let token = server.token(&client).await;
        for _ in 0..8 {
            let (client, url, token) = (client.clone(), server.url.clone(), token.clone());
            clients.push(tokio::spawn(load(client, url, token, journal.clone())));
        }
    }
    clients
}

async fn kill_under_load(store: &Store, journal: &Arc<Journal>, rounds: u64) {
    for round in 0..rounds {
        let mut server = Server::start(store).await;
        let clients = start_load(&[&server], journal).await;
        journal.wait_for_load().await;
        tokio::time::sleep(Duration::from_millis(round % 8 * 31)).await;
        server.process.kill().await.unwrap();
        for client in clients {
            client.await.unwrap();
        }
    }
}

/// Sends again what was never answered; then every lead is there, once, and none besides.
async fn assert_each_lead_is_there_once(store: &Store, journal: &Journal) {
    let server = Server::start(store).await;
    let client = Client::new();
    let token = server.token(&client).await;
    let mut leads = journal.acknowledged.lock().await.clone();
    for email in journal.open.lock().await.drain(..) {
        let id = create(&client, &server.url, &token, &email).await.unwrap();
        assert_eq!(leads.insert(email, id), None);
    }
    let get = |path: String| {
        let request = client.get(format!("{}/api/v1{path}", server.url));
        let sent = request.bearer_auth(&token).send();
        async move { sent.await.unwrap().json::<Value>().await.unwrap() }
    };
    stream::iter(&leads)
        .for_each_concurrent(16, |(email, id)| {
            let got = get(format!("/leads/{id}"));
            async move { assert_eq!(got.await["lead"]["email"], **email, "lead {id}") }
        })
        .await;
    let list = get("/companies/1/leads?per_page=1".to_owned()).await;
    assert_eq!(list["meta"]["total_count"], leads.len(), "{}", list["meta"]);
    server.stop().await;
    store.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_under_load_lose_nothing_and_double_nothing() {
    let store = Store::Database(TestDatabase::create().await);
    let journal = Arc::new(Journal::default());
    kill_under_load(&store, &journal, 20).await;
    assert_each_lead_is_there_once(&store, &journal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_a_server_with_its_own_postgres_lose_nothing_either() {
    let store = Store::embedded();
    let journal = Arc::new(Journal::default());
    kill_under_load(&store, &journal, 5).await;
    assert_each_lead_is_there_once(&store, &journal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_does_not_keep_a_server_from_ending() {
    let store = Store::Database(TestDatabase::create().await);
    let server = Server::start(&store).await;
    let address = server.url.strip_prefix("http://").unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\nAcc")
        .await
        .unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_under_load_agree() {
    let store = Store::Database(TestDatabase::create().await);
    let journal = Arc::new(Journal::default());
    let one = Server::start(&store).await;
    let other = Server::start(&store).await;
    let clients = start_load(&[&one, &other], &journal).await;
    journal.wait_for_load().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop((one, other));
    for client in clients {
        client.await.unwrap();
    }
    assert_each_lead_is_there_once(&store, &journal).await;
}
