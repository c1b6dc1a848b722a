//! Files of rows, as people have them: CSV in any dialect and encoding, and XLSX. Reading and writing are streams: of a file only the
//! row at hand is in memory.
//!
//! Knows neither HTTP nor the database nor what a column means. All calls block: use a blocking thread.

mod content;
mod csv_dialect;
mod csv_quotes;
mod csv_reader;
mod encoding;
mod error;
pub mod formula;
mod settled;
mod writers;
mod xlsx_bounds;
mod xlsx_cells;
mod xlsx_gate;
mod xlsx_reader;

use std::fs::File;
use std::path::Path;

pub use encoding::TextEncoding;
pub use error::TabularError;
pub use writers::{CsvWriter, XlsxSheet, XlsxWriter};

use content::Content;
use csv_reader::CsvReader;
use settled::{Settled, Settling};
use xlsx_reader::XlsxReader;

/// How much a file may hold. What is over a limit is refused with the limit named; memory stays bounded by them.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows below the header.
    pub rows: u64,
    /// Bytes of the file as it is stored (of an XLSX: packed).
    pub bytes: u64,
    /// Columns of the header and of every row.
    pub columns: usize,
    /// Bytes of one cell, in UTF-8.
    pub cell_bytes: usize,
    /// Bytes of all cells of one row, in UTF-8.
    pub row_bytes: usize,
    /// Bytes of all parts of an XLSX, unpacked.
    pub unpacked_bytes: u64,
    /// Bytes of an XLSX's table of texts, unpacked: the one part that has to be in memory.
    pub shared_text_bytes: u64,
    /// Texts in that table.
    pub shared_texts: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows: 1_000_000,
            bytes: 200_000_000,
            // A thousand, and the reason that is beside them in a file of failed rows.
            columns: 1_001,
            cell_bytes: 1 << 20,
            row_bytes: 4 << 20,
            unpacked_bytes: 2 << 30,
            shared_text_bytes: 64 << 20,
            shared_texts: 2_000_000,
        }
    }
}

/// What the caller knows better than the file says. Everything may be left out.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How much is too much.
    pub limits: Limits,
    /// The sheet to read, by name (case does not matter); the first one that has a usable header otherwise. CSV has no sheets.
    pub sheet: Option<String>,
    /// Tells a usable header, by its trimmed names, from a cover sheet; any header is usable when absent.
    pub usable: Option<fn(&[String]) -> bool>,
    /// What separates the fields of a CSV; detected when absent.
    pub delimiter: Option<u8>,
    /// The encoding of a CSV; detected when absent.
    pub encoding: Option<TextEncoding>,
}

/// How a file was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Text with delimited fields.
    Csv {
        /// What separates the fields: `,` `;` `|` or a tab.
        delimiter: char,
        /// The encoding of the text.
        encoding: TextEncoding,
        /// Whether bytes that mean nothing in that encoding were replaced with U+FFFD.
        damaged: bool,
    },
    /// A workbook of Excel 2007 and newer.
    Xlsx {
        /// The sheet that is read.
        sheet: String,
    },
}

/// A row below the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// 1-based, the header not counted; rows in which nothing stands are passed over and not counted.
    pub number: u64,
    /// Where it begins, as a text editor (CSV) or a spreadsheet program (XLSX) counts: 1-based, everything counted.
    pub line: u64,
    /// As they stand in the file, not trimmed; in a CSV without the mark of [`formula::neutralise`]. At least as many as the header has: missing ones are empty. More than that only when
    /// something stands beyond the header's last column.
    pub fields: Vec<String>,
}

/// An open file of rows: an iterator over them. After an error there are no more rows.
#[derive(Debug)]
pub struct Reader {
    header: Vec<String>,
    sheets: Vec<String>,
    format: Format,
    limits: Limits,
    rows: Rows,
    read: u64,
    ended: bool,
    /// How many rows there are, once that is known.
    total: Option<u64>,
}

#[derive(Debug)]
enum Rows {
    /// Its fields may be neutralised (see [`formula`]); those of a workbook never are.
    Csv(Box<CsvReader>),
    Xlsx(XlsxReader),
    Settled(Settled),
}

/// A row as a format's reader finds it.
#[derive(Debug)]
struct RawRow {
    line: u64,
    fields: Vec<String>,
}

impl RawRow {
    fn restored(mut self) -> Self {
        for field in &mut self.fields {
            if formula::restore(field).len() < field.len() {
                field.remove(0);
            }
        }
        self
    }

    fn is_blank(&self) -> bool {
        self.fields.iter().all(|field| field.trim().is_empty())
    }
}

/// Opens a file and reads its header. The format is told from the content; the file's name has no say.
///
/// # Errors
/// When the file has no format that can be read, no header, or is over a limit.
pub fn open(mut file: File, options: &Options) -> Result<Reader, TabularError> {
    let bytes = file.metadata()?.len();
    if bytes > options.limits.bytes {
        return Err(TabularError::TooManyBytes {
            limit: options.limits.bytes,
        });
    }
    match Content::of(&mut file)? {
        Content::Text => open_csv(file, options),
        Content::Zip => open_xlsx(file, options),
        Content::Utf32 => Err(TabularError::OtherEncoding { what: "UTF-32" }),
        Content::Other(what) => Err(TabularError::OtherFormat { what }),
    }
}

