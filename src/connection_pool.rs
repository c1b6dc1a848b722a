//! How the pools of connections to the database are set up, and how they find out that a connection is dead. No statement of the
//! product's is here.

use std::time::Duration;

use sqlx::Connection;
use sqlx::PgConnection;
use sqlx::postgres::PgPoolOptions;

/// A connection that was used so recently is taken for alive: a ping before each use would be a hidden round trip.
const REST: Duration = Duration::from_secs(1);

/// Settings of a pool of at most so many connections. Who finds none free waits three seconds. A connection that rested is asked whether
/// it is still there, so that nobody's request is the first to meet one that a restart of PostgreSQL has cut.
#[must_use]
pub fn settings(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(3))
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                answers_after(connection, about.idle_for).await?;
                Ok(true)
            })
        })
}

/// Whether the connection, which was not used for so long, can be used.
///
/// # Errors
/// When it rested and does not answer.
pub async fn answers_after(
    connection: &mut PgConnection,
    rested: Duration,
) -> Result<(), sqlx::Error> {
    if rested < REST {
        return Ok(());
    }
    connection.ping().await
}
