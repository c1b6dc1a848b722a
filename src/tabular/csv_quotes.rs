//! Follows the quotation marks of a CSV beside the parser, which forgives what loses rows: a mark that is never closed makes one
//! cell of everything behind it, up to the next mark or the file's end.

/// Where the text stands.
#[derive(Debug, Clone, Copy)]
enum At {
    /// The beginning of a field.
    Field,
    /// Inside a field that is not quoted.
    Plain,
    /// Inside a quoted field that began in this line; `lines` when it has gone on into another.
    Quoted { line: u64, lines: bool },
    /// Behind a mark in such a field: its end, or the first of two that stand for one.
    Closed { line: u64, lines: bool },
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Quotes {
    delimiter: u8,
    at: At,
}

impl Quotes {
    pub(super) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            at: At::Field,
        }
    }

    /// Takes the next byte in, of this line. Answers the line of a mark that cannot have been meant to open what it opened: the field
    /// went on over the end of a line, and text follows directly where it ends.
    pub(super) fn take(&mut self, byte: u8, line: u64) -> Option<u64> {
        let ends_line = matches!(byte, b'\r' | b'\n');
        let ends_field = ends_line || byte == self.delimiter;
        self.at = match self.at {
            At::Field if byte == b'"' => At::Quoted { line, lines: false },
            At::Quoted { line, lines } if byte == b'"' => At::Closed { line, lines },
            At::Quoted { line, lines } => At::Quoted {
                line,
                lines: lines || ends_line,
            },
            At::Closed { line, lines } if byte == b'"' => At::Quoted { line, lines },
            At::Field | At::Plain | At::Closed { .. } if ends_field => At::Field,
            At::Closed { line, lines: true } => {
                self.at = At::Plain;
                return Some(line);
            }
            At::Field | At::Plain | At::Closed { .. } => At::Plain,
        };
        None
    }

    /// At the file's end: the line of a mark that was never closed.
    pub(super) fn open(&self) -> Option<u64> {
        match self.at {
            At::Quoted { line, .. } => Some(line),
            _ => None,
        }
    }
}
