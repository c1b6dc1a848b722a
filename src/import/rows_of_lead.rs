//! The rows of kept files that hold the address or the number of a lead, as they came: also those that an import passed over or refused,
//! of which the lead's events say nothing.
//!
//! The files are those that its erasure would remove. How much one search reads is bounded, and it says what it did not read.

use std::time::{Duration, Instant};

use aggregates::import::ImportOptions;
use aggregates::lead::Contact;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::blocked::BlockedLeads;
use super::engine::{Imports, Wanted};
use super::files::{FileError, Spooled};
use super::rows::row_of;
use crate::ledger::erasure::FileAbout;
use crate::tabular;

/// The most bytes of files that one search reads.
const MOST_BYTES: i64 = 32_000_000;
/// How long one search goes on reading.
const LONGEST: Duration = Duration::from_secs(5);
/// The most rows that are given.
const MOST_ROWS: usize = 1_000;
/// After so many rows it is looked at the time.
const LOOKS_AFTER: u64 = 1_000;

/// How many searches read at a time: each takes a thread.
static SEARCHING: Semaphore = Semaphore::const_new(2);

/// A row as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRow {
    /// The import's.
    pub import_code: String,
    /// As imports number their rows.
    pub row: i64,
    /// What stands in it, by column; empty cells are left out.
    pub cells: Vec<(String, String)>,
}

/// What a search found.
#[derive(Debug, Default)]
pub struct FoundRows {
    /// The rows of the newest imports first.
    pub rows: Vec<FoundRow>,
    /// The codes of imports with a file that was not read to its end: too much to read, or not to be read.
    pub unread: Vec<String>,
}

/// Searches these files, in this order. Whom the lead was mistaken for before is somebody else: only what it is reached by now counts.
pub async fn search(imports: &Imports, files: Vec<FileAbout>, contact: &Contact) -> FoundRows {
    // One lead alone: its id tells nothing apart.
    let wanted = BlockedLeads::reached_by([(0, contact)]);
    let mut found = FoundRows::default();
    if wanted.is_empty() || files.is_empty() {
        return found;
    }
    // It is never closed; were it, searching on would be right. Who waits too long is told which files there are.
    let searching = timeout(LONGEST, SEARCHING.acquire()).await;
    let begun = Instant::now();
    let until = searching.as_ref().map_or(begun, |_| begun + LONGEST);
    let mut left = MOST_BYTES;
    for file in files {
        let is_too_much = file.size > left || found.rows.len() >= MOST_ROWS;
        if is_too_much || Instant::now() >= until {
            // One that is not kept any more is not missed.
            if !matches!(imports.files.is_kept(&file.import_code).await, Ok(false)) {
                found.unread.push(file.import_code);
            }
            continue;
        }
        match imports.files.fetch(&file.import_code).await {
            Ok(None) => {}
            Ok(Some(spooled)) => {
                left -= file.size;
                let rows = search_one(imports, &file, spooled, (&wanted, until)).await;
                let whole = rows.is_ok_and(|(rows, whole)| {
                    let room = MOST_ROWS - found.rows.len();
                    let all_fit = rows.len() <= room;
                    found.rows.extend(rows.into_iter().take(room));
                    whole && all_fit
                });
                if !whole {
                    found.unread.push(file.import_code);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a file of an import was not searched for the rows of a lead");
                found.unread.push(file.import_code);
            }
        }
    }
    found
}

/// The rows of one file, and whether that was all of it.
async fn search_one(
    imports: &Imports,
    file: &FileAbout,
    spooled: Spooled,
    (wanted, until): (&BlockedLeads, Instant),
) -> Result<(Vec<FoundRow>, bool), FileError> {
    let options: ImportOptions = serde_json::from_value(file.options.clone()).unwrap_or_default();
    let reader = imports
        .reader(spooled.open()?, Wanted::Rows, &options)
        .await;
    let Ok(reader) = reader else {
        return Ok((Vec::new(), false));
    };
    let (wanted, code) = (wanted.clone(), file.import_code.clone());
    let searching = tokio::task::spawn_blocking(move || {
        let found = rows_in(reader, &wanted, &code, until);
        drop::<Spooled>(spooled);
        found
    });
    // A reader that panics has met a damaged file.
    Ok(searching.await.unwrap_or_default())
}

fn rows_in(
    mut reader: tabular::Reader,
    wanted: &BlockedLeads,
    code: &str,
    until: Instant,
) -> (Vec<FoundRow>, bool) {
    let header = reader.header().to_vec();
    let mut found = Vec::new();
    for row in reader.by_ref() {
        let Ok(row) = row else {
            return (found, false);
        };
        if !wanted
            .named_in(row.fields.iter().map(String::as_str))
            .is_empty()
        {
            let name = |place: usize| {
                let known = header.get(place).filter(|name| !name.trim().is_empty());
                known.map_or_else(|| format!("column {}", place + 1), Clone::clone)
            };
            let cells = row.fields.iter().enumerate();
            let cells = cells.filter(|(_, cell)| !cell.trim().is_empty());
            found.push(FoundRow {
                import_code: code.to_owned(),
                row: row_of(row.number),
                cells: cells
                    .map(|(place, cell)| (name(place), cell.clone()))
                    .collect(),
            });
        }
        let is_late = row.number % LOOKS_AFTER == 0 && Instant::now() >= until;
        if is_late || found.len() > MOST_ROWS {
            return (found, false);
        }
    }
    (found, true)
}
