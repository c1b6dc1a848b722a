//! Running the server: adopting, starting and stopping it. Callers hold the start lock.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    PORT,
    cluster::Cluster,
    error::{EmbeddedError, io_error},
    location,
    postmaster::{self, PidFile, State},
};

const POLL_EVERY: Duration = Duration::from_millis(10);

/// The children of a killed server keep its shared memory until they notice.
const RETRY_FOR: Duration = Duration::from_secs(20);

/// Recovery after a crash replays up to `max_wal_size` of log, which takes minutes on a slow disk.
const START_PATIENCE: Duration = Duration::from_secs(600);

/// A log longer than this is put aside at the next start.
const LONGEST_LOG: u64 = 10 * 1024 * 1024;

/// The server process of a cluster.
#[derive(Debug)]
pub struct Server {
    cluster: Cluster,
    pid: i32,
    /// Present if we started it: then it is ours to reap, too.
    child: Option<Child>,
    socket_dir: PathBuf,
}

enum Launch {
    Ready,
    /// Children of its predecessor are in the way.
    TryAgain(EmbeddedError),
}

impl Server {
    pub fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            pid: 0,
            child: None,
            socket_dir: PathBuf::new(),
        }
    }

    /// Where the running server listens.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Whether the server still runs.
    pub fn is_alive(&mut self) -> bool {
        if let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(None) => return true,
                _ => self.child = None,
            }
        }
        postmaster::is_postmaster(self.pid, &self.cluster.data)
    }

    /// Adopts the cluster's server or starts it; answers whether it was adopted.
    pub fn ensure_running(&mut self) -> Result<bool, EmbeddedError> {
        let retry_until = Instant::now() + RETRY_FOR;
        loop {
            if self.adopt()? {
                return Ok(true);
            }
            match self.launch()? {
                Launch::Ready => return Ok(false),
                Launch::TryAgain(error) if Instant::now() >= retry_until => return Err(error),
                Launch::TryAgain(_) => sleep(POLL_EVERY * 10),
            }
        }
    }

    /// Stops the server and waits until it is gone.
    pub fn stop(&mut self, patience: Duration) -> Result<(), EmbeddedError> {
        let result = stop(&self.cluster.data, patience);
        // Reaps it.
        self.is_alive();
        result
    }

    fn adopt(&mut self) -> Result<bool, EmbeddedError> {
        let data = self.cluster.data.clone();
        let Some(found) = PidFile::read(&data)? else {
            return Ok(false);
        };
        if !postmaster::is_postmaster(found.pid, &data) {
            if found.answers() {
                return Err(EmbeddedError::Elsewhere { dir: data });
            }
            return Ok(false);
        }
        let deadline = Instant::now() + START_PATIENCE;
        while let Some(found) = running(&data)? {
            if found.state == State::Ready
                && let Some(socket_dir) = &found.socket_dir
            {
                if location::socket_in(socket_dir).exists() {
                    self.pid = found.pid;
                    socket_dir.clone_into(&mut self.socket_dir);
                    return Ok(true);
                }
                tracing::warn!("PostgreSQL's socket was deleted; starting it again");
                postmaster::shut_down(found.pid);
            }
            if Instant::now() >= deadline {
                return Err(self.slow(&found));
            }
            sleep(POLL_EVERY);
        }
        Ok(false)
    }

    fn launch(&mut self) -> Result<Launch, EmbeddedError> {
        let socket_dir = location::prepare_socket_dir(&self.cluster.home, &self.cluster.account)?;
        postmaster::disown(&self.cluster.data)?;
        postmaster::remove_socket_lock(&socket_dir);
        self.cluster.configure()?;
        let log = open_log(&self.cluster.log)?;
        let log_start = log.metadata().map_or(0, |metadata| metadata.len());
        let mut child = self.command(&socket_dir, log)?;
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let exited = child
                .try_wait()
                .map_err(io_error("waiting for", &self.cluster.data))?;
            if exited.is_some() {
                return self.failed_start(log_start);
            }
            let pid = i32::try_from(child.id()).unwrap_or_default();
            let found = PidFile::read(&self.cluster.data)?.filter(|found| found.pid == pid);
            if found
                .as_ref()
                .is_some_and(|found| found.state == State::Ready)
            {
                self.pid = pid;
                self.child = Some(child);
                self.socket_dir = socket_dir;
                return Ok(Launch::Ready);
            }
            if let Some(found) = found
                && Instant::now() >= deadline
            {
                return Err(self.slow(&found));
            }
            sleep(POLL_EVERY);
        }
    }

    fn command(&self, socket_dir: &Path, log: File) -> Result<Child, EmbeddedError> {
        let program = self.cluster.binaries.dir.join("postgres");
        let errors = log
            .try_clone()
            .map_err(io_error("opening", &self.cluster.log))?;
        // A list of directories, where quotes protect spaces and commas.
        let sockets = socket_dir.to_string_lossy().replace('"', "\"\"");
        let mut command = Command::new(&program);
        clean_environment(&mut command);
        self.cluster.account.apply(&mut command);
        command
            .arg("-D")
            .arg(&self.cluster.data)
            .args(["-c", "listen_addresses="])
            .args(["-c", &format!("port={PORT}")])
            .args(["-c", &format!("unix_socket_directories=\"{sockets}\"")])
            .args(["-c", "unix_socket_permissions=0700"])
            // Ours may be one that PostgreSQL's user cannot reach.
            .current_dir("/")
            // Ctrl-C reaches our whole process group; PostgreSQL must outlast the last request.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(io_error("running", &program))
    }

    fn failed_start(&self, log_start: u64) -> Result<Launch, EmbeddedError> {
        let said = read_from(&self.cluster.log, log_start);
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        let error = EmbeddedError::Start {
            log: self.cluster.log.clone(),
            tail,
        };
        let in_the_way = ["pre-existing shared memory block", "is another postmaster"];
        if in_the_way.iter().any(|sign| said.contains(sign)) {
            Ok(Launch::TryAgain(error))
        } else {
            Err(error)
        }
    }

    fn slow(&self, found: &PidFile) -> EmbeddedError {
        EmbeddedError::Slow {
            pid: found.pid,
            state: found.state.name(),
            seconds: START_PATIENCE.as_secs(),
            log: self.cluster.log.clone(),
        }
    }
}

