//! A checkpoint each minute in which the ledger grew, and what was signed written outside the database.

use chrono::Duration;

use super::TaskError;
use crate::app::App;
use crate::ledger::checkpoints::{self, ProofError};
use crate::ledger::proofs;

/// How long after a checkpoint the next one is made by itself.
const EVERY: Duration = Duration::minutes(1);

/// Makes a checkpoint if one is due.
///
/// # Errors
/// What the database answers, or that the ledger does not continue its latest checkpoint.
pub async fn sign(app: &App) -> Result<u64, TaskError> {
    let now = app.clock.now();
    let mut connection = app.pool.acquire().await?;
    let latest = checkpoints::latest(&mut connection).await?;
    if let Some(latest) = latest {
        let grew = proofs::size(&mut connection).await? != latest.size;
        if !grew || now < latest.made_at + EVERY {
            return Ok(0);
        }
    }
    drop(connection);
    match checkpoints::make_in_background(app.pool.today(), now).await {
        // Not there yet: the next round goes on.
        Ok(_) | Err(ProofError::Busy) => Ok(1),
        Err(error) => Err(error.into()),
    }
}

/// Writes the checkpoints that are not witnessed yet.
///
/// # Errors
/// What the database or the store answers.
pub async fn witness(app: &App) -> Result<u64, TaskError> {
    let mut connection = app.pool.acquire().await?;
    let due = checkpoints::to_witness(&mut connection).await?;
    let mut done = 0;
    for checkpoint in due {
        app.witness.write(checkpoint.size, &checkpoint.note).await?;
        checkpoints::mark_witnessed(&mut connection, checkpoint.id).await?;
        done += 1;
    }
    Ok(done)
}
