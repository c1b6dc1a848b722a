//! A private PostgreSQL server for installations that bring none: found among the installed
//! programs, kept in the data directory, reachable over a Unix socket only.
//!
//! Several processes may use one data directory at once. Each holds a shared lock; whoever leaves
//! last stops the server. A server that outlived its users (`kill -9`) is adopted by the next one.

mod binaries;
mod cluster;
mod error;
mod location;
mod locks;
mod postmaster;
mod privileges;
mod process;
mod supervisor;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

pub use error::EmbeddedError;

use locks::Locks;
use process::Server;
use supervisor::Supervisor;

/// The database superuser of every private cluster.
pub const USER: &str = "leadledger";

/// The port number; it only names the socket file, since nothing listens on TCP.
const PORT: u16 = 5432;

/// How long [`EmbeddedPostgres::stop`] gives PostgreSQL to write everything back.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Dropping a guard blocks its thread, so it must come to an end soon.
const DROP_PATIENCE: Duration = Duration::from_secs(5);

/// What to start, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's data directory; it is created if needed. The cluster is its `postgres`
    /// directory, unless PostgreSQL's user cannot reach that.
    pub data_dir: PathBuf,
    /// The directory of `postgres` and `initdb` (`LEADLEDGER_PG_BIN`); searched for if not given.
    pub binaries: Option<PathBuf>,
    /// Whether a commit survives a power failure. `false` is for test clusters only.
    pub durable: bool,
    /// The number of connections PostgreSQL accepts.
    pub max_connections: u32,
    /// Leave PostgreSQL running when the last user goes, for the next one to adopt.
    pub keep_running: bool,
    /// Start PostgreSQL again when it dies while in use.
    pub supervise: bool,
}

impl Settings {
    /// The settings of a production server on `data_dir`.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            binaries: None,
            durable: true,
            max_connections: 100,
            keep_running: false,
            supervise: true,
        }
    }
}

/// A running private PostgreSQL, held for as long as this value lives.
///
/// Call [`stop`](Self::stop) at the end. Dropping does the same, but blocks the thread for up to a
/// few seconds and keeps errors to the log.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    server: Arc<Mutex<Server>>,
    locks: Locks,
    in_use: Option<File>,
    supervisor: Option<Supervisor>,
    keep_running: bool,
    adopted: bool,
    bin_dir: PathBuf,
    cluster_dir: PathBuf,
    socket_dir: PathBuf,
}

/// Whether this data directory has a cluster already; creates nothing.
///
/// # Errors
/// A directory that cannot be read, and one whose cluster is lost.
pub fn has_cluster(data_dir: &Path) -> Result<bool, EmbeddedError> {
    if !data_dir.exists() {
        return Ok(false);
    }
    let data_dir = location::canonical(data_dir)?;
    Ok(location::existing_home(&data_dir)?.is_some())
}

impl EmbeddedPostgres {
    /// Adopts the data directory's running PostgreSQL, or starts it, after creating the cluster if
    /// there is none. Returns when it accepts connections.
    pub async fn start(settings: Settings) -> Result<Self, EmbeddedError> {
        run_blocking(move || Self::start_blocking(&settings)).await
    }

