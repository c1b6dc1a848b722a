//! Files that stay where a process was killed while it wrote them: nobody reads them again, and what they hold is not to outlive what it is part of.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};

/// Nobody writes a file for longer.
const WRITTEN_WITHIN: TimeDelta = TimeDelta::hours(1);

/// Removes the files with such names in the folder and those below it that nobody has written to for an hour now, and answers how many they
/// were. A folder that is not there has none.
///
/// # Errors
/// What the disk answers.
pub async fn sweep(
    folder: &Path,
    is_named: fn(&str) -> bool,
    now: DateTime<Utc>,
) -> io::Result<u64> {
    let folder = folder.to_owned();
    let due = now - WRITTEN_WITHIN;
    tokio::task::spawn_blocking(move || sweep_until(due, folder, is_named))
        .await
        .map_err(io::Error::other)?
}

fn sweep_until(due: DateTime<Utc>, folder: PathBuf, is_named: fn(&str) -> bool) -> io::Result<u64> {
    let mut removed = 0;
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let about = match entry.metadata() {
                // Its writer was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                about => about?,
            };
            if about.is_dir() {
                folders.push(entry.path());
            } else if is_named(&entry.file_name().to_string_lossy())
                && DateTime::<Utc>::from(about.modified()?) < due
            {
                match std::fs::remove_file(entry.path()) {
                    // Another node was.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    outcome => {
                        outcome?;
                        removed += 1;
                    }
                }
            }
        }
    }
    Ok(removed)
}
