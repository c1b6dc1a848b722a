//! What can go wrong with the private PostgreSQL, in words its operator can act on.

use std::{io, path::Path, path::PathBuf};

use super::binaries::OLDEST_MAJOR;

/// Why the embedded PostgreSQL could not be started, used or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// The search found no usable server.
    #[error(
        "no PostgreSQL server (version {OLDEST_MAJOR} or newer) was found in {searched}. Install \
         one (`apt-get install postgresql`, `dnf install postgresql-server`, `brew install \
         postgresql@17`), or set LEADLEDGER_PG_BIN to the directory that holds `postgres` and \
         `initdb`, or set DATABASE_URL to use a server of your own"
    )]
    NoBinaries {
        /// The places looked at.
        searched: String,
    },
    /// The directory named by the operator does not hold a server.
    #[error(
        "{} holds no usable PostgreSQL server: {reason}. Set LEADLEDGER_PG_BIN to the directory \
         that holds `postgres` and `initdb`, or unset it to have one searched for \
         (`apt-get install postgresql` installs one)", dir.display()
    )]
    UnusableBinaries {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The only servers found are too old.
    #[error(
        "PostgreSQL {major} in {} is too old: version {OLDEST_MAJOR} or newer is needed \
         (`apt-get install postgresql`)", dir.display()
    )]
    TooOld {
        /// Where it is.
        dir: PathBuf,
        /// Its major version.
        major: u32,
    },
    /// The data was written by another major version than any installed one.
    #[error(
        "the data in {} was written by PostgreSQL {data}, but the installed server is PostgreSQL \
         {installed}. Install PostgreSQL {data} beside it (`apt-get install postgresql-{data}`) or \
         set LEADLEDGER_PG_BIN to its programs; to move on to PostgreSQL {installed}, convert the \
         data with `pg_upgrade`, or dump it with version {data} and restore it", dir.display()
    )]
    OtherVersion {
        /// The cluster.
        dir: PathBuf,
        /// The major version that wrote the data.
        data: u32,
        /// The major version that is installed.
        installed: u32,
    },
    /// The data belongs to somebody else.
    #[error(
        "{} belongs to user id {owner}, and this process (user id {user}) cannot run PostgreSQL \
         on it: start the server as its owner, or choose another data directory", path.display()
    )]
    OtherOwner {
        /// The cluster.
        path: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// Our user id.
        user: u32,
    },
    /// The cluster's directory holds something else.
    #[error(
        "{} is neither empty nor a PostgreSQL data directory: move it away, or choose another \
         data directory", path.display()
    )]
    NotACluster {
        /// The directory.
        path: PathBuf,
    },
    /// The data directory names a place for its cluster where there is none.
    #[error(
        "{} says that the data is in {}, but there is none: restore it there, or delete that file \
         to begin with an empty database", pointer.display(), target.display()
    )]
    LostCluster {
        /// The file that names the place.
        pointer: PathBuf,
        /// The place.
        target: PathBuf,
    },
    /// PostgreSQL refuses to run as root and there is nobody to run it as.
    #[error(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to \
         run it as: start the server as an ordinary user"
    )]
    NoUnprivilegedUser,
    /// `initdb` failed.
    #[error("`initdb` could not create the database cluster: {output}")]
    Initdb {
        /// What it said.
        output: String,
    },
    /// PostgreSQL went down while starting.
    #[error("PostgreSQL did not start; its log ({}) ends with:\n{tail}", log.display())]
    Start {
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// PostgreSQL took too long.
    #[error(
        "PostgreSQL (process {pid}) was {state} for over {seconds} seconds; see {}", log.display()
    )]
    Slow {
        /// The process.
        pid: i32,
        /// What it was doing.
        state: &'static str,
        /// How long we waited.
        seconds: u64,
        /// Where it logs.
        log: PathBuf,
    },
    /// A server that is not among the processes here answers for this data directory.
    #[error(
        "a PostgreSQL server on {} answers but is not among the processes visible here (another \
         container?): stop it first", dir.display()
    )]
    Elsewhere {
        /// The cluster.
        dir: PathBuf,
    },
    /// PostgreSQL runs, but a query of the launcher failed.
    #[error("the embedded PostgreSQL refused a query: {0}")]
    Query(#[from] sqlx::Error),
    /// The operating system refused something.
    #[error("{action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// Adds to an I/O error what was being done, and to what.
pub(super) fn io_error(action: &str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let action = format!("{action} {}", path.display());
    move |source| EmbeddedError::Io { action, source }
}
