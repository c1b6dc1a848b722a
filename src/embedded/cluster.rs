//! The cluster on disk: creating it, telling whose and of which version it is, configuring it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use super::{
    Settings, USER,
    binaries::{self, Binaries},
    error::{EmbeddedError, io_error},
    location,
    privileges::Account,
    process::clean_environment,
};

/// Our part of the configuration, written anew at each start.
const CONFIGURATION: &str = "leadledger.conf";

/// The main file of the configuration. `initdb` fills it with values that would override ours.
const MAIN_CONFIGURATION: &str = "\
# leadledger.conf holds the server's own settings and is written anew at each start.
# Settings of yours go below; they win.
include_if_exists 'leadledger.conf'
";

/// A cluster, and what it takes to run it.
#[derive(Debug)]
pub struct Cluster {
    /// Holds the cluster's directory and its socket's.
    pub home: PathBuf,
    /// PostgreSQL's data directory.
    pub data: PathBuf,
    pub log: PathBuf,
    pub account: Account,
    pub binaries: Binaries,
    durable: bool,
    max_connections: u32,
}

/// The place of the cluster in its home.
pub fn data_in(home: &Path) -> PathBuf {
    home.join("postgres")
}

/// Opens the data directory's cluster, creating it first if there is none.
pub fn open_or_create(data_dir: &Path, settings: &Settings) -> Result<Cluster, EmbeddedError> {
    let existing = location::existing_home(data_dir)?;
    let (home, account, data_major) = match existing.clone() {
        Some(home) => {
            let account = Account::owning(&data_in(&home))?;
            let major = major_version(&data_in(&home))?;
            (home, account, Some(major))
        }
        None => (data_dir.to_owned(), Account::for_new_cluster()?, None),
    };
    let data = data_in(&home);
    let binaries = binaries::find(
        settings.binaries.as_deref(),
        data_major.map(|major| (major, data.as_path())),
        &account,
    )?;
    let home = match existing {
        Some(home) => home,
        None => create(data_dir, &binaries, &account, settings.durable)?,
    };
    Ok(Cluster {
        data: data_in(&home),
        home,
        log: data_dir.join("postgres.log"),
        account,
        binaries,
        durable: settings.durable,
        max_connections: settings.max_connections,
    })
}

impl Cluster {
    /// Writes our settings into the cluster.
    pub fn configure(&self) -> Result<(), EmbeddedError> {
        let file = self.data.join(CONFIGURATION);
        fs::write(&file, self.configuration())
            .map_err(io_error("writing", &file))
            .and_then(|()| self.account.own(&file))
    }

    fn configuration(&self) -> String {
        let memory = memory_in_mb().unwrap_or(2048);
        let wal_compression = if self.knows_lz4() { "lz4" } else { "on" };
        let shared_buffers = if self.durable {
            (memory / 8).clamp(32, 256)
        } else {
            64
        };
        let mut text = format!(
            "# Written at each start; settings of yours belong into postgresql.conf.\n\
             max_connections = {}\n\
             shared_buffers = {shared_buffers}MB\n\
             effective_cache_size = {}MB\n\
             work_mem = {}MB\n\
             maintenance_work_mem = {}MB\n\
             max_wal_size = 2GB\n\
             wal_compression = {wal_compression}\n\
             checkpoint_timeout = 15min\n\
             checkpoint_completion_target = 0.9\n\
             random_page_cost = 1.1\n\
             jit = off\n\
             timezone = 'UTC'\n\
             log_timezone = 'UTC'\n\
             log_line_prefix = '%m [%p] '\n\
             log_checkpoints = off\n",
            self.max_connections,
            (memory / 2).max(64),
            (memory / 256).clamp(4, 16),
            (memory / 16).clamp(16, 128),
        );
        text.push_str(if self.durable {
            "fsync = on\n\
             synchronous_commit = on\n\
             full_page_writes = on\n"
        } else {
            "fsync = off\n\
             synchronous_commit = off\n\
             full_page_writes = off\n\
             wal_level = minimal\n\
             max_wal_senders = 0\n\
             min_wal_size = 80MB\n"
        });
        text
    }
}

