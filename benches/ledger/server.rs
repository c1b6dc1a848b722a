//! The server under test: the program as released, on a database of its own.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use leadledger::embedded::EmbeddedPostgres;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::http::{Call, Connection, Target};

const PROGRAM: &str = env!("CARGO_BIN_EXE_leadledger");
const EMAIL: &str = "owner@bench.example";
const PASSWORD: &str = "a-long-Password-for-the-bench-1";
const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// A running server, its owner logged in.
pub struct Server {
    child: Child,
    pub target: Target,
    /// The first company.
    pub company: i64,
}

impl Server {
    /// Starts it on this database and waits until it is ready.
    pub async fn start(postgres: &EmbeddedPostgres, database: &str, dir: &Path) -> Result<Self> {
        postgres.ensure_database(database).await?;
        let address = free_address()?;
        let log_path = dir.join(format!("server-{database}.log"));
        let log = File::options().create(true).append(true).open(&log_path)?;
        let child = command(&postgres.url(database), dir)
            .args(["serve", "--listen", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {PROGRAM}"))?;
        let mut server = Self {
            child,
            target: Target {
                address,
                token: String::new(),
            },
            company: 0,
        };
        server
            .become_ready()
            .await
            .with_context(|| format!("the server's log is {}", log_path.display()))?;
        Ok(server)
    }

    /// What it holds in memory, in MB.
    pub fn memory(&self) -> Result<f64> {
        let id = self.child.id().context("the server ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let kilobytes: f64 = status
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .context("no VmRSS")?;
        Ok(kilobytes / 1024.0)
    }

    /// Asks it to end and sees that it does.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(id) = self.child.id() {
            let pid = Pid::from_raw(i32::try_from(id)?).context("a process without number")?;
            kill_process(pid, Signal::TERM)?;
        }
        match tokio::time::timeout(STOPPED_WITHIN, self.child.wait()).await {
            Ok(status) => status.map(drop).context("waiting for the server's end"),
            Err(_) => self.child.kill().await.context("killing the server"),
        }
    }

    async fn become_ready(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended: {status}");
            }
            let wrong = match self.get("/health/ready").await {
                Ok((200, _)) => break,
                Ok((status, body)) => format!("{status} {body}"),
                Err(error) => format!("{error:#}"),
            };
            if began.elapsed() > READY_WITHIN {
                bail!("the server is not ready: {wrong}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut connection = Connection::open(&self.target).await?;
        let login = Call {
            method: "POST",
            path: "/api/v1/users/login".to_owned(),
            body: format!(r#"{{"email":"{EMAIL}","password":"{PASSWORD}"}}"#),
        };
        let status = connection.send(&login).await?;
        let answer = connection.json()?;
        let token = answer["token"].as_str();
        let token = token.with_context(|| format!("login: {status} {answer}"))?;
        self.target.token = format!("Bearer {token}");

        let (status, companies) = self.get("/api/v1/companies").await?;
        let first = companies["companies"][0]["id"].as_i64();
        self.company = first.with_context(|| format!("companies: {status} {companies}"))?;
        Ok(())
    }

    /// One request on a connection of its own.
    pub async fn get(&self, path: &str) -> Result<(u16, serde_json::Value)> {
        let mut connection = Connection::open(&self.target).await?;
        let status = connection.send(&Call::get(path)).await?;
        Ok((status, connection.json().unwrap_or_default()))
    }
}

/// The program with its settings, command still to be given.
pub fn command(database_url: &str, dir: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .env("DATABASE_URL", database_url)
        .env("LEADLEDGER_DATA_DIR", dir.join("server-data"))
        .env("LEADLEDGER_OWNER_EMAIL", EMAIL)
        .env("LEADLEDGER_OWNER_PASSWORD", PASSWORD)
        .env("LEADLEDGER_LOG", "warn");
    command
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
