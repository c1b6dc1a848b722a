//! Everything held on the person behind a lead, for the person: the export that a subject may ask for.

use aggregates::Personal;
use aggregates::access::Right;
use aggregates::ids::{CompanyId, OptionId};
use aggregates::lead::erasure::DataStatus;
use aggregates::lead::{Answer, Contact};
use axum::extract::State;
use chrono::{DateTime, Utc};
use projections::imports::list;
use projections::legal_holds::{self, Held};
use projections::page::{PageFrom, PageRequest};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::lead_on_record::LeadOnRecord;
use super::lead_reads::LeadReadView;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path};
use crate::api::problem::Problem;
use crate::app::App;
use crate::import::rows_of_lead::{self, FoundRow};
use crate::import::through::Through;
use crate::ledger::subject::{self, OpenedEvent, SubjectData};
use crate::ledger::{erasure, lead_reads};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export_personal_data))
}

/// How many reads one export tells of.
const MOST_READS: i64 = 1_000;

/// Everything held on the person behind a lead. What is erased is absent.
#[derive(Debug, Serialize, ToSchema)]
struct PersonalDataView {
    lead_id: i64,
    company_id: Option<i64>,
    /// `in_use`, `blocked` or `erased`.
    status: DataStatusCode,
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    phone_number: Option<String>,
    stage_id: i64,
    answers: Vec<HeldAnswer>,
    /// Fields of the company's own.
    extra: Value,
    notes: Vec<HeldNoteView>,
    appointments: Vec<HeldAppointmentView>,
    legal_holds: Vec<HeldUnder>,
    /// The ways in which data came: `api`, or an import with its row.
    sources: Vec<String>,
    /// The imports among the ways in which data came, with what their files are called.
    imports: Vec<HeldImport>,
    /// Rows with the lead's e-mail or telephone number in the files of imports, while these are kept, as they came: also those that an
    /// import passed over or refused. The first 1,000 that are found, those of the newest imports first.
    import_rows: Vec<HeldRow>,
    /// Codes of imports with a file that may hold more such rows and was not read to its end: 32 MB are read, for some seconds, and a damaged
    /// file ends where it is damaged.
    unread_imports: Vec<String>,
    /// Who was shown the data, the latest 1,000; the rest by `GET /leads/{id}/reads`.
    reads: Vec<LeadReadView>,
    /// How often it was shown in all.
    read_count: i64,
    /// Every change that was ever made, opened.
    events: Vec<EventView>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DataStatusCode {
    InUse,
    Blocked,
    Erased,
}

#[derive(Debug, Serialize, ToSchema)]
struct HeldAnswer {
    question_id: i64,
    question_text: Option<String>,
    option_ids: Vec<i64>,
    value: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct HeldNoteView {
    id: i64,
    author_id: i64,
    content: Option<String>,
    created_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
struct HeldAppointmentView {
    id: i64,
    user_id: i64,
    title: Option<String>,
    description: Option<String>,
    location: Option<String>,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    status: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct HeldImport {
    import_code: String,
    /// Empty once somebody else who came with it is erased.
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct HeldRow {
    import_code: String,
    row: i64,
    /// What stands in it; empty cells are left out.
    cells: Vec<HeldCell>,
}

#[derive(Debug, Serialize, ToSchema)]
struct HeldCell {
    column: String,
    value: String,
}

impl From<FoundRow> for HeldRow {
    fn from(found: FoundRow) -> Self {
        let cells = found.cells.into_iter();
        Self {
            import_code: found.import_code,
            row: found.row,
            cells: cells
                .map(|(column, value)| HeldCell { column, value })
                .collect(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct HeldUnder {
    id: i64,
    reason: Option<String>,
    placed_at: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    released_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct EventView {
    /// Its place in the ledger.
    position: i64,
    sequence: i64,
    event_type: String,
    recorded_at: DateTime<Utc>,
    /// What it says; `{"erased": true}` stands for what is gone.
    content: Value,
    /// Who did it, as `user:7`.
    actor: Option<String>,
    source: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct PersonalDataEnvelope {
    personal_data: PersonalDataView,
}

impl From<DataStatus> for DataStatusCode {
    fn from(status: DataStatus) -> Self {
        match status {
            DataStatus::InUse => Self::InUse,
            DataStatus::Blocked => Self::Blocked,
            DataStatus::Erased => Self::Erased,
        }
    }
}

impl From<&Answer> for HeldAnswer {
    fn from(answer: &Answer) -> Self {
        let several = answer.option_ids.iter().map(|id| id.get());
        Self {
            question_id: answer.question_id.get(),
            question_text: answer.question_text.clone(),
            option_ids: answer
                .option_id
                .map(OptionId::get)
                .into_iter()
                .chain(several)
                .collect(),
            value: answer.value.clone(),
        }
    }
}

impl From<OpenedEvent> for EventView {
    fn from(event: OpenedEvent) -> Self {
        Self {
            position: event.position,
            sequence: event.sequence,
            event_type: event.event_type,
            recorded_at: event.recorded_at,
            content: event.content,
            actor: event.actor,
            source: event.source,
            reason: event.reason,
        }
    }
}

fn view(lead_id: i64, data: SubjectData, legal_holds: Vec<HeldUnder>) -> PersonalDataView {
    let SubjectData {
        lead,
        notes,
        events,
    } = data;
    let contact = lead.contact().plain().cloned().unwrap_or_default();
    let Contact {
        first_name,
        last_name,
        email,
        phone,
    } = contact;
    let mut sources: Vec<String> = events.iter().filter_map(|e| e.source.clone()).collect();
    sources.sort_unstable();
    sources.dedup();
    let appointments = lead.appointments().iter().map(|(id, appointment)| {
        let text = appointment.text.plain();
        HeldAppointmentView {
            id: id.get(),
            user_id: appointment.user_id.get(),
            title: text.map(|text| text.title.clone()),
            description: text.and_then(|text| text.description.clone()),
            location: text.and_then(|text| text.location.clone()),
            starts_at: appointment.starts_at,
            ends_at: appointment.ends_at,
            status: appointment.status.code(),
        }
    });
    let notes = notes.into_iter().map(|(id, note)| HeldNoteView {
        id: id.get(),
        author_id: note.author_id,
        content: note.content,
        created_at: note.created_at,
    });
    PersonalDataView {
        lead_id,
        company_id: lead.company_id.map(CompanyId::get),
        status: lead.data_status().into(),
        first_name: first_name.map(|name| name.to_string()),
        last_name: last_name.map(|name| name.to_string()),
        email: email.map(|email| email.to_string()),
        phone_number: phone.map(|phone| phone.to_string()),
        stage_id: lead.stage().id(),
        answers: plain(lead.answers()).iter().map(HeldAnswer::from).collect(),
        extra: plain(lead.extra()).into_iter().collect(),
        notes: notes.collect(),
        appointments: appointments.collect(),
        legal_holds,
        sources,
        imports: Vec::new(),
        import_rows: Vec::new(),
        unread_imports: Vec::new(),
        reads: Vec::new(),
        read_count: 0,
        events: events.into_iter().map(EventView::from).collect(),
    }
}

fn plain<T: Clone + Default>(value: &Personal<T>) -> T {
    value.plain().cloned().unwrap_or_default()
}

/// Export everything held on the person behind a lead
///
/// For the person who asks what is known about them: every value, note, answer and appointment, every change ever made, and the rows of
/// imported files that are still kept. Also while the lead is blocked. Takes an owner.
#[utoipa::path(get, path = "/leads/{id}/personal_data", tag = "Erasure", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "What is held", body = PersonalDataEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such lead")))]
async fn export_personal_data(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<PersonalDataEnvelope>, Problem> {
    let lead = LeadOnRecord::find(&app, &caller, id).await?;
    lead.require(Right::Govern)?;
    app.ledger.flush_reads().await;
    let mut connection = app.pool.acquire().await?;
    let data = subject::of_lead(&mut connection, id).await?;
    let every = PageRequest {
        per_page: i64::try_from(aggregates::legal_hold::MAX_HOLDS).unwrap_or(i64::MAX - 1),
        from: PageFrom::Offset(0),
    };
    let (holds, _) = legal_holds::page(&mut connection, Held::Lead(lead.id), &every).await?;
    let holds = holds.rows.into_iter().map(|row| HeldUnder {
        id: row.id,
        reason: row.reason,
        placed_at: row.placed_at,
        until: row.until,
        released_at: row.released_at,
    });
    let latest = PageRequest {
        per_page: MOST_READS,
        from: PageFrom::Offset(0),
    };
    let (reads, read_count) = lead_reads::page(&mut connection, id, &latest).await?;
    let contact = data.lead.contact().plain().cloned().unwrap_or_default();
    let mut held = view(id, data, holds.collect());
    let through = held.sources.iter().map(String::as_str);
    let codes = through.filter_map(Through::parse);
    let codes: Vec<String> = codes.map(|through| through.code.to_owned()).collect();
    let named = list::names_of(&mut connection, &codes).await?.into_iter();
    held.imports = named
        .map(|(import_code, name)| HeldImport { import_code, name })
        .collect();
    let files = erasure::files_about(&mut connection, lead.id, lead.company).await?;
    drop(connection);
    let found = rows_of_lead::search(&app.imports, files, &contact).await;
    held.import_rows = found.rows.into_iter().map(HeldRow::from).collect();
    held.unread_imports = found.unread;
    held.reads = reads.rows.into_iter().map(LeadReadView::from).collect();
    held.read_count = read_count;
    let company = lead.company.get();
    caller.has_read(&app, "GET /leads/{id}/personal_data", [(id, company)]);
    Ok(Json(PersonalDataEnvelope {
        personal_data: held,
    }))
}
