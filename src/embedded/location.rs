//! Where a data directory's cluster and socket lie. Normally in the data directory itself, but
//! PostgreSQL may be unable to reach it there, and a socket's path must be short.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use aws_lc_rs::digest::{SHA256, digest};

use super::{
    PORT,
    cluster::data_in,
    error::{EmbeddedError, io_error},
    privileges::{Account, is_root},
};

/// Names the cluster's home if that is not the data directory.
const POINTER: &str = "postgres.location";

/// Where root keeps the clusters that PostgreSQL's user could not reach in their data directories.
const COMMON_HOME: &str = "/var/lib/leadledger";

/// Linux allows 107 bytes for a socket's path, macOS and the BSDs 103.
const LONGEST_SOCKET_PATH: usize = 103;

/// Creates the data directory and answers its canonical path.
pub fn prepare(data_dir: &Path) -> Result<PathBuf, EmbeddedError> {
    // Root's PostgreSQL runs as another user, who must pass through, but need not look around.
    let mode = if is_root() { 0o711 } else { 0o700 };
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(data_dir)
        .map_err(io_error("creating the data directory", data_dir))?;
    canonical(data_dir)
}

/// The path that stays the same wherever a process stands.
pub fn canonical(path: &Path) -> Result<PathBuf, EmbeddedError> {
    fs::canonicalize(path).map_err(io_error("reading", path))
}

/// The directory that holds the existing cluster, if there is one.
pub fn existing_home(data_dir: &Path) -> Result<Option<PathBuf>, EmbeddedError> {
    if is_filled(&data_in(data_dir))? {
        return Ok(Some(data_dir.to_owned()));
    }
    let pointer = data_dir.join(POINTER);
    let home = match fs::read_to_string(&pointer) {
        Ok(home) => PathBuf::from(home.trim_end()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("reading", &pointer)(error)),
    };
    if is_filled(&data_in(&home))? {
        Ok(Some(home))
    } else {
        Err(EmbeddedError::LostCluster {
            pointer,
            target: home,
        })
    }
}

/// A directory in which `account` can keep a new cluster: the data directory if it can go there.
pub fn new_home(data_dir: &Path, account: &Account) -> Result<PathBuf, EmbeddedError> {
    if account
        .can_enter(data_dir)
        .map_err(io_error("reading", data_dir))?
    {
        return Ok(data_dir.to_owned());
    }
    // Not by the hash alone: whoever deletes the data directory and starts again wants an empty
    // database, not the one that its predecessor kept here.
    let age = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let home =
        Path::new(COMMON_HOME).join(format!("{}-{:x}", short_hash(data_dir), age.as_micros()));
    for dir in [Path::new(COMMON_HOME), &home] {
        // The mode is set afterwards, because a strict umask would lock PostgreSQL's user out.
        fs::create_dir_all(dir)
            .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o711)))
            .map_err(io_error("creating", dir))?;
    }
    tracing::info!(
        home = %home.display(),
        "PostgreSQL's user cannot reach the data directory; the cluster is kept elsewhere"
    );
    Ok(home)
}

/// Has the data directory remember a finished cluster that lies elsewhere.
pub fn remember_home(data_dir: &Path, home: &Path) -> Result<(), EmbeddedError> {
    if home == data_dir {
        return Ok(());
    }
    let pointer = data_dir.join(POINTER);
    let draft = data_dir.join(format!("{POINTER}.new"));
    fs::write(&draft, format!("{}\n", home.display()))
        .and_then(|()| fs::rename(&draft, &pointer))
        .map_err(io_error("writing", &pointer))
}

/// Creates the socket's directory, for PostgreSQL's user (and root) alone: whoever can reach the
/// socket may do everything. PostgreSQL records the place, so later users need not work it out.
pub fn prepare_socket_dir(home: &Path, account: &Account) -> Result<PathBuf, EmbeddedError> {
    let dir = home.join("socket");
    if socket_in(&dir).as_os_str().len() <= LONGEST_SOCKET_PATH {
        return private_dir(&dir, account)?.ok_or_else(|| EmbeddedError::Io {
            action: format!("using {} for the socket", dir.display()),
            source: io::Error::other("it is not a private directory of PostgreSQL's user"),
        });
    }
    // In `/tmp` anybody may have taken the name.
    let hash = short_hash(home);
    for attempt in 0..10 {
        let dir = PathBuf::from(format!("/tmp/leadledger-{hash}-{attempt}"));
        if let Some(dir) = private_dir(&dir, account)? {
            return Ok(dir);
        }
    }
    Err(EmbeddedError::Io {
        action: format!("creating /tmp/leadledger-{hash}-0 for the socket"),
        source: io::ErrorKind::AlreadyExists.into(),
    })
}

/// The socket's file.
pub fn socket_in(dir: &Path) -> PathBuf {
    dir.join(format!(".s.PGSQL.{PORT}"))
}

/// Creates the directory or finds it as it should be; `None` if something else is in its place.
fn private_dir(dir: &Path, account: &Account) -> Result<Option<PathBuf>, EmbeddedError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => account.own(dir)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_error("creating", dir)(error)),
    }
    Ok(account.owns_privately(dir).then(|| dir.to_owned()))
}

/// Whether there is something in the directory. One that we may not look into is not ours to
/// create, so it counts; its owner is checked later.
fn is_filled(dir: &Path) -> Result<bool, EmbeddedError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(true),
        Err(error) => Err(io_error("reading", dir)(error)),
    }
}

fn short_hash(path: &Path) -> String {
    use std::fmt::Write as _;
    let hash = digest(&SHA256, path.as_os_str().as_encoded_bytes());
    hash.as_ref()[..6]
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
