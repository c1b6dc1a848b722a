//! Checkpoints: made, signed, kept, and marked when they are witnessed; and the keys that sign them.
//!
//! One checkpoint at a time is made, over all nodes: whoever makes one holds an advisory lock until its transaction ends.

use chrono::{DateTime, SubsecRound, Utc};
use sqlx::error::DatabaseError;
use sqlx::{Connection, Executor, PgConnection, PgPool, Row};

use super::{stream_map, tree};
use crate::digests;
use crate::proof::checkpoint::Checkpoint;
use crate::proof::keys::TrustedKey;
use crate::proof::note::{self, Signer, VerifierKey};

/// The advisory lock of whoever makes checkpoints or changes their keys: the letters `leadsign`.
const LOCK: i64 = 0x6c65_6164_7369_676e;
/// How many events the map of streams takes in within one transaction, at most, and how many such steps whoever wants a checkpoint waits
/// for. A ledger that is far ahead of its map is caught up with in turns.
#[derive(Clone, Copy)]
struct Steps {
    events: i64,
    most: u32,
}

/// Of somebody who waits for an answer: what is done stays done, should they go away.
const ASKED: Steps = Steps {
    events: 20_000,
    most: 10,
};
/// In the background. The more at once, the fewer times a tile is written: in a ledger of millions of streams that is most of the work.
const IN_BACKGROUND: Steps = Steps {
    events: 500_000,
    most: 1,
};
/// How long they wait while another takes a step.
const PATIENCE: &str = "SET LOCAL lock_timeout = '5s'";
/// The name of the seed among the installation's secrets.
const SECRET: &str = "checkpoints";

/// Why there is no checkpoint or proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The database.
    #[error("the database: {0}")]
    Database(sqlx::Error),
    /// The ledger grows faster than checkpoints are made of it: later.
    #[error("the ledger grows too fast for a proof right now")]
    Busy,
    /// What is stored does not fit together: `leadledger verify` tells more.
    #[error("the ledger does not fit its proofs: {0}; see leadledger verify")]
    Damaged(&'static str),
}

impl From<sqlx::Error> for ProofError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::Damaged("something is missing"),
            error => Self::Database(error),
        }
    }
}

/// A checkpoint as kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Counted up.
    pub id: i64,
    /// How many events it covers.
    pub size: i64,
    /// The signed note.
    pub note: String,
    /// When it was made.
    pub made_at: DateTime<Utc>,
}

/// A key that signs or signed checkpoints.
#[derive(Debug, Clone)]
pub struct Key {
    /// `name+hash+base64`.
    pub verifier: String,
    /// Since when.
    pub valid_from: DateTime<Utc>,
    /// Until when; the present one has no end.
    pub valid_until: Option<DateTime<Utc>>,
}

impl Key {
    /// The key with its times; `None` when it is written as none.
    pub(super) fn trusted(&self) -> Option<TrustedKey> {
        Some(TrustedKey {
            key: VerifierKey::parse(&self.verifier).ok()?,
            from: Some(self.valid_from),
            until: self.valid_until,
        })
    }
}

const KEPT: &str = "SELECT id, tree_size, note, made_at FROM checkpoints";

fn kept(row: &sqlx::postgres::PgRow) -> Result<Kept, sqlx::Error> {
    Ok(Kept {
        id: row.try_get(0)?,
        size: row.try_get(1)?,
        note: row.try_get(2)?,
        made_at: row.try_get(3)?,
    })
}

/// The latest checkpoint.
///
/// # Errors
/// What the database answers.
pub async fn latest(connection: &mut PgConnection) -> Result<Option<Kept>, sqlx::Error> {
    let row = sqlx::query(&format!("{KEPT} ORDER BY id DESC LIMIT 1"))
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(kept).transpose()
}

