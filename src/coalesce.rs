//! Reads that many requests make at the same time, carried out together: whoever waits when a connection comes free is served by
//! one query. A lone request is served at once; under load, a round trip is shared by dozens.
//!
//! A request's query always starts after the request was made, so that reading one's own write holds.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::ledger::moment::Reader;

/// The most requests that one query serves.
const TOGETHER: usize = 256;

/// Answers one value per key, in the keys' order.
pub type Load<K, V> =
    for<'a> fn(
        &'a mut PgConnection,
        &'a [K],
    ) -> Pin<Box<dyn Future<Output = Result<Vec<V>, sqlx::Error>> + Send + 'a>>;

type Waiting<K, V> = (K, oneshot::Sender<Result<V, sqlx::Error>>);

/// See the module's text. Cheap to clone; its tasks end with the last clone.
#[derive(Clone)]
pub struct Coalesced<K, V> {
    queue: mpsc::Sender<Waiting<K, V>>,
    load: Load<K, V>,
    /// Reads go here and share nothing: they are as of a moment of their own.
    reader: Option<Reader>,
}

impl<K: Send + Sync + 'static, V: Send + 'static> Coalesced<K, V> {
    /// Starts `connections` tasks, each with a connection of its own, which is opened when first needed.
    #[must_use]
    pub fn start(options: &PgConnectOptions, connections: usize, load: Load<K, V>) -> Self {
        let (queue, waiting) = mpsc::channel(10_000);
        let waiting = Arc::new(Mutex::new(waiting));
        // One fixed query each: planning it anew for every execution would cost more than running it.
        let options = options
            .clone()
            .options([("plan_cache_mode", "force_generic_plan"), ("jit", "off")]);
        for _ in 0..connections {
            tokio::spawn(run(options.clone(), waiting.clone(), load));
        }
        Self {
            queue,
            load,
            reader: None,
        }
    }

    /// The same read, each by itself on a connection of the reader's.
    #[must_use]
    pub fn on(&self, reader: &Reader) -> Self {
        Self {
            queue: self.queue.clone(),
            load: self.load,
            reader: Some(reader.clone()),
        }
    }

    /// The value of this key.
    ///
    /// # Errors
    /// What the database answers; `PoolTimedOut` when too many wait.
    pub async fn get(&self, key: K) -> Result<V, sqlx::Error> {
        if let Some(reader) = &self.reader {
            let mut connection = reader.acquire().await?;
            let mut values = (self.load)(&mut connection, std::slice::from_ref(&key)).await?;
            return values.pop().ok_or(sqlx::Error::RowNotFound);
        }
        let (reply, answer) = oneshot::channel();
        self.queue
            .try_send((key, reply))
            .map_err(|_| sqlx::Error::PoolTimedOut)?;
        answer.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }
}

async fn run<K, V>(
    options: PgConnectOptions,
    waiting: Arc<Mutex<mpsc::Receiver<Waiting<K, V>>>>,
    load: Load<K, V>,
) {
    let mut connection = None;
    loop {
        let mut requests = Vec::new();
        let mut queue = waiting.lock().await;
        if queue.recv_many(&mut requests, TOGETHER).await == 0 {
            return;
        }
        drop(queue);
        let (keys, replies): (Vec<K>, Vec<_>) = requests.into_iter().unzip();
        let answered = match answer(&mut connection, &options, load, &keys).await {
            // The connection may have died while it was idle: once more, on a new one.
            Err(error) if error.as_database_error().is_none() => {
                connection = None;
                answer(&mut connection, &options, load, &keys).await
            }
            answered => answered,
        };
        match answered {
            Ok(values) => {
                for (reply, value) in replies.into_iter().zip(values) {
                    // Nobody waits any more when the client hung up.
                    let _ = reply.send(Ok(value));
                }
            }
            Err(error) => {
                connection = None;
                tracing::warn!(kind = error.as_database_error().is_some(), "a read failed");
                for reply in replies {
                    let _ = reply.send(Err(sqlx::Error::PoolClosed));
                }
            }
        }
    }
}

async fn answer<K, V>(
    connection: &mut Option<PgConnection>,
    options: &PgConnectOptions,
    load: Load<K, V>,
    keys: &[K],
) -> Result<Vec<V>, sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(options.connect().await?),
    };
    load(connection, keys).await
}
