//! `leadledger import`: the engine of the API, straight on the database beside whatever servers run on it, or through a server.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aggregates::ids::{CampaignId, CompanyId, SourceId};
use aggregates::import::{DuplicatePolicy, FailedRow, ImportOptions, RowCounts};
use anyhow::Context;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use projections::companies;
use projections::imports::list::{self, ImportRow};
use tokio::io::AsyncReadExt;

use super::decision::message;
use super::engine::{ImportRefusal, Imports, NewImport};
use super::files::{ImportFiles, Spooled};
use super::shown::Audience;
use super::{errors_file, remote, runner};
use crate::clock::Clock;
use crate::config::{Duplicates, ImportArgs, Settings};
use crate::database::Database;
use crate::ledger::{Ledger, Provenance, Secrets, Work};
use crate::objects::Objects;

/// How many reasons are printed; the file named by `--rejected` holds them all.
const PRINTED: usize = 20;
/// How often the bar moves.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// What became of a file.
#[derive(Debug, Default)]
pub struct Report {
    /// By which the import is asked for and taken back; none of a dry run.
    pub code: Option<String>,
    /// `completed`, unless something kept the import from its end; `dry run` for one.
    pub status: String,
    /// Why it failed as a whole: what is wrong with the file, and the code of that.
    pub failure: Option<String>,
    /// Rows that have an outcome.
    pub total: i64,
    /// By outcome.
    pub counts: RowCounts,
    /// The first refused rows with their reasons.
    pub refused: Vec<(i64, String)>,
}

/// Imports the file and prints the report.
///
/// # Errors
/// When the file cannot be read, or not to its end, or the ledger or the server cannot be reached. Rows that are refused are no
/// error.
pub async fn run(settings: &Settings, args: &ImportArgs) -> anyhow::Result<Report> {
    let began = Instant::now();
    let options = options(args)?;
    let reason = reason(args)?;
    let file = args.file.display();
    let metadata = tokio::fs::metadata(&args.file).await;
    let metadata = metadata.with_context(|| format!("cannot open {file}"))?;
    anyhow::ensure!(!metadata.is_dir(), "{file} is a folder");
    if let Some(path) = &args.rejected {
        // Before anything is on record: afterwards it would be too late to say so.
        let opened = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        opened.with_context(|| format!("cannot write {}", path.display()))?;
    }
    let report = match (&args.url, &args.token) {
        (Some(url), Some(token)) => {
            remote::run(url, token, args, &options, reason.as_deref()).await?
        }
        _ => direct(settings, args, options, reason).await?,
    };
    print(&report, began);
    anyhow::ensure!(
        matches!(report.status.as_str(), "completed" | "dry run"),
        "the import is {}{}",
        report.status,
        report
            .failure
            .as_ref()
            .map(|why| format!(": {why}"))
            .unwrap_or_default()
    );
    Ok(report)
}

/// In the words of the server, which knows no `--force`.
pub(super) fn at_the_console(imported_before: &str) -> String {
    imported_before.replace("send force=true", "give --force")
}

/// Says how the import is asked for, as soon as it is on record: whoever interrupts the command needs it.
#[expect(clippy::print_stderr, reason = "what is under way is no result")]
pub(super) fn announce(code: &str) {
    eprintln!(
        "import {code} is on record; it goes on in a server when this command is interrupted"
    );
}

/// Why an import failed as a whole, as the report says it.
pub(super) fn why(failure: Option<&str>, detail: Option<&str>) -> Option<String> {
    let code = failure?;
    Some(detail.map_or_else(|| code.to_owned(), |detail| format!("{detail} ({code})")))
}

fn reason(args: &ImportArgs) -> anyhow::Result<Option<String>> {
    let reason = Provenance::reason_in(args.reason.as_deref().unwrap_or_default());
    reason.map_err(|why| anyhow::anyhow!("--reason {why}"))
}

