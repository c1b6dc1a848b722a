//! CSV, record by record, with bounds on every one: a quotation mark that is never closed cannot fill the memory.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};

use super::csv_quotes::Quotes;
use super::encoding::{self, Found, Utf8Reader};
use super::error::QUOTE_HINT;
use super::{Format, Limits, Options, RawRow, TabularError, csv_dialect};

/// Buffers begin with this many bytes and grow to the limits.
const FIRST_BUFFER: usize = 4 << 10;

pub(super) struct CsvReader {
    text: Utf8Reader<File>,
    parser: csv_core::Reader,
    limits: Limits,
    delimiter: u8,
    found: Found,
    output: Vec<u8>,
    ends: Vec<usize>,
    lines: Lines,
    quotes: Quotes,
}

impl std::fmt::Debug for CsvReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CsvReader")
            .field("delimiter", &self.delimiter)
            .field("found", &self.found)
            .finish_non_exhaustive()
    }
}

impl CsvReader {
    pub(super) fn open(mut file: File, options: &Options) -> Result<Self, TabularError> {
        let mut found = encoding::detect(&mut file)?;
        if let Some(encoding) = options.encoding {
            found.encoding = encoding;
        }
        file.seek(SeekFrom::Start(0))?;
        let mut text = Utf8Reader::new(file, found.encoding);
        let sample = text.next_piece()?;
        let dialect = csv_dialect::detect(sample);
        let mut lines = Lines::default();
        lines.count(&sample[..dialect.skip]);
        text.consume(dialect.skip);
        let delimiter = options.delimiter.unwrap_or(dialect.delimiter);
        Ok(Self {
            text,
            parser: ReaderBuilder::new()
                .delimiter(delimiter)
                .terminator(Terminator::CRLF)
                .build(),
            limits: options.limits,
            delimiter,
            found,
            output: vec![0; FIRST_BUFFER],
            ends: vec![0; 64],
            lines,
            quotes: Quotes::new(delimiter),
        })
    }

    pub(super) fn format(&self) -> Format {
        Format::Csv {
            delimiter: char::from(self.delimiter),
            encoding: self.found.encoding,
            damaged: self.found.damaged,
        }
    }

    pub(super) fn next_row(&mut self) -> Result<Option<RawRow>, TabularError> {
        let (mut written, mut fields) = (0, 0);
        let mut line = None;
        loop {
            let input = self.text.next_piece()?;
            let (result, read, wrote, ended) = self.parser.read_record(
                input,
                &mut self.output[written..],
                &mut self.ends[fields..],
            );
            let begins = self.lines.before(&input[..read]);
            if wrote > 0 || ended > 0 {
                line.get_or_insert(begins);
            }
            let at_end = input.is_empty();
            for &byte in &input[..read] {
                if let Some(line) = self.quotes.take(byte, self.lines.ended + 1) {
                    return Err(TabularError::OpenQuote { line });
                }
                self.lines.count(&[byte]);
            }
            if at_end && let Some(line) = self.quotes.open() {
                return Err(TabularError::OpenQuote { line });
            }
            self.text.consume(read);
            written += wrote;
            fields += ended;
            let line = line.unwrap_or(begins);
            let begun = fields.checked_sub(1).map_or(0, |last| self.ends[last]);
            if written - begun.min(written) > self.limits.cell_bytes {
                return Err(TabularError::CellTooLong {
                    limit: self.limits.cell_bytes,
                    line,
                    column: fields + 1,
                    hint: QUOTE_HINT,
                });
            }
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if written >= self.limits.row_bytes => {
                    return Err(TabularError::RowTooLong {
                        limit: self.limits.row_bytes,
                        line,
                        hint: QUOTE_HINT,
                    });
                }
                ReadRecordResult::OutputFull => {
                    let longer = (2 * self.output.len()).min(self.limits.row_bytes);
                    self.output.resize(longer, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    let more = (2 * self.ends.len()).min(self.limits.columns + 1);
                    self.ends.resize(more, 0);
                }
                ReadRecordResult::Record => return self.row(fields, line).map(Some),
                ReadRecordResult::End => return Ok(None),
            }
            if fields > self.limits.columns {
                return Err(TabularError::TooManyColumns {
                    limit: self.limits.columns,
                    line,
                });
            }
        }
    }

    fn row(&self, fields: usize, line: u64) -> Result<RawRow, TabularError> {
        if fields > self.limits.columns {
            return Err(TabularError::TooManyColumns {
                limit: self.limits.columns,
                line,
            });
        }
        if fields > 0 && self.ends[fields - 1] > self.limits.row_bytes {
            return Err(TabularError::RowTooLong {
                limit: self.limits.row_bytes,
                line,
                hint: QUOTE_HINT,
            });
        }
        let mut start = 0;
        let mut texts = Vec::with_capacity(fields);
        for (column, &end) in self.ends[..fields].iter().enumerate() {
            if end - start > self.limits.cell_bytes {
                return Err(TabularError::CellTooLong {
                    limit: self.limits.cell_bytes,
                    line,
                    column: column + 1,
                    hint: QUOTE_HINT,
                });
            }
            texts.push(String::from_utf8_lossy(&self.output[start..end]).into_owned());
            start = end;
        }
        Ok(RawRow {
            line,
            fields: texts,
        })
    }
}

/// Counts line ends of all three kinds.
#[derive(Debug, Default)]
struct Lines {
    ended: u64,
    after_return: bool,
}

impl Lines {
    /// The number of the line in which a record begins whose piece this is: blank lines and the rest of the last line end come before it.
    fn before(&self, piece: &[u8]) -> u64 {
        let blank = piece
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let mut skipped = Self { ..*self };
        skipped.count(&piece[..blank]);
        skipped.ended + 1
    }

    fn count(&mut self, piece: &[u8]) {
        for &byte in piece {
            match byte {
                b'\n' if self.after_return => {}
                b'\n' | b'\r' => self.ended += 1,
                _ => {}
            }
            self.after_return = byte == b'\r';
        }
    }
}
