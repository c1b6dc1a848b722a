//! Imports: list, status, live status, failed rows, cancel. How files come in is in `upload` and `parts`, how imports are
//! taken back in `undo`.

mod base64_body;
mod parts;
mod undo;
mod upload;
mod view;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use aggregates::access::Right;
use aggregates::ids::CompanyId;
use aggregates::import::{ImportCommand, ImportError, ImportStatus};
use aggregates::phone::Region;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use projections::companies::Visible;
use projections::imports::list::{self, ImportFilter, ImportRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::pages::{Meta, PageQuery};
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;
use crate::import::blocked::BlockedLeads;
use crate::import::engine::ImportRefusal;
use crate::import::errors_file;
use crate::import::files::{FileError, PartsError};
use crate::import::shown::{Audience, Noted};
use view::ImportFileView;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_imports))
        .routes(routes!(show_import))
        .routes(routes!(follow_import))
        .routes(routes!(failed_rows))
        .routes(routes!(cancel_import))
        .merge(undo::routes())
        .merge(upload::routes())
        .merge(parts::routes())
}

/// How often a live status is read.
const LIVE_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Serialize, ToSchema)]
struct ImportEnvelope {
    import_file: ImportFileView,
}

impl ImportEnvelope {
    fn of(app: &App, row: ImportRow) -> Self {
        Self {
            import_file: ImportFileView::new(row, app.clock.now()),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct ImportList {
    import_files: Vec<ImportFileView>,
    meta: Meta,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Into this company.
    company_id: Option<i64>,
    /// `pending`, `processing`, `completed`, `failed`, `cancelled`, `undoing` or `undone`.
    status: Option<String>,
    /// `leads`.
    import_type: Option<String>,
}

/// List of import files
///
/// Those of the companies whose imports the caller may see, the newest first.
#[utoipa::path(get, path = "/import", tag = "Import", security(("bearer" = [])), params(PageQuery, ListQuery),
    responses((status = 200, description = "Import file status information", body = ImportList),
        (status = 400, description = "Malformed query"), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing")))]
async fn list_imports(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageQuery>,
    Query(query): Query<ListQuery>,
) -> Result<Json<ImportList>, Problem> {
    let wanted = page.check::<i64>()?;
    if let Some(status) = &query.status
        && ImportStatus::from_code(status).is_none()
    {
        let known = ImportStatus::ALL.map(ImportStatus::code).join(", ");
        let errors = FieldErrors::of("status", format!("must be one of {known}"));
        return Err(Problem::malformed_query(errors));
    }
    let filter = ImportFilter {
        company_id: query.company_id,
        status: query.status,
        import_type: query.import_type,
    };
    if let Some(company) = filter.company_id {
        match caller.scope(&app, CompanyId(company)).await {
            Ok(scope) => drop(scope.require(Right::Configure)?),
            // Of a company that the caller does not see the list is empty, as it is of one that does not exist.
            Err(problem) if problem.status() == StatusCode::NOT_FOUND => {}
            Err(problem) => return Err(problem),
        }
    }
    let visible = configurable(&caller);
    let mut connection = app.pool.acquire().await?;
    let (page, total) = list::page(&mut connection, &visible, &filter, &wanted.request).await?;
    let next = page.rows.last().filter(|_| page.more).map(|row| row.id);
    let now = app.clock.now();
    let views = page.rows.into_iter();
    Ok(Json(ImportList {
        meta: wanted.meta(total, next.as_ref()),
        import_files: views.map(|row| ImportFileView::new(row, now)).collect(),
    }))
}

/// The companies whose imports the caller may see.
fn configurable(caller: &Caller) -> Visible {
    if caller.authority.platform_owner {
        return Visible::All;
    }
    let roles = caller.authority.roles.iter();
    let roles = roles.filter(|held| held.role.may(Right::Configure).is_some());
    Visible::Under(roles.map(|held| held.company_id.get()).collect())
}

/// The import, if the caller sees its company and may import there.
async fn allowed(app: &App, caller: &Caller, code: &str) -> Result<ImportRow, Problem> {
    let row = list::by_code(&mut *app.pool.acquire().await?, code).await?;
    let row = row.ok_or_else(|| Problem::not_found("import"))?;
    let company = CompanyId(row.company_id);
    let scope = caller.scope_of(app, company, "import").await?;
    scope.require(Right::Configure)?;
    Ok(row)
}

async fn one(app: &App, id: i64) -> Result<ImportEnvelope, Problem> {
    let row = list::by_id(&mut *app.pool.acquire().await?, id).await?;
    let row = row.ok_or_else(|| Problem::not_found("import"))?;
    Ok(ImportEnvelope::of(app, row))
}

/// Check status of an import
#[utoipa::path(get, path = "/import/{import_code}", tag = "Import", security(("bearer" = [])),
    params(("import_code" = String, Path)),
    responses((status = 200, description = "Import file status information", body = ImportEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such import")))]
async fn show_import(
    State(app): State<App>,
    caller: Caller,
    Path(code): Path<String>,
) -> Result<Json<ImportEnvelope>, Problem> {
    let row = allowed(&app, &caller, &code).await?;
    Ok(Json(ImportEnvelope::of(&app, row)))
}

/// One event of the stream, by the names of its lines.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the events, which are written line by line"
)]
struct ImportEvent {
    #[schema(example = "import_file")]
    event: String,
    /// The version of the status.
    #[schema(example = "4")]
    id: String,
    /// The status in JSON, as `GET /import/{import_code}` answers it.
    #[schema(example = "{\"import_file\": {}}")]
    data: String,
}

/// Follow an import
///
/// Server-sent events: `import_file` with the status as `GET /import/{import_code}` has it, at once and whenever it has changed.
/// The stream ends when nothing more happens by itself.
#[utoipa::path(get, path = "/import/{import_code}/events", tag = "Import", security(("bearer" = [])),
    params(("import_code" = String, Path)),
    responses((status = 200, description = "Live status", content_type = "text/event-stream", body = ImportEvent),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such import")))]
async fn follow_import(
    State(app): State<App>,
    caller: Caller,
    Path(code): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let row = allowed(&app, &caller, &code).await?;
    Ok(Sse::new(live(app, row)).keep_alive(KeepAlive::default()))
}

/// What a live status remembers: the row to tell next, and the version that was told last.
struct Live {
    app: App,
    next: Option<ImportRow>,
    id: i64,
    told: i64,
}

fn live(app: App, row: ImportRow) -> impl Stream<Item = Result<Event, Infallible>> {
    let live = Live {
        app,
        id: row.id,
        next: Some(row),
        told: 0,
    };
    futures::stream::unfold(Some(live), |live| async move {
        let mut live = live?;
        let row = match live.next.take() {
            Some(row) => row,
            None => changed(&live.app, live.id, live.told).await?,
        };
        live.told = row.version;
        // At a moment of the past nothing more happens.
        let at_rest = live.app.pool.moment().is_some()
            || ImportStatus::from_code(&row.status).is_none_or(ImportStatus::is_at_rest);
        let view = ImportEnvelope::of(&live.app, row);
        let event = Event::default()
            .event("import_file")
            .id(live.told.to_string());
        let event = event.json_data(view).ok()?;
        Some((Ok(event), (!at_rest).then_some(live)))
    })
}

/// The import once it has another version; `None` when the server stops or cannot tell.
async fn changed(app: &App, id: i64, told: i64) -> Option<ImportRow> {
    loop {
        tokio::select! {
            () = app.stopping.told() => return None,
            () = tokio::time::sleep(LIVE_EVERY) => {}
        }
        let mut connection = app.pool.acquire().await.ok()?;
        let row = list::by_id(&mut connection, id).await.ok()??;
        if row.version != told {
            return Some(row);
        }
    }
}

/// Failed rows of an import
///
/// As CSV in the original columns, with a last column `import_failure_reason`: mend the rows and upload the file again; that column is then passed
/// over. What a row has beyond the header stands in columns named by their number, as `column 5`. Rows with the e-mail or the telephone number of a
/// lead that is blocked are left out for who may not erase it. A row that is shown is a read of each lead whose e-mail or telephone number it has.
#[utoipa::path(get, path = "/import/{import_code}/errors", tag = "Import", security(("bearer" = [])),
    params(("import_code" = String, Path)),
    responses((status = 200, description = "The failed rows", content_type = "text/csv", body = String),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such import"), (status = 410, description = "The file is not kept any more")))]
async fn failed_rows(
    State(app): State<App>,
    caller: Caller,
    Path(code): Path<String>,
) -> Result<Response, Problem> {
    let row = allowed(&app, &caller, &code).await?;
    let company = CompanyId(row.company_id);
    let scope = caller.scope_of(&app, company, "import").await?;
    let today = app.pool.today();
    let reader = (app.clone(), caller);
    let audience = Audience {
        // As of now, whatever the moment that is asked for.
        blocked: BlockedLeads::of(&mut *today.acquire().await?, company).await?,
        hides_blocked: scope.require(Right::Govern).is_err(),
        noted: Some(Noted {
            pool: today.clone(),
            company: row.company_id,
            region: Region::parse(&scope.company.region).unwrap_or(app.region),
            note: Arc::new(move |found| {
                let (app, caller) = &reader;
                match found {
                    Ok(leads) => {
                        let leads = leads.into_iter().map(|lead| (lead, company.get()));
                        caller.has_read(app, "GET /import/{import_code}/errors", leads);
                    }
                    Err(most) => app.ledger.lose_reads(most),
                }
            }),
        }),
    };
    let Some(body) = errors_file::stream(&app.imports, &row, audience).await? else {
        return Err(Problem::gone(
            "file_not_kept",
            "The uploaded file is not kept any more.",
        ));
    };
    let name = format!(
        "attachment; filename=\"failed-rows-{}.csv\"",
        row.import_code
    );
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, axum::body::Body::from_stream(body)).into_response())
}

/// Cancel an import
///
/// It stops between two rows; `processed_rows` tells where, and the rows after that have no outcome: it stays below `total_rows`, unless all
/// were processed. What was processed stays, and can be undone. A repeat changes nothing.
#[utoipa::path(post, path = "/import/{import_code}/cancel", tag = "Import", security(("bearer" = [])),
    params(("import_code" = String, Path)),
    responses((status = 200, description = "Import cancelled", body = ImportEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such import"), (status = 422, description = "It has ended")))]
async fn cancel_import(
    State(app): State<App>,
    caller: Caller,
    Path(code): Path<String>,
) -> Result<Json<ImportEnvelope>, Problem> {
    let row = allowed(&app, &caller, &code).await?;
    let prepare = |decision| caller.work(decision);
    let cancel = app.imports.command(row.id, ImportCommand::Cancel, prepare);
    cancel.await?;
    Ok(Json(one(&app, row.id).await?))
}

/// How a refusal of an import's rules is answered.
pub fn refused(error: ImportError) -> Problem {
    let detail = error.to_string();
    let code = match error {
        ImportError::NotRequested => return Problem::not_found("import"),
        ImportError::AlreadyRequested => {
            return Problem::internal(anyhow::anyhow!("an id was given twice"));
        }
        ImportError::StillUnderWay => "import_under_way",
        ImportError::NotPending
        | ImportError::NotProcessing
        | ImportError::NotNext
        | ImportError::NotUndoing => "import_ended",
    };
    Problem::refused(code, detail)
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        match error {
            FileError::TooLarge => Self::too_large(),
            error => Self::internal(error),
        }
    }
}

impl From<PartsError> for Problem {
    fn from(error: PartsError) -> Self {
        match error {
            PartsError::NoUpload => Self::not_found("upload"),
            PartsError::Missing(part) => {
                let detail = format!("Part {part} is missing: put it, and complete again.");
                Self::refused("part_missing", detail)
                    .with_error("part", format!("part {part} is missing"))
            }
            PartsError::Completed => Self::refused(
                "upload_completed",
                "This upload is completed and takes no more; begin another one.",
            ),
            PartsError::File(error) => error.into(),
        }
    }
}

impl From<ImportRefusal> for Problem {
    fn from(refusal: ImportRefusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            ImportRefusal::Storage(error) => error.into(),
            ImportRefusal::Unreadable(crate::tabular::TabularError::Io(error)) => {
                Self::internal(error)
            }
            ImportRefusal::Unreadable(_) => {
                Self::refused("unreadable_file", detail.clone()).with_error("file", detail)
            }
            ImportRefusal::Header(_) => {
                Self::refused("header_not_understood", detail.clone()).with_error("mapping", detail)
            }
            ImportRefusal::TooManyForDryRun => {
                Self::refused("dry_run_too_large", detail.clone()).with_error("dry_run", detail)
            }
            ImportRefusal::ImportedBefore { .. } => Self::refused("imported_before", detail)
                .with_error("force", "is needed to import the same file again"),
            ImportRefusal::Database(error) => error.into(),
            ImportRefusal::Commit(error) => error.into(),
        }
    }
}
