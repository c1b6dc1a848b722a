//! The server killed under load, again and again: what was acknowledged is there, and nothing is half done.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

#[expect(dead_code, reason = "other test binaries need the rest")]
mod support;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leadledger::ledger::verify;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use support::database::TestDatabase;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

const PASSWORD: &str = "Sunny-day-2026";

struct Server {
    process: Child,
    url: String,
}

impl Server {
    async fn start(database: &TestDatabase) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_leadledger"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("DATABASE_URL", database.url())
            .env("LEADLEDGER_OWNER_PASSWORD", PASSWORD)
            .env("LEADLEDGER_LOG", "off")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("the server ended early");
            if let Some((_, url)) = line.split_once("serves at") {
                let url = url.trim().to_owned();
                return Self { process, url };
            }
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
}

/// Creates leads until the server goes away; each acknowledged one is written down.
async fn load(
    client: Client,
    url: String,
    token: String,
    next: Arc<AtomicUsize>,
    acknowledged: Arc<Mutex<Vec<(i64, String)>>>,
) {
    loop {
        let email = format!("lead{}@example.com", next.fetch_add(1, Ordering::Relaxed));
        let sent = client
            .post(format!("{url}/api/v1/companies/1/leads"))
            .bearer_auth(&token)
            .json(&json!({"first_name": "Ana", "email": email}))
            .send()
            .await;
        let Ok(answer) = sent else { return };
        if answer.status() != StatusCode::CREATED {
            return;
        }
        let Ok(body) = answer.json::<Value>().await else {
            return;
        };
        let id = body["lead"]["id"].as_i64().unwrap();
        acknowledged.lock().await.push((id, email));
    }
}

async fn assert_all_there(database: &TestDatabase, acknowledged: &[(i64, String)]) {
    assert!(
        acknowledged.len() > 20,
        "hardly any load: {}",
        acknowledged.len()
    );
    for (id, email) in acknowledged {
        let found: Option<String> = sqlx::query_scalar("SELECT email FROM leads WHERE id = $1")
            .bind(id)
            .fetch_optional(database.pool())
            .await
            .unwrap();
        assert_eq!(found.as_deref(), Some(email.as_str()), "lead {id}");
    }
    let found = verify::run(&database.connect_options(), &[], |_, _| ())
        .await
        .unwrap();
    assert_eq!(found.differences, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_under_load_lose_nothing_acknowledged() {
    let database = TestDatabase::create().await;
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let next = Arc::new(AtomicUsize::new(0));
    for round in 0..20 {
        let mut server = Server::start(&database).await;
        let client = Client::new();
        let token = server.token(&client).await;
        let clients: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn(load(
                    client.clone(),
                    server.url.clone(),
                    token.clone(),
                    next.clone(),
                    acknowledged.clone(),
                ))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(150 + round * 17)).await;
        server.process.kill().await.unwrap();
        for client in clients {
            client.await.unwrap();
        }
    }
    // A killed server's last statement may still be running on its own.
    let last = Server::start(&database).await;
    let acknowledged = acknowledged.lock().await;
    assert_all_there(&database, &acknowledged).await;
    drop(last);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_under_load_agree() {
    let database = TestDatabase::create().await;
    let one = Server::start(&database).await;
    let other = Server::start(&database).await;
    let client = Client::new();
    // A token of one server holds on the other: the key is the installation's.
    let token = one.token(&client).await;
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let next = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..16)
        .map(|n| {
            let url = if n % 2 == 0 { &one.url } else { &other.url };
            tokio::spawn(load(
                client.clone(),
                url.clone(),
                token.clone(),
                next.clone(),
                acknowledged.clone(),
            ))
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop((one, other));
    for client in clients {
        client.await.unwrap();
    }
    let reopened = Server::start(&database).await;
    let acknowledged = acknowledged.lock().await;
    assert_all_there(&database, &acknowledged).await;
    drop(reopened);
}
