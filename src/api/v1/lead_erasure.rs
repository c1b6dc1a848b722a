//! Erasing a lead's personal data in two steps: block it, then erase it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aggregates::access::Right;
use aggregates::ids::LeadId;
use aggregates::lead::erasure::{DataStatus, ErasureCommand, ErasureReason};
use aggregates::lead::{Lead, LeadCommand};
use axum::extract::State;
use chrono::{DateTime, Utc};
use garde::Validate;
use projections::lead_erasures;
use projections::legal_holds::Held;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::lead_on_record::LeadOnRecord;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::likenesses::ToRecord;
use crate::ledger::{FindStreams, Refusal, StreamKey, StreamKind, certificates, erasure};
use crate::legal_hold;
use crate::worker::erasures;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(erase_lead, show_erasure, unblock_lead))
}

/// A step of an erasure.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
#[serde(default)]
struct ErasureStep {
    /// `block`: keep the personal data and use it no more. `erase`: destroy it, once it is blocked.
    #[schema(example = "block")]
    step: String,
    /// `subject_request`, `consent_withdrawn`, `purpose_fulfilled`, `unlawful_processing`, `legal_obligation` or `other`.
    #[schema(example = "subject_request")]
    reason: String,
}

/// How far the erasure of a lead went.
#[derive(Debug, Serialize, ToSchema)]
struct ErasureView {
    lead_id: i64,
    /// `in_use`, `blocked` or `erased`.
    status: String,
    /// That of the last block or erasure.
    reason: Option<String>,
    blocked_at: Option<DateTime<Utc>>,
    /// When the last block was taken back.
    unblocked_at: Option<DateTime<Utc>>,
    erased_at: Option<DateTime<Utc>>,
    /// When what was kept outside of the ledger and the lists was cleared for the last time, within some minutes of the erasure.
    cleared_at: Option<DateTime<Utc>>,
    /// Of a finished erasure: a signed note (C2SP `signed-note`); the keys are at `/.well-known/leadledger-checkpoint-keys`.
    certificate: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ErasureEnvelope {
    erasure: ErasureView,
}

fn check(body: &ErasureStep) -> Result<(bool, ErasureReason), FieldErrors> {
    let mut errors = FieldErrors::default();
    let erase = match body.step.as_str() {
        "block" => Some(false),
        "erase" => Some(true),
        _ => None,
    };
    if erase.is_none() {
        errors.add("step", "must be block or erase");
    }
    let reason = ErasureReason::from_code(&body.reason);
    if reason.is_none() {
        let codes = ErasureReason::ALL.map(ErasureReason::code).join(", ");
        errors.add("reason", format!("must be one of {codes}"));
    }
    match (erase, reason) {
        (Some(erase), Some(reason)) => Ok((erase, reason)),
        _ => Err(errors),
    }
}

/// Finds the holds, whether the ledger holds anything about the person that no key seals, and what an erasure has to record.
fn finding(
    lead: &LeadOnRecord,
    unsealed: Arc<AtomicBool>,
    likeness: Option<ToRecord>,
) -> FindStreams {
    // The company by name too: the list of leads does not tell it of a lead that was taken away.
    let holds = legal_hold::finding(vec![Held::Lead(lead.id), Held::Company(lead.company)]);
    let stream = StreamKey::new(StreamKind::Lead, lead.id.get());
    Arc::new(move |connection| {
        let (holds, unsealed) = (holds.clone(), unsealed.clone());
        let likeness = likeness.clone();
        Box::pin(async move {
            if let Some(likeness) = likeness {
                likeness.look(&mut *connection, stream.id).await?;
            }
            let found = erasure::holds_unsealed(&mut *connection, stream).await?;
            unsealed.store(found, Ordering::Relaxed);
            holds(connection).await
        })
    })
}

async fn one(app: &App, lead: i64) -> Result<Json<ErasureEnvelope>, Problem> {
    let mut connection = app.pool.acquire().await?;
    let moment = app.pool.moment();
    // As of a moment the table tells what hides the person in the answer, which is asked of today. How far it had gone is told by the
    // events, and is nothing about the person.
    let row = if moment.is_some() {
        erasure::steps_of_lead(&mut connection, LeadId(lead)).await?
    } else {
        lead_erasures::of_lead(&mut connection, LeadId(lead)).await?
    };
    let erased = certificates::of_lead(&mut connection, lead).await?;
    drop(connection);
    let erased = erased.filter(|_| row.erased_at.is_some());
    let certificate = match &erased {
        Some(erased) => erasures::certificate(app, erased).await?,
        None => None,
    };
    Ok(Json(ErasureEnvelope {
        erasure: ErasureView {
            lead_id: lead,
            status: row.status,
            reason: row.reason,
            blocked_at: row.blocked_at,
            unblocked_at: row.unblocked_at,
            erased_at: row.erased_at,
            cleared_at: erased
                .and_then(|erased| erased.cleared_at)
                .filter(|cleared| moment.is_none_or(|moment| *cleared <= moment.clock())),
            certificate,
        },
    }))
}

/// Block a lead's personal data, or erase what is blocked
///
/// A blocked lead stays where it is, without the person: name, e-mail, phone, answers, extra fields, notes and the words of appointments are
/// shown to nobody and found by no search; `GET /leads/{id}/personal_data` still shows them to owners. Nothing of it can be changed. Erasing destroys
/// the person's key: the history stays and says nothing about them any more. Both are refused while a legal hold stands. A lead that an
/// undone import took away is still on record, and is blocked and erased alike.
#[utoipa::path(post, path = "/leads/{id}/erasure", tag = "Erasure", security(("bearer" = [])), params(("id" = i64, Path)),
    request_body = ErasureStep,
    responses((status = 200, description = "Blocked, or erased", body = ErasureEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such lead"),
        (status = 409, description = "Not at the version of If-Match"),
        (status = 422, description = "Invalid, not blocked yet, or held")))]
