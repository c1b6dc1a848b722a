//! Bringing a file in one request: a form with the file, or JSON with the file in base64.

use std::collections::BTreeMap;

use aggregates::access::Right;
use aggregates::ids::{CampaignId, CompanyId, SourceId};
use aggregates::import::{DuplicatePolicy, ImportOptions, RowOutcomes};
use aggregates::text;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::base64_body::{self, FileInBase64};
use super::view::RowErrorView;
use super::{ImportEnvelope, one};
use crate::api::caller::{Caller, NOBODY, Scope};
use crate::api::extract::json::is_json;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::idempotency::say_repeated;
use crate::api::layers::IMPORT_BODY_LIMIT;
use crate::api::problem::Problem;
use crate::app::App;
use crate::digests;
use crate::import::dry_run::DryRun;
use crate::import::engine::{LEADS, NewImport};
use crate::import::files::Spooled;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(import_leads))
        .layer(DefaultBodyLimit::max(IMPORT_BODY_LIMIT))
}

/// How a file is to be imported.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
#[serde(default)]
pub struct ImportFields {
    /// What the file is called; the name that it came with when absent.
    #[garde(inner(length(max = 255)))]
    name: Option<String>,
    /// `leads`; a media type is taken too and not minded, since the content decides.
    #[garde(inner(length(max = 255)))]
    r#type: Option<String>,
    /// The campaign of rows that name none.
    campaign_id: Option<i64>,
    /// The source of rows that name none.
    source_id: Option<i64>,
    /// Header to field, where the usual spellings do not say it.
    #[garde(length(max = 1_000))]
    mapping: BTreeMap<String, String>,
    /// What happens to a row that is like a lead or a row before: `create` (the default; the lead is flagged), `skip`, `update`.
    duplicates: Option<String>,
    /// With `update`: `fill` what is empty (the default), or `overwrite`.
    update: Option<String>,
    /// The sheet of a workbook.
    #[garde(inner(length(max = 255)))]
    sheet: Option<String>,
    /// Only tell what would happen.
    dry_run: Option<bool>,
    /// Also when the company imported the same file before.
    force: Option<bool>,
}

/// A file in base64, and how it is to be imported. Read as the two that it is made of: serde does not tell which field of a
/// flattened struct is wrong.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body")]
struct ImportBody {
    #[serde(flatten)]
    file: FileInBase64,
    #[serde(flatten)]
    fields: ImportFields,
}

/// A file as a form carries it, and how it is to be imported.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the form, whose fields are read one by one"
)]
struct ImportForm {
    /// A CSV or XLSX file up to 200 MB.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    name: Option<String>,
    r#type: Option<String>,
    campaign_id: Option<i64>,
    source_id: Option<i64>,
    /// A JSON object: header to field.
    mapping: Option<String>,
    duplicates: Option<String>,
    update: Option<String>,
    sheet: Option<String>,
    dry_run: Option<bool>,
    force: Option<bool>,
}

/// The two that may stand in the path as well.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UploadQuery {
    /// Only tell what would happen: every row decided as in an import, and nothing kept. At most 100,000 rows.
    dry_run: Option<bool>,
    /// Also when the company imported the same file before.
    force: Option<bool>,
}

/// What an import would do.
#[derive(Debug, Serialize, ToSchema)]
struct DryRunView {
    dry_run: bool,
    total_rows: i64,
    imported_rows: i64,
    updated_rows: i64,
    skipped_rows: i64,
    failed_rows: i64,
    duplicate_rows: i64,
    rows: Vec<DryRow>,
}

/// What would become of a row.
#[derive(Debug, Serialize, ToSchema)]
struct DryRow {
    /// The header is row 1; rows in which nothing stands are not counted.
    row: i64,
    /// `created`, `updated`, `skipped` or `failed`.
    outcome: &'static str,
    /// Whether it is like a lead or an earlier row.
    duplicate: bool,
    /// The lead that would change or that the row is like; null when the file itself brings it.
    lead_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RowErrorView>,
}

