//! The command line and the environment: every setting is a flag and a variable, shown by `--help`.

use std::net::SocketAddr;
use std::path::PathBuf;

use aggregates::phone::Region;
use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

use crate::auth::token::MIN_SECRET_BYTES;
use crate::ledger::moment::Asked;
use crate::replay_command;

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
    /// Address and port that the API listens on; port 0 takes a free one [default: 127.0.0.1:8080, or the next port that is free]
    #[arg(long, env = "LEADLEDGER_LISTEN", global = true)]
    pub listen: Option<SocketAddr>,
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
    /// SMTP server that mails go out by: `smtp://user:password@host:587?tls=required` (STARTTLS) or `smtps://…`; written to a folder when unset
    #[arg(
        long,
        env = "LEADLEDGER_SMTP_URL",
        hide_env_values = true,
        global = true
    )]
    pub smtp_url: Option<SecretString>,
    /// Mailbox that mails come from, such as CRM <no-reply@example.com>; needed with an SMTP server
    #[arg(long, env = "LEADLEDGER_MAIL_FROM", global = true)]
    pub mail_from: Option<String>,
    /// Address at which people reach this server, for the links in mails; where it listens when unset
    #[arg(long, env = "LEADLEDGER_PUBLIC_URL", global = true)]
    pub public_url: Option<String>,
    /// Store of avatars and of files of imports: `s3://bucket/folder`, with the usual `AWS_…` variables; a folder of the data directory when unset
    #[arg(long, env = "LEADLEDGER_OBJECT_STORE", global = true)]
    pub object_store: Option<String>,
    /// Where checkpoints of the ledger are written, outside the database: a folder, or `s3://bucket/folder`, with the usual `AWS_…` variables; a folder of the data directory when unset
    #[arg(long, env = "LEADLEDGER_WITNESS", global = true)]
    pub witness: Option<String>,
    /// `OpenID` Connect issuers whose identities users may link: a JSON list of {provider, issuer, audience, jwks}
    #[arg(long, env = "LEADLEDGER_OIDC", global = true)]
    pub oidc: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed: addresses and networks, such as 10.0.0.0/8,192.0.2.7; nobody's when unset
    #[arg(long, env = "LEADLEDGER_TRUSTED_PROXIES", global = true)]
    pub trusted_proxies: Option<String>,
    /// Requests that one integration token may make in ten seconds
    #[arg(
        long,
        env = "LEADLEDGER_TOKEN_RATE",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..),
        global = true
    )]
    pub token_rate: u32,
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

impl Settings {
    /// The settings as meant: what is set to nothing, as container files like to do, is not set.
    ///
    /// # Errors
    /// A secret that is too short. It is checked here because the command line's own message would show it.
    pub fn checked(mut self) -> anyhow::Result<Self> {
        let is_set = |secret: &SecretString| !secret.expose_secret().is_empty();
        self.database_url = self.database_url.filter(|url| !url.is_empty());
        self.pg_bin = self.pg_bin.filter(|path| !path.as_os_str().is_empty());
        self.owner_password = self.owner_password.filter(is_set);
        self.jwt_secret = self.jwt_secret.filter(is_set);
        self.smtp_url = self.smtp_url.filter(is_set);
        for text in [
            &mut self.mail_from,
            &mut self.public_url,
            &mut self.object_store,
            &mut self.witness,
            &mut self.oidc,
            &mut self.trusted_proxies,
        ] {
            text.take_if(|text| text.is_empty());
        }
        if let Some(secret) = &self.jwt_secret {
            anyhow::ensure!(
                secret.expose_secret().len() >= MIN_SECRET_BYTES,
                "LEADLEDGER_JWT_SECRET needs at least {MIN_SECRET_BYTES} bytes"
            );
        }
        Ok(self)
    }
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
    /// Import leads of a company from a CSV or XLSX file
    ///
    /// The file is put on record before its first row is read, and its import does not end with this command: when that is interrupted,
    /// a server goes on with the rest (the one at --url, or any that runs on the database). The code that is printed at the beginning names
    /// the import: GET /api/v1/import/CODE tells how far it is, POST …/cancel stops it, POST …/undo takes it back.
    Import(ImportArgs),
    /// Rebuild read tables from the ledger while servers go on serving
    Rebuild(ProjectionArgs),
    /// Rebuild read tables apart and compare them with the live ones; exit status 1 on any difference
    Verify(VerifyArgs),
    /// Print the life of a lead as the ledger tells it, step by step, beside a running server
    #[command(subcommand)]
    Replay(ReplayCommand),
    /// Check the evidence pack of a lead, without a server or a database; exit status 1 when it does not hold
    VerifyEvidence(EvidenceArgs),
    /// Keys that sign checkpoints of the ledger
    #[command(subcommand)]
    CheckpointKey(CheckpointKeyCommand),
    /// Print the `OpenAPI` document
    Openapi,
    /// Make integration tokens, with which programs act for a company
    #[command(subcommand)]
    Token(TokenCommand),
}

/// See [`Command::Replay`].
#[derive(Debug, Subcommand)]
pub enum ReplayCommand {
    /// A lead: each change, by whom and why, and what it came to
    Lead(ReplayLeadArgs),
}

/// See [`ReplayCommand::Lead`].
#[derive(Debug, Args)]
pub struct ReplayLeadArgs {
    /// The lead's id
    pub id: i64,
    /// Only up to here: an instant such as 2027-01-31T00:00:00Z, or a ledger position
    #[arg(long, value_parser = replay_command::asked, allow_hyphen_values = true)]
    pub at: Option<Asked>,
}

/// See [`Command::Token`].
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it; it cannot be shown again
    Create(NewTokenArgs),
}

