//! Who uses a data directory: file locks, which the kernel takes back however a process ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use super::error::{EmbeddedError, io_error};

/// How often a lock that is not waited for in the kernel is tried.
const RETRY_EVERY: Duration = Duration::from_millis(10);

/// The two locks of a data directory. Each acquisition opens the file anew, so that two users in
/// one process exclude each other as two processes do.
#[derive(Clone, Debug)]
pub struct Locks {
    start: PathBuf,
    users: PathBuf,
}

impl Locks {
    pub fn new(data_dir: &Path) -> Self {
        Self {
            start: data_dir.join("postgres.start.lock"),
            users: data_dir.join("postgres.users.lock"),
        }
    }

    /// Whoever starts or stops the server holds this one.
    pub fn starting(&self) -> Result<File, EmbeddedError> {
        acquire(&self.start, File::lock)
    }

    /// As `starting`, but gives up after `patience`.
    pub fn starting_within(&self, patience: Duration) -> Result<Option<File>, EmbeddedError> {
        try_within(&self.start, patience)
    }

    /// Held shared by each user of the server.
    pub fn in_use(&self) -> Result<File, EmbeddedError> {
        acquire(&self.users, File::lock_shared)
    }

    /// Taken only if nobody uses the server. A process forked elsewhere in this program holds a
    /// copy of a lock until it executes its program, hence the second look.
    pub fn try_last(&self) -> Result<Option<File>, EmbeddedError> {
        try_within(&self.users, RETRY_EVERY * 2)
    }
}

fn acquire(path: &Path, lock: fn(&File) -> std::io::Result<()>) -> Result<File, EmbeddedError> {
    loop {
        let file = open(path)?;
        lock(&file).map_err(io_error("locking", path))?;
        if is_current(&file, path) {
            return Ok(file);
        }
    }
}

fn try_within(path: &Path, patience: Duration) -> Result<Option<File>, EmbeddedError> {
    let deadline = Instant::now() + patience;
    loop {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) if is_current(&file, path) => return Ok(Some(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(RETRY_EVERY),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(io_error("locking", path)(error)),
        }
    }
}

fn open(path: &Path) -> Result<File, EmbeddedError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io_error("opening the lock file", path))
}

/// A lock on a file that was deleted meanwhile (the data directory was removed) excludes nobody.
fn is_current(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(held), Ok(named)) => held.ino() == named.ino() && held.dev() == named.dev(),
        _ => false,
    }
}
