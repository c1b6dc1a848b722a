//! The command line and the environment: every setting is a flag and a variable, and `--help` shows both. Reads and
//! checks them; what they are used for is decided elsewhere. Secrets are typed so that no log or help can show them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

/// What the binary was asked to do.
#[derive(Debug, Clone, Parser)]
#[command(name = "leadledger", version, about, max_term_width = 120)]
pub struct Cli {
    /// What holds for every subcommand.
    #[command(flatten)]
    pub settings: Settings,
    /// What to do; without one, serve.
    #[command(subcommand)]
    command: Option<Command>,
}

/// The subcommands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Serve the API (what happens without a subcommand)
    Serve,
    /// Bring the database to this version, and stop
    Migrate,
    /// Send a CSV or XLSX file of leads to a running server
    Import(Import),
    /// Make the read tables anew from the ledger
    Rebuild(Projections),
    /// Check the ledger's proof, and the read tables against it
    Verify(Projections),
    /// Print the API's OpenAPI document
    Openapi,
}

/// Settings of every subcommand, before or after its name.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address to serve at
    #[arg(
        long,
        global = true,
        env = "LEADLEDGER_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,

    /// URL of the PostgreSQL to use; without it, the server runs its own in the data directory
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_parser = secret)]
    database_url: Option<SecretString>,

    /// Where the server keeps its own PostgreSQL and its generated secrets
    #[arg(
        long,
        global = true,
        env = "LEADLEDGER_DATA_DIR",
        default_value = "./.leadledger"
    )]
    pub data_dir: PathBuf,

    /// Directory of PostgreSQL's programs (initdb, postgres), if they are not found by themselves
    #[arg(long, global = true, env = "LEADLEDGER_PG_BIN")]
    pg_bin: Option<PathBuf>,

    /// E-mail of the platform owner that an empty ledger starts with
    #[arg(
        long,
        global = true,
        env = "LEADLEDGER_OWNER_EMAIL",
        default_value = "owner@leadledger.example"
    )]
    pub owner_email: String,

    /// Password of that owner; without it, one is generated and printed once
    #[arg(long, global = true, env = "LEADLEDGER_OWNER_PASSWORD", hide_env_values = true, value_parser = secret)]
    owner_password: Option<SecretString>,

    /// Secret that signs session tokens, at least 32 bytes; without it, one is generated and kept
    #[arg(long, global = true, env = "LEADLEDGER_JWT_SECRET", hide_env_values = true, value_parser = secret)]
    jwt_secret: Option<SecretString>,

    /// Region of phone numbers without a country code in new top-level companies, and in an import [default: US]
    #[arg(long, global = true, env = "LEADLEDGER_REGION", value_parser = region)]
    region: Option<String>,

    /// What to log: a level, or a list as `info,leadledger::access=off`
    #[arg(long, global = true, env = "LEADLEDGER_LOG", default_value = "info")]
    pub log: String,

    /// How to log, to standard error
    #[arg(
        long,
        global = true,
        env = "LEADLEDGER_LOG_FORMAT",
        value_enum,
        default_value_t
    )]
    pub log_format: LogFormat,
}

/// The log's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs: one object per line
    Json,
}

/// What to import, and where to.
#[derive(Debug, Clone, Args)]
pub struct Import {
    /// The file
    pub file: PathBuf,
    /// Id of the company that the leads are for
    #[arg(long)]
    pub company: i64,
    /// The running server
    #[arg(long, env = "LEADLEDGER_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// Token of a user who may import into the company
    #[arg(long, env = "LEADLEDGER_TOKEN", hide_env_values = true, value_parser = secret)]
    pub token: SecretString,
    /// Where to write the rows that failed, with the reasons
    #[arg(long)]
    pub errors: Option<PathBuf>,
}

/// Which read tables to work on.
#[derive(Debug, Clone, Args)]
pub struct Projections {
    /// Names of projections; without any, all
    #[arg(value_name = "PROJECTION")]
    pub names: Vec<String>,
}

impl Cli {
    /// What to do.
    #[must_use]
    pub fn chosen(&self) -> Command {
        self.command.clone().unwrap_or(Command::Serve)
    }
}

// A variable that is set to nothing, as container files like to do, counts as not set.
impl Settings {
    /// The PostgreSQL to use; `None` for our own.
    #[must_use]
    pub fn database_url(&self) -> Option<&SecretString> {
        non_empty(self.database_url.as_ref())
    }

