//! XLSX, cell by cell, on a thread of its own: the parser borrows the workbook, and should it panic over a file that nobody
//! foresaw, that ends the file and nothing else.

use std::fs::File;
use std::io::BufReader;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use calamine::{Reader as _, SheetType, SheetVisible, Xlsx, XlsxCellReader, XlsxError};

use super::xlsx_gate::GATE;
use super::{Limits, Options, RawRow, TabularError, header_of, xlsx_cells};

/// Rows travel in batches of so many, or fewer when they are long; two batches wait at most.
const BATCH: usize = 200;
const BATCH_BYTES: usize = 1 << 20;

type Workbook = Xlsx<BufReader<File>>;

/// What is known once a workbook is open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) sheets: Vec<String>,
    pub(super) sheet: String,
    pub(super) header: Vec<String>,
}

#[derive(Debug)]
enum Message {
    Opened(Opened),
    Rows(Vec<RawRow>),
    End,
    Failed(TabularError),
}

#[derive(Debug)]
pub(super) struct XlsxReader {
    messages: Receiver<Message>,
    rows: std::vec::IntoIter<RawRow>,
}

impl XlsxReader {
    /// Waits until there is room for a workbook of this weight; the room is given back when it has been read.
    pub(super) fn open(
        file: File,
        options: &Options,
        weight: u64,
    ) -> Result<(Self, Opened), TabularError> {
        let (to, messages) = sync_channel(2);
        let options = options.clone();
        thread::Builder::new()
            .name("xlsx".to_owned())
            .spawn(move || {
                let room = GATE.enter(weight);
                let last = match read(file, &options, &to) {
                    Ok(()) => Message::End,
                    Err(error) => Message::Failed(error),
                };
                drop(room);
                // Nobody listens any more when the reader was dropped before the end.
                let _ = to.send(last);
            })?;
        let reader = Self {
            messages,
            rows: Vec::new().into_iter(),
        };
        match reader.receive()? {
            Message::Opened(opened) => Ok((reader, opened)),
            _ => Err(TabularError::NoHeader),
        }
    }

    pub(super) fn next_row(&mut self) -> Result<Option<RawRow>, TabularError> {
        loop {
            if let Some(row) = self.rows.next() {
                return Ok(Some(row));
            }
            match self.receive()? {
                Message::Rows(rows) => self.rows = rows.into_iter(),
                _ => return Ok(None),
            }
        }
    }

    fn receive(&self) -> Result<Message, TabularError> {
        match self.messages.recv() {
            Ok(Message::Failed(error)) => Err(error),
            Ok(message) => Ok(message),
            Err(_) => Err(TabularError::Damaged("it cannot be understood".to_owned())),
        }
    }
}

fn damaged(error: XlsxError) -> TabularError {
    match error {
        XlsxError::Io(error) if error.raw_os_error().is_some() => TabularError::Io(error),
        error => TabularError::Damaged(error.to_string()),
    }
}

fn read(file: File, options: &Options, to: &SyncSender<Message>) -> Result<(), TabularError> {
    let mut workbook = Workbook::new(BufReader::new(file)).map_err(damaged)?;
    let sheet = choose(&mut workbook, options)?;
    let sheets = workbook.sheet_names();
    let mut rows = SheetRows::open(&mut workbook, &sheet, options.limits)?;
    let header = rows.header()?.ok_or(TabularError::NoHeader)?;
    let opened = Opened {
        sheets,
        sheet,
        header,
    };
    if to.send(Message::Opened(opened)).is_err() {
        return Ok(());
    }
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next_row()? {
        bytes += row
            .fields
            .iter()
            .map(|field| field.len() + 24)
            .sum::<usize>();
        batch.push(row);
        if batch.len() == BATCH || bytes > BATCH_BYTES {
            bytes = 0;
            if to.send(Message::Rows(std::mem::take(&mut batch))).is_err() {
                return Ok(());
            }
        }
    }
    // What was read stands even where nobody waits for it any more.
    let _ = to.send(Message::Rows(batch));
    Ok(())
}