/// Import leads for a company
///
/// CSV (any of `,` `;` tab `|`; UTF-8, UTF-16, Windows-1252) or XLSX, as a form or as JSON. The rows are processed in the background:
/// follow the status. The same file a second time asks for `force`.
#[utoipa::path(post, path = "/companies/{company_id}/import/leads", tag = "Import", security(("bearer" = [])),
    params(("company_id" = i64, Path), UploadQuery),
    request_body(content((ImportForm = "multipart/form-data"), (ImportBody = "application/json"))),
    responses((status = 200, description = "What would happen (dry run)", body = DryRunView),
        (status = 201, description = "Import started", body = ImportEnvelope), (status = 400, description = "Malformed"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company"),
        (status = 409, description = "The idempotency key was used for another request"), (status = 413, description = "Too large"),
        (status = 415, description = "Neither a form nor JSON"),
        (status = 422, description = "The file cannot be read, was imported before, or a field is wrong")))]
async fn import_leads(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(query): Query<UploadQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let company_id = CompanyId(company_id);
    let (scope, _) = caller
        .scope_with(&app, company_id, Right::Configure)
        .await?;
    let (spooled, mut fields) = receive(&app, request).await?;
    fields.dry_run = query.dry_run.or(fields.dry_run);
    fields.force = query.force.or(fields.force);
    start(&app, caller, &scope, &spooled, fields).await
}

/// Begins the import of a file that has come, or tells what it would do.
pub(super) async fn start(
    app: &App,
    mut caller: Caller,
    scope: &Scope,
    spooled: &Spooled,
    fields: ImportFields,
) -> Result<Response, Problem> {
    if spooled.size == 0 {
        return Err(Problem::unprocessable(FieldErrors::of("file", "is empty")));
    }
    let dry_run = fields.dry_run.unwrap_or(false);
    // The body was not at hand when the key was read: what it stands for is this file with these fields.
    if let Some(once) = &mut caller.write.once {
        let told = format!("{:?} {fields:?}", scope.company.id);
        let told = [told.as_bytes(), &spooled.digest].concat();
        once.fingerprint = digests::sha256(&told).into_bytes();
    }
    let new = check(app, &caller, scope, fields).await?;
    if dry_run {
        let mut run = app.imports.rehearse(new, spooled).await?;
        let room = run.room.take();
        let answer = Json(DryRunView::from(run)).into_response();
        drop(room);
        return Ok(answer);
    }
    let prepare = |decision| caller.work(decision);
    let begun = app.imports.begin(new, spooled, prepare).await?;
    let import = Json(one(app, begun.resource_id).await?);
    let mut answer = (StatusCode::CREATED, import).into_response();
    if begun.replayed {
        say_repeated(&mut answer);
    }
    Ok(answer)
}