/// A checkpoint of the ledger as it is: the latest one if nothing happened since, else a new one.
///
/// # Errors
/// See [`ProofError`]; what does not continue the latest checkpoint is not signed. [`ProofError::Busy`] when the map of streams is still far
/// behind: each call brings it on.
pub async fn make(pool: &PgPool, now: DateTime<Utc>) -> Result<Kept, ProofError> {
    make_in(pool, now, ASKED).await
}

/// [`make`], for whom nobody waits.
///
/// # Errors
/// As [`make`].
pub async fn make_in_background(pool: &PgPool, now: DateTime<Utc>) -> Result<Kept, ProofError> {
    make_in(pool, now, IN_BACKGROUND).await
}

async fn make_in(pool: &PgPool, now: DateTime<Utc>, steps: Steps) -> Result<Kept, ProofError> {
    for _ in 0..steps.most {
        let mut transaction = pool.begin().await?;
        transaction.execute(PATIENCE).await?;
        lock(&mut transaction).await.map_err(busy)?;
        let latest = latest(&mut transaction).await?;
        let end = super::proofs::size(&mut transaction).await?;
        let taken_in = stream_map::size(&mut transaction).await?;
        if let Some(latest) = latest.as_ref().filter(|latest| latest.size == end)
            && taken_in == end
        {
            return Ok(latest.clone());
        }
        if taken_in > end {
            return Err(ProofError::Damaged("the ledger is shorter than its map"));
        }
        if end - taken_in > steps.events {
            stream_map::advance(&mut transaction, taken_in, taken_in + steps.events).await?;
            transaction.commit().await?;
            continue;
        }
        let signer = signer(&mut transaction, now).await?;
        let now = in_order(&mut transaction, now).await?;
        let made = sign(&mut transaction, latest.as_ref(), &[&signer], now).await?;
        transaction.commit().await?;
        return Ok(made);
    }
    Err(ProofError::Busy)
}

fn busy(error: sqlx::Error) -> ProofError {
    let code = error.as_database_error().and_then(DatabaseError::code);
    if code.is_some_and(|code| code == "55P03") {
        ProofError::Busy
    } else {
        error.into()
    }
}

/// The time to sign at: not before the latest checkpoint and the beginning of the present key, whatever the clocks of several
/// servers say, and whoever waited for the lock. So each checkpoint lies within the time of the key that signs it. The caller holds
/// the lock in a transaction.
async fn in_order(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT greatest($1, (SELECT made_at FROM checkpoints ORDER BY id DESC LIMIT 1), \
         (SELECT valid_from FROM checkpoint_keys WHERE valid_until IS NULL))",
    )
    .bind(now)
    .fetch_one(connection)
    .await
}

/// Signs the ledger as it is and keeps the checkpoint. The caller holds the lock in a transaction.
async fn sign(
    connection: &mut PgConnection,
    latest: Option<&Kept>,
    signers: &[&Signer],
    now: DateTime<Utc>,
) -> Result<Kept, ProofError> {
    let end = super::proofs::size(connection).await?;
    let taken_in = stream_map::size(connection).await?;
    let streams = stream_map::advance(connection, taken_in, end).await?;
    let missing = ProofError::Damaged("the tree lacks nodes");
    let root = tree::frontier(connection, end)
        .await?
        .ok_or(missing)?
        .root();
    if let Some(latest) = latest {
        continues(connection, latest, end).await?;
    }
    let [first, ..] = signers else {
        return Err(ProofError::Damaged("there is no key to sign with"));
    };
    let checkpoint = Checkpoint {
        origin: first.public().name.clone(),
        size: tree::unsigned(end),
        root,
        streams,
        time: now.trunc_subsecs(0),
    };
    let row = sqlx::query(
        "INSERT INTO checkpoints (tree_size, note, made_at) VALUES ($1, $2, $3) RETURNING id, tree_size, note, made_at",
    )
    .bind(end)
    .bind(checkpoint.signed_by(signers))
    .bind(now)
    .fetch_one(connection)
    .await?;
    Ok(kept(&row)?)
}

