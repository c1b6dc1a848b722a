//! Starts PostgreSQL again when it dies under its users (an out-of-memory kill, say).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{error::EmbeddedError, locks::Locks, process::Server};

const LOOK_EVERY: Duration = Duration::from_millis(250);
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A thread that watches the server. A thread and not a task: it blocks on processes and locks, and
/// must outlive whichever runtime happened to start it. Dropping this ends it.
#[derive(Debug)]
pub struct Supervisor {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    pub fn spawn(server: Arc<Mutex<Server>>, locks: Locks) -> Result<Self, EmbeddedError> {
        let (stop, stopped) = channel();
        let thread = thread::Builder::new()
            .name("postgres-supervisor".to_owned())
            .spawn(move || watch(&server, &locks, &stopped))
            .map_err(|source| EmbeddedError::Io {
                action: "starting the supervisor's thread".to_owned(),
                source,
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has said in the log what made it panic.
            let _ = thread.join();
        }
    }
}

fn watch(server: &Mutex<Server>, locks: &Locks, stopped: &Receiver<()>) {
    let mut pause = LOOK_EVERY;
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        pause = LOOK_EVERY;
        let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
        if server.is_alive() {
            continue;
        }
        tracing::warn!("the embedded PostgreSQL is gone; starting it again");
        // Among several users the first to take the lock starts it and the others adopt it. As we
        // hold the lock on its use, nobody has stopped it on purpose.
        let restarted = locks
            .starting()
            .and_then(|_starting| server.ensure_running());
        match restarted {
            Ok(_) => tracing::info!("the embedded PostgreSQL is back"),
            Err(error) => {
                tracing::error!(%error, "the embedded PostgreSQL could not be started again");
                pause = RETRY_AFTER;
            }
        }
    }
}
