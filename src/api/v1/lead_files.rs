//! Files of leads: a company's template for imports, and the export.

use std::io::{Read, Seek, SeekFrom};

use aggregates::access::Right;
use aggregates::ids::CompanyId;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use projections::leads::export::Selection;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::lead_lists::{LeadQuery, sort_of};
use super::leads::LeadView;
use crate::api::caller::Caller;
use crate::api::extract::{Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;
use crate::lead_files::export::{Export, ExportError, Format, Seen};
use crate::lead_files::template::Template;

/// How many leads an export holds: a client that counted fewer has not got all of it.
pub const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show_template))
        .routes(routes!(export_leads))
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum TemplateFormat {
    /// The header row.
    #[default]
    Csv,
    /// With drop-down lists, and a second sheet that tells what may stand in them.
    Xlsx,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TemplateQuery {
    /// `csv` when absent.
    #[param(inline)]
    format: Option<TemplateFormat>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ExportFormat {
    /// UTF-8 with commas; what a spreadsheet program would run as a formula begins with an apostrophe.
    #[default]
    Csv,
    /// A workbook of one sheet, all cells texts.
    Xlsx,
    /// A lead a line, as `GET /companies/{company_id}/leads` shows it.
    Jsonl,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExportQuery {
    /// `csv` when absent.
    #[param(inline)]
    format: Option<ExportFormat>,
}

impl ExportFormat {
    const fn kind(self) -> FileKind {
        match self {
            Self::Csv => CSV,
            Self::Xlsx => XLSX,
            Self::Jsonl => FileKind {
                media_type: HeaderValue::from_static("application/jsonl"),
                extension: "jsonl",
            },
        }
    }
}

impl From<ExportFormat> for Format {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Csv => Self::Csv,
            ExportFormat::Xlsx => Self::Xlsx,
            ExportFormat::Jsonl => Self::JsonLines,
        }
    }
}

struct FileKind {
    media_type: HeaderValue,
    extension: &'static str,
}

const CSV: FileKind = FileKind {
    media_type: HeaderValue::from_static("text/csv; charset=utf-8"),
    extension: "csv",
};
const XLSX: FileKind = FileKind {
    media_type: HeaderValue::from_static(
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    extension: "xlsx",
};

/// Download leads import template for a company
///
/// The columns that an import reads, and one for each question of the company.
#[utoipa::path(get, path = "/companies/{company_id}/import/leads/template", tag = "Import", security(("bearer" = [])),
    params(("company_id" = i64, Path), TemplateQuery),
    responses((status = 200, description = "Template file (columns: lead fields plus one per company question)",
        content((String = "text/csv"), (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company")))]
async fn show_template(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(query): Query<TemplateQuery>,
) -> Result<Response, Problem> {
    let company = CompanyId(company_id);
    let (scope, _) = caller.scope_with(&app, company, Right::Configure).await?;
    let mut connection = app.pool.acquire().await?;
    let today = app.clock.now().date_naive();
    let template = Template::of(&mut connection, &scope.company, today).await?;
    drop(connection);
    let (kind, body) = match query.format.unwrap_or_default() {
        TemplateFormat::Csv => (CSV, template.csv().map_err(Problem::internal)?),
        TemplateFormat::Xlsx => (XLSX, workbook_of(template).await?),
    };
    Ok(attachment(&kind, "template", company, Body::from(body)))
}

async fn workbook_of(template: Template) -> Result<Vec<u8>, Problem> {
    let written = tokio::task::spawn_blocking(move || {
        let mut file = tempfile::tempfile()?;
        template.xlsx(&file)?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    });
    let written = written.await.map_err(Problem::internal)?;
    written.map_err(Problem::internal)
}

/// Export company leads
///
/// All leads that the list with the same filters would show, as they are at one moment, in one file that is written while it is sent.
/// The header `X-Total-Count` says how many there are.
#[utoipa::path(get, path = "/companies/{company_id}/leads/export", tag = "Leads", security(("bearer" = [])),
    params(("company_id" = i64, Path), ExportQuery, LeadQuery),
    responses((status = 200, description = "File of leads", headers(("X-Total-Count" = i64, description = "How many leads")),
        content((String = "text/csv"), (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            (String = "application/jsonl"))),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company"), (status = 422, description = "Cannot be written in this format"),
        (status = 429, description = "Too many exports at once")))]
async fn export_leads(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(export): Query<ExportQuery>,
    Query(query): Query<LeadQuery>,
) -> Result<Response, Problem> {
    let company = CompanyId(company_id);
    let (scope, reach) = caller.scope_with(&app, company, Right::Analyse).await?;
    let selection = Selection {
        company,
        filter: query.filter(&scope, reach, false)?,
        text: query.text().map(str::to_owned),
        sort: sort_of(query.sort().or(Some("id")))?,
    };
    let format = export.format.unwrap_or_default();
    let line = |row| serde_json::to_vec(&LeadView::from(row));
    let seen = {
        let (app, caller) = (app.clone(), caller.clone());
        Seen::new(move |leads| {
            caller.has_read(&app, "GET /companies/{company_id}/leads/export", leads);
        })
    };
    let export = Export::open(
        &app.pool,
        &scope.company,
        selection,
        format.into(),
        line,
        seen,
    )
    .await
    .map_err(refused)?;
    let total = export.total;
    let body = Body::from_stream(export.stream());
    let mut response = attachment(&format.kind(), "leads", company, body);
    response.headers_mut().insert(TOTAL_COUNT, total.into());
    Ok(response)
}

fn refused(error: ExportError) -> Problem {
    match error {
        ExportError::Busy => Problem::too_many_requests(5),
        ExportError::TooManyRows(_) | ExportError::TooManyColumns => {
            Problem::unprocessable(FieldErrors::of("format", error.to_string()))
        }
        ExportError::Database(error) => error.into(),
    }
}

/// A file that is saved, not shown.
fn attachment(kind: &FileKind, name: &str, company: CompanyId, body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind.media_type.clone());
    let name = format!(
        "attachment; filename=\"{name}-{}.{}\"",
        company.get(),
        kind.extension
    );
    // Words, digits and dots are always a header's value.
    if let Ok(value) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}