/// Stops the server of the cluster in `data`, whoever started it, and waits until it is gone.
pub fn stop(data: &Path, patience: Duration) -> Result<(), EmbeddedError> {
    let deadline = Instant::now() + patience;
    let Some(found) = running(data)? else {
        return Ok(());
    };
    postmaster::shut_down(found.pid);
    while postmaster::is_postmaster(found.pid, data) {
        if Instant::now() >= deadline {
            return Err(EmbeddedError::Slow {
                pid: found.pid,
                state: State::Stopping.name(),
                seconds: patience.as_secs(),
                log: data.to_owned(),
            });
        }
        sleep(POLL_EVERY);
    }
    Ok(())
}

/// PostgreSQL's programs take settings from the environment, and the server's own secrets are none
/// of their business.
pub fn clean_environment(command: &mut Command) {
    command.env_clear();
    for name in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"] {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    // Their messages are read here.
    command.env("LC_ALL", "C");
}

fn running(data: &Path) -> Result<Option<PidFile>, EmbeddedError> {
    Ok(PidFile::read(data)?.filter(|found| postmaster::is_postmaster(found.pid, data)))
}

fn open_log(path: &Path) -> Result<File, EmbeddedError> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LONGEST_LOG) {
        fs::rename(path, path.with_extension("log.1")).map_err(io_error("renaming", path))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(io_error("opening", path))
}

fn read_from(path: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    // What cannot be read is missing from an error message, no more.
    let _ = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut bytes)
    });
    String::from_utf8_lossy(&bytes).into_owned()
}
