//! Reading a file ahead of the ledger, on a thread of its own: a few chunks, never the whole file.

use std::fs::File;

use aggregates::import::{FIRST_ROW, ImportOptions};
use aggregates::phone::Region;
use tokio::sync::mpsc;

use super::columns::Columns;
use super::engine;
use super::rows::{self, ReadRow, RowFault};
use crate::tabular::{self, TabularError};

/// How many rows are read together.
const CHUNK: usize = 500;
/// How many chunks are read ahead.
const AHEAD: usize = 2;

/// A row that was read.
#[derive(Debug)]
pub struct Read {
    /// As a spreadsheet counts, the header being 1.
    pub row: i64,
    /// What stands in it, or why it is refused.
    pub said: Result<ReadRow, RowFault>,
}

/// Rows on their way; closed at the file's end.
pub type Ahead = mpsc::Receiver<Result<Vec<Read>, TabularError>>;

/// Counts the rows of a file, which also finds what is wrong with it before anything comes of it.
///
/// # Errors
/// What is wrong with the file.
pub async fn count(file: File, options: &ImportOptions) -> Result<i64, TabularError> {
    let reader = engine::open(file, options).await?;
    let counting = tokio::task::spawn_blocking(move || reader.count_rows());
    match counting.await {
        Ok(counted) => Ok(i64::try_from(counted?).unwrap_or(i64::MAX)),
        Err(_) => Err(TabularError::NoHeader),
    }
}

/// Begins to read at this row.
#[must_use]
pub fn ahead(mut reader: tabular::Reader, columns: Columns, region: Region, from: i64) -> Ahead {
    let (feed, ahead) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let number = u64::try_from(from - FIRST_ROW + 1).unwrap_or(1);
        if let Err(error) = reader.skip_to(number) {
            let _ = feed.blocking_send(Err(error));
            return;
        }
        let mut chunk = Vec::with_capacity(CHUNK);
        for row in reader {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    let _ = feed.blocking_send(Ok(chunk));
                    let _ = feed.blocking_send(Err(error));
                    return;
                }
            };
            chunk.push(Read {
                row: rows::row_of(row.number),
                said: rows::read(&columns, &row, region),
            });
            if chunk.len() == CHUNK {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                // Nobody listens any more when the import was called off.
                if feed.blocking_send(Ok(full)).is_err() {
                    return;
                }
            }
        }
        if !chunk.is_empty() {
            let _ = feed.blocking_send(Ok(chunk));
        }
    });
    ahead
}
