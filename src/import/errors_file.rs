//! The failed rows of an import as CSV, in the original columns with the reason as the last one: made from the kept file, a few rows
//! in memory at a time. Nothing of a row is left out: what stands beyond the header comes in columns of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};

use aggregates::import::{ImportOptions, RowOutcomes};
use axum::body::Bytes;
use futures::Stream;
use projections::imports::list::{self, ImportRow};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::decision::message;
use super::engine::{Imports, Wanted};
use super::files::{FileError, Spooled};
use super::rows::row_of;
use super::shown::{Audience, Watch};
use crate::tabular::{self, CsvWriter};

/// The header of the last column. As the last header of a file it says that the file is one of failed rows that were mended, and the column is passed over.
const REASON: &str = "import_failure_reason";
/// How many commits' outcomes are read together.
const READ_TOGETHER: i64 = 50;
/// A piece of the answer has so many bytes, about.
const PIECE: usize = 64 * 1024;

type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// The file, as the audience may see it; `None` when the import's file is not kept any more.
///
/// # Errors
/// What disk, store and database answer.
pub async fn stream(
    imports: &Imports,
    import: &ImportRow,
    audience: Audience,
) -> Result<Option<impl Stream<Item = io::Result<Bytes>> + use<>>, FileError> {
    let Some(file) = imports.files.fetch(&import.import_code).await? else {
        return Ok(None);
    };
    let (feed, pieces) = mpsc::channel(2);
    let options: ImportOptions = serde_json::from_value(import.options.clone()).unwrap_or_default();
    let handle = Handle::current();
    let mut writer = Writer {
        beyond: 0,
        imports: imports.clone(),
        import: import.id,
        until: aggregates::import::FIRST_ROW + import.processed_rows(),
        handle: handle.clone(),
    };
    // A file without a header has no rows that could have failed.
    let open = async |file: File| imports.reader(file, Wanted::Rows, &options).await;
    if let Ok(reader) = open(file.open()?).await {
        // Only a row that was refused, for this or for something else, has anything beyond the header.
        let wide = if import.failed_rows > 0 {
            open(file.open()?).await.ok()
        } else {
            None
        };
        tokio::task::spawn_blocking(move || {
            let mut watch = audience.begin(handle);
            if let Some(wide) = wide {
                writer.beyond = widest(wide);
            }
            if let Err(error) = writer.write(reader, &feed, &mut watch) {
                let _ = feed.blocking_send(Err(error));
            }
            // Also of an answer that was broken off.
            watch.finish();
            drop::<Spooled>(file);
        });
    }
    Ok(Some(futures::stream::unfold(pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((piece, pieces))
    })))
}

/// How many columns beyond the header hold something.
fn widest(reader: tabular::Reader) -> usize {
    let columns = reader.header().len();
    let widths = reader.map_while(Result::ok).map(|row| {
        let last = row
            .fields
            .iter()
            .rposition(|field| !field.trim().is_empty());
        last.map_or(0, |last| last + 1)
    });
    widths.max().unwrap_or_default().saturating_sub(columns)
}

/// The place of the column with the reasons for which these very rows had failed before, if there is one.
pub(super) fn earlier_reason(header: &[String]) -> Option<usize> {
    let last = header.len().checked_sub(1)?;
    (header[last] == REASON).then_some(last)
}

/// The header of the failed rows: the file's own but for earlier reasons, a name for each column beyond it, and one for the reason, none of them
/// twice.
fn header(own: &[String], beyond: usize) -> Vec<String> {
    let mut names = own[..earlier_reason(own).unwrap_or(own.len())].to_vec();
    let free = |names: &[String], name: &str| {
        let is_there = |wanted: &String| {
            let same = |there: &String| there.to_lowercase() == wanted.to_lowercase();
            names.iter().any(same)
        };
        let others = (2..).map(|n: usize| format!("{name} ({n})"));
        let mut all = std::iter::once(name.to_owned()).chain(others);
        all.find(|wanted| !is_there(wanted)).unwrap_or_default()
    };
    for n in 0..beyond {
        let name = free(&names, &format!("column {}", own.len() + n + 1));
        names.push(name);
    }
    let reason = free(&names, REASON);
    names.push(reason);
    names
}

struct Writer {
    imports: Imports,
    import: i64,
    /// The first row that is not processed yet, as the import's row says.
    until: i64,
    /// How many columns there are beyond the header.
    beyond: usize,
    handle: Handle,
}

impl Writer {
    fn write(
        &self,
        mut reader: tabular::Reader,
        feed: &Pieces,
        watch: &mut Watch,
    ) -> io::Result<()> {
        let passed_over = earlier_reason(reader.header());
        let header = header(reader.header(), self.beyond);
        let columns = header.len() - 1;
        // So that spreadsheet programs take it for UTF-8.
        let mut csv = CsvWriter::new(Piece("\u{feff}".as_bytes().to_vec(), feed.clone()));
        csv.write_row(header.iter().map(String::as_str))?;
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
                let cells = row.fields.iter().map(String::as_str);
                if let Some(reason) = failed.get(&number).filter(|_| watch.shows(cells)) {
                    let fields = row.fields.iter().enumerate();
                    let fields = fields.filter(|(place, _)| Some(*place) != passed_over);
                    let fields = fields.map(|(_, field)| field.as_str());
                    let fields = fields.chain(std::iter::repeat("")).take(columns);
                    csv.write_row(fields.chain([reason.as_str()]))?;
                }
                if number >= last {
                    break;
                }
            }
        }
        let mut last = csv.finish()?;
        watch.finish();
        last.flush()
    }

    /// What became of the rows of the next few commits; empty after the last.
    async fn outcomes(&self, after: &mut i64) -> io::Result<Vec<RowOutcomes>> {
        let connection = self.imports.pool.acquire().await;
        let mut connection = connection.map_err(io::Error::other)?;
        let chunks = list::outcomes_after(&mut connection, self.import, *after, READ_TOGETHER);
        let chunks = chunks.await.map_err(io::Error::other)?;
        *after = chunks.last().map_or(*after, |last| last.first_row);
        Ok(chunks)
    }

    /// The next failed rows with their reasons; `None` after the last.
    fn next_failed(&self, after: &mut i64) -> io::Result<Option<BTreeMap<i64, String>>> {
        let chunks = self.handle.block_on(self.outcomes(after))?;
        if chunks.is_empty() {
            return Ok(None);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_column_of_the_file_is_taken_for_the_reason() {
        let named = |own: &[&str], beyond| {
            let own: Vec<String> = own.iter().map(|&name| name.to_owned()).collect();
            header(&own, beyond).join(",")
        };
        assert_eq!(named(&["email"], 0), "email,import_failure_reason");
        assert_eq!(
            named(&["Import_Failure_Reason", "email"], 0),
            "Import_Failure_Reason,email,import_failure_reason (2)"
        );
        assert_eq!(
            named(&["email", "column 4", "a"], 2),
            "email,column 4,a,column 4 (2),column 5,import_failure_reason"
        );
        // A file of failed rows that was mended, and in part failed again.
        assert_eq!(
            named(&["email", "import_failure_reason"], 1),
            "email,column 3,import_failure_reason"
        );
    }
}
