//! Answers kept for idempotency keys: sealed, because they hold what their owner was shown.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool, Row};

use super::Secrets;

/// What is known of a key that was used.
pub struct Earlier {
    /// Hash of the request that used it.
    pub fingerprint: Vec<u8>,
    /// The kept answer, unless the server died before keeping it.
    pub answer: Option<Vec<u8>>,
}

/// The earlier use of a key, as [`IdempotencyKey::stored`](super::IdempotencyKey::stored) names it, if there was one.
///
/// # Errors
/// What the database answers.
pub async fn find(
    pool: &PgPool,
    secrets: &Secrets,
    user_id: i64,
    key: &str,
) -> Result<Option<Earlier>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT fingerprint, response FROM idempotency_keys WHERE user_id = $1 AND key = $2",
    )
    .bind(user_id)
    .bind(key)
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        let sealed: Option<Vec<u8>> = row.try_get(1)?;
        Ok(Earlier {
            fingerprint: row.try_get(0)?,
            answer: sealed.and_then(|sealed| open(secrets, &sealed)),
        })
    })
    .transpose()
}

/// What decides who may see a lead that an answer tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct LeadStanding {
    /// Which.
    pub lead_id: i64,
    /// Whose it is.
    pub company_id: i64,
    /// The access that it is assigned to.
    pub user_access_id: Option<i64>,
    /// Whether its personal data is shown to nobody.
    blocked: bool,
}

/// How the leads stand that the answer of a key tells of; a deleted one is left out.
///
/// # Errors
/// What the database answers.
pub async fn leads(
    pool: &PgPool,
    user_id: i64,
    key: &str,
) -> Result<Vec<LeadStanding>, sqlx::Error> {
    sqlx::query_as(
        "SELECT l.id AS lead_id, l.company_id, l.user_access_id, coalesce(e.status <> 'in_use', false) AS blocked \
         FROM idempotency_keys i JOIN leads l ON l.id = ANY(i.leads) LEFT JOIN lead_erasures e ON e.lead_id = l.id \
         WHERE i.user_id = $1 AND i.key = $2 ORDER BY l.id",
    )
    .bind(user_id)
    .bind(key)
    .fetch_all(pool)
    .await
}

/// Keeps the answer of a key, whether the ledger recorded it with an effect or the operation leaves no event; does nothing for an answer
/// that may tell about an erased lead. `now` is when it was used.
///
/// # Errors
/// What the database answers.
pub async fn keep(
    pool: &PgPool,
    secrets: &Secrets,
    user_id: i64,
    (key, fingerprint): (&str, &[u8]),
    answer: &[u8],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO idempotency_keys AS i (user_id, key, fingerprint, resource_id, position, created_at, response) \
         VALUES ($1, $2, $4, 0, 0, $5, $3) ON CONFLICT (user_id, key) DO UPDATE SET response = excluded.response \
         WHERE i.response IS NULL AND i.fingerprint = excluded.fingerprint \
         AND NOT EXISTS (SELECT 1 FROM destroyed_keys d WHERE d.aggregate_type = 'lead' AND d.aggregate_id = ANY(i.leads))",
    )
    .bind(user_id)
    .bind(key)
    .bind(seal(secrets, answer))
    .bind(fingerprint)
    .bind(now)
    .execute(pool)
    .await?;
    Ok(())
}

/// Forgets keys that were used more than 24 hours ago.
///
/// # Errors
/// What the database answers.
pub async fn forget_old(
    pool: &PgPool,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query("DELETE FROM idempotency_keys WHERE created_at < $1")
        .bind(now - chrono::TimeDelta::hours(24))
        .execute(pool)
        .await?;
    Ok(done.rows_affected())
}

fn cipher(secrets: &Secrets) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, secrets.responses());
    LessSafeKey::new(key.expect("the secret was made with 32 bytes"))
}

fn seal(secrets: &Secrets, answer: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).expect("the system's random source answers");
    let mut sealed = answer.to_vec();
    cipher(secrets)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut sealed,
        )
        .expect("an answer is far below the cipher's limit of 64 GiB");
    [nonce.as_slice(), &sealed].concat()
}

fn open(secrets: &Secrets, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
    let mut buffer = sealed.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let plain = cipher(secrets)
        .open_in_place(nonce, Aad::empty(), &mut buffer)
        .ok()?;
    Some(plain.to_vec())
}
