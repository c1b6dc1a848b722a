//! Which encoding a text is in, and reading it as UTF-8.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// How many bytes are looked at to tell UTF-16 without a byte order mark.
const SAMPLE: usize = 64 << 10;
/// How many bytes are read at once.
const CHUNK: usize = 64 << 10;

/// A text encoding that files come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextEncoding {
    /// With or without a byte order mark; plain ASCII too.
    Utf8,
    /// Little end first.
    Utf16Le,
    /// Big end first.
    Utf16Be,
    /// Of Western Windows. Latin-1 is read by it too: the two differ only where Latin-1 has control characters that no table holds.
    Windows1252,
}

impl TextEncoding {
    /// Reads a name, as a request may give it: those of the WHATWG standard (`utf-8`, `utf-16le`, `windows-1252`, `latin1`, …).
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let encoding = Encoding::for_label(name.as_bytes())?;
        [Self::Utf8, Self::Utf16Le, Self::Utf16Be, Self::Windows1252]
            .into_iter()
            .find(|known| known.standard() == encoding)
    }

    fn standard(self) -> &'static Encoding {
        match self {
            Self::Utf8 => UTF_8,
            Self::Utf16Le => UTF_16LE,
            Self::Utf16Be => UTF_16BE,
            Self::Windows1252 => WINDOWS_1252,
        }
    }
}

impl fmt::Display for TextEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.standard().name())
    }
}

/// What a look through the whole text found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) encoding: TextEncoding,
    /// Whether some bytes mean nothing in it.
    pub(super) damaged: bool,
}

/// Looks through the text from its beginning, to its end where needed: the one accented letter may be in the last row.
pub(super) fn detect(file: &mut File) -> io::Result<Found> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = vec![0; SAMPLE];
    let length = fill(file, &mut bytes)?;
    let sample = &bytes[..length];
    let sure = |encoding| Found {
        encoding,
        damaged: false,
    };
    if sample.starts_with(b"\xff\xfe") {
        return Ok(sure(TextEncoding::Utf16Le));
    }
    if sample.starts_with(b"\xfe\xff") {
        return Ok(sure(TextEncoding::Utf16Be));
    }
    let marked = sample.starts_with(b"\xef\xbb\xbf");
    if !marked && let Some(encoding) = utf16_without_mark(sample) {
        return Ok(sure(encoding));
    }
    file.seek(SeekFrom::Start(0))?;
    let (valid, invalid) = count_utf8(file)?;
    // A file that is UTF-8 but for a few broken bytes stays UTF-8: more letters come out right.
    let utf8 = marked || invalid <= valid;
    Ok(Found {
        encoding: if utf8 {
            TextEncoding::Utf8
        } else {
            TextEncoding::Windows1252
        },
        damaged: utf8 && invalid > 0,
    })
}

/// In UTF-16 the delimiters and line ends alone put a zero into every such pair, always on the same side.
pub(super) fn utf16_without_mark(sample: &[u8]) -> Option<TextEncoding> {
    let pairs = sample.chunks_exact(2);
    let (mut first, mut second, count) = (0, 0, pairs.len());
    for pair in pairs {
        first += usize::from(pair[0] == 0);
        second += usize::from(pair[1] == 0);
    }
    let many = |zeros: usize| count >= 2 && zeros * 5 >= count;
    match (many(first), many(second)) {
        (false, true) if first * 20 <= second => Some(TextEncoding::Utf16Le),
        (true, false) if second * 20 <= first => Some(TextEncoding::Utf16Be),
        _ => None,
    }
}

/// How many characters beyond ASCII are valid UTF-8, and how many sequences are not.
fn count_utf8(file: &mut File) -> io::Result<(u64, u64)> {
    let (mut valid, mut invalid) = (0, 0);
    let mut buffer = vec![0; CHUNK];
    let mut kept = 0;
    loop {
        let length = kept + fill(file, &mut buffer[kept..])?;
        let last = length < buffer.len();
        let mut rest = &buffer[..length];
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    valid += beyond_ascii(text);
                    rest = &[];
                }
                Err(error) => {
                    let (before, after) = rest.split_at(error.valid_up_to());
                    valid += std::str::from_utf8(before).map_or(0, beyond_ascii);
                    rest = after;
                    match error.error_len() {
                        Some(length) => {
                            invalid += 1;
                            rest = &rest[length..];
                            continue;
                        }
                        None if last => {
                            invalid += 1;
                            rest = &[];
                        }
                        None => {}
                    }
                }
            }
            break;
        }
        if last {
            return Ok((valid, invalid));
        }
        // The beginning of a character whose end is in the next piece.
        kept = rest.len();
        buffer.copy_within(length - kept..length, 0);
    }
}

fn beyond_ascii(text: &str) -> u64 {
    if text.is_ascii() {
        return 0;
    }
    text.chars().map(|c| u64::from(!c.is_ascii())).sum()
}

/// Reads until the buffer is full or the end is reached, and answers how much there was.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// A text as UTF-8, without its byte order mark. What means nothing becomes U+FFFD.
pub(super) struct Utf8Reader<R> {
    from: R,
    decoder: Decoder,
    input: Vec<u8>,
    /// What of the input is not decoded yet.
    rest: std::ops::Range<usize>,
    /// Decoded, and too much for the last caller's buffer.
    output: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Utf8Reader<R> {
    pub(super) fn new(from: R, encoding: TextEncoding) -> Self {
        Self {
            from,
            decoder: encoding.standard().new_decoder_with_bom_removal(),
            input: vec![0; CHUNK],
            rest: 0..0,
            output: Vec::new(),
            given: 0,
            ended: false,
        }
    }

    /// The next piece of text, never empty before the end.
    pub(super) fn next_piece(&mut self) -> io::Result<&[u8]> {
        if self.given == self.output.len() {
            self.decode()?;
        }
        Ok(&self.output[self.given..])
    }

    /// Marks the first so many bytes of the piece as used.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.given = (self.given + bytes).min(self.output.len());
    }

    fn decode(&mut self) -> io::Result<()> {
        self.given = 0;
        self.output.resize(3 * CHUNK + 16, 0);
        loop {
            if self.rest.is_empty() && !self.ended {
                let length = fill(&mut self.from, &mut self.input)?;
                self.rest = 0..length;
                self.ended = length < self.input.len();
            }
            let input = &self.input[self.rest.clone()];
            let (result, read, written, _) =
                self.decoder
                    .decode_to_utf8(input, &mut self.output, self.ended);
            self.rest.start += read;
            let done = self.ended && result == CoderResult::InputEmpty;
            if written > 0 || done {
                self.output.truncate(written);
                if done {
                    self.decoder = UTF_8.new_decoder_without_bom_handling();
                }
                return Ok(());
            }
        }
    }
}

impl<R> fmt::Debug for Utf8Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Utf8Reader").finish_non_exhaustive()
    }
}
