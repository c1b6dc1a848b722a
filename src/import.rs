//! `leadledger import`: a CSV file of leads goes through the same commands and the same committer as everything else.
//!
//! Rows are read one by one and decided in batches; a row that is refused is told with its reason and changes nothing.

mod columns;
mod direct;
mod remote;

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use aggregates::lead::{Contact, ExtraFields};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use crate::config::{ImportArgs, Settings};
use columns::Columns;

/// How many rows are read ahead of the ledger.
const READ_AHEAD: usize = 2_000;
/// How many reasons are printed; the file named by `--rejected` holds them all.
const PRINTED: usize = 20;

/// A row of the file.
#[derive(Debug)]
pub struct Row {
    /// 1-based, the header not counted.
    number: u64,
    /// As it stands in the file, for the file of rejected rows.
    fields: Vec<String>,
}

/// Where the leads of a file go.
#[derive(Debug, Clone, Copy)]
pub struct Destination {
    company: i64,
    source: Option<i64>,
}

impl From<&ImportArgs> for Destination {
    fn from(args: &ImportArgs) -> Self {
        Self {
            company: args.company,
            source: args.source,
        }
    }
}

/// What a row says of a lead.
#[derive(Debug, Clone)]
pub struct NewLead {
    contact: Contact,
    extra: ExtraFields,
}

/// What became of a row.
#[derive(Debug)]
pub enum Fate {
    /// A lead came of it.
    Created {
        /// Its id.
        lead_id: i64,
    },
    /// Nothing came of it, for this reason.
    Rejected(String),
}

/// What became of a file.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows read.
    pub total: u64,
    /// Leads created.
    pub created: u64,
    /// Of those, the ones that share an e-mail or phone with an older lead of the company.
    pub duplicates: u64,
    /// Rows that were refused, with number, fields and reason.
    pub rejected: Vec<(u64, Vec<String>, String)>,
}

/// Imports the file and prints the report.
///
/// # Errors
/// When the file cannot be read, or the ledger or the server cannot be reached. Rows that are refused are no error.
pub async fn run(settings: &Settings, args: &ImportArgs) -> anyhow::Result<Report> {
    let began = Instant::now();
    let (columns, reader, rows_guess) = open(&args.file)?;
    let header = columns.header().to_vec();
    let bar = progress_bar(rows_guess);
    let (feed, rows) = mpsc::channel(READ_AHEAD);
    let reading = tokio::task::spawn_blocking(move || read(reader, &feed));
    let report = match (&args.url, &args.token) {
        (Some(url), Some(token)) => {
            remote::run(url, token, args.into(), columns, rows, &bar).await?
        }
        _ => direct::run(settings, args.into(), columns, rows, &bar).await?,
    };
    reading
        .await?
        .context("the file could not be read to its end")?;
    bar.finish_and_clear();
    if let Some(path) = &args.rejected {
        write_rejected(path, &header, &report)?;
    }
    print(&report, began);
    Ok(report)
}

type Reader = csv::Reader<File>;

fn open(path: &Path) -> anyhow::Result<(Columns, Reader, u64)> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let bytes = file.metadata()?.len();
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let header = reader
        .byte_headers()
        .context("the header line cannot be read")?;
    let names = header.iter().map(|name| {
        String::from_utf8_lossy(name)
            .trim_start_matches('\u{feff}')
            .trim()
            .to_owned()
    });
    let columns = Columns::of(names.collect())?;
    // A row of a lead file is some 150 bytes: good enough for a progress bar, which corrects itself.
    Ok((columns, reader, bytes / 150))
}

fn read(mut reader: Reader, feed: &mpsc::Sender<Row>) -> Result<(), csv::Error> {
    let mut record = csv::ByteRecord::new();
    let mut number = 0;
    while reader.read_byte_record(&mut record)? {
        number += 1;
        let fields = record.iter();
        let fields = fields.map(|field| String::from_utf8_lossy(field).into_owned());
        let row = Row {
            number,
            fields: fields.collect(),
        };
        if feed.blocking_send(row).is_err() {
            break;
        }
    }
    Ok(())
}

fn progress_bar(rows: u64) -> ProgressBar {
    let bar = ProgressBar::new(rows);
    let style = "{bar:40} {pos} rows  {per_sec}  {elapsed_precise}";
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

fn write_rejected(path: &Path, header: &[String], report: &Report) -> anyhow::Result<()> {
    let mut writer = csv::WriterBuilder::new()
        .flexible(true)
        .from_path(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    writer.write_record(header.iter().map(String::as_str).chain(["reason"]))?;
    for (_, fields, reason) in &report.rejected {
        let padded = fields.iter().map(String::as_str);
        let padded = padded.chain(std::iter::repeat("")).take(header.len());
        writer.write_record(padded.chain([reason.as_str()]))?;
    }
    writer.flush()?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is the command's result")]
fn print(report: &Report, began: Instant) {
    for (number, _, reason) in report.rejected.iter().take(PRINTED) {
        println!("row {number} rejected: {reason}");
    }
    if report.rejected.len() > PRINTED {
        println!("… and {} more", report.rejected.len() - PRINTED);
    }
    println!("rows read      {}", report.total);
    println!("leads created  {}", report.created);
    println!("  duplicates   {}", report.duplicates);
    println!("rows rejected  {}", report.rejected.len());
    println!("seconds        {:.1}", began.elapsed().as_secs_f64());
}
