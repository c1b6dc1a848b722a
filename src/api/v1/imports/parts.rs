//! Bringing a large file in parts: begin, put the parts to signed addresses in any order, complete.
//!
//! Nothing is on record before the upload is completed: its address carries company, user and end, and a signature.

use aggregates::access::Right;
use aggregates::ids::CompanyId;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ImportEnvelope;
use super::upload::{ImportFields, start};
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::layers::IMPORT_PART_LIMIT;
use crate::api::problem::Problem;
use crate::app::App;
use crate::import::files::{MOST_PARTS, PART_BYTES, Spooled};
use crate::mail::links::Links;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(put_part))
        .routes(routes!(begin_upload))
        .routes(routes!(complete_upload))
}

/// How long an upload may take.
const OPEN_FOR: TimeDelta = TimeDelta::hours(24);

/// A begun upload.
#[derive(Debug, Serialize, ToSchema)]
struct UploadView {
    /// Its name.
    id: String,
    /// The most bytes of a part; any part may have fewer.
    part_size: u64,
    /// The most parts.
    max_parts: u32,
    /// Where part `{part}`, from 1, is put with its bytes as the body; no token is needed.
    part_url: String,
    /// Where the upload is completed.
    complete_url: String,
    expires_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
struct UploadEnvelope {
    upload: UploadView,
}

/// Where the parts are kept: an upload into one company cannot be completed into another.
fn folder(company: i64, upload: &str) -> String {
    format!("{company}-{upload}")
}

/// What makes an address hold: who began it where, until when.
fn signed(links: &Links, id: &str, company: i64, expires_at: i64) -> String {
    links.sign_upload(&format!("{id} {company} {expires_at}"))
}

/// Begin an upload in parts
///
/// For files that are too large for one request, or lines that break: put the parts in any order, again if need be, then complete.
#[utoipa::path(post, path = "/companies/{company_id}/import/uploads", tag = "Import", security(("bearer" = [])),
    params(("company_id" = i64, Path)),
    responses((status = 201, description = "Upload begun", body = UploadEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company")))]
async fn begin_upload(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
) -> Result<Response, Problem> {
    let company = CompanyId(company_id);
    caller.scope_with(&app, company, Right::Configure).await?;
    let id = app.clock.new_id().to_string();
    app.imports
        .files
        .begin_upload(&folder(company_id, &id))
        .await?;
    let expires_at = app.clock.now() + OPEN_FOR;
    let expires = expires_at.timestamp();
    let signature = signed(&app.links, &id, company_id, expires);
    let base = "/api/v1";
    let query = format!("company_id={company_id}&expires={expires}&signature={signature}");
    let upload = UploadView {
        part_size: PART_BYTES,
        max_parts: MOST_PARTS,
        part_url: format!("{base}/import/uploads/{id}/parts/{{part}}?{query}"),
        complete_url: format!("{base}/companies/{company_id}/import/uploads/{id}/complete"),
        expires_at,
        id,
    };
    Ok((StatusCode::CREATED, Json(UploadEnvelope { upload })).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PartQuery {
    company_id: i64,
    /// When the address ends to hold, in seconds since 1970.
    expires: i64,
    signature: String,
}

#[derive(Debug, Deserialize)]
struct PartPath {
    upload_id: String,
    part: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct PartView {
    part: u32,
    size: u64,
}

/// Put a part of an upload
///
/// The address is signed: it needs no token, and holds for a day. A part that is put again replaces the former; once the upload is
/// completed, none is taken any more.
#[utoipa::path(put, path = "/import/uploads/{upload_id}/parts/{part}", tag = "Import",
    params(("upload_id" = String, Path), ("part" = i64, Path), PartQuery),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, description = "Part kept", body = PartView), (status = 400, description = "Malformed"),
        (status = 403, description = "The address does not hold"), (status = 413, description = "Too large"),
        (status = 422, description = "No such part, it is empty or larger than a part may be, or the upload is completed")))]
async fn put_part(
    State(app): State<App>,
    Path(PartPath { upload_id, part }): Path<PartPath>,
    Query(query): Query<PartQuery>,
    request: Request,
) -> Result<Json<PartView>, Problem> {
    let told = format!("{upload_id} {} {}", query.company_id, query.expires);
    let holds = app.links.is_upload(&told, &query.signature);
    if !holds || app.clock.now().timestamp() > query.expires {
        return Err(Problem::forbidden(
            "This address does not hold, or no longer.",
        ));
    }
    let number = u32::try_from(part)
        .ok()
        .filter(|n| (1..=MOST_PARTS).contains(n));
    let part = number.ok_or_else(|| {
        let message = format!("must be between 1 and {MOST_PARTS}");
        Problem::unprocessable(FieldErrors::of("part", message))
    })?;
    let spooled = spooled(&app, request, IMPORT_PART_LIMIT).await?;
    let size = spooled.size;
    let refused = |message| Problem::unprocessable(FieldErrors::of("part", message));
    if size == 0 {
        return Err(refused("is empty".to_owned()));
    }
    if size > PART_BYTES {
        return Err(refused(format!("has more than {PART_BYTES} bytes")));
    }
    let folder = folder(query.company_id, &upload_id);
    let kept = app.imports.files.keep_part(&folder, part, &spooled);
    kept.await?;
    Ok(Json(PartView { part, size }))
}

/// Takes a body of at most so many bytes in, to the disk and never whole into memory.
pub(super) async fn spooled(app: &App, request: Request, limit: usize) -> Result<Spooled, Problem> {
    let mut bytes = request.into_body().into_data_stream();
    let mut spool = app.imports.files.spool()?;
    let mut size = 0;
    let broken = |error: axum::Error| Problem::malformed_body(error.to_string());
    while let Some(more) = bytes.try_next().await.map_err(broken)? {
        size += more.len();
        if size > limit {
            return Err(Problem::too_large());
        }
        spool.write(&more).await?;
    }
    Ok(spool.finish().await?)
}

#[derive(Debug, Deserialize)]
struct UploadPath {
    company_id: i64,
    upload_id: String,
}

/// Complete an upload in parts
///
/// The parts are joined from 1 to the last that was put, none of which may be missing, and the import begins as with a file in one request.
/// When that is refused, the upload stays open.
#[utoipa::path(post, path = "/companies/{company_id}/import/uploads/{upload_id}/complete", tag = "Import", security(("bearer" = [])),
    params(("company_id" = i64, Path), ("upload_id" = String, Path)), request_body = ImportFields,
    responses((status = 201, description = "Import started", body = ImportEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company, or no such upload"),
        (status = 413, description = "Too large"), (status = 422, description = "A part is missing, the upload is completed, the file cannot be read, or a field is wrong")))]
async fn complete_upload(
    State(app): State<App>,
    caller: Caller,
    Path(UploadPath {
        company_id,
        upload_id,
    }): Path<UploadPath>,
    Json(fields): Json<ImportFields>,
) -> Result<Response, Problem> {
    let company = CompanyId(company_id);
    let (scope, _) = caller.scope_with(&app, company, Right::Configure).await?;
    let upload = upload_id.parse::<uuid::Uuid>();
    let upload = upload.map_err(|_| Problem::not_found("upload"))?;
    let upload = folder(company_id, &upload.to_string());
    // Who completes it a second time at the same moment finds it completed.
    let _turn = app
        .turns
        .take(company_id, &format!("upload {upload}"))
        .await;
    let spooled = app.imports.files.join_parts(&upload).await?;
    let response = start(&app, caller, &scope, &spooled, fields).await?;
    if response.status() == StatusCode::CREATED {
        // The import has begun, whatever the store answers now: the parts are swept later.
        if let Err(error) = app.imports.files.complete(&upload).await {
            tracing::warn!(%error, "parts of an upload stay in the store");
        }
    }
    Ok(response)
}
