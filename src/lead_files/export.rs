//! The export: leads as they were at one moment, written while they are read, so that memory stays the same however many there are.

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use aggregates::money::{Currency, Money};
use aggregates::stage::Stage;
use chrono::SecondsFormat;
use futures::stream::{self, Stream};
use futures::{StreamExt, TryStreamExt};
use projections::companies::CompanyRow;
use projections::leads::export::{Selection, Snapshot};
use projections::leads::list::LeadRow;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::{LEAD_COLUMNS, MORE_COLUMNS, READ_ONLY_COLUMNS, template};
use crate::ledger::moment::Reader;
use crate::tabular::{CsvWriter, XlsxWriter};

/// The most columns, because an import takes no more either.
const MOST_COLUMNS: i64 = 1_000;
/// The most leads of one sheet.
const SHEET_ROWS: i64 = 1_048_575;
/// A piece of the file has so many bytes, and at most one lead more.
const PIECE: usize = 64 << 10;
/// Pieces that wait for the client.
const WAITING: usize = 4;
/// How long a client may leave a piece waiting: an export holds a connection, and keeps the database from tidying up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many exports run at once, so that they leave connections for everybody else.
static RUNNING: Semaphore = Semaphore::const_new(8);

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated, UTF-8, formulas neutralised.
    Csv,
    /// A workbook of one sheet.
    Xlsx,
    /// One JSON object a line.
    JsonLines,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Others run.
    #[error("too many exports at once")]
    Busy,
    /// More leads than a sheet holds.
    #[error("must be csv or jsonl: these are {0} leads, and a sheet holds {SHEET_ROWS}")]
    TooManyRows(i64),
    /// More extra fields and answered questions than a file has columns.
    #[error("must be jsonl: these leads have more than {MOST_COLUMNS} different fields")]
    TooManyColumns,
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The line of a lead in JSON Lines, without its line end.
pub type JsonLine = fn(LeadRow) -> serde_json::Result<Vec<u8>>;

/// Takes leads with their companies.
type Tell = Box<dyn Fn(Vec<(i64, i64)>) + Send>;

/// Tells of the leads that a file shows, some hundred at a time.
pub struct Seen {
    waiting: Vec<(i64, i64)>,
    tell: Tell,
}

impl Seen {
    /// `tell` takes leads with their companies.
    pub fn new(tell: impl Fn(Vec<(i64, i64)>) + Send + 'static) -> Self {
        Self {
            waiting: Vec::new(),
            tell: Box::new(tell),
        }
    }

    fn lead(&mut self, row: &LeadRow) {
        const TOGETHER: usize = 500;
        self.waiting.push((row.id, row.company_id));
        if self.waiting.len() >= TOGETHER {
            self.tell_now();
        }
    }

    /// To be called before what was shown is sent: the log must not be behind the client.
    fn tell_now(&mut self) {
        (self.tell)(std::mem::take(&mut self.waiting));
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.tell_now();
    }
}

/// An export that is ready to run.
pub struct Export {
    /// How many leads it holds, exactly.
    pub total: i64,
    format: Format,
    snapshot: Snapshot,
    columns: Columns,
    json_line: JsonLine,
    seen: Seen,
    permit: SemaphorePermit<'static>,
}

/// The columns of one export.
#[derive(Debug, Default)]
struct Columns {
    /// By id, with their texts.
    questions: Vec<(i64, String)>,
    extra: Vec<String>,
}

impl Export {
    /// Takes the snapshot, counts, and finds out which columns there are.
    ///
    /// # Errors
    /// When it cannot be written in this format, when too many run, and what the database answers.
    pub async fn open(
        reader: &Reader,
        company: &CompanyRow,
        selection: Selection,
        format: Format,
        json_line: JsonLine,
        seen: Seen,
    ) -> Result<Self, ExportError> {
        let permit = RUNNING.try_acquire().map_err(|_| ExportError::Busy)?;
        let mut snapshot = Snapshot::take(reader.begin_with(Snapshot::BEGIN).await?, selection);
        let total = snapshot.count().await?;
        if format == Format::Xlsx && total > SHEET_ROWS {
            return Err(ExportError::TooManyRows(total));
        }
        let columns = match format {
            Format::JsonLines => Columns::default(),
            Format::Csv | Format::Xlsx => Columns::of(&mut snapshot, company).await?,
        };
        Ok(Self {
            total,
            format,
            snapshot,
            columns,
            json_line,
            seen,
            permit,
        })
    }