/// Asks that the ledger still begins with what the latest checkpoint says: nothing else must ever be signed.
async fn continues(
    connection: &mut PgConnection,
    latest: &Kept,
    end: i64,
) -> Result<(), ProofError> {
    // Whether they held then is for `verify` to tell; a clock that was wrong once must not end all signing.
    let keys: Vec<TrustedKey> = keys(connection)
        .await?
        .iter()
        .filter_map(|key| Some(VerifierKey::parse(&key.verifier).ok()?.into()))
        .collect();
    let said = Checkpoint::open(&latest.note, &keys)
        .map_err(|_| ProofError::Damaged("the latest checkpoint is not signed by its keys"))?;
    let size = i64::try_from(said.size).unwrap_or(i64::MAX);
    if size > end {
        return Err(ProofError::Damaged(
            "the ledger is shorter than its latest checkpoint",
        ));
    }
    let then = tree::frontier(connection, size).await?;
    if then.map(|tree| tree.root()) == Some(said.root) {
        Ok(())
    } else {
        Err(ProofError::Damaged(
            "the ledger does not continue its latest checkpoint",
        ))
    }
}

async fn lock(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(connection)
        .await?;
    Ok(())
}

/// Every key, the oldest first.
///
/// # Errors
/// What the database answers.
pub async fn keys(connection: &mut PgConnection) -> Result<Vec<Key>, sqlx::Error> {
    // No time of ours is infinite, and sqlx ends the thread at one that somebody wrote.
    let rows = sqlx::query(
        "SELECT verifier, least(greatest(valid_from, '0001-01-01Z'), '9999-12-31Z'), \
         CASE WHEN valid_until IS NOT NULL THEN least(greatest(valid_until, '0001-01-01Z'), '9999-12-31Z') END \
         FROM checkpoint_keys ORDER BY id",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Key {
                verifier: row.try_get(0)?,
                valid_from: row.try_get(1)?,
                valid_until: row.try_get(2)?,
            })
        })
        .collect()
}

/// Every key with its times, the oldest first.
///
/// # Errors
/// What the database answers.
pub(super) async fn trusted(connection: &mut PgConnection) -> Result<Vec<TrustedKey>, sqlx::Error> {
    let keys = keys(connection).await?;
    Ok(keys.iter().filter_map(Key::trusted).collect())
}

/// Makes the first key if there is none. Safe to run on several nodes at once.
///
/// # Errors
/// See [`ProofError`].
pub async fn ensure_key(pool: &PgPool, now: DateTime<Utc>) -> Result<(), ProofError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction).await?;
    signer(&mut transaction, now).await?;
    transaction.commit().await?;
    Ok(())
}

/// The present key, made if there is none yet. The caller holds the lock in a transaction.
async fn signer(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<Signer, ProofError> {
    let row = sqlx::query(
        "SELECT k.verifier, s.value FROM checkpoint_keys k LEFT JOIN server_secrets s ON s.name = $1 \
         WHERE k.valid_until IS NULL",
    )
    .bind(SECRET)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        let mut id = [0; 8];
        aws_lc_rs::rand::fill(&mut id).expect("the system's random source answers");
        let name = format!("leadledger/{}", digests::hexadecimal(&id));
        return new_key(connection, &name, now).await;
    };
    let (verifier, seed): (String, Option<Vec<u8>>) = (row.try_get(0)?, row.try_get(1)?);
    let name = verifier.split('+').next().unwrap_or_default();
    seed.and_then(|seed| Signer::from_seed(name, &seed))
        .filter(|signer| signer.public().to_string() == verifier)
        .ok_or(ProofError::Damaged(
            "the key that signs checkpoints is lost",
        ))
}

