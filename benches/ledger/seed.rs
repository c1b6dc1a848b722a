//! Fills a ledger by the program's own import, the way an operator would.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use leadledger::embedded::EmbeddedPostgres;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::people::person;
use crate::server;

/// One lead in so many has the e-mail of the one before.
const DUPLICATE_EVERY: u64 = 100;

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
        .output()
        .await?;
    let took = began.elapsed();
    std::fs::remove_file(&file)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("import: {}", said.lines().last().unwrap_or("failed"));
    }
    settle(postgres, database).await?;
    Ok(took)
}

/// What autovacuum would have done some minutes after a large change.
async fn settle(postgres: &EmbeddedPostgres, database: &str) -> Result<()> {
    let mut connection = PgConnection::connect_with(&postgres.connect_options(database)).await?;
    connection.execute("VACUUM (ANALYZE)").await?;
    connection.execute("CHECKPOINT").await?;
    connection.close().await?;
    Ok(())
}

fn write_csv(path: &Path, leads: u64) -> Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "first_name,last_name,email,phone_number")?;
    for number in 1..=leads {
        let it = person(number);
        let email = if number % DUPLICATE_EVERY == 0 {
            person(number - 1).email
        } else {
            it.email
        };
        writeln!(
            file,
            "{},{},{email},{}",
            it.first_name, it.last_name, it.phone
        )?;
    }
    file.flush()?;
    Ok(())
}
