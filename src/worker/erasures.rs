//! What erasures leave outside of the ledger and the read tables is cleared.

use super::TaskError;
use crate::app::App;
use crate::ledger::erasure;

/// Clears what is due.
///
/// # Errors
/// What the database answers.
pub async fn clear(app: &App) -> Result<u64, TaskError> {
    Ok(erasure::clear(app.pool.today(), app.clock.now()).await?)
}
