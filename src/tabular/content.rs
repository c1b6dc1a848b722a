//! What a file is, told from its first bytes: a text, a workbook, or something else that is refused by its name.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use super::encoding;

/// How many bytes tell what a file is.
const SAMPLE: usize = 512;

/// What the first bytes of a file say that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Text,
    Zip,
    Utf32,
    Other(&'static str),
}

impl Content {
    pub(super) fn of(file: &mut File) -> io::Result<Self> {
        let mut first = [0; SAMPLE];
        file.seek(SeekFrom::Start(0))?;
        let length = encoding::fill(file, &mut first)?;
        Ok(Self::told_by(&first[..length]))
    }

    fn told_by(first: &[u8]) -> Self {
        match first {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Self::Utf32,
            [0xd0, 0xcf, 0x11, 0xe0, ..] => Self::Other("an old or password-protected Excel file"),
            [b'%', b'P', b'D', b'F', ..] => Self::Other("a PDF"),
            [0x1f, 0x8b, ..] => Self::Other("a gzip archive"),
            [b'7', b'z', 0xbc, 0xaf, ..] | [b'R', b'a', b'r', b'!', ..] => {
                Self::Other("an archive")
            }
            [0x89, b'P', b'N', b'G', ..]
            | [0xff, 0xd8, 0xff, ..]
            | [b'G', b'I', b'F', b'8', ..] => Self::Other("a picture"),
            [0x7f, b'E', b'L', b'F', ..] => Self::Other("a program"),
            _ if first.starts_with(b"SQLite format 3\0") => Self::Other("a database"),
            _ if first.starts_with(b"{\\rtf") => Self::Other("a text document (RTF)"),
            _ => match markup(first) {
                Some(what) => Self::Other(what),
                None if is_binary(first) => Self::Other("a binary file"),
                None => Self::Text,
            },
        }
    }
}

/// Which kind of markup the text is, if it is one.
fn markup(first: &[u8]) -> Option<&'static str> {
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    let text = text.trim_ascii_start().to_ascii_lowercase();
    let has = |word: &[u8]| text.windows(word.len()).any(|there| there == word);
    if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") {
        Some("a web page")
    } else if !text.starts_with(b"<?xml") {
        None
    } else if has(b"office:spreadsheet") || has(b"excel.sheet") {
        Some("an XML spreadsheet of Excel 2003")
    } else {
        Some("an XML file")
    }
}

/// Whether control characters are so many that this is no text in any encoding that is read; a few may stand in damaged rows.
fn is_binary(first: &[u8]) -> bool {
    if first.starts_with(b"\xff\xfe")
        || first.starts_with(b"\xfe\xff")
        || encoding::utf16_without_mark(first).is_some()
    {
        return false;
    }
    let control =
        |byte: &&u8| **byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0b..=0x0c);
    let controls = first.iter().filter(control).count();
    controls >= 8 && controls * 20 > first.len()
}
