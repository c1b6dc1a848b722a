//! Importing a file, from the request to the last read table, beside the bare loop of one connection that sends the same people as
//! `unnest` statements of 1,000; and what a create waits meanwhile.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leadledger::embedded::EmbeddedPostgres;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::floor;
use crate::http::{self, Call, Load, Outcome};
use crate::people::{Person, create_body, person};
use crate::plan::Plan;
use crate::report::{Bound, Report, Unit};
use crate::server::Server;

const BARE: &str = "import, bare unnest loop";
const OURS: &str = "import, ours";
const FLOOR: &str = "import, its rows copied by two connections";
const ALONE: &str = "create p99, idle";
const BESIDE: &str = "create p99, during an import";
const MEMORY: &str = "memory, during an import";
/// Rows of one statement of the bare loop.
const AT_ONCE: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(600);

/// The yardstick's tables.
const SCHEMA: &str = "
DROP TABLE IF EXISTS events, leads, counters;
CREATE TABLE events (stream_type text NOT NULL, stream_id text NOT NULL, sequence bigint NOT NULL, position bigint NOT NULL,
    event_type text NOT NULL, payload json NOT NULL, metadata json NOT NULL, PRIMARY KEY (stream_type, stream_id, sequence));
CREATE INDEX events_position ON events (position);
CREATE TABLE leads (id bigint PRIMARY KEY, company_id bigint NOT NULL, first_name text, last_name text, full_name text NOT NULL,
    email text, phone text, stage_id bigint NOT NULL, source_id bigint, campaign_id bigint, assignee_id bigint,
    version bigint NOT NULL, position bigint NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
CREATE INDEX leads_created ON leads (company_id, created_at, id);
CREATE INDEX leads_email ON leads (company_id, email);
CREATE INDEX leads_phone ON leads (company_id, phone);
CREATE TABLE counters (slot bigint PRIMARY KEY, count bigint NOT NULL);
INSERT INTO counters VALUES (1, 0);
";

const INSERT: &str = "
WITH rows AS (SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS r(id, first_name, last_name, email, phone, payload, metadata)),
event AS (INSERT INTO events SELECT 'lead', id::text, 1, id, 'LeadCreated', payload::json, metadata::json FROM rows),
lead AS (INSERT INTO leads SELECT id, 1, first_name, last_name, first_name || ' ' || last_name, email, phone, 1, NULL, NULL, NULL,
    1, id, now(), now() FROM rows)
UPDATE counters SET count = count + (SELECT count(*) FROM rows) WHERE slot = 1";

/// Measures it, each round on a ledger of its own.
pub async fn measure(plan: &Plan, postgres: &EmbeddedPostgres, report: &mut Report) -> Result<()> {
    report.compare("import: ours / bare loop", OURS, BARE, Bound::AtLeast(0.8));
    report.compare(
        "import: its rows copied / bare loop",
        FLOOR,
        BARE,
        Bound::None,
    );
    report.compare(
        "create p99: during an import / idle",
        BESIDE,
        ALONE,
        Bound::None,
    );
    for round in 0..plan.rounds {
        let bare = bare_loop(postgres, plan.import_rows).await;
        report.attempt(BARE, Unit::PerSecond, round, bare);
        let database = format!("imports_{round}");
        let server = Server::start(postgres, &database, &plan.dir).await?;
        let outcome = alone(plan, &server, round, report).await;
        if let Err(error) = outcome {
            report.remark(format!("{OURS}: {error:#}"));
        }
        let floor = floor::measure(postgres, &database, plan.import_rows).await;
        report.attempt(FLOOR, Unit::PerSecond, round, floor);
        let outcome = beside(plan, &server, round, report).await;
        if let Err(error) = outcome {
            report.remark(format!("{BESIDE}: {error:#}"));
        }
        server.stop().await?;
    }
    Ok(())
}

/// Rows per second.
async fn bare_loop(postgres: &EmbeddedPostgres, rows: u64) -> Result<f64> {
    const DATABASE: &str = "bare_loop";
    postgres.ensure_database(DATABASE).await?;
    let options = postgres.connect_options(DATABASE);
    let mut connection = PgConnection::connect_with(&options).await?;
    connection.execute(SCHEMA).await?;
    let payload = format!(r#"{{"text":"{}"}}"#, "x".repeat(588));
    let metadata = format!(r#"{{"text":"{}"}}"#, "x".repeat(188));
    let began = Instant::now();
    let mut next = 1;
    while next <= rows {
        let numbers = next..(next + AT_ONCE).min(rows + 1);
        let people: Vec<Person> = numbers.clone().map(person).collect();
        let ids: Vec<i64> = numbers.clone().map(u64::cast_signed).collect();
        next = numbers.end;
        let text = |of: fn(&Person) -> &str| {
            let texts = people.iter().map(|person| of(person).to_owned());
            texts.collect::<Vec<String>>()
        };
        sqlx::query(INSERT)
            .bind(&ids)
            .bind(text(|person| person.first_name))
            .bind(text(|person| person.last_name))
            .bind(text(|person| &person.email))
            .bind(text(|person| &person.phone))
            .bind(vec![payload.clone(); people.len()])
            .bind(vec![metadata.clone(); people.len()])
            .execute(&mut connection)
            .await?;
    }
    let rate = per_second(rows, began.elapsed());
    connection.close().await?;
    Ok(rate)
}

#[expect(clippy::cast_precision_loss, reason = "far below what a double holds")]
pub fn per_second(rows: u64, took: Duration) -> f64 {
    rows as f64 / took.as_secs_f64()
}

/// An import by itself.
async fn alone(plan: &Plan, server: &Server, round: usize, report: &mut Report) -> Result<()> {
    let file = file(plan.import_rows, 0)?;
    let began = Instant::now();
    let code = upload(server, file).await?;
    let memory = finished(server, &code).await?;
    let rate = per_second(plan.import_rows, began.elapsed());
    report.add(OURS, Unit::PerSecond, round, rate);
    report.add(MEMORY, Unit::Megabytes, round, memory);
    Ok(())
}

/// Creates, idle and during an import.
async fn beside(plan: &Plan, server: &Server, round: usize, report: &mut Report) -> Result<()> {
    let first = 50_000_000;
    let idle = create(server, plan.time, first).await?;
    report.add(ALONE, Unit::Milliseconds, round, idle.p99()?);
    let code = upload(server, file(plan.import_rows, 10_000_000)?).await?;
    let during = create(server, plan.time, first + 10_000_000).await?;
    let (_, import) = server.get(&format!("/api/v1/import/{code}")).await?;
    let status = import["import_file"]["status"].as_str();
    ensure!(
        status == Some("processing"),
        "the import ended before the creates did: give it more rows (BENCH_IMPORT_ROWS)"
    );
    report.add(BESIDE, Unit::Milliseconds, round, during.p99()?);
    finished(server, &code).await.map(drop)
}

async fn create(server: &Server, time: Duration, first: u64) -> Result<Outcome> {
    let path = format!("/api/v1/companies/{}/leads", server.company);
    let load = Load {
        clients: 1,
        time,
        wanted: 201,
        keep_ids: false,
    };
    let outcome = http::run(&server.target, load, move |_, turn| {
        let number = first + turn as u64;
        Some(Call {
            method: "POST",
            path: path.clone(),
            body: create_body(number, number),
        })
    });
    outcome.await?.whole()
}

fn file(rows: u64, first: u64) -> Result<String> {
    let mut file = "first_name,last_name,email,phone\n".to_owned();
    for number in first..first + rows {
        let Person {
            first_name,
            last_name,
            email,
            phone,
        } = person(number);
        writeln!(file, "{first_name},{last_name},{email},{phone}")?;
    }
    Ok(file)
}

/// Answers the import's code.
async fn upload(server: &Server, file: String) -> Result<String> {
    let part = reqwest::multipart::Part::bytes(file.into_bytes()).file_name("leads.csv");
    let url = format!(
        "http://{}/api/v1/companies/{}/import/leads",
        server.target.address, server.company
    );
    let answer = reqwest::Client::new()
        .post(url)
        .header("authorization", &server.target.token)
        .multipart(reqwest::multipart::Form::new().part("file", part))
        .send()
        .await?;
    let status = answer.status();
    let body: serde_json::Value = answer.json().await?;
    let code = body["import_file"]["import_code"].as_str();
    let code = code.with_context(|| format!("upload: {status} {body}"))?;
    Ok(code.to_owned())
}

/// Waits for the end; answers the most that the server held in memory, in MB.
async fn finished(server: &Server, code: &str) -> Result<f64> {
    let began = Instant::now();
    let mut memory: f64 = 0.0;
    loop {
        memory = memory.max(server.memory()?);
        let (status, body) = server.get(&format!("/api/v1/import/{code}")).await?;
        match body["import_file"]["status"].as_str() {
            Some("pending" | "processing") => {}
            Some("completed") => return Ok(memory),
            _ => anyhow::bail!("the import: {status} {body}"),
        }
        ensure!(began.elapsed() < PATIENCE, "the import does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
