//! A look through a whole XLSX before anything believes it: what it unpacks to, really and not as it claims, and how much of it a
//! parser would have to hold at once. The parser itself knows no bounds.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use zip::ZipArchive;

use super::{Limits, TabularError};

/// Pictures, caches and the like, of which nothing is held.
const PART_BYTES: u64 = 32 << 20;
/// Parts that list sheets, names and relations.
const LIST_BYTES: u64 = 4 << 20;
/// A workbook has a few dozen parts, some have thousands; the list of them is read as a whole.
const DIRECTORY_BYTES: u32 = 1 << 20;
/// No table packs better than this.
const RATIO: u64 = 200;
/// Below this many bytes the ratio says nothing: a sheet of blank cells packs very well.
const RATIO_FROM: u64 = 16 << 20;
/// The most styles, fonts, fills and borders together; a spreadsheet program allows 65,490 styles.
const MOST_STYLES: u64 = 80_000;
/// What a parser needs beside the texts: its buffers, and rows on their way.
const READING_WEIGHS: u64 = 8 << 20;
/// What a text needs beside its letters.
const TEXT_WEIGHS: u64 = 16;

/// Looks through the archive, and answers how much memory reading the workbook takes, in bytes.
///
/// # Errors
/// When it is no workbook, is damaged, or is over a limit.
pub(super) fn check(mut file: &File, limits: &Limits) -> Result<u64, TabularError> {
    check_directory(file)?;
    file.seek(SeekFrom::Start(0))?;
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    let names = archive
        .file_names()
        .map(|name| Ok(name.map_err(damaged)?.to_lowercase()))
        .collect::<Result<Vec<_>, TabularError>>()?;
    check_kind(&names)?;
    let mut unpacked = 0;
    let mut weight = READING_WEIGHS;
    for (index, name) in names.iter().enumerate() {
        let entry = archive.by_index(index).map_err(damaged)?;
        let packed = entry.compressed_size();
        let part = Part::named(name);
        let limit = match part {
            Part::Sheet => limits.unpacked_bytes,
            Part::Texts => limits.shared_text_bytes,
            Part::List => LIST_BYTES,
            Part::Styles | Part::Other => PART_BYTES,
        };
        let too_large = match part {
            Part::Texts => TabularError::TooMuchText { limit },
            _ => TabularError::UnpacksTooLarge { limit },
        };
        let left = limit.min(limits.unpacked_bytes - unpacked);
        if entry.size() > left {
            return Err(too_large);
        }
        let followed = !matches!(part, Part::List | Part::Other);
        let mut markup = followed.then(|| Markup::new(part, limits));
        let length = read_through(entry.take(left + 1), packed, markup.as_mut())?;
        if length > left {
            return Err(too_large);
        }
        unpacked += length;
        if let Some(markup) = markup.filter(|_| part == Part::Texts) {
            weight += length + TEXT_WEIGHS * markup.count;
        }
    }
    Ok(weight)
}

/// What a part of the archive is to a parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Read cell by cell.
    Sheet,
    /// Held as a whole.
    Texts,
    /// Held as a whole.
    Styles,
    /// Held as a whole, and short.
    List,
    /// Not held.
    Other,
}

impl Part {
    /// By its name in lower case.
    fn named(name: &str) -> Self {
        if name.contains("worksheets/") {
            Self::Sheet
        } else if name.ends_with("sharedstrings.xml") {
            Self::Texts
        } else if name.ends_with("styles.xml") {
            Self::Styles
        } else if name.ends_with("workbook.xml") || name.contains("_rels/") {
            Self::List
        } else {
            Self::Other
        }
    }
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
    mut markup: Option<&mut Markup>,
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
            return Err(TabularError::PacksTooWell { times: RATIO });
        }
        if let Some(markup) = markup.as_deref_mut() {
            markup.read(&buffer[..read])?;
        }
    }
}