    /// The file, piece by piece. When it cannot be written to its end, the last piece is an error, which ends the connection
    /// without the mark of a whole answer.
    pub fn stream(self) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static {
        let (to, pieces) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            if let Err(error) = self.write(&to).await {
                tracing::warn!(%error, "an export ended early");
                // A client that is gone needs no telling.
                let _ = to.try_send(Err(error));
            }
        });
        stream::unfold(pieces, |mut pieces| async {
            let piece = pieces.recv().await?;
            Some((piece, pieces))
        })
    }

    async fn write(self, to: &Pieces) -> io::Result<()> {
        let _running = self.permit;
        let (snapshot, columns, seen) = (self.snapshot, self.columns, self.seen);
        match self.format {
            Format::JsonLines => write_lines(snapshot, self.json_line, seen, to).await,
            Format::Csv => write_csv(snapshot, &columns, seen, to).await,
            Format::Xlsx => write_xlsx(snapshot, columns, seen, to).await,
        }
    }
}

type Pieces = mpsc::Sender<io::Result<Vec<u8>>>;

async fn send(to: &Pieces, piece: Vec<u8>) -> io::Result<()> {
    if piece.is_empty() {
        return Ok(());
    }
    to.send_timeout(Ok(piece), PATIENCE)
        .await
        .map_err(|_| io::Error::other("the client does not take it"))
}

async fn write_lines(
    mut snapshot: Snapshot,
    line: JsonLine,
    mut seen: Seen,
    to: &Pieces,
) -> io::Result<()> {
    let mut rows = snapshot.rows().await.map_err(io::Error::other)?;
    let mut piece = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(io::Error::other)? {
        seen.lead(&row);
        piece.extend(line(row)?);
        piece.push(b'\n');
        if piece.len() >= PIECE {
            seen.tell_now();
            send(to, std::mem::take(&mut piece)).await?;
        }
    }
    seen.tell_now();
    send(to, piece).await
}

async fn write_csv(
    mut snapshot: Snapshot,
    columns: &Columns,
    mut seen: Seen,
    to: &Pieces,
) -> io::Result<()> {
    let mut rows = snapshot.rows().await.map_err(io::Error::other)?;
    let mut writer = CsvWriter::new(Vec::new());
    writer.write_row(columns.header().iter().map(String::as_str))?;
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await.map_err(io::Error::other)? {
        seen.lead(&row);
        let fields = columns.fields(&row);
        writer.write_row(fields.iter().map(String::as_str))?;
        bytes += bytes_of(&fields);
        if bytes >= PIECE {
            bytes = 0;
            seen.tell_now();
            let full = std::mem::replace(&mut writer, CsvWriter::new(Vec::new()));
            send(to, full.finish()?).await?;
        }
    }
    seen.tell_now();
    send(to, writer.finish()?).await
}

/// What the row takes in a file, about.
fn bytes_of(fields: &[String]) -> usize {
    fields.iter().map(|field| field.len() + 1).sum()
}