async fn check(
    app: &App,
    caller: &Caller,
    scope: &Scope,
    fields: ImportFields,
) -> Result<NewImport, Problem> {
    let mut errors = FieldErrors::default();
    let media_type = |t: &str| t.contains('/') || matches!(t, "csv" | "xlsx");
    if let Some(import_type) = fields.r#type.as_deref()
        && !matches!(import_type, "" | LEADS)
        && !media_type(import_type)
    {
        errors.add("type", "must be leads");
    }
    let duplicates = match (fields.duplicates.as_deref(), fields.update.as_deref()) {
        (None | Some("" | "create"), None | Some("")) => DuplicatePolicy::Create,
        (Some("skip"), None | Some("")) => DuplicatePolicy::Skip,
        (Some("update"), None | Some("" | "fill")) => DuplicatePolicy::Fill,
        (Some("update"), Some("overwrite")) => DuplicatePolicy::Overwrite,
        (Some("update"), Some(_)) => {
            errors.add("update", "must be fill or overwrite");
            DuplicatePolicy::Fill
        }
        (None | Some("" | "create" | "skip"), Some(_)) => {
            errors.add("update", "is for duplicates=update only");
            DuplicatePolicy::Create
        }
        (Some(_), _) => {
            errors.add("duplicates", "must be create, skip or update");
            DuplicatePolicy::Create
        }
    };
    let is_bad =
        |text: &String| text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace());
    if fields
        .mapping
        .iter()
        .any(|(column, field)| is_bad(column) || is_bad(field))
    {
        errors.add("mapping", "must not contain control characters");
    }
    if fields.sheet.as_ref().is_some_and(is_bad) {
        errors.add("sheet", "must not contain control characters");
    }
    let catalogue = app.imports.catalogue(&scope.company).await?;
    for (field, id, known) in [
        ("source_id", fields.source_id, &catalogue.sources),
        ("campaign_id", fields.campaign_id, &catalogue.campaigns),
    ] {
        if id.is_some_and(|id| !known.has(id)) {
            errors.add(field, "is none of this company or of one above it");
        }
    }
    let name = fields.name.filter(|name| !name.trim().is_empty());
    let name = name.unwrap_or_else(|| "leads".to_owned());
    let name = text::line(&name, 255).map(str::to_owned);
    let name = name.map_err(|error| errors.add("name", error.to_string()));
    if !errors.is_empty() {
        return Err(errors.into());
    }
    Ok(NewImport {
        company: scope.company.clone(),
        user_id: Some(caller.user_id).filter(|id| *id != NOBODY),
        name: name.unwrap_or_default(),
        options: ImportOptions {
            mapping: fields.mapping,
            duplicates,
            source_id: fields.source_id.map(SourceId),
            campaign_id: fields.campaign_id.map(CampaignId),
            sheet: fields.sheet.filter(|sheet| !sheet.is_empty()),
        },
        force: fields.force.unwrap_or(false),
    })
}

/// Takes the file in, to the disk and never whole into memory.
async fn receive(app: &App, request: Request) -> Result<(Spooled, ImportFields), Problem> {
    if is_multipart(request.headers()) {
        let form = Multipart::from_request(request, &()).await;
        let form = form.map_err(|error| Problem::malformed_body(error.body_text()))?;
        return receive_form(app, form).await;
    }
    if !is_json(request.headers()) {
        return Err(Problem::unsupported_media_type(
            "multipart/form-data or application/json",
        ));
    }
    base64_body::receive(app, request).await
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let declared = headers.get(header::CONTENT_TYPE);
    let declared = declared.and_then(|value| value.to_str().ok());
    declared.is_some_and(|text| text.to_ascii_lowercase().starts_with("multipart/form-data"))
}

/// The most bytes of a field that is not the file.
const FIELD_LIMIT: usize = 256 * 1024;

async fn receive_form(app: &App, mut form: Multipart) -> Result<(Spooled, ImportFields), Problem> {
    let mut spooled = None;
    let mut fields = ImportFields::default();
    let mut file_name = None;
    let malformed = |error: axum::extract::multipart::MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
        _ => Problem::malformed_body(error.body_text()),
    };
    while let Some(mut field) = form.next_field().await.map_err(malformed)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" && spooled.is_some() {
            let errors = FieldErrors::of("file", "is there more than once");
            return Err(Problem::unprocessable(errors));
        }
        if name == "file" {
            file_name = field.file_name().map(|name| base_name(name).to_owned());
            let mut spool = app.imports.files.spool()?;
            while let Some(bytes) = field.chunk().await.map_err(malformed)? {
                spool.write(&bytes).await?;
            }
            spooled = Some(spool.finish().await?);
            continue;
        }
        let mut bytes = Vec::new();
        while let Some(more) = field.chunk().await.map_err(malformed)? {
            bytes.extend_from_slice(&more);
            if bytes.len() > FIELD_LIMIT {
                return Err(Problem::too_large());
            }
        }
        let text = String::from_utf8(bytes)
            .ok()
            .filter(|text| !text.contains('\0'));
        let text = text.ok_or_else(|| {
            Problem::unprocessable(FieldErrors::of(name.clone(), "is not text in UTF-8"))
        })?;
        set(&mut fields, &name, text).map_err(Problem::unprocessable)?;
    }
    let spooled =
        spooled.ok_or_else(|| Problem::unprocessable(FieldErrors::of("file", "is required")))?;
    fields.name = fields.name.or(file_name);
    fields
        .validate()
        .map_err(|report| Problem::unprocessable(report.into()))?;
    Ok((spooled, fields))
}

