//! A look through a whole XLSX before anything believes it: what it unpacks to, really and not as it claims, and how much of it a
//! parser would have to hold at once. The parser itself knows no bounds.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use zip::ZipArchive;

use super::{Limits, TabularError};

/// Parts that are not sheets are read as a whole; none of them is large.
const PART_BYTES: u64 = 32 << 20;
/// A workbook has a few dozen parts; the list of them is read as a whole.
const DIRECTORY_BYTES: u32 = 4 << 20;
/// No table packs better than this.
const RATIO: u64 = 200;
/// Below this many bytes the ratio says nothing: a sheet of blank cells packs very well.
const RATIO_FROM: u64 = 64 << 20;

/// Looks through the archive.
///
/// # Errors
/// When it is no workbook, is damaged, or is over a limit.
pub(super) fn check(mut file: &File, limits: &Limits) -> Result<(), TabularError> {
    check_directory(file)?;
    file.seek(SeekFrom::Start(0))?;
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    let names = archive
        .file_names()
        .map(|name| Ok(name.map_err(damaged)?.to_lowercase()))
        .collect::<Result<Vec<_>, TabularError>>()?;
    check_kind(&names)?;
    let mut unpacked = 0;
    for (index, name) in names.iter().enumerate() {
        let entry = archive.by_index(index).map_err(damaged)?;
        let packed = entry.compressed_size();
        let (limit, too_large) = if name.contains("worksheets/") {
            let limit = limits.unpacked_bytes;
            (limit, TabularError::UnpacksTooLarge { limit })
        } else if name.ends_with("sharedstrings.xml") {
            let limit = limits.shared_text_bytes;
            (limit, TabularError::TooMuchText { limit })
        } else {
            let limit = PART_BYTES;
            (limit, TabularError::UnpacksTooLarge { limit })
        };
        let left = limit.min(limits.unpacked_bytes - unpacked);
        if entry.size() > left {
            return Err(too_large);
        }
        let markup = name
            .contains("worksheets/")
            .then(|| Markup::new(limits.cell_bytes));
        let length = read_through(entry.take(left + 1), packed, markup)?;
        if length > left {
            return Err(too_large);
        }
        unpacked += length;
    }
    Ok(())
}

fn damaged(error: impl std::fmt::Display) -> TabularError {
    TabularError::Damaged(error.to_string())
}

/// The archive's list of parts stands at its end, and a small record that tells its size behind it.
fn check_directory(mut file: &File) -> Result<(), TabularError> {
    const RECORD: usize = 22;
    let length = file.metadata()?.len();
    let tail = length.min(RECORD as u64 + u64::from(u16::MAX));
    file.seek(SeekFrom::Start(length - tail))?;
    let mut bytes = Vec::new();
    file.take(tail).read_to_end(&mut bytes)?;
    let record = bytes
        .windows(RECORD)
        .rev()
        .find(|record| record.starts_with(b"PK\x05\x06"))
        .ok_or_else(|| damaged("its end is missing"))?;
    let size = u32::from_le_bytes([record[12], record[13], record[14], record[15]]);
    if size > DIRECTORY_BYTES {
        return Err(damaged("it has too many parts"));
    }
    Ok(())
}

fn check_kind(names: &[String]) -> Result<(), TabularError> {
    let has = |name: &str| names.iter().any(|there| there == name);
    let what = if has("xl/workbook.bin") {
        "a binary workbook (.xlsb)"
    } else if has("content.xml") && has("meta-inf/manifest.xml") {
        "an OpenDocument file"
    } else if has("word/document.xml") {
        "a text document"
    } else if names.iter().any(|name| name.ends_with("workbook.xml")) {
        return Ok(());
    } else {
        "an archive"
    };
    Err(TabularError::OtherFormat { what })
}

fn read_through(
    mut part: impl Read,
    packed: u64,
    mut markup: Option<Markup>,
) -> Result<u64, TabularError> {
    let mut buffer = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        let read = part.read(&mut buffer).map_err(damaged)?;
        if read == 0 {
            return Ok(length);
        }
        length += read as u64;
        if length > RATIO_FROM && length / RATIO > packed {
            return Err(TabularError::UnpacksTooLarge { limit: RATIO_FROM });
        }
        if let Some(markup) = &mut markup {
            markup.read(&buffer[..read])?;
        }
    }
}

