//! Fills a ledger by the program's own import, the way an operator would.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use leadledger::embedded::EmbeddedPostgres;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::http::{self, Call, Load};
use crate::people::{Person, create_body, person};
use crate::server::{self, Server};

/// One lead in so many has the e-mail of the one before.
const DUPLICATE_EVERY: u64 = 100;
const HTTP_CLIENTS: usize = 256;
const HTTP_PATIENCE: Duration = Duration::from_secs(240);

/// Imports this many leads into the company and settles the tables; answers how long the import took.
pub async fn import(
    postgres: &EmbeddedPostgres,
    database: &str,
    company: i64,
    leads: u64,
    dir: &Path,
) -> Result<Duration> {
    let file = dir.join("leads.csv");
    write_csv(&file, leads).with_context(|| format!("writing {}", file.display()))?;
    let began = Instant::now();
    let output = server::command(&postgres.url(database), dir)
        .args(["import", "--company", &company.to_string()])
        .arg(&file)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let took = began.elapsed();
    std::fs::remove_file(&file)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("import: {}", said.lines().last().unwrap_or("failed"));
    }
    settle(postgres, database, leads).await?;
    Ok(took)
}

/// The same over HTTP: slower, and in a random order.
pub async fn create(
    postgres: &EmbeddedPostgres,
    database: &str,
    server: &Server,
    leads: u64,
) -> Result<Duration> {
    let path = format!("/api/v1/companies/{}/leads", server.company);
    let load = Load {
        clients: HTTP_CLIENTS,
        time: HTTP_PATIENCE,
        wanted: 201,
        keep_ids: false,
    };
    let last = AtomicU64::new(0);
    let began = Instant::now();
    let outcome = http::run(&server.target, load, move |_, _| {
        let number = last.fetch_add(1, Ordering::Relaxed) + 1;
        (number <= leads).then(|| Call {
            method: "POST",
            path: path.clone(),
            body: create_body(number, email_number(number)),
        })
    });
    outcome.await?.whole()?;
    let took = began.elapsed();
    settle(postgres, database, leads).await?;
    Ok(took)
}

/// What autovacuum would have done some minutes after a large change.
async fn settle(postgres: &EmbeddedPostgres, database: &str, leads: u64) -> Result<()> {
    let mut connection = PgConnection::connect_with(&postgres.connect_options(database)).await?;
    let there: i64 = sqlx::query_scalar("SELECT count(*) FROM leads")
        .fetch_one(&mut connection)
        .await?;
    ensure!(
        u64::try_from(there)? == leads,
        "{there} leads are there instead of {leads}"
    );
    connection.execute("VACUUM (ANALYZE)").await?;
    connection.execute("CHECKPOINT").await?;
    connection.close().await?;
    Ok(())
}

fn write_csv(path: &Path, leads: u64) -> Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "first_name,last_name,email,phone_number")?;
    for number in 1..=leads {
        let Person {
            first_name,
            last_name,
            phone,
            ..
        } = person(number);
        let email = person(email_number(number)).email;
        writeln!(file, "{first_name},{last_name},{email},{phone}")?;
    }
    file.flush()?;
    Ok(())
}

/// Whose e-mail the lead of this number has.
fn email_number(number: u64) -> u64 {
    number - u64::from(number.is_multiple_of(DUPLICATE_EVERY))
}