    /// Where PostgreSQL's programs are; `None` to look for them.
    #[must_use]
    pub fn pg_bin(&self) -> Option<&PathBuf> {
        self.pg_bin
            .as_ref()
            .filter(|path| !path.as_os_str().is_empty())
    }

    /// The first owner's password; `None` to generate one.
    #[must_use]
    pub fn owner_password(&self) -> Option<&SecretString> {
        non_empty(self.owner_password.as_ref())
    }

    /// What signs tokens; `None` to generate one and keep it.
    #[must_use]
    pub fn jwt_secret(&self) -> Option<&SecretString> {
        non_empty(self.jwt_secret.as_ref())
    }

    /// The region, two capital letters (ISO 3166), if it was set.
    #[must_use]
    pub fn stated_region(&self) -> Option<&str> {
        self.region.as_deref().filter(|region| !region.is_empty())
    }

    /// The region of new top-level companies.
    #[must_use]
    pub fn region(&self) -> &str {
        self.stated_region().unwrap_or("US")
    }
}

fn non_empty(secret: Option<&SecretString>) -> Option<&SecretString> {
    secret.filter(|secret| !secret.expose_secret().is_empty())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "clap takes parsers that may refuse"
)]
fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text))
}

fn region(text: &str) -> Result<String, &'static str> {
    let is_region = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_region || text.is_empty() {
        Ok(text.to_ascii_uppercase())
    } else {
        Err("a region has two letters, as US or DE")
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_anything_it_serves_on_this_machine_only() {
        let cli = parse("leadledger").unwrap();
        assert!(matches!(cli.chosen(), Command::Serve));
        assert_eq!(
            cli.settings.listen,
            SocketAddr::from(([127, 0, 0, 1], 8080))
        );
        assert_eq!(cli.settings.region(), "US");
        assert_eq!(cli.settings.log_format, LogFormat::Text);
    }

    #[test]
    fn settings_stand_before_or_after_the_subcommand() {
        for line in [
            "leadledger --region de verify leads",
            "leadledger verify --region de leads",
        ] {
            let cli = parse(line).unwrap();
            assert_eq!(cli.settings.region(), "DE", "{line}");
            let Command::Verify(projections) = cli.chosen() else {
                panic!("{line} verifies");
            };
            assert_eq!(projections.names, ["leads"]);
        }
    }

    #[test]
    fn an_import_says_where_to_and_what() {
        let line = "leadledger import --company 7 a.csv --token t --region FR --errors e.csv";
        let cli = parse(line).unwrap();
        let Command::Import(import) = cli.chosen() else {
            panic!("{line} imports");
        };
        assert_eq!((import.company, import.file), (7, PathBuf::from("a.csv")));
        assert_eq!(import.url, "http://127.0.0.1:8080");
        assert_eq!(import.errors, Some(PathBuf::from("e.csv")));
        assert_eq!(cli.settings.stated_region(), Some("FR"));
        assert!(
            parse("leadledger import a.csv --token t").is_err(),
            "a company is needed"
        );
    }

    #[test]
    fn what_is_set_to_nothing_is_not_set() {
        let line = [
            "leadledger",
            "--database-url",
            "",
            "--jwt-secret=",
            "--owner-password=",
            "--region=",
        ];
        let cli = Cli::try_parse_from(line).unwrap();
        assert!(cli.settings.database_url().is_none());
        assert!(cli.settings.jwt_secret().is_none());
        assert!(cli.settings.owner_password().is_none());
        assert_eq!(cli.settings.region(), "US");
    }

    #[test]
    fn no_secret_is_shown() {
        let cli =
            parse("leadledger --jwt-secret hush-1 --owner-password hush-2 --database-url hush-3")
                .unwrap();
        assert!(!format!("{cli:?}").contains("hush"));
        for argument in Cli::command().get_arguments().filter(|argument| {
            let name = argument.get_id().as_str();
            ["secret", "password", "url", "token"]
                .iter()
                .any(|word| name.contains(word))
        }) {
            assert!(argument.is_hide_env_values_set(), "{}", argument.get_id());
        }
    }

    #[test]
    fn every_setting_is_a_flag_and_a_variable_in_the_help() {
        let help = Cli::command().render_long_help().to_string();
        for argument in Cli::command().get_arguments() {
            let id = argument.get_id().as_str();
            if ["help", "version"].contains(&id) {
                continue;
            }
            let variable = argument
                .get_env()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            assert!(!variable.is_empty() && help.contains(variable), "{id}");
        }
    }
}