/// Follows the markup of a part and refuses what would make a parser hold more than a cell may have: one endless tag, text or
/// comment, or a text made of endless pieces. Counts what a parser keeps.
struct Markup {
    part: Part,
    limit: usize,
    at: At,
    /// Bytes of the tag, text or comment at hand.
    run: usize,
    /// The tag at hand without what stands in quotation marks, as far as its name may go.
    tag: Vec<u8>,
    /// The digits of the number of texts that the table of texts claims to have.
    claimed: Vec<u8>,
    /// The name of the value that is open (`v`, `is`, `si`), and the bytes in it so far.
    value: Option<(Vec<u8>, usize)>,
    /// For messages: rows and cells begun.
    row: u64,
    column: usize,
    /// Texts, or styles and what they are made of.
    count: u64,
    most: u64,
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

/// Longer names, with those of attributes, than any that matter.
const NAME: usize = 512;

impl Markup {
    fn new(part: Part, limits: &Limits) -> Self {
        Self {
            part,
            // A text may be written with an entity for each of its characters.
            limit: 8 * limits.cell_bytes,
            at: At::Text,
            run: 0,
            tag: Vec::new(),
            claimed: Vec::new(),
            value: None,
            row: 0,
            column: 0,
            count: 0,
            most: match part {
                Part::Texts => limits.shared_texts,
                _ => MOST_STYLES,
            },
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), TabularError> {
        for &byte in bytes {
            self.step(byte);
            if self.run > self.limit || self.value.as_ref().is_some_and(|v| v.1 > self.limit) {
                return Err(self.too_long());
            }
            if byte == 0 {
                return Err(damaged("a part of it holds zero bytes"));
            }
        }
        if self.count <= self.most {
            return Ok(());
        }
        Err(match self.part {
            Part::Texts => TabularError::TooManyTexts { limit: self.most },
            _ => damaged("it has too many styles"),
        })
    }

    fn too_long(&self) -> TabularError {
        match self.part {
            Part::Sheet => TabularError::CellTooLong {
                limit: self.limit,
                line: self.row,
                column: self.column,
                hint: "",
            },
            _ => TabularError::TextTooLong { limit: self.limit },
        }
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
                    self.claimed.clear();
                    self.at = At::Tag { quote: None };
                }
            }
            At::Tag { quote } => match (*quote, byte) {
                (None, b'>') => self.tag_ends(),
                (None, b'"' | b'\'') => *quote = Some(byte),
                (Some(open), _) if open == byte => *quote = None,
                // A parser believes the claim and makes room for so many at once.
                (Some(_), b'0'..=b'9')
                    if self.part == Part::Texts
                        && self.claimed.len() < NAME
                        && claims(&self.tag) =>
                {
                    self.claimed.push(byte);
                }
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
        if closes {
            return;
        }
        let mut value = false;
        match (self.part, local) {
            (Part::Sheet, b"row") => (self.row, self.column) = (self.row + 1, 0),
            (Part::Sheet, b"c") => self.column += 1,
            (Part::Sheet, b"v" | b"is") => value = !empty,
            (Part::Texts, b"si") => (self.count, value) = (self.count + 1, !empty),
            (Part::Texts, b"sst") => {
                let claimed = match std::str::from_utf8(&self.claimed) {
                    Ok("") if self.tag.len() < NAME => 0,
                    Ok(digits) => digits.parse().unwrap_or(u64::MAX),
                    Err(_) => u64::MAX,
                };
                if claimed > self.most {
                    self.count = claimed;
                }
            }
            (Part::Styles, b"xf" | b"font" | b"fill" | b"border" | b"numFmt") => self.count += 1,
            _ => {}
        }
        if value {
            self.value = Some((name.to_vec(), 0));
        }
    }
}

/// Whether the tag, as far as it is read, goes on with how many texts there are.
fn claims(tag: &[u8]) -> bool {
    let written = tag
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace());
    let end: Vec<u8> = written.rev().take(b"uniqueCount=".len()).collect();
    end.iter().rev().eq(b"uniqueCount=")
}