/// Browsers of old send whole paths.
fn base_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

fn set(fields: &mut ImportFields, name: &str, text: String) -> Result<(), FieldErrors> {
    let refused = |message: &str| FieldErrors::of(name.to_owned(), message);
    let trimmed = text.trim();
    let number = || match trimmed {
        "" => Ok(None),
        digits => {
            let number = digits.parse().map(Some);
            number.map_err(|_| refused("must be an integer"))
        }
    };
    let flag = || match trimmed {
        "" => Ok(None),
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(refused("must be true or false")),
    };
    match name {
        "name" => fields.name = Some(text),
        "type" => fields.r#type = Some(trimmed.to_owned()),
        "campaign_id" => fields.campaign_id = number()?,
        "source_id" => fields.source_id = number()?,
        "duplicates" => fields.duplicates = Some(trimmed.to_owned()),
        "update" => fields.update = Some(trimmed.to_owned()),
        "sheet" => fields.sheet = Some(text),
        "dry_run" => fields.dry_run = flag()?,
        "force" => fields.force = flag()?,
        "mapping" if trimmed.is_empty() => {}
        "mapping" => {
            let mapping = serde_json::from_str(trimmed);
            fields.mapping = mapping.map_err(|_| refused("must be a JSON object of texts"))?;
        }
        _ => {}
    }
    Ok(())
}

impl From<DryRun> for DryRunView {
    fn from(run: DryRun) -> Self {
        let mut view = Self {
            dry_run: true,
            total_rows: 0,
            imported_rows: 0,
            updated_rows: 0,
            skipped_rows: 0,
            failed_rows: 0,
            duplicate_rows: 0,
            rows: Vec::new(),
        };
        for outcomes in run.outcomes {
            let counts = outcomes.counts();
            view.total_rows += counts.processed();
            view.imported_rows += counts.imported;
            view.updated_rows += counts.updated;
            view.skipped_rows += counts.skipped;
            view.failed_rows += counts.failed;
            view.duplicate_rows += counts.duplicates;
            view.rows
                .extend(dry_rows(outcomes, &run.like, run.last_lead_id));
        }
        view
    }
}

fn dry_rows(outcomes: RowOutcomes, like: &BTreeMap<i64, i64>, last_lead_id: i64) -> Vec<DryRow> {
    let row = |row, outcome| {
        let lead = like.get(&row).copied();
        DryRow {
            row,
            outcome,
            duplicate: lead.is_some(),
            lead_id: lead.filter(|id| *id <= last_lead_id),
            error: None,
        }
    };
    let created = outcomes.created.iter();
    let created = created.flat_map(|run| (0..run.count).map(|n| run.row + n));
    let mut rows: Vec<DryRow> = created.map(|n| row(n, "created")).collect();
    rows.extend(outcomes.updated.iter().map(|r| row(r.row, "updated")));
    rows.extend(outcomes.skipped.iter().map(|r| row(r.row, "skipped")));
    rows.extend(outcomes.failed.into_iter().map(|failed| DryRow {
        error: Some(RowErrorView::new(failed.row, failed.code, failed.column)),
        ..row(failed.row, "failed")
    }));
    rows.sort_unstable_by_key(|row| row.row);
    rows
}