fn options(args: &ImportArgs) -> anyhow::Result<ImportOptions> {
    let mapping = args.mapping.iter().map(|entry| {
        let (header, field) = entry
            .rsplit_once('=')
            .with_context(|| format!("--map {entry}: must be HEADER=FIELD"))?;
        Ok((header.to_owned(), field.to_owned()))
    });
    Ok(ImportOptions {
        mapping: mapping.collect::<anyhow::Result<_>>()?,
        duplicates: match args.duplicates {
            Duplicates::Create => DuplicatePolicy::Create,
            Duplicates::Skip => DuplicatePolicy::Skip,
            Duplicates::Fill => DuplicatePolicy::Fill,
            Duplicates::Overwrite => DuplicatePolicy::Overwrite,
        },
        source_id: args.source.map(SourceId),
        campaign_id: args.campaign.map(CampaignId),
        sheet: args.sheet.clone(),
    })
}

async fn direct(
    settings: &Settings,
    args: &ImportArgs,
    options: ImportOptions,
    reason: Option<String>,
) -> anyhow::Result<Report> {
    let database = Database::existing(settings).await?;
    let clock = Clock::system();
    let secrets = Secrets::load(&mut *database.pool.acquire().await?).await?;
    let (ledger, tasks) =
        Ledger::open(&database.pool, &database.options, &secrets, clock.clone()).await?;
    let objects = Objects::open(settings.object_store.as_deref(), &settings.data_dir)?;
    let imports = Imports {
        pool: database.pool.clone(),
        ledger,
        clock,
        files: ImportFiles::new(objects, &settings.data_dir),
        wake: Arc::default(),
    };
    let report = import(&imports, &database, args, options, reason).await;
    drop(imports);
    tasks.finished().await;
    database.close().await;
    report
}

async fn import(
    imports: &Imports,
    database: &Database,
    args: &ImportArgs,
    options: ImportOptions,
    reason: Option<String>,
) -> anyhow::Result<Report> {
    let mut connection = imports.pool.acquire().await?;
    let company = companies::by_id(&mut connection, CompanyId(args.company)).await?;
    drop(connection);
    let company = company.with_context(|| format!("there is no company {}", args.company))?;
    let catalogue = imports.catalogue(&company).await?;
    for (option, id, known) in [
        ("--source", args.source, &catalogue.sources),
        ("--campaign", args.campaign, &catalogue.campaigns),
    ] {
        let known = id.is_none_or(|id| known.has(id));
        anyhow::ensure!(known, "{option} is none of company {}", args.company);
    }
    let spooled = spool(imports, args).await?;
    let name = args.file.file_name().unwrap_or_default();
    let new = NewImport {
        company: Arc::new(company),
        user_id: None,
        name: name.to_string_lossy().chars().take(255).collect(),
        options,
        force: args.force,
    };
    if args.dry_run {
        let run = imports.rehearse(new, &spooled).await;
        let run = run.map_err(|refusal| refused(refusal, args))?;
        let mut report = Report {
            status: "dry run".to_owned(),
            ..Report::default()
        };
        for outcomes in run.outcomes {
            report.add(outcomes.counts(), &outcomes.failed);
        }
        return Ok(report);
    }
    let provenance = Provenance::console("import", reason);
    let prepare = |decision| Work::new(provenance, decision);
    let id = imports.begin(new, &spooled, prepare).await;
    let id = id.map_err(|refusal| refused(refusal, args))?.resource_id;
    announce(&read(imports, id).await?.import_code);
    let bar = progress_bar();
    tokio::select! {
        done = runner::run_one(imports, &database.options, id) => done?,
        () = show(imports, id, &bar) => {}
    }
    bar.finish_and_clear();
    let row = read(imports, id).await?;
    if let Some(path) = &args.rejected {
        write_rejected(imports, &row, path).await?;
    }
    // The file is still at hand where it came from.
    imports.files.remove(&row.import_code).await;
    Ok(Report::of(&row))
}

fn refused(refusal: ImportRefusal, args: &ImportArgs) -> anyhow::Error {
    match refusal {
        refusal @ ImportRefusal::ImportedBefore { .. } => {
            anyhow::anyhow!(at_the_console(&refusal.to_string()))
        }
        refusal => anyhow::Error::new(refusal).context(args.file.display().to_string()),
    }
}

