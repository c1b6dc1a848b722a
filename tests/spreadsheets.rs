//! Workbooks of a real spreadsheet program: what `LibreOffice` writes is read, and what is written here `LibreOffice` opens.
//! `make test-spreadsheets` runs these; they need the program.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use leadledger::tabular::{self, Format, Options, Row, XlsxSheet, XlsxWriter};

/// A workbook of three sheets as `LibreOffice`'s own flat format.
const LEADS: &str = include_str!("spreadsheets/leads.fods");

/// Converts a file with `LibreOffice`, which puts the result beside it.
fn convert(file: &Path, to: &str) {
    let folder = file.parent().expect("a folder");
    // A profile of its own: a LibreOffice that runs already is left alone.
    let profile = format!("-env:UserInstallation=file://{}/profile", folder.display());
    let run = Command::new("soffice")
        .args([&profile, "--headless", "--convert-to", to, "--outdir"])
        .args([folder, file])
        .output()
        .expect("soffice, which `make test-spreadsheets` looks for");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "soffice: {said}");
}

fn read(path: &Path, sheet: Option<&str>) -> (Vec<String>, Vec<Vec<String>>, Format) {
    let options = Options {
        sheet: sheet.map(str::to_owned),
        usable: Some(|header| header.iter().any(|name| name == "email")),
        ..Options::default()
    };
    let file = File::open(path).expect("LibreOffice's file");
    let reader = tabular::open(file, &options).expect("a workbook that is read");
    let (header, format) = (reader.header().to_vec(), reader.format().clone());
    let rows: Vec<Row> = reader.collect::<Result<_, _>>().expect("rows");
    let fields = rows.into_iter().map(|row| row.fields);
    (header, fields.collect(), format)
}

#[test]
#[ignore = "needs LibreOffice: make test-spreadsheets"]
fn a_workbook_of_libreoffice_reads_as_it_was_typed() {
    let folder = tempfile::tempdir().expect("a folder");
    let leads = folder.path().join("leads.fods");
    fs::write(&leads, LEADS).expect("writing");
    convert(&leads, "xlsx");
    let workbook = folder.path().join("leads.xlsx");
    let (header, rows, format) = read(&workbook, None);
    assert_eq!(
        format,
        Format::Xlsx {
            sheet: "Leads".to_owned()
        }
    );
    assert_eq!(
        header,
        [
            "name", "email", "phone", "day", "moment", "amount", "yes", "sum", "notes"
        ]
    );
    assert_eq!(
        rows,
        [
            [
                "José Muñoz",
                "jose@example.com",
                "5512345678",
                "2024-05-01",
                "2024-05-01 13:45:00",
                "1234.5",
                "true",
                "3",
                "two\nlines"
            ],
            [
                "Bea",
                "bea@example.com",
                "+525587654321",
                "",
                "",
                "0.1",
                "false",
                "",
                "=1+1"
            ],
        ]
    );
    let (header, rows, _) = read(&workbook, Some("other"));
    assert_eq!(
        (header, rows),
        (vec!["x".to_owned()], vec![vec!["1".to_owned()]])
    );
}

#[test]
#[ignore = "needs LibreOffice: make test-spreadsheets"]
fn every_encoding_that_libreoffice_writes_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let sheet = folder.path().join("out.xlsx");
    let mut writer =
        XlsxWriter::new("Leads", &["name".to_owned(), "city".to_owned()]).expect("a workbook");
    for row in [["José", "Málaga"], ["a;b", "two\nlines"]] {
        writer.write_row(row).expect("a row");
    }
    writer
        .finish(&File::create(&sheet).expect("a file"))
        .expect("the workbook");
    // Delimiter; quotation mark; character set, as LibreOffice numbers them: UTF-8, UTF-16, Windows-1252, ISO-8859-1.
    for (delimiter, set) in [(44, 76), (59, 76), (9, 65535), (59, 1), (124, 12)] {
        let filter = format!("csv:Text - txt - csv (StarCalc):{delimiter},34,{set},1");
        convert(&sheet, &filter);
        let written = folder.path().join("out.csv");
        let (header, rows, format) = read(&written, None);
        assert_eq!(header, ["name", "city"], "{format:?}");
        assert_eq!(
            rows,
            [["José", "Málaga"], ["a;b", "two\nlines"]],
            "{format:?}"
        );
    }
}

#[test]
#[ignore = "needs LibreOffice: make test-spreadsheets"]
fn libreoffice_opens_what_is_written_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let workbook = folder.path().join("book.xlsx");
    let header = ["name".to_owned(), "phone".to_owned(), "stage".to_owned()];
    let mut writer = XlsxWriter::new("Leads", &header).expect("a workbook");
    for row in [["José", "+525512345678", "new"], ["=1+1", "007", "won"]] {
        assert!(writer.write_row(row).expect("a row"));
    }
    let lists = XlsxSheet {
        name: "Lists".to_owned(),
        columns: vec![("stage".to_owned(), vec!["new".to_owned(), "won".to_owned()])],
        offered: vec![(2, 0)],
    };
    writer.add_lists(&lists).expect("a second sheet");
    let file = File::create(&workbook).expect("a file");
    writer.finish(&file).expect("the workbook");
    // Every sheet as a file of its own, in UTF-8.
    convert(
        &workbook,
        "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1",
    );
    let shown = |sheet: &str| {
        let path = folder.path().join(format!("book-{sheet}.csv"));
        fs::read_to_string(path).expect("LibreOffice's file")
    };
    assert_eq!(
        shown("Leads"),
        "name,phone,stage\nJosé,+525512345678,new\n=1+1,007,won\n"
    );
    assert_eq!(shown("Lists"), "stage\nnew\nwon\n");
    // The drop-down survives a round through the program.
    convert(&workbook, "fods");
    let flat = fs::read_to_string(folder.path().join("book.fods")).expect("LibreOffice's file");
    assert!(flat.contains("cell-content-is-in-list"), "no drop-down");
}
