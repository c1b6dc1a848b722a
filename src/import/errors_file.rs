//! The failed rows of an import as CSV, in the original columns with the reason as the last one: made from the kept file, a few rows
//! in memory at a time.

use std::collections::BTreeMap;
use std::io;

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
use crate::tabular;

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
    let options: ImportOptions =
        serde_json::from_value(import.options.clone()).unwrap_or_default();
    let writer = Writer {
        imports: imports.clone(),
        import: import.id,
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
    handle: Handle,
}

impl Writer {
    fn write(&self, mut reader: tabular::Reader, feed: &Pieces) -> io::Result<()> {
        let header = reader.header().to_vec();
        let mut csv = csv::WriterBuilder::new().flexible(true).from_writer(
            // So that spreadsheet programs take it for UTF-8.
            "\u{feff}".as_bytes().to_vec(),
        );
        // A file of failed rows that is mended in part and fails again has a reason already.
        let columns = header.len() - usize::from(header.last().is_some_and(|h| h == REASON));
        let names = header.iter().take(columns).map(|name| harmless(name));
        csv.write_record(names.chain([REASON.to_owned()]))?;
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
                    let mut fields: Vec<_> = row.fields.iter().map(|field| harmless(field)).collect();
                    fields.resize(columns, String::new());
                    fields.push(reason.clone());
                    csv.write_record(&fields)?;
                    if csv.get_ref().len() > PIECE && !hand_over(&mut csv, feed)? {
                        return Ok(());
                    }
                }
                if number >= last {
                    break;
                }
            }
        }
        hand_over(&mut csv, feed)?;
        Ok(())
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
        let reason = |code: &str, column: Option<&str>| message(code, column);
        Ok(Some(
            failed
                .map(|row| (row.row, reason(&row.code, row.column.as_deref())))
                .collect(),
        ))
    }
}

/// Hands the bytes so far over; whether anybody still wants more.
fn hand_over(csv: &mut csv::Writer<Vec<u8>>, feed: &Pieces) -> io::Result<bool> {
    csv.flush()?;
    let full = std::mem::replace(
        csv,
        csv::WriterBuilder::new()
            .flexible(true)
            .from_writer(Vec::with_capacity(PIECE)),
    );
    let bytes = full.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(feed.blocking_send(Ok(bytes.into())).is_ok())
}

/// What a spreadsheet program would take for a formula begins with an apostrophe; numbers, phone numbers among them, stay.
fn harmless(field: &str) -> String {
    let mut rest = field.chars();
    let formula = match rest.next() {
        Some('=' | '@' | '\t' | '\r') => true,
        Some('+' | '-') => !rest.all(|c| c.is_ascii_digit() || " ().-,;/".contains(c)),
        _ => false,
    };
    if formula {
        format!("'{field}")
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn formulas_are_made_harmless_and_numbers_stay() {
        for formula in ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3+cmd"] {
            assert_eq!(harmless(formula), format!("'{formula}"));
        }
        for plain in ["+52 55 1234-5678", "-12.5", "Ana", ""] {
            assert_eq!(harmless(plain), plain);
        }
    }
}
