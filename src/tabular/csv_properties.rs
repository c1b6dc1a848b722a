//! Any table, written in any dialect and encoding that people use, reads back as it was.

use proptest::prelude::*;

use super::tests::read;
use super::{Format, TextEncoding};

#[derive(Debug, Clone, Copy)]
struct Dialect {
    delimiter: u8,
    encoding: TextEncoding,
    marked: bool,
    end: csv::Terminator,
    quotes: csv::QuoteStyle,
}

fn dialects() -> impl Strategy<Value = Dialect> {
    let encodings = [
        (TextEncoding::Utf8, false),
        (TextEncoding::Utf8, true),
        (TextEncoding::Utf16Le, false),
        (TextEncoding::Utf16Le, true),
        (TextEncoding::Utf16Be, false),
        (TextEncoding::Utf16Be, true),
        (TextEncoding::Windows1252, false),
    ];
    let ends = [
        csv::Terminator::CRLF,
        csv::Terminator::Any(b'\n'),
        csv::Terminator::Any(b'\r'),
    ];
    let quotes = [csv::QuoteStyle::Necessary, csv::QuoteStyle::Always];
    (
        prop::sample::select(b",;\t|".to_vec()),
        prop::sample::select(encodings.to_vec()),
        prop::sample::select(ends.to_vec()),
        prop::sample::select(quotes.to_vec()),
    )
        .prop_map(|(delimiter, (encoding, marked), end, quotes)| Dialect {
            delimiter,
            encoding,
            marked,
            end,
            quotes,
        })
}

/// Column names without delimiters, and cells with everything that dialects are about. The letters are those that no two of which are
/// UTF-8 by accident when they are written in Windows-1252.
fn tables() -> impl Strategy<Value = Vec<Vec<String>>> {
    (2..6_usize).prop_flat_map(|columns| {
        let header = prop::collection::vec("[A-Za-zñÁ][A-Za-zé ]{0,6}[A-Za-zü]", columns);
        let cell = prop::collection::vec("[a-zA-Z0-9ñéüÁ,;|\t\"\r\n =.-]{0,12}", columns);
        (header, prop::collection::vec(cell, 0..20)).prop_map(|(header, mut rows)| {
            for row in &mut rows {
                // A row in which nothing stands is passed over.
                row[0].insert(0, 'x');
            }
            rows.insert(0, header);
            rows
        })
    })
}

fn written(table: &[Vec<String>], dialect: Dialect) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .delimiter(dialect.delimiter)
        .terminator(dialect.end)
        .quote_style(dialect.quotes)
        .from_writer(Vec::new());
    for row in table {
        writer.write_record(row).unwrap();
    }
    let mut text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
    if dialect.marked {
        text.insert(0, '\u{feff}');
    }
    match dialect.encoding {
        TextEncoding::Utf8 => text.into_bytes(),
        TextEncoding::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        TextEncoding::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        TextEncoding::Windows1252 => encoding_rs::WINDOWS_1252.encode(&text).0.into_owned(),
    }
}

proptest! {
    #[test]
    fn any_table_in_any_dialect_reads_back(table in tables(), dialect in dialects()) {
        let (reader, rows) = read(&written(&table, dialect));
        let found = [reader.header().to_vec()].into_iter().chain(rows.iter().map(|row| row.fields.clone()));
        prop_assert_eq!(found.collect::<Vec<_>>(), table);
        let Format::Csv { delimiter, encoding, damaged } = *reader.format() else {
            panic!("a CSV is a CSV")
        };
        prop_assert_eq!((delimiter, damaged), (char::from(dialect.delimiter), false));
        let ascii = encoding == TextEncoding::Utf8 && dialect.encoding == TextEncoding::Windows1252;
        prop_assert!(encoding == dialect.encoding || ascii);
    }

    #[test]
    fn what_the_writer_writes_the_reader_reads(table in tables()) {
        let mut writer = super::CsvWriter::new(Vec::new());
        for row in &table {
            writer.write_row(row.iter().map(String::as_str)).unwrap();
        }
        let (reader, rows) = read(&writer.finish().unwrap());
        prop_assert_eq!(reader.header(), &*table[0]);
        let found: Vec<_> = rows.into_iter().map(|row| row.fields).collect();
        prop_assert_eq!(found, &table[1..]);
    }

    #[test]
    fn no_bytes_make_the_reader_fail_otherwise_than_with_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        match super::tests::read_with(&bytes, &super::Options::default()) {
            Ok((reader, rows)) => prop_assert!(rows.iter().all(|row| row.fields.len() >= reader.header().len())),
            Err(error) => prop_assert!(error.is_of_the_file()),
        }
    }
}
