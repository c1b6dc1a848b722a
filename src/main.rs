//! The `leadledger` binary: reads the command line and runs one command.

use std::process::ExitCode;

use clap::Parser;
use leadledger::config::{Cli, Command};
use leadledger::{observability, serve};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(status) => status,
        Err(error) => {
            eprintln!("leadledger: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let settings = cli.settings;
    observability::start_logging(&settings)?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&settings).await?,
        Command::Migrate => {
            let database = leadledger::database::Database::open(&settings).await?;
            database.close().await;
        }
        Command::Openapi => {
            let (_, document) = leadledger::api::routes();
            println!("{}", document.to_pretty_json()?);
        }
        Command::Import(_) | Command::Rebuild(_) | Command::Verify(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}
