//! Trials become active, periods are renewed, cancelled subscriptions end.

use aggregates::subscription::{Subscription, SubscriptionCommand};
use futures::future::join_all;
use projections::subscriptions;

use super::invitations::count;
use super::{AT_MOST, TaskError};
use crate::app::App;
use crate::ledger::{Provenance, StreamKey, StreamKind, Work};

/// Does what is due.
///
/// # Errors
/// What the database or the ledger answers.
pub async fn pass_time(app: &App) -> Result<u64, TaskError> {
    let mut connection = app.pool.acquire().await?;
    let due = subscriptions::due(&mut connection, app.clock.now(), AT_MOST).await?;
    drop(connection);
    let commits = due.into_iter().map(|company| {
        let work = Work::new(Provenance::system("worker"), move |unit| {
            let now = unit.now();
            unit.execute::<Subscription>(company, SubscriptionCommand::PassTime { now })?;
            Ok(company)
        });
        app.ledger
            .commit(work.on(StreamKey::new(StreamKind::Subscription, company)))
    });
    count(join_all(commits).await)
}
