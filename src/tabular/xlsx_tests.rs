//! Workbooks, whole and broken, written by a library and by hand.

use std::io::Write;

use rust_xlsxwriter::{ExcelDateTime, Format as CellFormat, Formula, Workbook};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::tests::{fields, file, read, read_with, refused};
use super::*;

const TYPES: &str = r#"<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#;
const RELS: &str = r#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
const WORKBOOK: &str = r#"<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Leads" sheetId="1" r:id="r1"/></sheets></workbook>"#;
const WORKBOOK_RELS: &str = r#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#;

/// A workbook of one sheet, whose markup is given in pieces.
fn by_hand(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    with_part("docProps/none.xml", "", pieces)
}

/// One that has another part too.
fn with_part(
    name: &str,
    part: &str,
    pieces: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, part) in [
        ("[Content_Types].xml", TYPES),
        ("_rels/.rels", RELS),
        ("xl/workbook.xml", WORKBOOK),
        ("xl/_rels/workbook.xml.rels", WORKBOOK_RELS),
        (name, part),
    ] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(part.as_bytes()).unwrap();
    }
    zip.start_file("xl/worksheets/sheet1.xml", SimpleFileOptions::default())
        .unwrap();
    for piece in pieces {
        zip.write_all(piece.as_ref()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn sheet(rows: &str) -> Vec<u8> {
    by_hand([format!(
        r#"<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{rows}</sheetData></worksheet>"#
    )])
}

fn cell(text: &str) -> String {
    format!(r#"<c t="inlineStr"><is><t>{text}</t></is></c>"#)
}

#[test]
fn values_read_as_they_were_typed() {
    let mut book = Workbook::new();
    let date = CellFormat::new().set_num_format("dd/mm/yyyy");
    let moment = CellFormat::new().set_num_format("yyyy-mm-dd hh:mm");
    let sheet = book.add_worksheet();
    for (name, column) in ["day", "moment", "phone", "part", "yes", "sum", "text"]
        .iter()
        .zip(0..)
    {
        sheet.write_string(0, column, *name).unwrap();
    }
    let day = ExcelDateTime::from_ymd(2024, 5, 1).unwrap();
    sheet.write_with_format(2, 0, &day, &date).unwrap();
    let noon = ExcelDateTime::from_ymd(2024, 5, 1)
        .unwrap()
        .and_hms(12, 30, 0)
        .unwrap();
    sheet.write_with_format(2, 1, &noon, &moment).unwrap();
    sheet.write_number(2, 2, 5_512_345_678_f64).unwrap();
    sheet.write_number(2, 3, 0.1).unwrap();
    sheet.write_boolean(2, 4, true).unwrap();
    sheet
        .write_formula(2, 5, Formula::new("=1+2").set_result("3"))
        .unwrap();
    sheet
        .write_string(2, 6, "'=not a mark\nin a workbook")
        .unwrap();
    let (reader, rows) = read(&book.save_to_buffer().unwrap());
    assert_eq!(reader.sheets(), ["Sheet1"]);
    assert_eq!((rows[0].number, rows[0].line), (1, 3));
    assert_eq!(
        rows[0].fields,
        [
            "2024-05-01",
            "2024-05-01 12:30:00",
            "5512345678",
            "0.1",
            "true",
            "3",
            "'=not a mark\nin a workbook"
        ]
    );
}

#[test]
fn the_first_sheet_with_a_usable_header_is_read_or_the_one_that_is_named() {
    let mut book = Workbook::new();
    for (name, cells) in [
        ("Cover", ["Leads of May", ""]),
        ("Data", ["email", "x"]),
        ("More", ["email", "y"]),
    ] {
        let sheet = book.add_worksheet().set_name(name).unwrap();
        for (text, column) in cells.iter().zip(0..) {
            sheet.write_string(1, column, *text).unwrap();
        }
    }
    let bytes = book.save_to_buffer().unwrap();
    let options = Options {
        usable: Some(|header| header.iter().any(|name| name == "email")),
        ..Options::default()
    };
    let (reader, _) = read_with(&bytes, &options).unwrap();
    assert_eq!(reader.sheets(), ["Cover", "Data", "More"]);
    assert_eq!(
        *reader.format(),
        Format::Xlsx {
            sheet: "Data".into()
        }
    );
    let named = |name: &str| Options {
        sheet: Some(name.to_owned()),
        ..Options::default()
    };
    assert_eq!(
        read_with(&bytes, &named("more")).unwrap().0.header(),
        ["email", "y"]
    );
    let error = read_with(&bytes, &named("Other")).unwrap_err().to_string();
    assert_eq!(
        error,
        r#"has no sheet "Other"; its sheets are: Cover, Data, More"#
    );
}

#[test]
fn a_handmade_sheet_without_positions_is_read() {
    let rows = format!(
        "<row>{}{}</row><row>{}</row>",
        cell("a"),
        cell("b"),
        cell("1 &amp; 2")
    );
    let (reader, rows) = read(&sheet(&rows));
    assert_eq!(reader.header(), ["a", "b"]);
    assert_eq!(fields(&rows), [["1 & 2", ""]]);
}

#[test]
fn a_workbook_that_is_cut_off_anywhere_is_refused() {
    let whole = sheet(&format!("<row>{}</row>", cell("a")));
    for length in (4..whole.len()).step_by(7) {
        let error = refused(&whole[..length]);
        assert!(
            matches!(error, TabularError::Damaged(_)),
            "{length}: {error}"
        );
    }
}

#[test]
fn a_workbook_with_any_byte_changed_is_read_or_refused_and_never_worse() {
    let whole = sheet(&format!("<row>{}</row><row>{}</row>", cell("a"), cell("1")));
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        if let Err(error) = read_with(&bytes, &Options::default()) {
            assert!(error.is_of_the_file(), "{at}: {error}");
        }
    }
}

#[test]
fn other_formats_are_named() {
    let said = |bytes: &[u8]| refused(bytes).to_string();
    assert!(said(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1").contains("old or password-protected Excel"));
    assert!(said(b"%PDF-1.7").contains("PDF"));
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("word/document.xml", SimpleFileOptions::default())
        .unwrap();
    assert!(said(&zip.finish().unwrap().into_inner()).contains("text document"));
    assert!(matches!(
        refused(b"PK\x03\x04 and nothing more"),
        TabularError::Damaged(_)
    ));
    let empty = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    assert!(said(&empty.finish().unwrap().into_inner()).contains("an archive"));
}

#[test]
fn a_zip_bomb_is_refused_before_it_is_believed() {
    let megabyte = vec![b' '; 1 << 20];
    let bomb = by_hand(std::iter::repeat_n(&megabyte, 100));
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(
        read_with(&bomb, &Options::default()).unwrap_err(),
        TabularError::UnpacksTooLarge { .. } | TabularError::CellTooLong { .. }
    ));
    let spaces = b"<a/>".repeat(1 << 18);
    let bomb = by_hand(std::iter::repeat_n(&spaces, 100));
    assert!(matches!(refused(&bomb), TabularError::PacksTooWell { .. }));
}

#[test]
fn texts_that_pack_too_well_or_are_too_many_are_refused() {
    let row = || [format!("<row>{}</row>", cell("a"))];
    let table = |claim: &str, texts: &str| {
        let table = format!(r#"<sst count="1" {claim}>{texts}</sst>"#);
        with_part("xl/sharedStrings.xml", &table, row())
    };
    let long = format!("<si><t>{}</t></si>", "x".repeat(10_000)).repeat(2_000);
    let error = refused(&table("", &long));
    assert!(
        matches!(error, TabularError::PacksTooWell { .. }),
        "{error}"
    );
    let error = refused(&table("uniqueCount = '99999999999'", "<si><t>a</t></si>"));
    assert!(
        matches!(error, TabularError::TooManyTexts { .. }),
        "{error}"
    );
    let few = Options {
        limits: Limits {
            shared_texts: 10,
            ..Limits::default()
        },
        ..Options::default()
    };
    let error = read_with(&table("", &"<si/>".repeat(11)), &few).unwrap_err();
    assert!(
        matches!(error, TabularError::TooManyTexts { .. }),
        "{error}"
    );
    let styles = format!("<styleSheet>{}</styleSheet>", "<xf/>".repeat(100_000));
    let error = refused(&with_part("xl/styles.xml", &styles, row()));
    assert!(error.to_string().contains("too many styles"), "{error}");
}

#[test]
fn whole_numbers_come_with_all_their_digits() {
    let (_, rows) = read(&sheet(&format!(
        "<row>{}{}{}</row><row><c><v>1234567890123456</v></c><c><v>9007199254740991</v></c><c><v>5.512345678E9</v></c></row>",
        cell("a"),
        cell("b"),
        cell("c")
    )));
    assert_eq!(
        fields(&rows),
        [["1234567890123456", "9007199254740991", "5512345678"]]
    );
}

#[test]
fn a_settled_workbook_reads_as_before() {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    for (row, texts) in [
        ["a", "b", ""],
        ["1", "", ""],
        ["", "", ""],
        ["", "ñ\n2", "3"],
    ]
    .iter()
    .enumerate()
    {
        for (text, column) in texts.iter().zip(0..) {
            let row = u32::try_from(row).unwrap();
            sheet.write_string(row, column, *text).unwrap();
        }
    }
    let bytes = book.save_to_buffer().unwrap();
    let (_, before) = read(&bytes);
    let folder = tempfile::tempdir().unwrap();
    let settled = || {
        let reader = open(file(&bytes), &Options::default()).unwrap();
        reader.settle(folder.path()).unwrap()
    };
    assert_eq!(settled().total(), Some(2));
    let after: Vec<Row> = settled().collect::<Result<_, _>>().unwrap();
    assert_eq!(after, before);
    assert_eq!((after[1].number, after[1].line), (2, 4));
    let mut from = settled();
    from.skip_to(2).unwrap();
    assert_eq!(from.next().unwrap().unwrap(), before[1]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_workbook_that_claims_less_than_it_unpacks_to_is_refused() {
    let limits = Limits {
        unpacked_bytes: 10_000,
        ..Limits::default()
    };
    let mut bytes = sheet(&format!("<row>{}</row>", cell("a")).repeat(1_000));
    // The claimed size of the sheet, in the archive's list: the last one.
    let directory = bytes
        .windows(4)
        .rposition(|four| four == b"PK\x01\x02")
        .unwrap();
    bytes[directory + 24..directory + 28].copy_from_slice(&100_u32.to_le_bytes());
    let options = Options {
        limits,
        ..Options::default()
    };
    let error = read_with(&bytes, &options).unwrap_err();
    assert!(
        matches!(
            error,
            TabularError::UnpacksTooLarge { .. } | TabularError::Damaged(_)
        ),
        "{error}"
    );
}

#[test]
fn a_workbook_of_too_many_texts_is_refused_with_the_way_out() {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    for row in 0..200 {
        sheet.write_string(row, 0, format!("text {row}")).unwrap();
    }
    let bytes = book.save_to_buffer().unwrap();
    let of = |shared_text_bytes| Options {
        limits: Limits {
            shared_text_bytes,
            ..Limits::default()
        },
        ..Options::default()
    };
    assert_eq!(read_with(&bytes, &of(100_000)).unwrap().1.len(), 199);
    let error = read_with(&bytes, &of(1_000)).unwrap_err().to_string();
    assert_eq!(
        error,
        "holds more than 1000 bytes of different texts; save it as CSV"
    );
}

#[test]
fn endless_cells_and_rows_are_refused_and_the_place_named() {
    let long = "x".repeat(10_000_000);
    let error = refused(&sheet(&format!("<row>{}{}</row>", cell("a"), cell(&long))));
    assert!(!error.to_string().contains("quotation"), "{error}");
    assert!(
        matches!(
            error,
            TabularError::CellTooLong {
                line: 1,
                column: 2,
                ..
            }
        ),
        "{error}"
    );
    // The same as a text of many small pieces, and as a comment.
    let options = Options {
        limits: Limits {
            cell_bytes: 1_000,
            ..Limits::default()
        },
        ..Options::default()
    };
    let refused_small = |bytes: &[u8]| read_with(bytes, &options).unwrap_err();
    let pieces = "<r><t>xxxxxxxx</t></r>".repeat(1_000);
    let markup = format!(r#"<row><c t="inlineStr"><is>{pieces}</is></c></row>"#);
    let error = refused_small(&sheet(&markup));
    assert!(matches!(error, TabularError::CellTooLong { .. }), "{error}");
    let comment = format!("<!--{}-->", "<x>".repeat(4_000));
    let error = refused_small(&sheet(&comment));
    assert!(matches!(error, TabularError::CellTooLong { .. }), "{error}");
    let wide = format!("<row>{}</row>", cell("c").repeat(10_000));
    let error = refused(&sheet(&wide));
    assert!(
        matches!(error, TabularError::TooManyColumns { line: 1, .. }),
        "{error}"
    );
}

#[test]
fn what_the_writer_writes_the_reader_reads() {
    let header = ["phone".to_owned(), "stage".to_owned()];
    let mut writer = XlsxWriter::new("Leads", &header).unwrap();
    for n in 0..3_000 {
        assert!(
            writer
                .write_row([&*format!("+52551{n:07}"), "=1+1"])
                .unwrap()
        );
    }
    let lists = XlsxSheet {
        name: "Lists".into(),
        columns: vec![("Stages".into(), vec!["new".into(), "won".into()])],
        offered: vec![(1, 0)],
    };
    writer.add_lists(&lists).unwrap();
    let to = file(b"");
    writer.finish(&to).unwrap();
    let reader = open(to, &Options::default()).unwrap();
    assert_eq!(reader.sheets(), ["Leads", "Lists"]);
    let rows: Vec<Row> = reader.collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 3_000);
    assert_eq!(rows[2_999].fields, ["+525510002999", "=1+1"]);
}

#[test]
fn a_workbook_of_the_same_content_is_the_same_to_the_byte_whenever_it_is_written() {
    let written = || {
        let mut writer = XlsxWriter::new("Leads", &["name".to_owned()]).unwrap();
        writer.write_row(["Ana"]).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writer.finish(file.as_file_mut()).unwrap();
        std::fs::read(file.path()).unwrap()
    };
    let first = written();
    // Times in workbooks are whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert!(first == written(), "it tells when it was written");
}