async fn erase_lead(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(body): Json<ErasureStep>,
) -> Result<Json<ErasureEnvelope>, Problem> {
    let lead = LeadOnRecord::find(&app, &caller, id).await?;
    lead.require(Right::Govern)?;
    let (erase, reason) = check(&body)?;
    let stream = StreamKey::new(StreamKind::Lead, id);
    let if_match = caller.write.if_match.clone();
    let unsealed = Arc::new(AtomicBool::new(false));
    let likeness = ToRecord::default();
    let to_record = erase.then(|| likeness.clone());
    let find = finding(&lead, unsealed.clone(), to_record);
    let work = caller.work(move |unit| {
        if_match.check(unit, stream)?;
        let is_erased = |lead: &Lead| lead.data_status() == DataStatus::Erased;
        if !unit.look_at(id, is_erased) {
            legal_hold::refuse_if_held(unit, LeadId(id))?;
        }
        let now = unit.now();
        let command = if erase {
            likeness.record(unit);
            ErasureCommand::Erase { reason, now }
        } else {
            ErasureCommand::Block { reason }
        };
        unit.execute::<Lead>(id, LeadCommand::Erasure(command))?;
        if erase && unsealed.load(Ordering::Relaxed) {
            return Err(Refusal::Rule("unsealed_events"));
        }
        Ok(id)
    });
    app.ledger.commit(work.on(stream).sweeping(find)).await?;
    if erase {
        // What this misses, or a crash right here leaves, the background work does.
        erasures::clear(&app).await?;
    }
    one(&app, id).await
}

/// Get how far the erasure of a lead went
#[utoipa::path(get, path = "/leads/{id}/erasure", tag = "Erasure", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "How far it went", body = ErasureEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such lead")))]
async fn show_erasure(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<ErasureEnvelope>, Problem> {
    let lead = LeadOnRecord::find(&app, &caller, id).await?;
    lead.require(Right::Audit)?;
    one(&app, id).await
}

/// Take the block of a lead's personal data back
///
/// It is shown, found and changed again as before. A lead that an undone import took away is shown again as of the time when it was there.
#[utoipa::path(delete, path = "/leads/{id}/erasure", tag = "Erasure", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "In use again", body = ErasureEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such lead"),
        (status = 409, description = "Not at the version of If-Match"), (status = 422, description = "Not blocked, or erased")))]
async fn unblock_lead(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<ErasureEnvelope>, Problem> {
    let lead = LeadOnRecord::find(&app, &caller, id).await?;
    lead.require(Right::Govern)?;
    let stream = StreamKey::new(StreamKind::Lead, id);
    let if_match = caller.write.if_match.clone();
    let work = caller.work(move |unit| {
        if_match.check(unit, stream)?;
        unit.execute::<Lead>(id, LeadCommand::Erasure(ErasureCommand::Unblock))?;
        Ok(id)
    });
    app.ledger.commit(work.on(stream)).await?;
    one(&app, id).await
}
