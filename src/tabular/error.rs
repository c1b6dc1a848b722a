//! Why a file cannot be read, in words for whoever sent it.

/// What a CSV's cell that never ends most often comes of.
pub(super) const QUOTE_HINT: &str = "; is a quotation mark never closed?";

/// What is wrong with a file. The text completes "the file …" or stands by itself, and names row and column where there is one.
#[derive(Debug, thiserror::Error)]
pub enum TabularError {
    /// The disk, not the file: the only one that is not the sender's to mend.
    #[error("cannot be read just now: {0}")]
    Io(#[from] std::io::Error),
    /// Not a byte in it, or only blank lines.
    #[error("has no header row: the first row must name the columns")]
    NoHeader,
    /// Neither text nor a workbook, or a kind of workbook that is not read.
    #[error("is {what}, which cannot be read; save it as XLSX or CSV")]
    OtherFormat {
        /// What it is.
        what: &'static str,
    },
    /// Text in an encoding that is not read.
    #[error("is a text in {what}, which is not read; save it in UTF-8")]
    OtherEncoding {
        /// The encoding.
        what: &'static str,
    },
    /// A workbook without the sheet that was asked for.
    #[error("has no sheet {wanted:?}; its sheets are: {there}")]
    NoSheet {
        /// The name that was asked for.
        wanted: String,
        /// The names of those it has.
        there: String,
    },
    /// A workbook that is damaged or cut off.
    #[error("is a damaged or incomplete XLSX: {0}")]
    Damaged(String),
    /// Over the limit of its size.
    #[error("has more than {limit} bytes")]
    TooManyBytes {
        /// The limit.
        limit: u64,
    },
    /// Over the limit of rows.
    #[error("has more than {limit} rows; split it")]
    TooManyRows {
        /// The limit.
        limit: u64,
    },
    /// Over the limit of columns.
    #[error("has more than {limit} columns in line {line}")]
    TooManyColumns {
        /// The limit.
        limit: usize,
        /// Where, counting every line or sheet row from 1.
        line: u64,
    },
    /// A cell over the limit of its size.
    #[error("has more than {limit} bytes in line {line}, column {column}{hint}")]
    CellTooLong {
        /// The limit.
        limit: usize,
        /// Where, counting every line or sheet row from 1.
        line: u64,
        /// Where, from 1.
        column: usize,
        /// What it may come of.
        hint: &'static str,
    },
    /// A text of a workbook over the limit of a cell.
    #[error("holds a text of more than {limit} bytes")]
    TextTooLong {
        /// The limit.
        limit: usize,
    },
    /// A quotation mark without a second one, as far as can be told: rows would vanish into its cell.
    #[error(
        "has a quotation mark in line {line} that is never closed: close it, or write it twice where it belongs to the text"
    )]
    OpenQuote {
        /// Where, counting every line from 1.
        line: u64,
    },
    /// A row over the limit of its size.
    #[error("has more than {limit} bytes in line {line}{hint}")]
    RowTooLong {
        /// The limit.
        limit: usize,
        /// Where, counting every line or sheet row from 1.
        line: u64,
        /// What it may come of.
        hint: &'static str,
    },
    /// A workbook that would unpack to more than is allowed, or that claims less than it unpacks to.
    #[error("unpacks to more than {limit} bytes; save it as CSV")]
    UnpacksTooLarge {
        /// The limit.
        limit: u64,
    },
    /// A workbook that unpacks to a great many times what it is packed, as no table does.
    #[error("unpacks to more than {times} times its size, which no table does; save it as CSV")]
    PacksTooWell {
        /// How many times are allowed.
        times: u64,
    },
    /// A workbook with too many texts.
    #[error("holds more than {limit} different texts; save it as CSV")]
    TooManyTexts {
        /// The limit.
        limit: u64,
    },
    /// A workbook with too large a table of texts.
    #[error("holds more than {limit} bytes of different texts; save it as CSV")]
    TooMuchText {
        /// The limit.
        limit: u64,
    },
}

impl TabularError {
    /// Whether the sender can mend it: everything but a failing disk.
    #[must_use]
    pub fn is_of_the_file(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}