async fn spool(imports: &Imports, args: &ImportArgs) -> anyhow::Result<Spooled> {
    let open = tokio::fs::File::open(&args.file).await;
    let mut file = open.with_context(|| format!("cannot open {}", args.file.display()))?;
    let mut spool = imports.files.spool()?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer).await;
        let read = read.with_context(|| format!("cannot read {}", args.file.display()))?;
        if read == 0 {
            return Ok(spool.finish().await?);
        }
        spool.write(&buffer[..read]).await?;
    }
}

async fn read(imports: &Imports, id: i64) -> anyhow::Result<ImportRow> {
    let row = list::by_id(&mut *imports.pool.acquire().await?, id).await?;
    row.context("the import is not on record")
}

async fn show(imports: &Imports, id: i64, bar: &ProgressBar) {
    loop {
        tokio::time::sleep(SHOWN_EVERY).await;
        if let Ok(row) = read(imports, id).await {
            bar.set_length(u64::try_from(row.total_rows.unwrap_or(0)).unwrap_or(0));
            bar.set_position(u64::try_from(row.processed_rows()).unwrap_or(0));
        }
    }
}

async fn write_rejected(
    imports: &Imports,
    row: &ImportRow,
    path: &std::path::Path,
) -> anyhow::Result<()> {
    // Whoever has the console has the database: nothing is hidden, and no log of reads would tell.
    let stream = errors_file::stream(imports, row, Audience::console()).await?;
    let mut pieces = std::pin::pin!(stream.context("the file is not kept any more")?);
    let created = std::fs::File::create(path);
    let mut file = created.with_context(|| format!("cannot write {}", path.display()))?;
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece?)?;
    }
    Ok(())
}

/// A bar that tells rows, rate and time left.
#[must_use]
pub fn progress_bar() -> ProgressBar {
    let style = "{bar:40} {pos}/{len} rows  {per_sec}  {eta}";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

impl Report {
    fn of(row: &ImportRow) -> Self {
        let mut report = Self {
            code: Some(row.import_code.clone()),
            status: row.status.clone(),
            failure: why(row.failure.as_deref(), row.failure_detail.as_deref()),
            ..Self::default()
        };
        let counts = RowCounts {
            imported: row.imported_rows,
            updated: row.updated_rows,
            skipped: row.skipped_rows,
            failed: row.failed_rows,
            duplicates: row.duplicate_rows,
        };
        report.add(counts, &row.errors.0);
        report
    }

    fn add(&mut self, counts: RowCounts, failed: &[FailedRow]) {
        self.total += counts.processed();
        self.counts.imported += counts.imported;
        self.counts.updated += counts.updated;
        self.counts.skipped += counts.skipped;
        self.counts.failed += counts.failed;
        self.counts.duplicates += counts.duplicates;
        let reason = |row: &FailedRow| (row.row, message(&row.code, row.column.as_deref()));
        self.refused.extend(failed.iter().map(reason));
    }
}

#[expect(clippy::print_stdout, reason = "the report is the command's result")]
fn print(report: &Report, began: Instant) {
    for (row, reason) in report.refused.iter().take(PRINTED) {
        println!("row {row} refused: {reason}");
    }
    let more = usize::try_from(report.counts.failed).unwrap_or_default();
    if more > PRINTED {
        println!("… and {} more", more - PRINTED);
    }
    if let Some(code) = &report.code {
        println!("import         {code}");
    }
    println!("status         {}", report.status);
    println!("rows           {}", report.total);
    println!("leads created  {}", report.counts.imported);
    println!("leads updated  {}", report.counts.updated);
    println!("rows skipped   {}", report.counts.skipped);
    println!("rows refused   {}", report.counts.failed);
    println!("  duplicates   {}", report.counts.duplicates);
    println!("seconds        {:.1}", began.elapsed().as_secs_f64());
    if let Some(code) = &report.code
        && report.counts.imported + report.counts.updated > 0
    {
        println!(
            "take it back by POST /api/v1/import/{code}/undo; with ?dry_run=true it only tells what would go"
        );
    }
}