/// Follows the markup of a sheet and refuses what would make a parser hold more than a cell may have: one endless tag, text or
/// comment, or a text made of endless pieces.
struct Markup {
    limit: usize,
    at: At,
    /// Bytes of the tag, text or comment at hand.
    run: usize,
    /// The tag at hand, as far as its name may go.
    tag: Vec<u8>,
    /// The name of the value that is open (`v`, `is`), and the bytes in it so far.
    value: Option<(Vec<u8>, usize)>,
    /// For messages: rows and cells begun.
    row: u64,
    column: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Text,
    Tag {
        quote: Option<u8>,
    },
    /// A comment, literal text or instruction: to its last bytes, of which some may have been seen.
    Until {
        end: &'static [u8],
        seen: usize,
    },
}

/// Longer names than any of those that matter.
const NAME: usize = 64;

impl Markup {
    fn new(cell_bytes: usize) -> Self {
        Self {
            // A text may be written with an entity for each of its characters.
            limit: 8 * cell_bytes,
            at: At::Text,
            run: 0,
            tag: Vec::new(),
            value: None,
            row: 0,
            column: 0,
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), TabularError> {
        for &byte in bytes {
            self.step(byte);
            if self.run > self.limit || self.value.as_ref().is_some_and(|v| v.1 > self.limit) {
                return Err(TabularError::CellTooLong {
                    limit: self.limit,
                    line: self.row,
                    column: self.column,
                });
            }
            if byte == 0 {
                return Err(damaged("a sheet holds zero bytes"));
            }
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) {
        self.run += 1;
        if let Some((_, bytes)) = &mut self.value {
            *bytes += 1;
        }
        match &mut self.at {
            At::Text => {
                if byte == b'<' {
                    self.run = 0;
                    self.tag.clear();
                    self.at = At::Tag { quote: None };
                }
            }
            At::Tag { quote } => match (*quote, byte) {
                (None, b'>') => self.tag_ends(),
                (None, b'"' | b'\'') => *quote = Some(byte),
                (Some(open), _) if open == byte => *quote = None,
                (None, _) if self.tag.len() < NAME => {
                    self.tag.push(byte);
                    let end: Option<&'static [u8]> = match &self.tag[..] {
                        b"!--" => Some(b"-->"),
                        b"![CDATA[" => Some(b"]]>"),
                        b"?" => Some(b"?>"),
                        _ => None,
                    };
                    if let Some(end) = end {
                        self.at = At::Until { end, seen: 0 };
                    }
                }
                _ => {}
            },
            At::Until { end, seen } => {
                // `]]]>` and `--->` end too: what repeats may be counted again.
                *seen = match (*seen, byte) {
                    (n, b) if b == end[n] => n + 1,
                    (2, b) if b == end[0] => 2,
                    (_, b) if b == end[0] => 1,
                    _ => 0,
                };
                if *seen == end.len() {
                    self.run = 0;
                    self.at = At::Text;
                }
            }
        }
    }

    fn tag_ends(&mut self) {
        self.run = 0;
        self.at = At::Text;
        let closes = self.tag.first() == Some(&b'/');
        let name = if closes { &self.tag[1..] } else { &self.tag };
        let end = name.iter().position(|b| b" \t\r\n/".contains(b));
        let name = &name[..end.unwrap_or(name.len())];
        if let Some((open, _)) = &self.value {
            if closes && open == name {
                self.value = None;
            }
            return;
        }
        let local = name.rsplit(|&b| b == b':').next().unwrap_or(name);
        let empty = self.tag.last() == Some(&b'/');
        match local {
            b"row" if !closes => (self.row, self.column) = (self.row + 1, 0),
            b"c" if !closes => self.column += 1,
            b"v" | b"is" if !closes && !empty => self.value = Some((name.to_vec(), 0)),
            _ => {}
        }
    }
}