    /// How to connect to one of its databases. Unlike sqlx's defaults these options come from no
    /// `PG*` variable (except `PGOPTIONS`, which sqlx has no way to take back).
    #[must_use]
    pub fn connect_options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_dir)
            .port(PORT)
            .username(USER)
            .password("")
            .database(database)
            .application_name("leadledger")
            .ssl_mode(PgSslMode::Disable)
    }

    /// The address of one of its databases, for `DATABASE_URL` and for `psql`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres:///{}?host={}&port={PORT}&user={USER}&sslmode=disable",
            percent_encoded(database),
            percent_encoded(&self.socket_dir.to_string_lossy()),
        )
    }

    /// Creates the database unless it exists.
    pub async fn ensure_database(&self, database: &str) -> Result<(), EmbeddedError> {
        let mut connection = PgConnection::connect_with(&self.connect_options("postgres")).await?;
        let exists: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                .bind(database)
                .fetch_one(&mut connection)
                .await?;
        if !exists {
            let statement = format!("CREATE DATABASE \"{}\"", database.replace('"', "\"\""));
            match sqlx::query(&statement).execute(&mut connection).await {
                Err(error) if !is_duplicate_database(&error) => return Err(error.into()),
                _ => {}
            }
        }
        connection.close().await?;
        Ok(())
    }

    /// Lets go of the server; the last one to do so stops it, unless `keep_running` was set.
    pub async fn stop(mut self) -> Result<(), EmbeddedError> {
        run_blocking(move || self.release(STOP_PATIENCE)).await
    }

    /// Stops a server that nobody uses (left by `keep_running` or by killed users). Answers whether
    /// it now stands still: `false` means that somebody uses it.
    pub async fn stop_unused(settings: Settings) -> Result<bool, EmbeddedError> {
        run_blocking(move || {
            if !settings.data_dir.exists() {
                return Ok(true);
            }
            let data_dir = location::canonical(&settings.data_dir)?;
            let locks = Locks::new(&data_dir);
            let _starting = locks.starting()?;
            let Some(_last) = locks.try_last()? else {
                return Ok(false);
            };
            match location::existing_home(&data_dir)? {
                Some(home) => process::stop(&cluster::data_in(&home), STOP_PATIENCE).map(|()| true),
                None => Ok(true),
            }
        })
        .await
    }

    /// Whether the server was already running when this guard was made.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// The directory of the PostgreSQL programs, for `pg_dump` and its kin.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// The cluster's own directory (PostgreSQL's `data_directory`).
    #[must_use]
    pub fn cluster_dir(&self) -> &Path {
        &self.cluster_dir
    }

    /// The directory of the Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The database user to connect as.
    #[must_use]
    pub fn user(&self) -> &'static str {
        USER
    }

    fn start_blocking(settings: &Settings) -> Result<Self, EmbeddedError> {
        if std::env::var_os("PGOPTIONS").is_some() {
            tracing::warn!("PGOPTIONS is set and applies to the connections of this server too");
        }
        let data_dir = location::prepare(&settings.data_dir)?;
        let locks = Locks::new(&data_dir);
        let starting = locks.starting()?;
        let in_use = locks.in_use()?;
        let cluster = cluster::open_or_create(&data_dir, settings)?;
        let bin_dir = cluster.binaries.dir.clone();
        let cluster_dir = cluster.data.clone();
        let mut server = Server::new(cluster);
        let adopted = server.ensure_running()?;
        let socket_dir = server.socket_dir().to_owned();
        drop(starting);

        let server = Arc::new(Mutex::new(server));
        let supervisor = settings
            .supervise
            .then(|| Supervisor::spawn(Arc::clone(&server), locks.clone()))
            .transpose()?;
        Ok(Self {
            server,
            locks,
            in_use: Some(in_use),
            supervisor,
            keep_running: settings.keep_running,
            adopted,
            bin_dir,
            cluster_dir,
            socket_dir,
        })
    }

    fn release(&mut self, patience: Duration) -> Result<(), EmbeddedError> {
        let Some(in_use) = self.in_use.take() else {
            return Ok(());
        };
        // First, or it would start again what is stopped below.
        drop(self.supervisor.take());
        if self.keep_running {
            return Ok(());
        }
        // Letting go and asking "am I the last?" are one step: with the start lock held, of two
        // that leave at once the second sees that the first has gone.
        let Some(_starting) = self.locks.starting_within(patience)? else {
            return Ok(());
        };
        drop(in_use);
        match self.locks.try_last()? {
            Some(_last) => self
                .server
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .stop(patience),
            None => Ok(()),
        }
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        if let Err(error) = self.release(DROP_PATIENCE) {
            tracing::warn!(%error, "could not stop the embedded PostgreSQL");
        }
    }
}

/// The launcher waits for processes and locks with plain blocking calls, away from the runtime.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EmbeddedError> + Send + 'static,
) -> Result<T, EmbeddedError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(EmbeddedError::Io {
            action: "running the launcher".to_owned(),
            source: std::io::Error::other(error),
        }),
    }
}

/// Two processes may create the same database at once; the loser finds what it wanted. PostgreSQL
/// reports a close race as a violated unique index.
fn is_duplicate_database(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("42P04" | "23505"))
}

fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
