//! Mail to a real SMTP server: each event's mail arrives, once, whatever is killed or refused in the middle.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

#[expect(dead_code, reason = "other test binaries need the rest")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Client;
use serde_json::json;
use support::database::TestDatabase;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Mutex;

/// A mail server that keeps what it is given: recipient and text of each mail that it answered 250.
struct MailServer {
    port: u16,
    taken: Arc<Mutex<Vec<(String, String)>>>,
    /// So many mails are refused for the time being before the first is taken.
    refusals: Arc<AtomicUsize>,
}

impl MailServer {
    async fn start(refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            taken: Arc::default(),
            refusals: Arc::new(AtomicUsize::new(refusals)),
        };
        let (taken, refusals) = (server.taken.clone(), server.refusals.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that is killed breaks off.
                tokio::spawn(converse(stream, taken.clone(), refusals.clone()));
            }
        });
        server
    }

    /// Message ids by recipient.
    async fn ids(&self) -> BTreeMap<String, Vec<String>> {
        let mut ids: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (to, text) in self.taken.lock().await.iter() {
            let line = text.lines().find(|line| line.starts_with("Message-ID: "));
            let id = line.expect("a message id").to_owned();
            ids.entry(to.clone()).or_default().push(id);
        }
        ids
    }
}

async fn converse(
    stream: TcpStream,
    taken: Arc<Mutex<Vec<(String, String)>>>,
    refusals: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 mail.test ESMTP\r\n").await?;
    let mut to = String::new();
    while let Some(line) = lines.next_line().await? {
        let command = line.split([' ', ':']).next().unwrap_or_default();
        let answer = match command.to_uppercase().as_str() {
            "EHLO" | "HELO" => "250 mail.test",
            "RCPT" => {
                let address = line.split(['<', '>']).nth(1).unwrap_or_default();
                address.clone_into(&mut to);
                "250 ok"
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await?;
                let mut text = String::new();
                while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                    text.push_str(&line);
                    text.push('\n');
                }
                // Long enough to be killed in.
                tokio::time::sleep(Duration::from_millis(40)).await;
                let refused = refusals
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
                if refused.is_ok() {
                    "451 come back later"
                } else {
                    taken.lock().await.push((to.clone(), text));
                    "250 taken"
                }
            }
            "QUIT" => "221 bye",
            "MAIL" | "NOOP" | "RSET" => "250 ok",
            _ => "502 what?",
        };
        writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

struct Server {
    process: Child,
    url: String,
    /// Kept open: whoever prints to a closed pipe fails.
    _printed: Lines<BufReader<ChildStdout>>,
}

impl Server {
    async fn start(database: &TestDatabase, mail: &MailServer) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_leadledger"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("DATABASE_URL", database.url())
            .env("LEADLEDGER_DATA_DIR", env!("CARGO_TARGET_TMPDIR"))
            .env("LEADLEDGER_LOG", "off")
            .env("LEADLEDGER_OWNER_PASSWORD", "Sunny-day-2026")
            .env(
                "LEADLEDGER_SMTP_URL",
                format!("smtp://127.0.0.1:{}", mail.port),
            )
            .env("LEADLEDGER_MAIL_FROM", "CRM <no-reply@crm.example>")
            .env("LEADLEDGER_PUBLIC_URL", "https://crm.example/")
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

    async fn sign_up(&self, client: &Client, email: &str) {
        let answer = client
            .post(format!("{}/api/v1/users", self.url))
            .json(&json!({"first_name": "Ana", "email": email}))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
    }
}

async fn until_sent(database: &TestDatabase, mails: usize) {
    let began = Instant::now();
    loop {
        let sent: i64 =
            sqlx::query_scalar("SELECT count(*) FROM mail_deliveries WHERE outcome = 'sent'")
                .fetch_one(database.pool())
                .await
                .unwrap();
        if usize::try_from(sent).unwrap() == mails {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(90),
            "{sent} of {mails} were sent"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_the_middle_loses_no_mail_and_sends_none_for_the_same_event_under_two_names()
 {
    const ROUNDS: usize = 4;
    const EACH: usize = 8;
    let database = TestDatabase::create().await;
    let mail = MailServer::start(2).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let mut wanted = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut server = Server::start(&database, &mail).await;
        let emails: Vec<_> = (0..EACH)
            .map(|n| format!("p{round}x{n}@people.example"))
            .collect();
        join_all(emails.iter().map(|email| server.sign_up(&client, email))).await;
        wanted.extend(emails);
        tokio::time::sleep(Duration::from_millis(500 + 37 * round as u64)).await;
        server.process.kill().await.unwrap();
    }
    // The last two share the work.
    let servers = [
        Server::start(&database, &mail).await,
        Server::start(&database, &mail).await,
    ];
    until_sent(&database, wanted.len()).await;
    let ids = mail.ids().await;
    let arrived: BTreeSet<_> = ids.keys().cloned().collect();
    assert_eq!(arrived, wanted);
    let mut all = BTreeSet::new();
    let mut repeated = 0;
    for ids in ids.values() {
        let distinct: BTreeSet<_> = ids.iter().cloned().collect();
        assert_eq!(distinct.len(), 1, "two mails for one event");
        repeated += ids.len() - 1;
        all.extend(distinct);
    }
    assert_eq!(
        all.len(),
        wanted.len(),
        "a message id stands for two events"
    );
    // Only what a kill caught between the mail server's 250 and our note.
    assert!(repeated <= ROUNDS, "{repeated} mails came again");
    let (_, text) = mail.taken.lock().await[0].clone();
    assert!(
        text.contains("https://crm.example/api/v1/users/email/prove?"),
        "{text}"
    );
    drop(servers);
    let verified = Command::new(env!("CARGO_BIN_EXE_leadledger"))
        .arg("verify")
        .env("DATABASE_URL", database.url())
        .env("LEADLEDGER_DATA_DIR", env!("CARGO_TARGET_TMPDIR"))
        .env("LEADLEDGER_LOG", "off")
        .output()
        .await
        .unwrap();
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stdout)
    );
}
