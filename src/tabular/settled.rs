//! The rows of a workbook on disk: written while it is read once, so that nothing of the workbook has to stay in memory while its
//! rows are worked on, which may take minutes.
//!
//! The file has no name and goes with its last handle. A row is its line, the number of its fields, and each field's length and text;
//! numbers in groups of seven bits, the lowest first.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::RawRow;

/// Rows on their way to the disk.
#[derive(Debug)]
pub(super) struct Settling {
    to: BufWriter<File>,
    bytes: u64,
}

impl Settling {
    pub(super) fn begin(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            to: BufWriter::new(tempfile::tempfile_in(folder)?),
            bytes: 0,
        })
    }

    /// Writes a row, and answers how many bytes all rows have by now.
    pub(super) fn write(&mut self, line: u64, fields: &[String]) -> io::Result<u64> {
        let filled = fields.iter().rposition(|field| !field.is_empty());
        let fields = &fields[..filled.map_or(0, |last| last + 1)];
        self.number(line)?;
        self.number(fields.len() as u64)?;
        for field in fields {
            self.number(field.len() as u64)?;
            self.to.write_all(field.as_bytes())?;
            self.bytes += field.len() as u64;
        }
        Ok(self.bytes)
    }

    fn number(&mut self, mut number: u64) -> io::Result<()> {
        loop {
            let low = (number & 0x7f) as u8;
            number >>= 7;
            self.bytes += 1;
            self.to
                .write_all(&[low | if number > 0 { 0x80 } else { 0 }])?;
            if number == 0 {
                return Ok(());
            }
        }
    }

    pub(super) fn finish(self) -> io::Result<Settled> {
        let mut file = self
            .to
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Settled(BufReader::new(file)))
    }
}

/// Rows that come from the disk.
#[derive(Debug)]
pub(super) struct Settled(BufReader<File>);

impl Settled {
    pub(super) fn next_row(&mut self) -> io::Result<Option<RawRow>> {
        let Some(line) = self.number()? else {
            return Ok(None);
        };
        let count = self.length()?;
        let mut fields = Vec::with_capacity(count);
        for _ in 0..count {
            let mut field = vec![0; self.length()?];
            self.0.read_exact(&mut field)?;
            fields.push(String::from_utf8(field).map_err(io::Error::other)?);
        }
        Ok(Some(RawRow { line, fields }))
    }

    fn length(&mut self) -> io::Result<usize> {
        let number = self.number()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        usize::try_from(number).map_err(io::Error::other)
    }

    /// The next number; `None` at the end.
    fn number(&mut self) -> io::Result<Option<u64>> {
        let (mut number, mut shift) = (0, 0_u32);
        loop {
            let mut byte = [0];
            if self.0.read(&mut byte)? == 0 {
                return match shift {
                    0 => Ok(None),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
            number |= u64::from(byte[0] & 0x7f) << shift.min(63);
            if byte[0] & 0x80 == 0 {
                return Ok(Some(number));
            }
            shift += 7;
        }
    }
}
