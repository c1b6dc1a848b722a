//! Legal terms: the current ones, any by id, and publishing new ones.

use aggregates::company::legal_terms::{INSTALLATION, LegalText};
use aggregates::company::{Company, CompanyCommand};
use aggregates::ids::LegalTermId;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use garde::Validate;
use projections::legal_terms::{self, LegalTermRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::Caller;
use crate::api::extract::{Json, Path};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;
use crate::digests;
use crate::ledger::{IdKind, StreamKey, StreamKind};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(publish_legal_terms))
        .routes(routes!(show_current_legal_terms))
        .routes(routes!(show_legal_terms))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct NewLegalTerms {
    /// 1 to 200 characters.
    #[garde(skip)]
    title: String,
    /// 1 to 100,000 characters.
    #[garde(skip)]
    content: String,
    /// 1 to 50 characters, never used before; the id when absent.
    #[garde(skip)]
    version: Option<String>,
}

/// A published text.
#[derive(Debug, Serialize, ToSchema)]
struct LegalTermView {
    id: i64,
    version: String,
    title: String,
    content: String,
    /// SHA-256 of the content, in hexadecimal: what an approval refers to.
    content_hash: String,
    current: bool,
    published_at: DateTime<Utc>,
}

impl From<LegalTermRow> for LegalTermView {
    fn from(row: LegalTermRow) -> Self {
        Self {
            id: row.id,
            version: row.version,
            title: row.title,
            content: row.content,
            content_hash: row.content_hash,
            current: row.current,
            published_at: row.published_at,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct LegalTermEnvelope {
    legal_term: LegalTermView,
}

fn answer(row: Option<LegalTermRow>) -> Result<Json<LegalTermEnvelope>, Problem> {
    let row = row.ok_or_else(|| Problem::not_found("legal terms"))?;
    let legal_term = row.into();
    Ok(Json(LegalTermEnvelope { legal_term }))
}

/// Publish legal terms
///
/// For the platform owner. They are current at once, and every user is asked to approve them. Published texts never change.
#[utoipa::path(post, path = "/legal_terms", tag = "Legal Terms", security(("bearer" = [])), request_body = NewLegalTerms,
    responses((status = 201, description = "Published", body = LegalTermEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Not the platform owner"), (status = 422, description = "Invalid, or the version is taken")))]
async fn publish_legal_terms(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<NewLegalTerms>,
) -> Result<Response, Problem> {
    if !caller.authority.platform_owner {
        let detail = "Only the platform owner publishes legal terms.";
        return Err(Problem::forbidden(detail));
    }
    let text = LegalText::parse(&body.title, &body.content, body.version.as_deref());
    let text = text.map_err(|wrong| {
        let mut errors = FieldErrors::default();
        for (field, error) in wrong {
            errors.add(field, error.to_string());
        }
        errors
    })?;
    let content_hash = digests::sha256(text.content().as_bytes());
    let work = caller
        .work(move |unit| {
            let legal_term_id = LegalTermId(unit.next_id(IdKind::LegalTerm));
            let publish = CompanyCommand::PublishLegalTerms {
                legal_term_id,
                text: text.clone(),
                content_hash: content_hash.clone(),
            };
            unit.execute::<Company>(INSTALLATION.get(), publish)?;
            Ok(legal_term_id.get())
        })
        .on(StreamKey::new(StreamKind::Company, INSTALLATION.get()));
    let committed = app.ledger.commit(work).await?;
    let mut connection = app.pool.acquire().await?;
    let row = legal_terms::by_id(&mut connection, LegalTermId(committed.resource_id)).await?;
    Ok((StatusCode::CREATED, answer(row)?).into_response())
}

/// Current available for signature
#[utoipa::path(get, path = "/legal_terms/current", tag = "Legal Terms", security(("bearer" = [])),
    responses((status = 200, description = "Current legal terms", body = LegalTermEnvelope), (status = 401, description = "No or bad token"),
        (status = 404, description = "None are published")))]
async fn show_current_legal_terms(
    State(app): State<App>,
    _caller: Caller,
) -> Result<Json<LegalTermEnvelope>, Problem> {
    let mut connection = app.pool.acquire().await?;
    answer(legal_terms::current(&mut connection).await?)
}

/// Get legal terms per id
#[utoipa::path(get, path = "/legal_terms/{id}", tag = "Legal Terms", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "Legal terms found", body = LegalTermEnvelope), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such legal terms")))]
async fn show_legal_terms(
    State(app): State<App>,
    _caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<LegalTermEnvelope>, Problem> {
    let mut connection = app.pool.acquire().await?;
    answer(legal_terms::by_id(&mut connection, LegalTermId(id)).await?)
}
