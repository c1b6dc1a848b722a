//! How far the delivery of mails is: which row of the outbox was sent when, and when the next attempt is due. Not a read
//! model: a rebuild must not send anything again.
//!
//! Everything here is done on the connection that holds [`take_turn`]'s lock, so that a node that lost its connection, and
//! with it the lock, cannot begin another delivery.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

/// Whoever holds it delivers, cluster-wide.
const LOCK: i64 = 0x6c65_6164_6d61_696c;

/// A mail whose time has come.
#[derive(Debug, Clone, FromRow)]
pub struct Due {
    /// Of the event that caused it.
    pub position: i64,
    /// Which mail.
    pub kind: String,
    /// The user or invitation.
    pub subject_id: i64,
    /// What its link is derived from.
    pub nonce: String,
    /// When the link stops to hold.
    pub expires_at: DateTime<Utc>,
    /// How often it was tried.
    pub attempts: i32,
}

/// What became of a mail for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The mail server (or the mailbox folder) has it.
    Sent,
    /// Its link stopped to hold before any attempt succeeded.
    Expired,
    /// There is nobody to send it to, or no valid address.
    NoRecipient,
}

impl Outcome {
    const fn code(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Expired => "expired",
            Self::NoRecipient => "no_recipient",
        }
    }
}

/// Whether this connection is the one that delivers, from now until it ends.
///
/// # Errors
/// What the database answers.
pub async fn take_turn(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(connection)
        .await
}

/// Takes what the outbox has beyond the mark. Positions become visible in their order, so that nothing can come in below it.
///
/// # Errors
/// What the database answers.
pub async fn take_new(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH new AS (SELECT o.position FROM mail_outbox o, mail_deliveries_mark m WHERE o.position > m.position), \
         taken AS (INSERT INTO mail_deliveries (position, next_attempt_at) SELECT position, $1 FROM new ON CONFLICT DO NOTHING) \
         UPDATE mail_deliveries_mark SET position = n.last FROM (SELECT max(position) AS last FROM new) n WHERE n.last IS NOT NULL",
    )
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Mails that are due, longest waiting first, at most fifty.
///
/// # Errors
/// What the database answers.
pub async fn due(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query_as(
        "SELECT d.position, o.kind, o.subject_id, o.nonce, o.expires_at, d.attempts FROM mail_deliveries d \
         JOIN mail_outbox o ON o.position = d.position WHERE d.outcome IS NULL AND d.next_attempt_at <= $1 \
         ORDER BY d.next_attempt_at, d.position LIMIT 50",
    )
    .bind(now)
    .fetch_all(connection)
    .await
}

/// Notes that an attempt begins: nobody tries again before `again_at`, also should this process end now.
///
/// # Errors
/// What the database answers.
pub async fn begin(
    connection: &mut PgConnection,
    position: i64,
    again_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE mail_deliveries SET attempts = attempts + 1, next_attempt_at = $2 WHERE position = $1",
    )
    .bind(position)
    .bind(again_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes when a failed attempt is repeated.
///
/// # Errors
/// What the database answers.
pub async fn put_off(
    connection: &mut PgConnection,
    position: i64,
    until: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE mail_deliveries SET next_attempt_at = $2 WHERE position = $1")
        .bind(position)
        .bind(until)
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes what became of a mail.
///
/// # Errors
/// What the database answers.
pub async fn settle(
    connection: &mut PgConnection,
    position: i64,
    outcome: Outcome,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE mail_deliveries SET outcome = $2, settled_at = $3 WHERE position = $1")
        .bind(position)
        .bind(outcome.code())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}
