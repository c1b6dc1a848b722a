//! What erasures leave outside of the ledger and the read tables is cleared: kept answers, dead rows, and the whole files of the
//! imports that a lead came by or may have a row in, because a row cannot be taken out of them. So are the parts of uploads into its company,
//! and what the imports that it came by are called.

use crate::app::App;
use crate::ledger::certificates::{self, Registered};
use crate::ledger::checkpoints::ProofError;
use crate::ledger::erasure;

/// The certificate of an erasure, made if there is none yet; `None` when the ledger does not prove what there is to certify.
///
/// # Errors
/// See [`ProofError`].
pub async fn certificate(app: &App, erased: &Registered) -> Result<Option<String>, ProofError> {
    match certificates::certificate(app.pool.today(), erased, app.clock.now()).await {
        Ok(certificate) => Ok(Some(certificate)),
        Err(ProofError::Damaged(why)) => {
            let lead = erased.lead;
            tracing::error!(
                lead,
                why,
                "an erasure is not certified; see leadledger verify"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Certifies the erasures that have no certificate, because whoever erased was gone before there was one.
///
/// # Errors
/// What the database answers.
pub async fn certify(app: &App) -> Result<u64, ProofError> {
    let mut done = 0;
    for erased in certificates::missing(app.pool.today()).await? {
        done += u64::from(certificate(app, &erased).await?.is_some());
    }
    Ok(done)
}

/// Clears what is due.
///
/// # Errors
/// What the database answers.
pub async fn clear(app: &App) -> Result<u64, sqlx::Error> {
    for code in erasure::imports_to_forget(app.pool.today()).await? {
        app.imports.files.remove(&code).await;
    }
    for (company, until) in erasure::uploads_to_forget(app.pool.today()).await? {
        if let Err(error) = app.imports.files.remove_parts(company, until).await {
            tracing::warn!(%error, "parts of uploads stay in the store");
        }
    }
    erasure::forget_names(app.pool.today(), app.clock.now()).await?;
    erasure::clear(app.pool.today(), app.clock.now()).await
}
