//! The index of the search while files go in.
//!
//! New rows wait in a list until they are sorted into the index; whoever finds the list too long does that, and everybody behind waits. A
//! file would make it so hundreds of times a minute. So its commits let the list grow, and it is sorted in beside them: large pieces take less
//! time and less of the log than many small ones. A search meanwhile looks through the list too.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::ledger::{search_index, statistics};

/// How long the list grows: some ten thousand rows.
const PAUSE: Duration = Duration::from_millis(500);

/// Sorting in, from [`Sorting::begin`] to [`Sorting::end`].
pub struct Sorting {
    task: JoinHandle<()>,
    end: Arc<Notify>,
}

impl Sorting {
    /// Begins, on a connection of its own.
    #[must_use]
    pub fn begin(options: &PgConnectOptions) -> Self {
        let end = Arc::new(Notify::new());
        let (options, ended) = (options.clone(), end.clone());
        let task = tokio::spawn(async move {
            let mut connection = None;
            loop {
                let pause = tokio::time::timeout(PAUSE, ended.notified()).await;
                if let Err(error) = sort_in(&options, &mut connection, pause.is_ok()).await {
                    // Whoever writes next sorts in what waits.
                    tracing::warn!(%error, "the index of the search is behind");
                    connection = None;
                }
                if pause.is_ok() {
                    return;
                }
            }
        });
        Self { task, end }
    }

    /// Sorts in what is left, lets the planner know how many leads there are now, and ends.
    pub async fn end(mut self) {
        self.end.notify_one();
        // A panic has been logged, and what waits is sorted in by others.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Sorting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn sort_in(
    options: &PgConnectOptions,
    connection: &mut Option<PgConnection>,
    last: bool,
) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(options.connect().await?),
    };
    search_index::sort_in(connection).await?;
    if last {
        statistics::refresh(connection).await?;
    }
    Ok(())
}
