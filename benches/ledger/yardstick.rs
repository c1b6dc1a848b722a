//! The yardstick P: `pgbench` creating a lead by one prepared statement in one transaction, the least that a writer
//! of an event row, a current row and a counter can do on this PostgreSQL. Beside it a read of one lead by its key.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use leadledger::embedded::EmbeddedPostgres;
use sqlx::{Connection as _, Executor as _, PgConnection};

const DATABASE: &str = "yardstick";
const PAYLOAD_BYTES: usize = 600;
const METADATA_BYTES: usize = 200;
/// So many rows share one stage's count that clients seldom wait for one another.
const COUNTER_ROWS: usize = 4096;

const SCHEMA: &str = "
CREATE SEQUENCE lead_ids CACHE 32;
CREATE SEQUENCE positions CACHE 32;
CREATE TABLE events (
    stream_type text NOT NULL,
    stream_id   text NOT NULL,
    sequence    bigint NOT NULL,
    position    bigint NOT NULL,
    event_type  text NOT NULL,
    payload     json NOT NULL,
    metadata    json NOT NULL,
    PRIMARY KEY (stream_type, stream_id, sequence)
);
CREATE INDEX events_position ON events (position);
CREATE TABLE leads (
    id          bigint PRIMARY KEY,
    company_id  bigint NOT NULL,
    first_name  text,
    last_name   text,
    full_name   text NOT NULL,
    email       text,
    phone       text,
    stage_id    bigint NOT NULL,
    source_id   bigint,
    campaign_id bigint,
    assignee_id bigint,
    version     bigint NOT NULL,
    position    bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX leads_created ON leads (company_id, created_at, id);
CREATE INDEX leads_email ON leads (company_id, email);
CREATE INDEX leads_phone ON leads (company_id, phone);
CREATE TABLE counters (slot bigint PRIMARY KEY, count bigint NOT NULL) WITH (fillfactor = 50);
";

/// The database and the scripts.
pub struct Yardstick {
    pgbench: PathBuf,
    socket_dir: PathBuf,
    port: u16,
    user: &'static str,
    create: PathBuf,
    select: PathBuf,
    dir: PathBuf,
}

impl Yardstick {
    /// Makes the database and writes the scripts into `dir`.
    pub async fn prepare(postgres: &EmbeddedPostgres, dir: PathBuf) -> Result<Self> {
        postgres.ensure_database(DATABASE).await?;
        let options = postgres.connect_options(DATABASE);
        let mut connection = PgConnection::connect_with(&options).await?;
        connection.execute(SCHEMA).await?;
        let fill =
            format!("INSERT INTO counters SELECT n, 0 FROM generate_series(1, {COUNTER_ROWS}) n");
        connection.execute(fill.as_str()).await?;
        connection.close().await?;

        let create = dir.join("create.pgbench");
        std::fs::write(&create, create_script())?;
        Ok(Self {
            pgbench: postgres.bin_dir().join("pgbench"),
            socket_dir: postgres.socket_dir().to_owned(),
            port: options.get_port(),
            user: postgres.user(),
            create,
            select: dir.join("select.pgbench"),
            dir,
        })
    }

    /// Leads created per second.
    pub async fn create(&self, clients: usize, time: Duration) -> Result<f64> {
        self.run(&self.create, clients, time).await
    }

    /// Settles which leads are there to be read.
    pub async fn prepare_select(&self, postgres: &EmbeddedPostgres) -> Result<()> {
        let options = postgres.connect_options(DATABASE);
        let mut connection = PgConnection::connect_with(&options).await?;
        let last: i64 = sqlx::query_scalar("SELECT max(id) FROM leads")
            .fetch_one(&mut connection)
            .await
            .context("no lead was created")?;
        connection.close().await?;
        let script = format!("\\set id random(1, {last})\nSELECT * FROM leads WHERE id = :id;\n");
        std::fs::write(&self.select, script)?;
        Ok(())
    }

    /// Leads read per second.
    pub async fn select(&self, clients: usize, time: Duration) -> Result<f64> {
        self.run(&self.select, clients, time).await
    }

    async fn run(&self, script: &PathBuf, clients: usize, time: Duration) -> Result<f64> {
        let output = tokio::process::Command::new(&self.pgbench)
            .env_remove("PGOPTIONS")
            .current_dir(&self.dir)
            .arg("-h")
            .arg(&self.socket_dir)
            .args(["-p", &self.port.to_string(), "-U", self.user])
            .args(["-M", "prepared", "-n", "-f"])
            .arg(script)
            .args([
                "-c",
                &clients.to_string(),
                "-j",
                &clients.min(4).to_string(),
            ])
            .args(["-T", &time.as_secs().max(1).to_string(), DATABASE])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("running {}", self.pgbench.display()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("pgbench: {}", String::from_utf8_lossy(&output.stderr));
        }
        said.lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
            .with_context(|| format!("pgbench told no rate: {said}"))
    }
}

fn create_script() -> String {
    let payload = json_of(PAYLOAD_BYTES);
    let metadata = json_of(METADATA_BYTES);
    format!(
        "\\set slot random(1, {COUNTER_ROWS})\n\
         WITH fresh AS MATERIALIZED (SELECT nextval('lead_ids') AS id, nextval('positions') AS position), \
         event AS (INSERT INTO events SELECT 'lead', id::text, 1, position, 'LeadCreated', '{payload}', '{metadata}' FROM fresh), \
         lead AS (INSERT INTO leads SELECT id, 1, 'Ana', 'García', 'Ana García', 'lead' || id || '@example.com', '+1415' || id, \
         1, NULL, NULL, NULL, 1, position, now(), now() FROM fresh) \
         UPDATE counters SET count = count + 1 WHERE slot = :slot;\n"
    )
}

/// A JSON object of so many bytes.
fn json_of(bytes: usize) -> String {
    let frame = r#"{"text":""}"#.len();
    format!(
        r#"{{"text":"{}"}}"#,
        "lorem ipsum ".repeat(bytes).split_at(bytes - frame).0
    )
}
