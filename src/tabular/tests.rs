//! Files as people have them, written byte by byte.

use std::io::Write;

use super::*;

pub(super) fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub(super) fn read_with(
    bytes: &[u8],
    options: &Options,
) -> Result<(Reader, Vec<Row>), TabularError> {
    let mut reader = open(file(bytes), options)?;
    let rows = reader.by_ref().collect::<Result<_, _>>()?;
    Ok((reader, rows))
}

pub(super) fn read(bytes: &[u8]) -> (Reader, Vec<Row>) {
    read_with(bytes, &Options::default()).unwrap()
}

pub(super) fn refused(bytes: &[u8]) -> TabularError {
    read_with(bytes, &Options::default()).unwrap_err()
}

pub(super) fn fields(rows: &[Row]) -> Vec<Vec<&str>> {
    rows.iter()
        .map(|row| row.fields.iter().map(String::as_str).collect())
        .collect()
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

#[test]
fn a_plain_csv_gives_its_header_and_numbered_rows() {
    let (reader, rows) = read(b" name ,email\nAna,ana@example.com\n\nBea\n");
    assert_eq!(reader.header(), ["name", "email"]);
    assert_eq!(fields(&rows), [["Ana", "ana@example.com"], ["Bea", ""]]);
    assert_eq!((rows[1].number, rows[1].line), (2, 4));
    let format = Format::Csv {
        delimiter: ',',
        encoding: TextEncoding::Utf8,
        damaged: false,
    };
    assert_eq!(*reader.format(), format);
}

#[test]
fn every_encoding_reads_as_the_same_text() {
    let text = "nombre;ciudad\r\nMuñoz;Málaga\r\n";
    let latin: Vec<u8> = text
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    let marked = |text: &str| format!("\u{feff}{text}");
    let files: [(TextEncoding, Vec<u8>); 7] = [
        (TextEncoding::Utf8, text.into()),
        (TextEncoding::Utf8, marked(text).into()),
        (TextEncoding::Utf16Le, utf16(text, u16::to_le_bytes)),
        (TextEncoding::Utf16Be, utf16(text, u16::to_be_bytes)),
        (
            TextEncoding::Utf16Le,
            utf16(&marked(text), u16::to_le_bytes),
        ),
        (
            TextEncoding::Utf16Be,
            utf16(&marked(text), u16::to_be_bytes),
        ),
        (TextEncoding::Windows1252, latin),
    ];
    for (encoding, bytes) in files {
        let (reader, rows) = read(&bytes);
        assert_eq!(reader.header(), ["nombre", "ciudad"], "{encoding}");
        assert_eq!(fields(&rows), [["Muñoz", "Málaga"]], "{encoding}");
        let Format::Csv {
            encoding: found, ..
        } = *reader.format()
        else {
            panic!("a CSV is a CSV")
        };
        assert_eq!(found, encoding);
    }
}

#[test]
fn an_accent_far_down_the_file_still_tells_the_encoding() {
    let mut bytes = b"name,city\n".to_vec();
    bytes.extend(b"Ana,Lugo\n".repeat(40_000));
    bytes.extend(b"Jos\xe9,\x80uro\n");
    let (_, rows) = read(&bytes);
    assert_eq!(rows.last().unwrap().fields, ["José", "€uro"]);
}

#[test]
fn a_mostly_valid_utf8_file_stays_utf8_and_says_that_it_is_damaged() {
    let (reader, rows) = read(b"name\nMu\xc3\xb1oz\nJos\xc3\xa9\nbro\xffken\n");
    assert_eq!(fields(&rows), [["Muñoz"], ["José"], ["bro\u{fffd}ken"]]);
    assert!(matches!(reader.format(), Format::Csv { damaged: true, .. }));
}

#[test]
fn line_ends_of_all_kinds_and_quoted_ones_are_understood() {
    for end in ["\n", "\r\n", "\r"] {
        let text = format!("a,b{end}\"1{end}2\",\"say \"\"hi\"\"\"{end}3,4{end}");
        let (_, rows) = read(text.as_bytes());
        let first = format!("1{end}2");
        assert_eq!(fields(&rows), [[&*first, "say \"hi\""], ["3", "4"]]);
        assert_eq!(rows[1].line, 4, "{end:?}");
    }
}

#[test]
fn a_declared_delimiter_is_obeyed() {
    let (reader, rows) = read(b"\xef\xbb\xbfsep=;\r\na;b\r\n1,5;2\r\n");
    assert_eq!(reader.header(), ["a", "b"]);
    assert_eq!(fields(&rows), [["1,5", "2"]]);
    assert_eq!(rows[0].line, 3);
}

#[test]
fn blank_rows_and_blank_columns_at_the_end_are_passed_over() {
    let (reader, rows) = read(b"\n\na,b,,\n,,,\n1,2,,\n3,4,5,\n");
    assert_eq!(reader.header(), ["a", "b"]);
    assert_eq!(rows[0].fields, ["1", "2"]);
    assert_eq!(rows[1].fields, ["3", "4", "5"]);
    assert_eq!((rows[1].number, rows[1].line), (2, 6));
}

#[test]
fn reading_goes_on_from_any_row() {
    let mut reader = open(file(b"a\n1\n2\n3\n4\n"), &Options::default()).unwrap();
    reader.skip_to(3).unwrap();
    let row = reader.next().unwrap().unwrap();
    assert_eq!((row.number, &*row.fields[0]), (3, "3"));
    reader.skip_to(9).unwrap();
    assert!(reader.next().is_none());
}

#[test]
fn a_file_without_a_header_is_refused() {
    assert!(matches!(refused(b""), TabularError::NoHeader));
    assert!(matches!(refused(b"\r\n ,, \n"), TabularError::NoHeader));
}

#[test]
fn what_is_over_a_limit_is_refused_and_the_place_named() {
    let limits = Limits {
        rows: 2,
        columns: 3,
        cell_bytes: 10,
        row_bytes: 25,
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let refused = |text: &str| {
        read_with(text.as_bytes(), &options)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused("a\n1\n2\n3\n"), "has more than 2 rows; split it");
    assert_eq!(refused("a\n1,2,3,4\n"), "has more than 3 columns in line 2");
    assert_eq!(refused("a,b,c,d\n"), "has more than 3 columns in line 1");
    assert!(refused("a,b\n1,12345678901\n").contains("10 bytes in line 2, column 2"));
    assert!(refused("a,b\n123456789,123456789,123456789\n").contains("25 bytes in line 2"));
    assert!(read_with(b"a,b,c\n1234567890,1234567890,12345\n1\n", &options).is_ok());
}

#[test]
fn a_quote_that_is_never_closed_is_found_before_the_memory_is_full() {
    let mut bytes = b"a,b\n1,\"never closed\n".to_vec();
    bytes.resize(10_000_000, b'x');
    let error = refused(&bytes);
    assert!(matches!(
        error,
        TabularError::CellTooLong {
            line: 2,
            column: 2,
            ..
        }
    ));
}

#[test]
fn ten_thousand_columns_are_refused() {
    let header = vec!["c"; 10_000].join(",");
    assert!(matches!(
        refused(header.as_bytes()),
        TabularError::TooManyColumns { line: 1, .. }
    ));
}

#[test]
fn zero_bytes_are_passed_on_for_the_row_to_be_refused() {
    let (_, rows) = read(b"name,email\nA\0na,a@example.com\nBea,b@example.com\n");
    assert_eq!(rows[0].fields[0], "A\0na");
    assert_eq!(rows.len(), 2);
}

#[test]
fn a_quotation_mark_that_is_never_closed_fails_the_file() {
    let line = |text: &str| match refused(text.as_bytes()) {
        TabularError::OpenQuote { line } => line,
        error => panic!("{text:?}: {error}"),
    };
    assert_eq!(line("a,b\n1,2\n3,\"4\n5,6\n"), 3, "up to the file's end");
    assert_eq!(line("a,b\n1,\"2"), 2);
    assert_eq!(
        line("a,b\r\n\"1,2\r\n3,\"4\"\r\n"),
        2,
        "up to the next mark"
    );
    assert_eq!(line("\"a,b\n1,2\n"), 1, "in the header");
    assert_eq!(
        line("a,b\n1,\"5 inch\n2,6\" wide\n3,z\n"),
        2,
        "before a space"
    );
    let error = refused(b"a,b\n1,\"2\n").to_string();
    assert!(error.contains("quotation mark in line 2"), "{error}");
}

#[test]
fn quotation_marks_as_people_write_them_are_read() {
    let read_rows = |text: &str| -> Vec<Vec<String>> {
        let (_, rows) = read(text.as_bytes());
        rows.into_iter().map(|row| row.fields).collect()
    };
    for end in ["\n", "\r\n"] {
        let text = format!("a,b{end}1,\"two{end}{end}lines, \"\"x\"\"{end}\"{end}3,4{end}");
        let cell = format!("two{end}{end}lines, \"x\"{end}");
        assert_eq!(read_rows(&text), [["1", &*cell], ["3", "4"]]);
    }
    assert_eq!(
        read_rows("a,b\n5'6\",x\nJo \"JJ\" Smith,y\n\"quoted\" and more,z\n\"\",\"\"\"\"\n"),
        [
            ["5'6\"", "x"],
            ["Jo \"JJ\" Smith", "y"],
            ["quoted and more", "z"],
            ["", "\""],
        ]
    );
}

#[test]
fn what_is_no_table_is_refused_by_its_name() {
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(600, 0);
    let mut database = b"SQLite format 3\0".to_vec();
    database.resize(600, 0);
    let utf32 = |mark: &[u8], text: &str, unit: fn(u32) -> [u8; 4]| -> Vec<u8> {
        let text = text.chars().flat_map(|c| unit(u32::from(c)));
        mark.iter().copied().chain(text).collect()
    };
    let text = "email\nana@example.com\n";
    let files: [(&str, Vec<u8>); 9] = [
        ("is a program", elf),
        ("is a database", database),
        ("is a text document (RTF)", b"{\\rtf1\\ansi email}".to_vec()),
        (
            "is an XML spreadsheet of Excel 2003",
            b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<?mso-application progid=\"Excel.Sheet\"?><Workbook/>".to_vec(),
        ),
        ("is a web page", b"\n<!DOCTYPE html><table></table>".to_vec()),
        ("is a binary file", vec![0; 1_000]),
        ("is a binary file", utf32(b"", text, u32::to_le_bytes)),
        (
            "save it in UTF-8",
            utf32(b"\xff\xfe\0\0", text, u32::to_le_bytes),
        ),
        (
            "save it in UTF-8",
            utf32(b"\0\0\xfe\xff", text, u32::to_be_bytes),
        ),
    ];
    for (said, bytes) in files {
        let error = refused(&bytes).to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn a_header_with_line_breaks_is_one_line() {
    let (reader, _) = read(b"\"Correo\r\nelectr\xc3\xb3nico\",\"a\tb\"\n1,2\n");
    assert_eq!(reader.header(), ["Correo electrónico", "a b"]);
}
