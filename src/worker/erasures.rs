//! What erasures leave outside of the ledger and the read tables is cleared: kept answers, dead rows, and the whole files of the
//! imports that a lead came by or may have a row in, because a row cannot be taken out of them.

use crate::app::App;
use crate::ledger::erasure;

/// Clears what is due.
///
/// # Errors
/// What the database answers.
pub async fn clear(app: &App) -> Result<u64, sqlx::Error> {
    for code in erasure::imports_to_forget(app.pool.today()).await? {
        app.imports.files.remove(&code).await;
    }
    erasure::clear(app.pool.today(), app.clock.now()).await
}