impl Cluster {
    /// Whether the server can compress its log with LZ4, which takes a fraction of the time of its own method: since version 15, where
    /// it was built with that.
    fn knows_lz4(&self) -> bool {
        let mut command = Command::new(self.binaries.dir.join("postgres"));
        clean_environment(&mut command);
        self.account.apply(&mut command);
        command
            .arg("-D")
            .arg(&self.data)
            .args(["-c", "wal_compression=lz4", "-C", "wal_compression"])
            .current_dir("/")
            .stdin(Stdio::null());
        self.binaries.major >= 15
            && command
                .output()
                .is_ok_and(|said| said.status.success() && said.stdout.starts_with(b"lz4"))
    }
}

/// Builds a cluster aside and moves it to its place when it is complete, so that a half-made one
/// is never taken for a cluster.
fn create(
    data_dir: &Path,
    binaries: &Binaries,
    account: &Account,
    durable: bool,
) -> Result<PathBuf, EmbeddedError> {
    let home = location::new_home(data_dir, account)?;
    let draft = home.join("postgres.new");
    let mut output = None;
    for locale in locales(binaries.major) {
        // Also what is left of an attempt that was cut short; the start lock is ours.
        remove_dir(&draft)?;
        fs::create_dir(&draft).map_err(io_error("creating", &draft))?;
        account.own(&draft)?;
        let said = initdb(&draft, locale, binaries, account, durable)?;
        if said.status.success() {
            output = None;
            break;
        }
        let message = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        let other_locale_may_do = message.contains("locale") || message.contains("ICU");
        output = Some(message);
        if !other_locale_may_do {
            break;
        }
    }
    if let Some(output) = output {
        remove_dir(&draft)?;
        return Err(EmbeddedError::Initdb { output });
    }
    let main = draft.join("postgresql.conf");
    fs::write(&main, MAIN_CONFIGURATION).map_err(io_error("writing", &main))?;
    let data = data_in(&home);
    fs::rename(&draft, &data)
        .and_then(|()| fs::File::open(&home)?.sync_all())
        .map_err(io_error("moving the new cluster to", &data))?;
    location::remember_home(data_dir, &home)?;
    Ok(home)
}

/// Locales that sort by code point and know Unicode's letters, the one least bound to the machine
/// first. ICU sorts otherwise and the plain C locale knows ASCII only: better than no server.
fn locales(major: u32) -> impl Iterator<Item = &'static [&'static str]> {
    const BUILTIN: &[&str] = &[
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    ];
    const LIBC: &[&str] = &["--locale=C.UTF-8"];
    const ICU: &[&str] = &["--locale=C", "--locale-provider=icu", "--icu-locale=und"];
    const PLAIN: &[&str] = &["--locale=C"];
    [(17, BUILTIN), (0, LIBC), (15, ICU), (0, PLAIN)]
        .into_iter()
        .filter(move |(since, _)| major >= *since)
        .map(|(_, arguments)| arguments)
}

fn initdb(
    draft: &Path,
    locale: &[&str],
    binaries: &Binaries,
    account: &Account,
    durable: bool,
) -> Result<Output, EmbeddedError> {
    let program = binaries.dir.join("initdb");
    let mut command = Command::new(&program);
    clean_environment(&mut command);
    account.apply(&mut command);
    command
        .arg("-D")
        .arg(draft)
        // Whoever passes the socket's directory is the owner or root.
        .args(["--auth=trust", "--username", USER, "--encoding=UTF8"])
        .args(locale)
        .arg(if durable {
            "--data-checksums"
        } else {
            "--no-sync"
        })
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .map_err(io_error("running", &program))
}

/// The major version that wrote the data.
fn major_version(data: &Path) -> Result<u32, EmbeddedError> {
    fs::read_to_string(data.join("PG_VERSION"))
        .ok()
        // Before version 10 the major version was `9.6`.
        .and_then(|text| text.trim().split('.').next()?.parse().ok())
        .ok_or_else(|| EmbeddedError::NotACluster {
            path: data.to_owned(),
        })
}

fn remove_dir(dir: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("removing", dir)(error))
        }
        _ => Ok(()),
    }
}

/// The machine's memory, or what a container may use of it.
fn memory_in_mb() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes / 1024)
    });
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok())
        .map(|bytes| bytes / (1024 * 1024));
    machine.into_iter().chain(container).min()
}
