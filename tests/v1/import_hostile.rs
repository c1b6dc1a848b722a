//! Files as they should not be, through the server: a clear refusal or a failed import that says where, nothing lost, memory bounded;
//! and files as people have them, in every encoding, which go in.

use std::io::{Cursor, Write};

use leadledger::lead_files::READ_ONLY_COLUMNS;
use leadledger::tabular::{self, Options};
use rust_xlsxwriter::{ExcelDateTime, Format, Workbook};
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::imports::{Scene, code};
use crate::server::{Answer, int};

async fn upload(scene: &Scene, name: &str, file: impl Into<Vec<u8>>) -> Answer {
    let call = scene.server.post(scene.path()).token(&scene.ana.token);
    call.upload(name, file, &[]).answer().await
}

/// The import of a file that is taken, at its end.
async fn imported(scene: &Scene, name: &str, file: impl Into<Vec<u8>>) -> Value {
    let answer = upload(scene, name, file).await;
    assert_eq!(answer.status, 201, "{name}: {}", answer.text);
    scene.ended(code(&answer.body["import_file"])).await
}

/// A workbook whose table of texts is that long, in megabytes.
fn workbook_of_texts(megabytes: usize) -> Vec<u8> {
    const RELATION: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
    const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let parts = [
        (
            "[Content_Types].xml",
            format!(r#"<Types xmlns="{PACKAGE}/content-types"/>"#),
        ),
        (
            "_rels/.rels",
            format!(
                r#"<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" Type="{RELATION}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/workbook.xml",
            format!(
                r#"<workbook xmlns="{MAIN}" xmlns:r="{RELATION}"><sheets><sheet name="Leads" sheetId="1" r:id="r1"/></sheets></workbook>"#
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                r#"<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" Type="{RELATION}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="{RELATION}/sharedStrings" Target="sharedStrings.xml"/></Relationships>"#
            ),
        ),
    ];
    let parts = parts.into_iter().chain([(
        "xl/worksheets/sheet1.xml",
        format!(
            r#"<worksheet xmlns="{MAIN}"><sheetData><row><c t="s"><v>0</v></c></row></sheetData></worksheet>"#
        ),
    )]);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, part) in parts {
        zip.start_file(name, SimpleFileOptions::default())
            .expect("a part");
        zip.write_all(part.as_bytes()).expect("writing");
    }
    zip.start_file("xl/sharedStrings.xml", SimpleFileOptions::default())
        .expect("a part");
    write!(zip, r#"<sst xmlns="{MAIN}"><si><t>email</t></si>"#).expect("writing");
    let megabyte = b"<si><t></t></si>".repeat(1 << 16);
    for _ in 0..megabytes {
        zip.write_all(&megabyte).expect("writing");
    }
    zip.write_all(b"</sst>").expect("writing");
    zip.finish().expect("a workbook").into_inner()
}

/// Megabytes that this process holds, the server in it included.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.expect("a size") / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_is_refused_and_nothing_comes_of_it() {
    let scene = Scene::start().await;
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    sheet.write_string(0, 0, "Email").expect("a cell");
    sheet.write_string(1, 0, "a@example.com").expect("a cell");
    let whole = book.save_to_buffer().expect("a workbook");
    let before = resident();
    let bomb = workbook_of_texts(80);
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let header = format!("email{}\n", ",c".repeat(10_000));
    let files: [(&str, Vec<u8>); 6] = [
        ("bomb.xlsx", bomb),
        ("cut-off.xlsx", whole[..whole.len() / 2].to_vec()),
        ("wide.csv", header.into_bytes()),
        ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest".to_vec()),
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec()),
        ("empty.csv", Vec::new()),
    ];
    for (name, file) in files {
        let answer = upload(&scene, name, file).await;
        assert_eq!(answer.status, 422, "{name}: {}", answer.text);
        let told = &answer.body["errors"];
        assert!(
            told["file"].is_array() || told["mapping"].is_array(),
            "{name}: {}",
            answer.text
        );
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 100, "the server grew by {grown} MB");
    assert_eq!(scene.leads().await.len(), 0);
    let list = scene.server.get("/api/v1/import").token(&scene.ana.token);
    assert_eq!(list.expect(200).await["meta"]["total_count"], 0);
    // It still works.
    let import = imported(&scene, "whole.xlsx", whole).await;
    assert_eq!(int(&import["imported_rows"]), 1);
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_breaks_later_fails_and_says_where() {
    let scene = Scene::start().await;
    let before = resident();
    let cell = format!(
        "email,note\nana@example.com,x\nbea@example.com,{}\n",
        "y".repeat(10 << 20)
    );
    let unclosed = format!(
        "email,note\nana@example.com,\"x\n{}",
        "line\n".repeat(1 << 20)
    );
    for (name, file) in [("cell.csv", cell), ("unclosed.csv", unclosed)] {
        let import = imported(&scene, name, file).await;
        assert_eq!(import["status"], "failed", "{name}: {import}");
        assert_eq!(import["failure"], "unreadable_file");
        let detail = import["failure_detail"].as_str().expect("where");
        assert!(detail.contains("line"), "{name}: {detail}");
        assert_eq!(
            int(&import["processed_rows"]),
            0,
            "all is read before anything comes of it"
        );
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 100, "the server grew by {grown} MB");
    assert_eq!(scene.leads().await.len(), 0);

    let zeros = "email,note\nana@example.com,a\0b\nbea@example.com,fine\nc\0d@example.com,\n";
    let import = imported(&scene, "zeros.csv", zeros).await;
    assert_eq!(import["status"], "completed");
    assert_eq!(
        [&import["imported_rows"], &import["failed_rows"]].map(int),
        [1, 2]
    );
    assert_eq!(import["errors"][0]["code"], "invalid_text");
    assert_eq!(import["errors"][0]["column"], "note");
    assert_eq!(import["errors"][1]["code"], "invalid_email");
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_as_people_have_them_go_in() {
    let scene = Scene::start().await;
    let text = "Nombre;Correo;Teléfono;Nota\r\nÑandú;n{n}@example.com;55 1234 567{n};\"dos\r\nlíneas; y más\"\r\n";
    let numbered = |n: usize| text.replace("{n}", &n.to_string());
    let wide = |text: &str, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(0xfeff)
            .chain(text.encode_utf16())
            .flat_map(unit)
            .collect()
    };
    let narrow = |text: &str| -> Vec<u8> {
        let byte = |c: char| u8::try_from(u32::from(c)).expect("a Latin letter");
        text.chars().map(byte).collect()
    };
    let files: Vec<Vec<u8>> = vec![
        numbered(0).into_bytes(),
        format!("\u{feff}{}", numbered(1)).into_bytes(),
        wide(&numbered(2), u16::to_le_bytes),
        wide(&numbered(3), u16::to_be_bytes),
        narrow(&numbered(4)),
        numbered(5).replace("\r\n", "\r").into_bytes(),
        numbered(6).replace("\r\n", "\n").into_bytes(),
        numbered(7).replace(';', "\t").into_bytes(),
        numbered(8).replace(';', "|").into_bytes(),
    ];
    let count = files.len();
    for (n, file) in files.into_iter().enumerate() {
        let import = imported(&scene, &format!("{n}.csv"), file).await;
        assert_eq!(int(&import["imported_rows"]), 1, "{n}: {import}");
    }
    let leads = scene.leads().await;
    assert_eq!(leads.len(), count);
    for lead in leads {
        assert_eq!(lead["first_name"], "Ñandú", "{lead}");
        let note = lead["extra"]["Nota"].as_str().expect("a note");
        assert!(note.starts_with("dos") && note.contains("líneas"), "{note}");
    }

    let mut book = Workbook::new();
    let cover = book.add_worksheet();
    cover
        .write_string(0, 0, "Feria de mayo")
        .expect("a cell on the cover");
    let sheet = book.add_worksheet().set_name("Prospectos").expect("a name");
    for (column, name) in (0..).zip(["Correo", "Fecha", "Piezas", "Teléfono"]) {
        sheet.write_string(0, column, name).expect("a cell");
    }
    let date = Format::new().set_num_format("yyyy-mm-dd");
    let day = ExcelDateTime::from_ymd(2026, 5, 1).expect("a day");
    sheet.write_string(1, 0, "x@example.com").expect("a cell");
    sheet.write_with_format(1, 1, &day, &date).expect("a cell");
    sheet.write_number(1, 2, 12.5).expect("a cell");
    sheet.write_number(1, 3, 5_512_345_678_f64).expect("a cell");
    let import = imported(&scene, "feria.xlsx", book.save_to_buffer().expect("a book")).await;
    assert_eq!(int(&import["imported_rows"]), 1, "{import}");
    let path = format!("/api/v1/companies/{}/leads?search=x@", scene.company);
    let found = scene.server.get(path).token(&scene.ana.token);
    let lead = found.expect(200).await["leads"][0].take();
    assert_eq!(
        lead["extra"],
        json!({"Fecha": "2026-05-01", "Piezas": "12.5"})
    );
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_imported_as_it_was() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let source = server.source(&scene.ana, scene.company, "Web").await;
    server
        .lead(
            &scene.ana,
            scene.company,
            json!({"first_name": "=1+1", "last_name": "D'Arcy, \"Jr\"", "email": "a@example.com", "phone_number": "+525512345678",
                "source_id": source, "stage_id": 4, "extra": {"+": "-x", "Línea": "una\ndos"},
                "estimated_value": {"amount": "1200.50", "currency": "MXN"}}),
        )
        .await;
    server
        .lead(&scene.ana, scene.company, json!({"first_name": "Bea"}))
        .await;
    let rows = async |company: i64, format: &str| {
        let path = format!("/api/v1/companies/{company}/leads/export?format={format}&sort=id");
        let request = reqwest::Client::new().get(format!("{}{path}", server.url()));
        let sent = request.bearer_auth(&scene.ana.token).send().await;
        let bytes = sent.expect("an answer").bytes().await.expect("a body");
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&bytes).expect("writing");
        let reader = tabular::open(file, &Options::default()).expect("a file that is read");
        let header = reader.header().to_vec();
        let rows: Vec<Vec<(String, String)>> = reader
            .map(|row| {
                let cells = header.iter().cloned().zip(row.expect("a row").fields);
                let told = |(name, cell): &(String, String)| {
                    !cell.is_empty() && !READ_ONLY_COLUMNS.contains(&name.as_str())
                };
                cells.filter(told).collect()
            })
            .collect();
        (bytes.to_vec(), rows)
    };
    for format in ["csv", "xlsx"] {
        let (file, before) = rows(scene.company, format).await;
        assert_eq!(before.len(), 2);
        let elsewhere = server.company(&scene.ana, format).await;
        server.source(&scene.ana, elsewhere, "Web").await;
        let path = format!("/api/v1/companies/{elsewhere}/import/leads");
        let call = server.post(path).token(&scene.ana.token);
        let begun = call.upload(&format!("all.{format}"), file, &[]);
        let begun = begun.expect(201).await;
        let import = scene.ended(code(&begun["import_file"])).await;
        assert_eq!(int(&import["imported_rows"]), 2, "{import}");
        let (_, after) = rows(elsewhere, format).await;
        assert_eq!(after, before, "{format}");
    }
    server.assert_sound().await;
}
