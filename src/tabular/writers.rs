//! Writing rows: as CSV, and as XLSX by way of files on disk, so that memory stays the same however many rows there are.

use std::fs::File;
use std::io::{self, Write};

use rust_xlsxwriter::{
    DataValidation, DocProperties, ExcelDateTime, Format, Formula, Workbook, Worksheet, XlsxError,
};

use super::formula;

/// The most rows of a sheet, the header included; what spreadsheet programs can open.
const SHEET_ROWS: u32 = 1_048_576;
/// The most characters of a cell.
const CELL_CHARS: usize = 32_767;

/// Writes CSV: commas, CRLF, quotation marks where needed (RFC 4180), formulas neutralised.
pub struct CsvWriter<W: Write>(csv::Writer<W>);

impl<W: Write> CsvWriter<W> {
    /// Writes to this.
    pub fn new(to: W) -> Self {
        Self(
            csv::WriterBuilder::new()
                .flexible(true)
                .terminator(csv::Terminator::CRLF)
                .from_writer(to),
        )
    }

    /// Writes a row, the header like any other.
    ///
    /// # Errors
    /// What the destination answers.
    pub fn write_row<'a>(&mut self, fields: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        for field in fields {
            self.0.write_field(formula::neutralise(field).as_bytes())?;
        }
        self.0.write_record(None::<&[u8]>)?;
        Ok(())
    }

    /// Writes out what is still held, and gives back the destination.
    ///
    /// # Errors
    /// What the destination answers.
    pub fn finish(self) -> io::Result<W> {
        self.0.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// A list of values in a workbook that a column of another sheet can be filled from.
#[derive(Debug, Clone)]
pub struct XlsxSheet {
    /// The name of the sheet.
    pub name: String,
    /// Columns: a heading and what stands under it.
    pub columns: Vec<(String, Vec<String>)>,
    /// Columns of the first sheet (from 0) that offer a drop-down list, each with the column of this one (from 0) that the list is.
    pub offered: Vec<(u16, u16)>,
}

/// Writes a workbook whose first sheet grows row by row. All cells are texts: nothing in them is ever run, and a phone number keeps
/// its `+` and its zeros.
pub struct XlsxWriter {
    workbook: Workbook,
    heading: Format,
    row: u32,
}

impl XlsxWriter {
    /// Begins a workbook whose first sheet has this name and header.
    ///
    /// # Errors
    /// When no file for what is written can be made.
    pub fn new(sheet: &str, header: &[String]) -> io::Result<Self> {
        let mut workbook = Workbook::new();
        // The same content is the same file, whenever it is written: else an answer as of a moment would not be the one of then.
        let created = ExcelDateTime::from_ymd(2000, 1, 1).map_err(io::Error::other)?;
        workbook.set_properties(&DocProperties::new().set_creation_datetime(&created));
        let mut writer = Self {
            workbook,
            heading: Format::new().set_bold(),
            row: 1,
        };
        let heading = writer.heading.clone();
        let sheet = writer
            .workbook
            .add_worksheet_with_constant_memory()
            .and_then(|added| added.set_name(sheet))
            .map_err(io::Error::other)?;
        // Column widths come before rows in the file, so they are set first.
        for (name, column) in header.iter().zip(0..) {
            let width = name.chars().count().clamp(12, 40);
            set_width(sheet, column, width).map_err(io::Error::other)?;
        }
        sheet.set_freeze_panes(1, 0).map_err(io::Error::other)?;
        for (name, column) in header.iter().zip(0..) {
            sheet
                .write_string_with_format(0, column, shortened(name), &heading)
                .map_err(io::Error::other)?;
        }
        Ok(writer)
    }

    /// Writes a row. Answers `false`, and writes nothing, when the sheet has as many as a sheet can hold.
    ///
    /// # Errors
    /// What the disk answers, and when there are more columns than a sheet can hold.
    pub fn write_row<'a>(&mut self, fields: impl IntoIterator<Item = &'a str>) -> io::Result<bool> {
        if self.row == SHEET_ROWS {
            return Ok(false);
        }
        let row = self.row;
        let sheet = self.first_sheet()?;
        for (field, column) in fields.into_iter().zip(0..) {
            if !field.is_empty() {
                sheet
                    .write_string(row, column, shortened(field))
                    .map_err(io::Error::other)?;
            }
        }
        self.row += 1;
        Ok(true)
    }

    /// Adds a sheet of lists, and the drop-downs on the first sheet that offer them. Other values are let through with a warning:
    /// an import says better what is wrong with them.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn add_lists(&mut self, lists: &XlsxSheet) -> io::Result<()> {
        let heading = self.heading.clone();
        let sheet = self.workbook.add_worksheet();
        write_lists(sheet, lists, &heading).map_err(io::Error::other)?;
        for &(column, list) in &lists.offered {
            let values = lists.columns.get(usize::from(list));
            let last = values.map_or(0, |(_, values)| values.len());
            if last == 0 {
                continue;
            }
            let letters = rust_xlsxwriter::utility::column_number_to_name(list);
            let name = lists.name.replace('\'', "''");
            let range = format!("='{name}'!${letters}$2:${letters}${}", last + 1);
            let validation = DataValidation::new()
                .allow_list_formula(Formula::new(range))
                .set_error_style(rust_xlsxwriter::DataValidationErrorStyle::Warning);
            self.first_sheet()?
                .add_data_validation(1, column, SHEET_ROWS - 1, column, &validation)
                .map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Puts the workbook together in this file.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn finish(mut self, to: &File) -> io::Result<()> {
        self.workbook.save_to_writer(to).map_err(io::Error::other)
    }

    fn first_sheet(&mut self) -> io::Result<&mut Worksheet> {
        self.workbook
            .worksheet_from_index(0)
            .map_err(io::Error::other)
    }
}

fn write_lists(
    sheet: &mut Worksheet,
    lists: &XlsxSheet,
    heading: &Format,
) -> Result<(), XlsxError> {
    sheet.set_name(&lists.name)?;
    sheet.set_freeze_panes(1, 0)?;
    for ((name, values), column) in lists.columns.iter().zip(0..) {
        let widest = values.iter().chain([name]).map(|text| text.chars().count());
        set_width(
            sheet,
            column,
            widest.max().unwrap_or_default().clamp(12, 40),
        )?;
        sheet.write_string_with_format(0, column, shortened(name), heading)?;
        for (value, row) in values.iter().zip(1..) {
            sheet.write_string(row, column, shortened(value))?;
        }
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a width is a few dozen characters"
)]
fn set_width(sheet: &mut Worksheet, column: u16, characters: usize) -> Result<(), XlsxError> {
    sheet
        .set_column_width(column, characters as f64)
        .map(|_| ())
}

/// As much of the text as a cell can hold.
fn shortened(text: &str) -> &str {
    match text.char_indices().nth(CELL_CHARS) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
