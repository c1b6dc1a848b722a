//! The failed rows of an import as CSV, in the original columns with the reason as the last one: made from the kept file, a few rows
//! in memory at a time.

use std::collections::BTreeMap;
use std::io::{self, Write};

use aggregates::import::ImportOptions;
use axum::body::Bytes;
use futures::Stream;
use projections::imports::list::{self, ImportRow};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::decision::message;
use super::engine::{self, Imports};
use super::files::{FileError, Spooled};
use super::rows::row_of;
use crate::tabular::{self, CsvWriter};

/// The header of the last column.
pub const REASON: &str = "reason";
/// How many commits' outcomes are read together.
const READ_TOGETHER: i64 = 50;
/// A piece of the answer has so many bytes, about.
const PIECE: usize = 64 * 1024;

type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// The file; `None` when the import's file is not kept any more.
///
/// # Errors
/// What disk, store and database answer.
pub async fn stream(
    imports: &Imports,
    import: &ImportRow,
) -> Result<Option<impl Stream<Item = io::Result<Bytes>> + use<>>, FileError> {
    let Some(file) = imports.files.fetch(&import.import_code).await? else {
        return Ok(None);
    };
    let (feed, pieces) = mpsc::channel(2);
    let options: ImportOptions = serde_json::from_value(import.options.clone()).unwrap_or_default();
    let writer = Writer {
        imports: imports.clone(),
        import: import.id,
        until: aggregates::import::FIRST_ROW + import.processed_rows(),
        handle: Handle::current(),
    };
    // A file without a header has no rows that could have failed.
    if let Ok(reader) = engine::open(file.open()?, &options).await {
        tokio::task::spawn_blocking(move || {
            if let Err(error) = writer.write(reader, &feed) {
                let _ = feed.blocking_send(Err(error));
            }
            drop::<Spooled>(file);
        });
    }
    Ok(Some(futures::stream::unfold(pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((piece, pieces))
    })))
}

struct Writer {
    imports: Imports,
    import: i64,
    /// The first row that is not processed yet, as the import's row says.
    until: i64,
    handle: Handle,
}

impl Writer {
    fn write(&self, mut reader: tabular::Reader, feed: &Pieces) -> io::Result<()> {
        let header = reader.header().to_vec();
        // So that spreadsheet programs take it for UTF-8.
        let mut csv = CsvWriter::new(Piece("\u{feff}".as_bytes().to_vec(), feed.clone()));
        // A file of failed rows that is mended in part and fails again has a reason already.
        let columns = header.len() - usize::from(header.last().is_some_and(|h| h == REASON));
        let names = header.iter().take(columns).map(String::as_str);
        csv.write_row(names.chain([REASON]))?;
        let mut after = 0;
        loop {
            let failed = self.next_failed(&mut after)?;
            let Some(failed) = failed else { break };
            let Some(last) = failed.keys().last().copied() else {
                continue;
            };
            for row in reader.by_ref() {
                let row = row.map_err(io::Error::other)?;
                let number = row_of(row.number);
                if let Some(reason) = failed.get(&number) {
                    let fields = row.fields.iter().map(String::as_str);
                    let fields = fields.chain(std::iter::repeat("")).take(columns);
                    csv.write_row(fields.chain([reason.as_str()]))?;
                }
                if number >= last {
                    break;
                }
            }
        }
        csv.finish()?.flush()
    }

    /// The next failed rows with their reasons; `None` after the last.
    fn next_failed(&self, after: &mut i64) -> io::Result<Option<BTreeMap<i64, String>>> {
        let chunks = self.handle.block_on(async {
            let mut connection = self.imports.pool.acquire().await?;
            list::outcomes_after(&mut connection, self.import, *after, READ_TOGETHER).await
        });
        let chunks = chunks.map_err(io::Error::other)?;
        let Some(last) = chunks.last() else {
            return Ok(None);
        };
        *after = last.first_row;
        let failed = chunks.into_iter().flat_map(|chunk| chunk.failed);
        let failed = failed.filter(|row| row.row < self.until);
        let reason = |code: &str, column: Option<&str>| message(code, column);
        Ok(Some(
            failed
                .map(|row| (row.row, reason(&row.code, row.column.as_deref())))
                .collect(),
        ))
    }
}

/// Gathers bytes and hands them over piece by piece. An error means that nobody wants more.
struct Piece(Vec<u8>, Pieces);

impl Write for Piece {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.len() >= PIECE {
            self.hand_over()?;
        }
        Ok(bytes.len())
    }

    // The writer flushes when it is full, which is too often for a piece.
    fn flush(&mut self) -> io::Result<()> {
        self.hand_over()
    }
}

impl Piece {
    fn hand_over(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.is_empty() {
            return Ok(());
        }
        let sent = self.1.blocking_send(Ok(bytes.into()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