/// A workbook can only be sent once it is finished: it is written to disk first, and the snapshot is given back before sending.
async fn write_xlsx(
    mut snapshot: Snapshot,
    columns: Columns,
    mut seen: Seen,
    to: &Pieces,
) -> io::Result<()> {
    let header = columns.header();
    let mut writer = blocking(move || XlsxWriter::new(template::SHEET, &header)).await?;
    let mut rows = snapshot.rows().await.map_err(io::Error::other)?.fuse();
    loop {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < PIECE
            && let Some(row) = rows.try_next().await.map_err(io::Error::other)?
        {
            seen.lead(&row);
            let fields = columns.fields(&row);
            bytes += bytes_of(&fields);
            batch.push(fields);
        }
        seen.tell_now();
        if batch.is_empty() {
            break;
        }
        writer = blocking(move || {
            for fields in &batch {
                writer.write_row(fields.iter().map(String::as_str))?;
            }
            Ok(writer)
        })
        .await?;
    }
    drop(rows);
    drop(snapshot);
    let mut file = blocking(move || {
        let mut file = tempfile::tempfile()?;
        writer.finish(&file)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    })
    .await?;
    loop {
        let (piece, rest) = blocking(move || {
            let mut piece = vec![0; 64 << 10];
            let length = file.read(&mut piece)?;
            piece.truncate(length);
            Ok((piece, file))
        })
        .await?;
        if piece.is_empty() {
            return Ok(());
        }
        file = rest;
        send(to, piece).await?;
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

impl Columns {
    async fn of(snapshot: &mut Snapshot, company: &CompanyRow) -> Result<Self, ExportError> {
        let asked = template::questions_of(snapshot.connection(), company).await?;
        let mut questions: Vec<(i64, String)> =
            asked.into_iter().map(|row| (row.id, row.text)).collect();
        // What is asked no more keeps the wording under which it was answered.
        let known: Vec<i64> = questions.iter().map(|(id, _)| *id).collect();
        let answered = snapshot.answered(MOST_COLUMNS).await?;
        questions.extend(answered.into_iter().filter(|(id, _)| !known.contains(id)));
        let extra = snapshot.extra_fields(MOST_COLUMNS).await?;
        let columns = Self { questions, extra };
        if i64::try_from(columns.header().len()).is_ok_and(|count| count <= MOST_COLUMNS) {
            Ok(columns)
        } else {
            Err(ExportError::TooManyColumns)
        }
    }

    fn header(&self) -> Vec<String> {
        let [lead_id, others @ ..] = READ_ONLY_COLUMNS;
        let fixed = [lead_id]
            .into_iter()
            .chain(LEAD_COLUMNS)
            .chain(MORE_COLUMNS)
            .chain(others);
        let asked = self.questions.iter().map(|(_, text)| text.clone());
        fixed
            .map(str::to_owned)
            .chain(asked)
            .chain(self.extra.iter().cloned())
            .collect()
    }

    fn fields(&self, row: &LeadRow) -> Vec<String> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let money = row.estimated_value_amount.zip(currency_of(row));
        let (amount, currency) = money.map_or_else(Default::default, |(amount, currency)| {
            let amount = Money { amount, currency }.amount_text();
            (amount, currency.to_string())
        });
        let stage = Stage::from_id(row.stage_id).map_or("", Stage::code);
        let original = row.duplicate_group.filter(|group| *group != row.id);
        let moment =
            |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let mut fields = vec![
            row.id.to_string(),
            text(&row.first_name),
            text(&row.last_name),
            text(&row.email),
            text(&row.phone),
            text(&row.source_name),
            text(&row.campaign_name),
            stage.to_owned(),
            text(&row.territory_name),
            row.assignee_email
                .clone()
                .unwrap_or_else(|| text(&row.assignee_full_name)),
            amount,
            currency,
            original.map(|id| id.to_string()).unwrap_or_default(),
            text(&row.cycle_name),
            moment(row.created_at),
            moment(row.updated_at),
        ];
        let answers = self.questions.iter().map(|(id, _)| answer_to(row, *id));
        fields.extend(answers);
        let extra = self.extra.iter();
        fields.extend(extra.map(|name| row.extra[name].as_str().unwrap_or_default().to_owned()));
        fields
    }
}

fn currency_of(row: &LeadRow) -> Option<Currency> {
    let code = row.estimated_value_currency.as_deref()?;
    Currency::parse(code).ok()
}

/// What the lead said, in the words of the day; several chosen options have commas between them.
fn answer_to(row: &LeadRow, question: i64) -> String {
    let mut answers = row.answers.as_array().into_iter().flatten();
    let answer = answers.find(|answer| answer["question_id"].as_i64() == Some(question));
    let said = answer.and_then(|answer| answer["value"].as_str());
    said.unwrap_or_default().to_owned()
}
