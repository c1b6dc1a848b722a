//! Checkpoints and proofs: what an auditor compares with what was witnessed. They name no company and hold nothing but hashes,
//! and are open to whoever may audit anywhere.

use aggregates::access::Right;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::lead_on_record::LeadOnRecord;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::checkpoints::{self, Kept, ProofError};
use crate::ledger::evidence::{self, NoPack};
use crate::ledger::{StreamKey, StreamKind, proofs};
use crate::proof::evidence::EvidencePack;
use crate::proof::{Hash, to_base64};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show_checkpoint))
        .routes(routes!(prove_inclusion))
        .routes(routes!(prove_consistency))
        .routes(routes!(show_evidence))
}

impl From<ProofError> for Problem {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Database(error) => error.into(),
            ProofError::Busy => Self::unavailable(1),
            ProofError::Damaged(_) => Self::internal(error),
        }
    }
}

/// What the whole ledger was at one size, signed.
#[derive(Debug, Serialize, ToSchema)]
struct CheckpointView {
    /// How many events it covers.
    tree_size: i64,
    made_at: DateTime<Utc>,
    /// A signed note (C2SP `tlog-checkpoint`); the keys are at `/.well-known/leadledger-checkpoint-keys`.
    note: String,
}

impl From<Kept> for CheckpointView {
    fn from(kept: Kept) -> Self {
        Self {
            tree_size: kept.size,
            made_at: kept.made_at,
            note: kept.note,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct CheckpointEnvelope {
    checkpoint: CheckpointView,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct InclusionQuery {
    /// Position of the event, from 1.
    position: i64,
    /// How many events the tree has; those of the latest checkpoint when nothing is said.
    tree_size: Option<i64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ConsistencyQuery {
    /// How many events the smaller tree has.
    from: i64,
    /// How many events the larger tree has; those of the latest checkpoint when nothing is said.
    to: Option<i64>,
}

/// That an event is in a tree (RFC 9162, section 2.1.3). Hashes are base64.
#[derive(Debug, Serialize, ToSchema)]
struct InclusionView {
    position: i64,
    /// As RFC 9162 counts: the position less one.
    leaf_index: i64,
    tree_size: i64,
    leaf_hash: String,
    root_hash: String,
    inclusion_path: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct InclusionEnvelope {
    inclusion: InclusionView,
}

/// That one tree is the beginning of another (RFC 9162, section 2.1.4). Hashes are base64.
#[derive(Debug, Serialize, ToSchema)]
struct ConsistencyView {
    from: i64,
    to: i64,
    from_root_hash: String,
    to_root_hash: String,
    consistency_path: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ConsistencyEnvelope {
    consistency: ConsistencyView,
}

fn texts(path: &[Hash]) -> Vec<String> {
    path.iter().map(|hash| to_base64(hash)).collect()
}

/// The latest checkpoint. When there is none, one is made; of the past, where nothing can be made any more, there is `None`.
async fn latest(app: &App) -> Result<Option<Kept>, Problem> {
    let mut connection = app.pool.acquire().await?;
    let latest = checkpoints::latest(&mut connection).await?;
    drop(connection);
    Ok(match latest {
        None if app.pool.moment().is_none() => {
            Some(checkpoints::make(app.pool.today(), app.clock.now()).await?)
        }
        latest => latest,
    })
}

/// Get the latest checkpoint
///
/// A new one is made each minute in which something happened, and when an evidence pack needs one.
#[utoipa::path(get, path = "/checkpoint", tag = "Proofs", security(("bearer" = [])),
    responses((status = 200, description = "The latest checkpoint", body = CheckpointEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "There was none yet, with `as_of`")))]
async fn show_checkpoint(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<CheckpointEnvelope>, Problem> {
    caller.require_anywhere(Right::Audit)?;
    let checkpoint = latest(&app).await?;
    let checkpoint = checkpoint.ok_or_else(|| Problem::not_found("checkpoint"))?;
    Ok(Json(CheckpointEnvelope {
        checkpoint: checkpoint.into(),
    }))
}

/// The size that is asked for, checked against the ledger as it is, or was.
async fn size_of(app: &App, field: &str, asked: Option<i64>) -> Result<i64, Problem> {
    let end = match app.pool.moment() {
        Some(moment) => moment.position,
        None => proofs::size(&mut *app.pool.acquire().await?).await?,
    };
    let Some(asked) = asked else {
        return Ok(latest(app).await?.map_or(end, |latest| latest.size));
    };
    if (1..=end).contains(&asked) {
        return Ok(asked);
    }
    let message = format!("must be between 1 and {end}, the size of the ledger");
    Err(Problem::malformed_query(FieldErrors::of(field, message)))
}

fn within(field: &str, value: i64, size: i64) -> Result<(), Problem> {
    if (1..=size).contains(&value) {
        return Ok(());
    }
    let message = format!("must be between 1 and {size}");
    Err(Problem::malformed_query(FieldErrors::of(field, message)))
}

/// Prove that an event is in the ledger
#[utoipa::path(get, path = "/proofs/inclusion", tag = "Proofs", security(("bearer" = [])), params(InclusionQuery),
    responses((status = 200, description = "The proof", body = InclusionEnvelope), (status = 400, description = "No such position or size"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing")))]
async fn prove_inclusion(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<InclusionQuery>,
) -> Result<Json<InclusionEnvelope>, Problem> {
    caller.require_anywhere(Right::Audit)?;
    let tree_size = size_of(&app, "tree_size", query.tree_size).await?;
    within("position", query.position, tree_size)?;
    let mut connection = app.pool.acquire().await?;
    let proof = proofs::inclusion(&mut connection, query.position, tree_size).await;
    let proof = proof.map_err(ProofError::from)?;
    let inclusion = InclusionView {
        position: query.position,
        leaf_index: query.position - 1,
        tree_size,
        leaf_hash: to_base64(&proof.leaf),
        root_hash: to_base64(&proof.root),
        inclusion_path: texts(&proof.path),
    };
    Ok(Json(InclusionEnvelope { inclusion }))
}

/// Prove that the ledger only grew
#[utoipa::path(get, path = "/proofs/consistency", tag = "Proofs", security(("bearer" = [])), params(ConsistencyQuery),
    responses((status = 200, description = "The proof", body = ConsistencyEnvelope), (status = 400, description = "No such size"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing")))]
async fn prove_consistency(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ConsistencyQuery>,
) -> Result<Json<ConsistencyEnvelope>, Problem> {
    caller.require_anywhere(Right::Audit)?;
    let to = size_of(&app, "to", query.to).await?;
    within("from", query.from, to)?;
    let mut connection = app.pool.acquire().await?;
    let proof = proofs::consistency(&mut connection, query.from, to).await;
    let proof = proof.map_err(ProofError::from)?;
    let consistency = ConsistencyView {
        from: query.from,
        to,
        from_root_hash: to_base64(&proof.from_root),
        to_root_hash: to_base64(&proof.to_root),
        consistency_path: texts(&proof.path),
    };
    Ok(Json(ConsistencyEnvelope { consistency }))
}

/// Get the evidence pack of a lead
///
/// The lead's whole history with the proof that it is whole, to be checked by `leadledger verify-evidence` without this server. With `as_of` it
/// is the pack of the latest checkpoint of then, and tells what that covers. The pack holds the key of the lead's personal data: whoever has the pack reads them, for good.
#[utoipa::path(get, path = "/leads/{id}/evidence", tag = "Proofs", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "The pack", body = EvidencePack), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such lead")))]
async fn show_evidence(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    let lead = LeadOnRecord::find(&app, &caller, id).await?;
    // What is blocked is opened by nobody but those who may erase it.
    lead.require(if lead.hidden {
        Right::Govern
    } else {
        Right::Audit
    })?;
    caller.has_read(&app, "GET /leads/{id}/evidence", [(id, lead.company.get())]);
    let stream = StreamKey::new(StreamKind::Lead, id);
    let pack = pack(&app, stream).await?;
    let name = format!("attachment; filename=\"lead-{id}-evidence.json\"");
    let headers = [(header::CONTENT_DISPOSITION, name)];
    let pack = pack.ok_or_else(|| Problem::not_found("lead"))?;
    Ok((headers, Json(pack)).into_response())
}

/// The pack as of today, or as of the moment that is read; `None` when there is nothing that it could tell.
async fn pack(app: &App, stream: StreamKey) -> Result<Option<EvidencePack>, Problem> {
    if app.pool.moment().is_none() {
        return Ok(evidence::pack(app.pool.today(), stream, app.clock.now()).await?);
    }
    let mut connection = app.pool.acquire().await?;
    match evidence::pack_then(&mut connection, stream).await? {
        Ok(pack) => Ok(Some(pack)),
        Err(NoPack::NotCovered) => Ok(None),
        Err(NoPack::NotKept(from)) => {
            let message = format!("is before position {from}, from which on evidence is kept");
            Err(Problem::unprocessable(FieldErrors::of("as_of", message)))
        }
    }
}
