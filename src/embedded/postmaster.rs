//! What `postmaster.pid` and the process table say about a cluster's server.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::{
    error::{EmbeddedError, io_error},
    location::socket_in,
};

/// The contents of `postmaster.pid`.
#[derive(Debug)]
pub struct PidFile {
    pub pid: i32,
    /// Where it listens; missing for a moment after the start.
    pub socket_dir: Option<PathBuf>,
    pub state: State,
}

/// How far the server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Starting,
    Ready,
    Stopping,
}

impl State {
    /// For messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
        }
    }
}

impl PidFile {
    /// Reads the file, if there is one that makes sense.
    pub fn read(data: &Path) -> Result<Option<Self>, EmbeddedError> {
        let file = path(data);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("reading", &file)(error)),
        };
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let Some(pid) = lines.first().and_then(|pid| pid.parse().ok()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            pid,
            socket_dir: lines
                .get(4)
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from),
            state: match lines.get(7) {
                Some(&"ready") => State::Ready,
                Some(&"stopping") => State::Stopping,
                _ => State::Starting,
            },
        }))
    }

    /// Whether something accepts connections at the recorded place.
    pub fn answers(&self) -> bool {
        self.socket_dir
            .as_deref()
            .is_some_and(|dir| UnixStream::connect(socket_in(dir)).is_ok())
    }
}

/// Whether the process is the server of the cluster in `data` (a canonical path), and not another
/// one that got the number of a server long gone. A zombie is no server any more.
pub fn is_postmaster(pid: i32, data: &Path) -> bool {
    let Some(process) = Pid::from_raw(pid) else {
        return false;
    };
    if !Path::new("/proc/self").exists() {
        return test_kill_process(process).is_ok() && is_postmaster_by_ps(pid, data);
    }
    // The command line first: in a container even root may not read another user's `cwd`.
    let process = PathBuf::from(format!("/proc/{pid}"));
    let Ok(command_line) = fs::read(process.join("cmdline")) else {
        return false;
    };
    let mut arguments = command_line.split(|byte| *byte == 0);
    let program = arguments.next().unwrap_or_default();
    if !program.ends_with(b"postgres") && !program.ends_with(b"postmaster") {
        return false;
    }
    arguments.any(|argument| argument == data.as_os_str().as_bytes())
        || fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == data)
}

/// Tells the server to break off all sessions, write everything back and end.
pub fn shut_down(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It fails only if the process has just gone.
        let _ = kill_process(pid, Signal::INT);
    }
}

/// Keeps PostgreSQL from taking a process that has nothing to do with it for a running server.
///
/// The file is kept, with a number that no process has: it also names the shared memory in which
/// PostgreSQL recognises the surviving children of a killed server.
pub fn disown(data: &Path) -> Result<(), EmbeddedError> {
    let file = path(data);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("reading", &file)(error)),
    };
    let done = match text.split_once('\n') {
        // Written in place, so that it keeps its owner.
        Some((_, rest)) => fs::write(&file, format!("{}\n{rest}", i32::MAX)),
        // Cut short by a power failure; PostgreSQL would ask the operator to remove it.
        None => fs::remove_file(&file),
    };
    done.map_err(io_error("writing", &file))
}

/// Removes the lock on the socket that a server left behind which no longer runs.
pub fn remove_socket_lock(socket_dir: &Path) {
    let socket = socket_in(socket_dir);
    let mut lock = socket.into_os_string();
    lock.push(".lock");
    // PostgreSQL says so in its log if the file is there and in the way.
    let _ = fs::remove_file(lock);
}

fn path(data: &Path) -> PathBuf {
    data.join("postmaster.pid")
}

/// For systems without `/proc`.
fn is_postmaster_by_ps(pid: i32, data: &Path) -> bool {
    Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
        .is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).contains(&*data.to_string_lossy())
        })
}