/// The sheet that was asked for; else the first that people see and whose header is usable; else the first that has one.
fn choose(workbook: &mut Workbook, options: &Options) -> Result<String, TabularError> {
    let sheets = workbook.sheets_metadata().to_vec();
    if let Some(wanted) = &options.sheet {
        let same = |name: &str| name.trim().to_lowercase() == wanted.trim().to_lowercase();
        return match sheets.into_iter().find(|sheet| same(&sheet.name)) {
            Some(sheet) => Ok(sheet.name),
            None => Err(TabularError::NoSheet {
                wanted: wanted.clone(),
                there: workbook.sheet_names().join(", "),
            }),
        };
    }
    let seen = sheets.into_iter().filter(|sheet| {
        sheet.typ == SheetType::WorkSheet && sheet.visible == SheetVisible::Visible
    });
    let mut second_choice = None;
    for sheet in seen {
        let header = SheetRows::open(workbook, &sheet.name, options.limits)?.header()?;
        let Some(header) = header else { continue };
        if options.usable.is_none_or(|usable| usable(&header)) {
            return Ok(sheet.name);
        }
        second_choice.get_or_insert(sheet.name);
    }
    second_choice.ok_or(TabularError::NoHeader)
}

/// The rows of one sheet. Those without a cell are not there.
struct SheetRows<'a> {
    cells: XlsxCellReader<'a, BufReader<File>>,
    limits: Limits,
    /// The first cell of the next row: its row, its column (both from 0), its text.
    ahead: Option<(u32, usize, String)>,
    /// The parser must not be asked again once it has said so.
    ended: bool,
}

impl<'a> SheetRows<'a> {
    fn open(workbook: &'a mut Workbook, sheet: &str, limits: Limits) -> Result<Self, TabularError> {
        Ok(Self {
            cells: workbook.worksheet_cells_reader(sheet).map_err(damaged)?,
            limits,
            ahead: None,
            ended: false,
        })
    }

    fn header(&mut self) -> Result<Option<Vec<String>>, TabularError> {
        while let Some(row) = self.next_row()? {
            if !row.is_blank() {
                return Ok(Some(header_of(&row)));
            }
        }
        Ok(None)
    }

    fn next_row(&mut self) -> Result<Option<RawRow>, TabularError> {
        let Some((row, column, text)) = self.take_ahead()? else {
            return Ok(None);
        };
        let line = u64::from(row) + 1;
        let mut bytes = text.len();
        let mut fields = vec![String::new(); column];
        fields.push(text);
        while let Some((next, column, text)) = self.next_cell()? {
            if next != row {
                self.ahead = Some((next, column, text));
                break;
            }
            bytes += text.len();
            if bytes > self.limits.row_bytes {
                let limit = self.limits.row_bytes;
                return Err(TabularError::RowTooLong {
                    limit,
                    line,
                    hint: "",
                });
            }
            if fields.len() <= column {
                fields.resize(column + 1, String::new());
            }
            fields[column] = text;
        }
        Ok(Some(RawRow { line, fields }))
    }

    fn take_ahead(&mut self) -> Result<Option<(u32, usize, String)>, TabularError> {
        match self.ahead.take() {
            Some(cell) => Ok(Some(cell)),
            None => self.next_cell(),
        }
    }

    /// The next cell in which something stands: whole columns of formatted nothing are usual.
    fn next_cell(&mut self) -> Result<Option<(u32, usize, String)>, TabularError> {
        while !self.ended {
            let Some(cell) = self.cells.next_cell().map_err(damaged)? else {
                self.ended = true;
                break;
            };
            let text = xlsx_cells::text(cell.get_value());
            if text.is_empty() {
                continue;
            }
            let (row, column) = cell.get_position();
            let (line, column) = (u64::from(row) + 1, column as usize);
            if column >= self.limits.columns {
                let limit = self.limits.columns;
                return Err(TabularError::TooManyColumns { limit, line });
            }
            if text.len() > self.limits.cell_bytes {
                return Err(TabularError::CellTooLong {
                    limit: self.limits.cell_bytes,
                    line,
                    column: column + 1,
                    hint: "",
                });
            }
            return Ok(Some((row, column, text)));
        }
        Ok(None)
    }
}