fn open_xlsx(file: File, options: &Options) -> Result<Reader, TabularError> {
    let weight = xlsx_bounds::check(&file, &options.limits)?;
    let (xlsx, opened) = XlsxReader::open(file, options, weight)?;
    Ok(Reader {
        header: opened.header,
        sheets: opened.sheets,
        format: Format::Xlsx {
            sheet: opened.sheet,
        },
        limits: options.limits,
        rows: Rows::Xlsx(xlsx),
        read: 0,
        ended: false,
        total: None,
    })
}

fn open_csv(file: File, options: &Options) -> Result<Reader, TabularError> {
    let mut csv = CsvReader::open(file, options)?;
    let header = loop {
        match csv.next_row()? {
            None => return Err(TabularError::NoHeader),
            Some(row) if row.is_blank() => {}
            Some(row) => break header_of(&row.restored()),
        }
    };
    Ok(Reader {
        header,
        sheets: Vec::new(),
        format: csv.format(),
        limits: options.limits,
        rows: Rows::Csv(Box::new(csv)),
        read: 0,
        ended: false,
        total: None,
    })
}

fn header_of(row: &RawRow) -> Vec<String> {
    let mut names: Vec<String> = row
        .fields
        .iter()
        .map(|name| one_line(name.trim()))
        .collect();
    while names.last().is_some_and(String::is_empty) {
        names.pop();
    }
    names
}

/// A name with line breaks in it, as spreadsheet programs have them in narrow columns, as they mean it.
fn one_line(name: &str) -> String {
    if name.contains(['\n', '\r', '\t']) {
        name.split_whitespace().collect::<Vec<_>>().join(" ")
    } else {
        name.to_owned()
    }
}

impl Reader {
    /// The names of the columns, trimmed and each on one line. A column without a name has an empty one, except at the end, where it is no column.
    #[must_use]
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The names of a workbook's sheets, in its order; empty for CSV.
    #[must_use]
    pub fn sheets(&self) -> &[String] {
        &self.sheets
    }

    /// How the file was understood.
    #[must_use]
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Reads the rows of a workbook to a file without a name in this folder, to be read from there: then nothing of the workbook is
    /// in memory any more. A CSV needs nothing of the kind and stays as it is.
    ///
    /// # Errors
    /// The first one that reading the workbook to its end meets.
    pub fn settle(mut self, folder: &Path) -> Result<Self, TabularError> {
        if !matches!(self.rows, Rows::Xlsx(_)) {
            return Ok(self);
        }
        let mut rows = Settling::begin(folder)?;
        while let Some(row) = self.next_row()? {
            if rows.write(row.line, &row.fields)? > self.limits.unpacked_bytes {
                return Err(TabularError::UnpacksTooLarge {
                    limit: self.limits.unpacked_bytes,
                });
            }
        }
        Ok(Self {
            rows: Rows::Settled(rows.finish()?),
            total: Some(self.read),
            read: 0,
            ended: false,
            ..self
        })
    }

    /// How many rows there are, where that is known without reading them: after [`Self::settle`] of a workbook.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Passes over rows so that the next one has this number (or, when the file is shorter, there is none).
    ///
    /// # Errors
    /// As for reading these rows.
    pub fn skip_to(&mut self, number: u64) -> Result<(), TabularError> {
        while self.read + 1 < number {
            if self.next_row()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Reads to the end and answers how many rows there were: also finds whatever is wrong with the file before anything comes of it.
    ///
    /// # Errors
    /// The first one that reading meets.
    pub fn count_rows(mut self) -> Result<u64, TabularError> {
        while self.next_row()?.is_some() {}
        Ok(self.read)
    }

    fn next_row(&mut self) -> Result<Option<Row>, TabularError> {
        if self.ended {
            return Ok(None);
        }
        let row = self.next_filled();
        self.ended = !matches!(row, Ok(Some(_)));
        row
    }

    fn next_filled(&mut self) -> Result<Option<Row>, TabularError> {
        loop {
            let raw = match &mut self.rows {
                Rows::Csv(csv) => csv.next_row()?.map(RawRow::restored),
                Rows::Xlsx(xlsx) => xlsx.next_row()?,
                Rows::Settled(settled) => settled.next_row()?,
            };
            let Some(raw) = raw else { return Ok(None) };
            if raw.is_blank() {
                continue;
            }
            if self.read == self.limits.rows {
                return Err(TabularError::TooManyRows {
                    limit: self.limits.rows,
                });
            }
            self.read += 1;
            let mut fields = raw.fields;
            let beyond = fields.iter().rposition(|field| !field.trim().is_empty());
            fields.truncate(self.header.len().max(beyond.map_or(0, |last| last + 1)));
            fields.resize(fields.len().max(self.header.len()), String::new());
            return Ok(Some(Row {
                number: self.read,
                line: raw.line,
                fields,
            }));
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Row, TabularError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}

#[cfg(test)]
mod csv_properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod xlsx_tests;
