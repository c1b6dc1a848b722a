//! Reading a file ahead of the ledger, on a thread of its own: a few chunks, never the whole file.

use std::fs::File;

use aggregates::import::{FIRST_ROW, ImportOptions};
use aggregates::phone::Region;
use tokio::sync::mpsc;

use super::columns::Columns;
use super::engine::{Imports, Wanted};
use super::rows::{self, ReadRow, RowFault};
use crate::tabular::{self, TabularError};

/// How many rows are read together, at most.
const CHUNK: usize = 500;
/// Rows of so many bytes are not joined by further ones. On its way into the ledger a byte of a long cell is held some twenty times over.
pub const CHUNK_BYTES: usize = 256 << 10;
/// How many chunks are read ahead.
const AHEAD: usize = 2;

/// A row that was read.
#[derive(Debug)]
pub struct Read {
    /// The header is 1; rows in which nothing stands are not counted.
    pub row: i64,
    /// What stands in it, or why it is refused.
    pub said: Result<ReadRow, RowFault>,
    /// How many bytes its cells have.
    pub bytes: usize,
}

/// Rows on their way; closed at the file's end.
pub type Ahead = mpsc::Receiver<Result<Vec<Read>, TabularError>>;

/// Counts the rows of a file, which also finds what is wrong with it before anything comes of it.
///
/// # Errors
/// What is wrong with the file.
pub async fn count(
    imports: &Imports,
    file: File,
    options: &ImportOptions,
) -> Result<i64, TabularError> {
    let reader = imports.reader(file, Wanted::Rows, options).await?;
    if let Some(total) = reader.total() {
        return Ok(i64::try_from(total).unwrap_or(i64::MAX));
    }
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
        let mut chunk_bytes = 0;
        for row in reader {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    let _ = feed.blocking_send(Ok(chunk));
                    let _ = feed.blocking_send(Err(error));
                    return;
                }
            };
            let bytes = row.fields.iter().map(String::len).sum();
            chunk.push(Read {
                row: rows::row_of(row.number),
                said: rows::read(&columns, &row, region),
                bytes,
            });
            chunk_bytes += bytes;
            if chunk.len() == CHUNK || chunk_bytes > CHUNK_BYTES {
                chunk_bytes = 0;
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
