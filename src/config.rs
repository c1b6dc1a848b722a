//! The command line and the environment: every setting is a flag and a variable, shown by `--help`.

use std::net::SocketAddr;
use std::path::PathBuf;

use aggregates::phone::Region;
use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;

/// A multi-tenant lead CRM back end whose truth is an append-only, provable event ledger.
#[derive(Debug, Parser)]
#[command(name = "leadledger", version, about)]
pub struct Cli {
    /// Settings that every command takes.
    #[command(flatten)]
    pub settings: Settings,
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Settings that every command takes, before or after its name.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address and port that the API listens on; port 0 takes a free one
    #[arg(
        long,
        env = "LEADLEDGER_LISTEN",
        default_value = "127.0.0.1:8080",
        global = true
    )]
    pub listen: SocketAddr,
    /// A PostgreSQL 14 or newer to use instead of the embedded one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    pub database_url: Option<String>,
    /// Where the embedded PostgreSQL keeps its data
    #[arg(
        long,
        env = "LEADLEDGER_DATA_DIR",
        default_value = "./.leadledger",
        global = true
    )]
    pub data_dir: PathBuf,
    /// Folder of PostgreSQL's programs, when it is not found by itself
    #[arg(long, env = "LEADLEDGER_PG_BIN", global = true)]
    pub pg_bin: Option<PathBuf>,
    /// E-mail of the platform owner who is made at first run
    #[arg(
        long,
        env = "LEADLEDGER_OWNER_EMAIL",
        default_value = "owner@leadledger.example",
        global = true
    )]
    pub owner_email: String,
    /// Password of the platform owner; generated and printed once when unset
    #[arg(
        long,
        env = "LEADLEDGER_OWNER_PASSWORD",
        hide_env_values = true,
        global = true
    )]
    pub owner_password: Option<SecretString>,
    /// Secret that signs tokens; made at first run and kept in the database when unset
    #[arg(
        long,
        env = "LEADLEDGER_JWT_SECRET",
        hide_env_values = true,
        global = true
    )]
    pub jwt_secret: Option<SecretString>,
    /// Country in which a new top-level company's phone numbers are read (ISO 3166)
    #[arg(long, env = "LEADLEDGER_REGION", default_value = "US", value_parser = region, global = true)]
    pub region: Region,
    /// Log filter, such as info or leadledger=debug
    #[arg(
        long,
        env = "LEADLEDGER_LOG",
        default_value = "info,sqlx=error",
        global = true
    )]
    pub log: String,
    /// Form of the log
    #[arg(
        long,
        env = "LEADLEDGER_LOG_FORMAT",
        default_value = "text",
        global = true
    )]
    pub log_format: LogFormat,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API (the default)
    Serve,
    /// Bring the database to this version's schema
    Migrate,
    /// Create leads of a company from a CSV file
    Import(ImportArgs),
    /// Rebuild read tables from the ledger while servers go on serving
    Rebuild(ProjectionArgs),
    /// Rebuild read tables apart and compare them with the live ones; exit status 1 on any difference
    Verify(ProjectionArgs),
    /// Print the `OpenAPI` document
    Openapi,
}

/// See [`Command::Import`].
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The CSV file, with a header line
    pub file: PathBuf,
    /// Id of the company that the leads belong to
    #[arg(long)]
    pub company: i64,
    /// Send the leads through the server at this address instead of writing to the database
    #[arg(long, env = "LEADLEDGER_URL", requires = "token")]
    pub url: Option<String>,
    /// Token for that server
    #[arg(long, env = "LEADLEDGER_TOKEN", hide_env_values = true)]
    pub token: Option<SecretString>,
    /// Write rejected rows, with reasons, to this CSV file too
    #[arg(long)]
    pub rejected: Option<PathBuf>,
}

/// See [`Command::Rebuild`] and [`Command::Verify`].
#[derive(Debug, Args)]
pub struct ProjectionArgs {
    /// Only these projections, such as leads or users; all when none is named
    pub projections: Vec<String>,
}

fn region(text: &str) -> Result<Region, String> {
    Region::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
