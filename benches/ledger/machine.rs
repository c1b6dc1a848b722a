//! What the figures were taken on: that PostgreSQL keeps its promises, and what a promise costs on this disk.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use leadledger::embedded::EmbeddedPostgres;
use sqlx::{Connection as _, PgConnection};

const FLUSHES: u32 = 300;

/// One line about the machine; fails when a commit would not survive a power failure.
pub async fn describe(postgres: &EmbeddedPostgres) -> Result<String> {
    let mut connection = PgConnection::connect_with(&postgres.connect_options("postgres")).await?;
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await?;
        ensure!(value == "on", "{setting} is {value}");
    }
    let version: String = sqlx::query_scalar("SELECT current_setting('server_version')")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;

    let dir = postgres.cluster_dir().parent();
    let flush = flush_time(dir.context("the cluster has no home")?)?;
    let cores = std::thread::available_parallelism()?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    Ok(format!(
        "{cores} cores, load {load} at the start; PostgreSQL {version}, a commit waits for the disk; \
         writing and flushing 8 kB takes {flush:.2} ms"
    ))
}

fn flush_time(dir: &Path) -> Result<f64> {
    let path = dir.join("flush-test");
    let mut file = File::create(&path)?;
    file.write_all(&[0; 8192])?;
    file.sync_all()?;
    let began = Instant::now();
    for _ in 0..FLUSHES {
        file.rewind()?;
        file.write_all(&[1; 8192])?;
        file.sync_data()?;
    }
    let took = began.elapsed();
    std::fs::remove_file(&path)?;
    Ok(took.as_secs_f64() * 1e3 / f64::from(FLUSHES))
}
