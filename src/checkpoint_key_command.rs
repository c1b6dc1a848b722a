//! `leadledger checkpoint-key`: the keys that sign checkpoints, at the console, beside whatever servers run on the database.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::clock::Clock;
use crate::config::{CheckpointKeyCommand, Settings};
use crate::database::Database;
use crate::ledger::checkpoints::{self, Key};

/// Carries the command out and answers what to print.
///
/// # Errors
/// A database that cannot be used, or a ledger that does not fit its proofs.
pub async fn run(settings: &Settings, command: &CheckpointKeyCommand) -> anyhow::Result<String> {
    let database = Database::existing(settings).await?;
    let now = Clock::system().now();
    let done = async {
        checkpoints::ensure_key(&database.pool, now).await?;
        if matches!(command, CheckpointKeyCommand::Rotate) {
            checkpoints::rotate(&database.pool, now).await?;
        }
        let keys = checkpoints::keys(&mut *database.pool.acquire().await?).await?;
        anyhow::Ok(listed(&keys))
    };
    let done = done.await;
    database.close().await;
    done
}

/// The keys, a line each: the key, since when it signs, and until when it did.
#[must_use]
pub fn listed(keys: &[Key]) -> String {
    let mut text = String::from("# key, valid from, valid until\n");
    for key in keys {
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let until = key.valid_until.map_or_else(|| "-".to_owned(), time);
        writeln!(text, "{} {} {until}", key.verifier, time(key.valid_from))
            .expect("writing into a String cannot fail");
    }
    text
}