async fn new_key(
    connection: &mut PgConnection,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Signer, ProofError> {
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).expect("the system's random source answers");
    let signer =
        Signer::from_seed(name, &seed).ok_or(ProofError::Damaged("the key's name is none"))?;
    sqlx::query(
        "INSERT INTO server_secrets (name, value) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(SECRET)
    .bind(seed.as_slice())
    .execute(&mut *connection)
    .await?;
    sqlx::query("INSERT INTO checkpoint_keys (verifier, valid_from) VALUES ($1, $2)")
        .bind(signer.public().to_string())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(signer)
}

/// Replaces the present key by a new one of the same name, which signs from now on. The ledger as it is now is signed by both,
/// so that whoever trusts the old key can trust the new one; then the old one is destroyed.
///
/// # Errors
/// See [`ProofError`].
pub async fn rotate(pool: &PgPool, now: DateTime<Utc>) -> Result<Key, ProofError> {
    make(pool, now).await?;
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    lock(&mut transaction).await?;
    let old = signer(&mut transaction, now).await?;
    let now = in_order(&mut transaction, now).await?;
    sqlx::query("UPDATE checkpoint_keys SET valid_until = $1 WHERE valid_until IS NULL")
        .bind(now)
        .execute(&mut *transaction)
        .await?;
    let new = new_key(&mut transaction, &old.public().name, now).await?;
    let latest = latest(&mut transaction).await?;
    sign(&mut transaction, latest.as_ref(), &[&old, &new], now).await?;
    transaction.commit().await?;
    Ok(Key {
        verifier: new.public().to_string(),
        valid_from: now,
        valid_until: None,
    })
}

/// Works out the tree from its leaves, and makes the map of streams anew: evidence, also of earlier moments, is there again when it ends.
///
/// # Errors
/// See [`ProofError`].
pub async fn rebuild(connection: &mut PgConnection) -> Result<(), ProofError> {
    tree::rebuild(connection).await?;
    let mut transaction = connection.begin().await?;
    lock(&mut transaction).await?;
    stream_map::forget(&mut transaction).await?;
    transaction.commit().await?;
    loop {
        let mut transaction = connection.begin().await?;
        lock(&mut transaction).await?;
        let end = super::proofs::size(&mut transaction).await?;
        let taken_in = stream_map::size(&mut transaction).await?;
        if taken_in >= end {
            return Ok(());
        }
        let next = end.min(taken_in + IN_BACKGROUND.events);
        stream_map::advance(&mut transaction, taken_in, next).await?;
        transaction.commit().await?;
    }
}

/// A text of the installation's own, which is no checkpoint, signed by the present key; `text` is told the key's name.
///
/// # Errors
/// See [`ProofError`].
pub async fn sign_text(
    pool: &PgPool,
    now: DateTime<Utc>,
    text: impl FnOnce(&str) -> String + Send,
) -> Result<String, ProofError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction).await?;
    let signer = signer(&mut transaction, now).await?;
    transaction.commit().await?;
    Ok(note::sign(&text(&signer.public().name), &[&signer]))
}

/// The checkpoints that are not witnessed yet, the oldest first, as far as one round goes.
///
/// # Errors
/// What the database answers.
pub async fn to_witness(connection: &mut PgConnection) -> Result<Vec<Kept>, sqlx::Error> {
    let rows = sqlx::query(&format!("{KEPT} WHERE NOT witnessed ORDER BY id LIMIT 100"))
        .fetch_all(connection)
        .await?;
    rows.iter().map(kept).collect()
}

/// The last checkpoint that is marked as written outside the database; 0 when none is.
///
/// # Errors
/// What the database answers.
pub async fn last_witnessed(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM checkpoints WHERE witnessed")
        .fetch_one(connection)
        .await
}

/// Marks a checkpoint as written outside the database.
///
/// # Errors
/// What the database answers.
pub async fn mark_witnessed(connection: &mut PgConnection, id: i64) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE checkpoints SET witnessed = true WHERE id = $1")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}
