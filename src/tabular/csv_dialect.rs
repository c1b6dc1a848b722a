//! What separates the fields of a CSV.

/// The delimiters that are looked for, the most usual one first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// What a piece of a file says of its dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// How many bytes of the text are the line `sep=…`, which spreadsheet programs obey and do not show.
    pub(super) skip: usize,
}

/// Tells the dialect from the beginning of a text.
pub(super) fn detect(sample: &[u8]) -> Dialect {
    if let Some(dialect) = declared(sample) {
        return dialect;
    }
    let best = DELIMITERS
        .into_iter()
        .map(|delimiter| (Shape::of(sample, delimiter), delimiter))
        .filter(|(shape, _)| shape.columns > 1)
        // The first of equals: `max_by` would take the last.
        .reduce(|best, next| {
            if next.0.better_than(&best.0) {
                next
            } else {
                best
            }
        });
    Dialect {
        delimiter: best.map_or(b',', |(_, delimiter)| delimiter),
        skip: 0,
    }
}

fn declared(sample: &[u8]) -> Option<Dialect> {
    let quoted = sample.first() == Some(&b'"');
    let text = if quoted { &sample[1..] } else { sample };
    let (name, rest) = text.split_at_checked(4)?;
    if !name.eq_ignore_ascii_case(b"sep=") {
        return None;
    }
    let (&delimiter, rest) = rest.split_first()?;
    let rest = if quoted {
        rest.strip_prefix(b"\"")?
    } else {
        rest
    };
    let rest = match rest {
        [b'\r', b'\n', rest @ ..] | [b'\r' | b'\n', rest @ ..] => rest,
        [] => rest,
        _ => return None,
    };
    (delimiter.is_ascii() && !matches!(delimiter, b'"' | b'\r' | b'\n')).then_some(Dialect {
        delimiter,
        skip: sample.len() - rest.len(),
    })
}

/// How a text looks when it is cut at a delimiter.
#[derive(Debug, Default)]
struct Shape {
    /// Fields of the first row.
    columns: u64,
    rows: u64,
    /// Rows with as many fields as the first.
    alike: u64,
    /// Closing quotation marks that neither a delimiter nor a line end follows: the surest sign of the wrong delimiter.
    torn: u64,
}

impl Shape {
    fn of(sample: &[u8], delimiter: u8) -> Self {
        let mut shape = Self::default();
        let (mut fields, mut filled) = (1, false);
        let mut bytes = sample.iter().copied().peekable();
        let mut at_start = true;
        while let Some(byte) = bytes.next() {
            if byte == b'"' && at_start {
                (at_start, filled) = (false, true);
                while let Some(byte) = bytes.next() {
                    if byte == b'"' && bytes.next_if_eq(&b'"').is_none() {
                        let next = bytes.peek();
                        let closed =
                            next.is_none_or(|&b| b == delimiter || b == b'\r' || b == b'\n');
                        shape.torn += u64::from(!closed);
                        break;
                    }
                }
            } else if byte == delimiter {
                fields += 1;
                (at_start, filled) = (true, true);
            } else if byte == b'\n' || byte == b'\r' {
                shape.row(fields, filled);
                (fields, filled, at_start) = (1, false, true);
            } else {
                (at_start, filled) = (false, true);
            }
        }
        // The last row of the sample may be cut off: it counts only where it is the only one.
        if shape.rows == 0 {
            shape.row(fields, filled);
        }
        shape
    }

    fn row(&mut self, fields: u64, filled: bool) {
        if !filled {
            return;
        }
        if self.rows == 0 {
            self.columns = fields;
        }
        self.rows += 1;
        self.alike += u64::from(fields == self.columns);
    }

    /// Compares torn quotes, then the part of rows that are like the first, then the number of columns.
    fn better_than(&self, other: &Self) -> bool {
        let torn = (other.torn * self.rows.max(1)).cmp(&(self.torn * other.rows.max(1)));
        let alike = (self.alike * other.rows).cmp(&(other.alike * self.rows));
        torn.then(alike)
            .then(self.columns.cmp(&other.columns))
            .is_gt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delimiter_of(text: &str) -> char {
        char::from(detect(text.as_bytes()).delimiter)
    }

    #[test]
    fn the_delimiter_is_the_one_that_cuts_every_row_alike() {
        assert_eq!(delimiter_of("a,b\n1,2\n"), ',');
        assert_eq!(delimiter_of("name;amount\nAna;1,5\nBea;2,5\n"), ';');
        assert_eq!(delimiter_of("a\tb\r\n1,2\t3;4\r\n"), '\t');
        assert_eq!(delimiter_of("a|b\r1|2\r"), '|');
        assert_eq!(
            delimiter_of("name;address, city;phone\nAna;Main St 5, Madrid;555\n"),
            ';'
        );
    }

    #[test]
    fn delimiters_and_line_ends_inside_quotes_do_not_count() {
        assert_eq!(delimiter_of("\"a,b,c\";\"d\"\n\"1,2\n3,4\";\"x\"\n"), ';');
    }

    #[test]
    fn one_column_is_read_as_one() {
        assert_eq!(delimiter_of("email\nana@example.com\n"), ',');
    }

    #[test]
    fn a_declared_delimiter_wins_and_its_line_is_no_row() {
        let declared = Dialect {
            delimiter: b';',
            skip: 7,
        };
        assert_eq!(detect(b"sep=;\r\na,b;c\r\n"), declared);
        assert_eq!(delimiter_of("sep=;x,y\n1,2\n3,4\n"), ',');
    }
}
