//! `make bench`: what the ledger costs, beside what PostgreSQL alone and a stock event-sourcing program cost on the same
//! cluster, with full durability, in the same minutes. Rounds are interleaved because machines change their mind.

mod floor;
mod http;
mod imports;
mod lists;
mod machine;
mod past;
mod people;
mod phases;
mod plan;
mod report;
mod seed;
mod server;
mod stock;
mod stock_tables;
mod updates;
mod yardstick;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use leadledger::embedded::{EmbeddedPostgres, Settings};

use crate::plan::Plan;
use crate::report::Report;

/// 256 clients of the yardstick, the pools of the others, and some to spare.
const CONNECTIONS: u32 = 450;

fn main() -> Result<ExitCode> {
    // `cargo test --all-targets` runs benchmarks without this argument, to see that they start.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("run me by `make bench`");
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let kept = runtime.block_on(run(&Plan::from_environment()?))?;
    Ok(if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn run(plan: &Plan) -> Result<bool> {
    std::fs::create_dir_all(&plan.dir)?;
    let data_dir = plan.dir.join("cluster");
    let mut settings = Settings::new(&data_dir);
    settings.max_connections = CONNECTIONS;
    discard(&settings).await?;
    let postgres = EmbeddedPostgres::start(settings.clone()).await?;

    let mut report = Report::default();
    report.remark(machine::describe(&postgres).await?);
    let outcome = tokio::select! {
        outcome = phases::measure(plan, &postgres, &mut report) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if let Err(error) = outcome {
        report.remark(format!("the run ended early: {error:#}"));
    }
    let home = postgres.cluster_dir().to_owned();
    postgres.stop().await?;
    remove(&home)?;
    discard(&settings).await?;
    report.finish(&plan.dir)
}

/// Removes what an earlier run left behind.
async fn discard(settings: &Settings) -> Result<()> {
    if !EmbeddedPostgres::stop_unused(settings.clone()).await? {
        anyhow::bail!("another benchmark uses {}", settings.data_dir.display());
    }
    remove(&settings.data_dir)
}

fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    Ok(())
}
