//! Invitations whose time is over expire.

use aggregates::invitation::{Invitation, InvitationCommand};
use futures::future::join_all;
use projections::invitations;

use super::{AT_MOST, TaskError};
use crate::app::App;
use crate::ledger::{CommitError, Provenance, StreamKey, StreamKind, Work};

/// Expires those that are due.
///
/// # Errors
/// What the database or the ledger answers.
pub async fn expire(app: &App) -> Result<u64, TaskError> {
    let mut connection = app.pool.acquire().await?;
    let due = invitations::due(&mut connection, app.clock.now(), AT_MOST).await?;
    drop(connection);
    let commits = due.into_iter().map(|id| {
        let work = Work::new(Provenance::system("worker"), move |unit| {
            let now = unit.now();
            unit.execute::<Invitation>(id, InvitationCommand::Expire { now })?;
            Ok(id)
        });
        app.ledger
            .commit(work.on(StreamKey::new(StreamKind::Invitation, id)))
    });
    count(join_all(commits).await)
}

/// How many were committed; one that a rule refused is settled too.
pub(super) fn count<T>(outcomes: Vec<Result<T, CommitError>>) -> Result<u64, TaskError> {
    let mut done = 0;
    for outcome in outcomes {
        match outcome {
            Ok(_) | Err(CommitError::Refused(_)) => done += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}