/// See [`TokenCommand::Create`].
#[derive(Debug, Args)]
pub struct NewTokenArgs {
    /// Id of the company that the token acts for, with those below it
    #[arg(long)]
    pub company: i64,
    /// What it may do, such as users.readonly,users.write
    #[arg(long, value_delimiter = ',', required = true)]
    pub scopes: Vec<String>,
    /// What the company calls it
    #[arg(long)]
    pub name: Option<String>,
    /// When it ends by itself, such as 2027-01-31T00:00:00Z; never, when unset
    #[arg(long)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// See [`Command::Import`].
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The CSV or XLSX file, with a header row
    pub file: PathBuf,
    /// Id of the company that the leads belong to
    #[arg(long)]
    pub company: i64,
    /// Id of the source that the leads come from; its people are given them in turn
    #[arg(long)]
    pub source: Option<i64>,
    /// Id of the campaign that brought the leads
    #[arg(long)]
    pub campaign: Option<i64>,
    /// What a column is taken for where its header does not say it, as "Header=field"; may be repeated
    #[arg(long = "map", value_name = "HEADER=FIELD")]
    pub mapping: Vec<String>,
    /// What happens to rows that are like a lead or a row before
    #[arg(long, value_enum, default_value = "create")]
    pub duplicates: Duplicates,
    /// Sheet of a workbook; the first one with a usable header when unset
    #[arg(long)]
    pub sheet: Option<String>,
    /// Only tell what would happen
    #[arg(long)]
    pub dry_run: bool,
    /// Import the file also when the company imported it before
    #[arg(long)]
    pub force: bool,
    /// Why, up to 500 characters; the history of every lead tells it
    #[arg(long)]
    pub reason: Option<String>,
    /// Send the file through the server at this address instead of writing to the database
    #[arg(long, env = "LEADLEDGER_URL", requires = "token")]
    pub url: Option<String>,
    /// Token for that server
    #[arg(long, env = "LEADLEDGER_TOKEN", hide_env_values = true)]
    pub token: Option<SecretString>,
    /// Write rejected rows, with reasons, to this CSV file too; a dry run keeps no file to take them from
    #[arg(long, conflicts_with = "dry_run")]
    pub rejected: Option<PathBuf>,
}

/// What happens to duplicates in an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Duplicates {
    /// A lead comes of them, and is flagged
    Create,
    /// Nothing comes of them
    Skip,
    /// The lead that is there is given what it lacks
    Fill,
    /// The lead that is there is given all that the row says
    Overwrite,
}

/// See [`Command::CheckpointKey`].
#[derive(Debug, Subcommand)]
pub enum CheckpointKeyCommand {
    /// Print every key, with the time that it signed
    List,
    /// Replace the present key by a new one, and print every key
    Rotate,
}

/// See [`Command::VerifyEvidence`].
#[derive(Debug, Args)]
pub struct EvidenceArgs {
    /// The pack, as `GET /api/v1/leads/{id}/evidence` answers it
    pub file: PathBuf,
    /// A key to trust, as name+hash+base64, or a file of keys; can be given several times
    #[arg(long = "key", required = true)]
    pub keys: Vec<String>,
}

/// See [`Command::Verify`].
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Only these projections, such as leads or users; all when none is named
    pub projections: Vec<String>,
    /// Compare the ledger with the checkpoints in this folder or `s3://bucket/folder` too
    #[arg(long)]
    pub checkpoints: Option<String>,
    /// They are only some of those that were written: do not ask for the others
    #[arg(long, requires = "checkpoints")]
    pub partial: bool,
    /// A key that is trusted to have signed them, as name+hash+base64, or a file of keys; those in the database when unset
    #[arg(long = "key", requires = "checkpoints")]
    pub keys: Vec<String>,
    /// Look at every version of every read row, also of tables that have tens of thousands
    #[arg(long)]
    pub every_version: bool,
}

/// See [`Command::Rebuild`].
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

    #[test]
    fn settings_stand_before_or_after_the_command() {
        for line in [
            "leadledger --region DE verify leads",
            "leadledger verify --region DE leads",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.settings.region, region("DE").unwrap(), "{line}");
            let Some(Command::Verify(args)) = cli.command else {
                panic!("{line} verifies");
            };
            assert_eq!(args.projections, ["leads"]);
        }
    }

    #[test]
    fn what_is_set_to_nothing_is_not_set() {
        let line = [
            "leadledger",
            "--database-url=",
            "--jwt-secret=",
            "--owner-password=",
        ];
        let settings = Cli::try_parse_from(line).unwrap().settings;
        let settings = settings.checked().unwrap();
        assert!(settings.database_url.is_none());
        assert!(settings.jwt_secret.is_none());
        assert!(settings.owner_password.is_none());
    }

    #[test]
    fn a_short_secret_is_refused_without_being_shown() {
        let line = ["leadledger", "--jwt-secret", "hush"];
        let settings = Cli::try_parse_from(line).unwrap().settings;
        assert!(!format!("{settings:?}").contains("hush"));
        let refusal = settings.checked().unwrap_err().to_string();
        assert!(!refusal.contains("hush"), "{refusal}");
    }

    #[test]
    fn every_setting_is_a_flag_and_a_variable_and_secrets_stay_hidden() {
        let command = Cli::command();
        for setting in command.get_arguments() {
            let name = setting.get_id().as_str();
            let variable = setting.get_env().and_then(|name| name.to_str());
            assert!(setting.get_long().is_some() && variable.is_some(), "{name}");
            if ["database_url", "owner_password", "jwt_secret", "smtp_url"].contains(&name) {
                assert!(setting.is_hide_env_values_set(), "{name}");
            }
        }
    }
}
