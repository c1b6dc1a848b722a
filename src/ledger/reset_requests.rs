//! Requests for a new password, as they come in without login. For a known and an unknown address the very same is done here,
//! so that neither the answer nor its time tells them apart; what becomes of a request is decided behind the answer.

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{FromRow, PgConnection, PgPool};

use crate::digests::hexadecimal;

use super::{Actor, Claim, IdempotencyKey, Provenance};

/// A request that nobody has looked at yet.
#[derive(Debug, Clone, FromRow)]
pub struct Waiting {
    /// The address, as the hash that is its claim.
    pub address_hash: Vec<u8>,
    /// When it came in.
    pub requested_at: DateTime<Utc>,
    request_id: Option<String>,
    ip: Option<String>,
    user_agent: Option<String>,
    /// The user who holds the address, if anybody does.
    pub user_id: Option<i64>,
}

impl Waiting {
    /// Where the request came from, for the event's metadata.
    #[must_use]
    pub fn provenance(&self) -> Provenance {
        Provenance {
            actor: Actor::Anonymous,
            request_id: self.request_id.clone(),
            ip: self.ip.clone(),
            user_agent: self.user_agent.clone(),
            reason: None,
            source: "api".to_owned(),
        }
    }

    /// Names this very request, so that it becomes one event however often it is tried.
    #[must_use]
    pub fn once(&self) -> IdempotencyKey {
        let micros = self.requested_at.timestamp_micros().to_be_bytes();
        let fingerprint = digest(&SHA256, &[&self.address_hash, micros.as_slice()].concat());
        let text = format!("password reset {}", hexadecimal(fingerprint.as_ref()));
        // No client can use a key of nobody's.
        IdempotencyKey::new(-1, &text, fingerprint.as_ref().to_vec())
    }
}

/// Records a request, unless there was one for this address less than a minute ago; answers whether it was recorded.
///
/// # Errors
/// What the database answers.
pub async fn record(
    pool: &PgPool,
    address: &Claim,
    provenance: &Provenance,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO password_reset_requests AS r (address_hash, requested_at, handled, request_id, ip, user_agent) \
         VALUES ($1, $2, false, $3, $4, $5) ON CONFLICT (address_hash) DO UPDATE SET requested_at = $2, handled = false, \
         request_id = $3, ip = $4, user_agent = $5 WHERE r.requested_at <= $6",
    )
    .bind(&address.value_hash)
    .bind(now)
    .bind(&provenance.request_id)
    .bind(&provenance.ip)
    .bind(&provenance.user_agent)
    .bind(now - TimeDelta::minutes(1))
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Requests that wait, oldest first, at most a hundred.
///
/// # Errors
/// What the database answers.
pub async fn waiting(connection: &mut PgConnection) -> Result<Vec<Waiting>, sqlx::Error> {
    sqlx::query_as(
        "SELECT r.address_hash, r.requested_at, r.request_id, r.ip, r.user_agent, c.aggregate_id AS user_id \
         FROM password_reset_requests r LEFT JOIN claims c ON c.kind = 'email' AND c.value_hash = r.address_hash \
         WHERE NOT r.handled ORDER BY r.requested_at LIMIT 100",
    )
    .fetch_all(connection)
    .await
}

/// Notes that a request was looked at; one that came in meanwhile for the same address still waits.
///
/// # Errors
/// What the database answers.
pub async fn handled(connection: &mut PgConnection, request: &Waiting) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE password_reset_requests SET handled = true WHERE address_hash = $1 AND requested_at = $2",
    )
    .bind(&request.address_hash)
    .bind(request.requested_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what is an hour old and was looked at.
///
/// # Errors
/// What the database answers.
pub async fn forget_old(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM password_reset_requests WHERE handled AND requested_at < $1")
        .bind(now - TimeDelta::hours(1))
        .execute(connection)
        .await?;
    Ok(())
}
