//! Legal holds on leads and on companies: place, list, release.

use aggregates::access::Right;
use aggregates::company::{Company, CompanyCommand};
use aggregates::ids::{CompanyId, LeadId, LegalHoldId};
use aggregates::lead::{Lead, LeadCommand};
use aggregates::legal_hold::HoldCommand;
use aggregates::text;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SubsecRound, Utc};
use garde::Validate;
use projections::legal_holds::{self, Held, LegalHoldRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dates::day;
use super::lead_on_record::LeadOnRecord;
use super::pages::{Meta, PageQuery};
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, Refusal, StreamKey, StreamKind, Unit};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(place_lead_hold, list_lead_holds))
        .routes(routes!(release_lead_hold))
        .routes(routes!(place_company_hold, list_company_holds))
        .routes(routes!(release_company_hold))
}

/// A legal hold to place.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
#[serde(default)]
struct NewLegalHold {
    /// The matter, 1 to 500 characters on one line. On a company it is never erased: name no person.
    #[schema(example = "Case 2026/117")]
    reason: String,
    /// When it ends by itself; null: only when it is released.
    until: Option<DateTime<Utc>>,
}

/// A legal hold.
#[derive(Debug, Serialize, ToSchema)]
struct LegalHoldView {
    id: i64,
    company_id: Option<i64>,
    /// Null for a hold on the company and all below it.
    lead_id: Option<i64>,
    /// Null once the lead is erased, and while it is blocked for who may not erase it.
    reason: Option<String>,
    until: Option<DateTime<Utc>>,
    placed_at: DateTime<Utc>,
    released_at: Option<DateTime<Utc>>,
    /// Whether it holds now.
    standing: bool,
}

impl LegalHoldView {
    fn at(now: DateTime<Utc>, words: Words) -> impl Fn(LegalHoldRow) -> Self {
        move |row| Self {
            standing: row.stands_at(now),
            id: row.id,
            company_id: row.company_id,
            lead_id: row.lead_id,
            reason: row.reason.filter(|_| words == Words::Shown),
            until: row.until,
            placed_at: row.placed_at,
            released_at: row.released_at,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct LegalHoldEnvelope {
    legal_hold: LegalHoldView,
}

#[derive(Debug, Serialize, ToSchema)]
struct LegalHoldList {
    legal_holds: Vec<LegalHoldView>,
    meta: Meta,
}

/// Whether the words of a hold are shown: those on a blocked lead are about a person whose data is kept and not used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    Shown,
    Hidden,
}

/// Asks that the caller holds the right on the thing, and answers whether they may read the words of its holds. Who audits comes to read
/// them. A lead that an undone import took away is still on record: what can be erased can be held.
async fn held_by(app: &App, caller: &Caller, held: Held, right: Right) -> Result<Words, Problem> {
    let lead = match held {
        Held::Company(company) => {
            let scope = caller.scope_of(app, company, "company").await?;
            scope.require(right)?;
            return Ok(Words::Shown);
        }
        Held::Lead(lead) => LeadOnRecord::find(app, caller, lead.get()).await?,
    };
    lead.require(right)?;
    if lead.hidden && !lead.allows(Right::Govern) {
        return Ok(Words::Hidden);
    }
    if right == Right::Audit {
        let read = [(lead.id.get(), lead.company.get())];
        caller.has_read(app, "GET /leads/{id}/legal_holds", read);
    }
    Ok(Words::Shown)
}

/// The hold's command on whatever it is on.
fn execute(unit: &mut Unit<'_>, held: Held, command: HoldCommand) -> Result<(), Refusal> {
    match held {
        Held::Lead(lead) => unit.execute::<Lead>(lead.get(), LeadCommand::Hold(command)),
        Held::Company(company) => {
            unit.execute::<Company>(company.get(), CompanyCommand::Hold(command))
        }
    }
}

fn stream_of(held: Held) -> StreamKey {
    match held {
        Held::Lead(lead) => StreamKey::new(StreamKind::Lead, lead.get()),
        Held::Company(company) => StreamKey::new(StreamKind::Company, company.get()),
    }
}

async fn place(
    app: App,
    caller: Caller,
    held: Held,
    body: NewLegalHold,
) -> Result<Response, Problem> {
    held_by(&app, &caller, held, Right::Govern).await?;
    let mut errors = FieldErrors::default();
    let reason = text::line(&body.reason, 500).map(str::to_owned);
    if let Err(error) = &reason {
        errors.add("reason", error.to_string());
    }
    let until = body.until.map(|until| until.trunc_subsecs(6));
    match until.map(|until| (until > app.clock.now(), day(until.date_naive()))) {
        Some((false, _)) => errors.add("until", "must be in the future"),
        Some((_, Err(message))) => errors.add("until", message),
        _ => {}
    }
    let (Ok(reason), true) = (reason, errors.is_empty()) else {
        return Err(errors.into());
    };
    let stream = stream_of(held);
    let if_match = caller.write.if_match.clone();
    let work = caller.work(move |unit| {
        if_match.check(unit, stream)?;
        let legal_hold_id = LegalHoldId(unit.next_id(IdKind::LegalHold));
        let place = HoldCommand::Place {
            legal_hold_id,
            reason: reason.clone(),
            until,
        };
        execute(unit, held, place)?;
        Ok(legal_hold_id.get())
    });
    let committed = app.ledger.commit(work.on(stream)).await?;
    let answer = one(&app, held, committed.resource_id).await?;
    Ok((StatusCode::CREATED, answer).into_response())
}

async fn release(
    app: App,
    caller: Caller,
    held: Held,
    id: i64,
) -> Result<Json<LegalHoldEnvelope>, Problem> {
    held_by(&app, &caller, held, Right::Govern).await?;
    let stream = stream_of(held);
    let if_match = caller.write.if_match.clone();
    let work = caller.work(move |unit| {
        if_match.check(unit, stream)?;
        let legal_hold_id = LegalHoldId(id);
        execute(unit, held, HoldCommand::Release { legal_hold_id })?;
        Ok(id)
    });
    let committed = app.ledger.commit(work.on(stream)).await?;
    if let Held::Lead(lead) = held {
        let lead = LeadOnRecord::find(&app, &caller, lead.get()).await?;
        let path = "POST /leads/{id}/legal_holds/{hold_id}/release";
        let seen = (lead.id.get(), lead.company.get());
        caller.has_seen_unchanged(&app, committed, path, seen);
    }
    one(&app, held, id).await
}

async fn one(app: &App, held: Held, id: i64) -> Result<Json<LegalHoldEnvelope>, Problem> {
    let row = legal_holds::by_id(&mut *app.pool.acquire().await?, held, id).await?;
    let row = row.ok_or_else(|| Problem::not_found("legal hold"))?;
    Ok(Json(LegalHoldEnvelope {
        // Who places and lifts may erase.
        legal_hold: LegalHoldView::at(app.clock.now(), Words::Shown)(row),
    }))
}

async fn list(
    app: App,
    caller: Caller,
    held: Held,
    page: PageQuery,
) -> Result<Json<LegalHoldList>, Problem> {
    let wanted = page.check::<i64>()?;
    let words = held_by(&app, &caller, held, Right::Audit).await?;
    let mut connection = app.pool.acquire().await?;
    let (page, total) = legal_holds::page(&mut connection, held, &wanted.request).await?;
    let next = page.rows.last().map(|row| row.id).filter(|_| page.more);
    let view = LegalHoldView::at(app.clock.now(), words);
    Ok(Json(LegalHoldList {
        meta: wanted.meta(total, next.as_ref()),
        legal_holds: page.rows.into_iter().map(view).collect(),
    }))
}

/// Place a legal hold on a lead
///
/// While it stands, the lead is neither blocked nor erased, its notes are not deleted, and no import that made it is undone. A lead that an
/// undone import took away is still on record, and is held alike.
#[utoipa::path(post, path = "/leads/{id}/legal_holds", tag = "Legal Holds", security(("bearer" = [])), params(("id" = i64, Path)),
    request_body = NewLegalHold,
    responses((status = 201, description = "Legal hold placed", body = LegalHoldEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such lead"),
        (status = 409, description = "Not at the version of If-Match"), (status = 422, description = "Invalid, or erased")))]
async fn place_lead_hold(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(body): Json<NewLegalHold>,
) -> Result<Response, Problem> {
    place(app, caller, Held::Lead(LeadId(id)), body).await
}

/// List the legal holds on a lead
///
/// Those that stand and those that do no more, the oldest first; not those on its company, which hold it too.
#[utoipa::path(get, path = "/leads/{id}/legal_holds", tag = "Legal Holds", security(("bearer" = [])),
    params(("id" = i64, Path), PageQuery),
    responses((status = 200, description = "List of legal holds", body = LegalHoldList), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such lead")))]
async fn list_lead_holds(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<LegalHoldList>, Problem> {
    list(app, caller, Held::Lead(LeadId(id)), page).await
}

/// Release a legal hold on a lead
///
/// A repeat changes nothing.
#[utoipa::path(post, path = "/leads/{id}/legal_holds/{hold_id}/release", tag = "Legal Holds", security(("bearer" = [])),
    params(("id" = i64, Path), ("hold_id" = i64, Path)),
    responses((status = 200, description = "Legal hold released", body = LegalHoldEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such lead or hold"),
        (status = 409, description = "Not at the version of If-Match")))]
async fn release_lead_hold(
    State(app): State<App>,
    caller: Caller,
    Path((id, hold_id)): Path<(i64, i64)>,
) -> Result<Json<LegalHoldEnvelope>, Problem> {
    release(app, caller, Held::Lead(LeadId(id)), hold_id).await
}

/// Place a legal hold on a company
///
/// It holds every lead of the company and of those below; nobody with a role there is deleted, and no company leaves its tree.
#[utoipa::path(post, path = "/companies/{id}/legal_holds", tag = "Legal Holds", security(("bearer" = [])),
    params(("id" = i64, Path)), request_body = NewLegalHold,
    responses((status = 201, description = "Legal hold placed", body = LegalHoldEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company"),
        (status = 409, description = "Not at the version of If-Match"), (status = 422, description = "Invalid")))]
async fn place_company_hold(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(body): Json<NewLegalHold>,
) -> Result<Response, Problem> {
    place(app, caller, Held::Company(CompanyId(id)), body).await
}

/// List the legal holds on a company
///
/// Those that stand and those that do no more, the oldest first; neither those on companies above nor those on leads.
#[utoipa::path(get, path = "/companies/{id}/legal_holds", tag = "Legal Holds", security(("bearer" = [])),
    params(("id" = i64, Path), PageQuery),
    responses((status = 200, description = "List of legal holds", body = LegalHoldList), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company")))]
async fn list_company_holds(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<LegalHoldList>, Problem> {
    list(app, caller, Held::Company(CompanyId(id)), page).await
}

/// Release a legal hold on a company
///
/// A repeat changes nothing.
#[utoipa::path(post, path = "/companies/{id}/legal_holds/{hold_id}/release", tag = "Legal Holds", security(("bearer" = [])),
    params(("id" = i64, Path), ("hold_id" = i64, Path)),
    responses((status = 200, description = "Legal hold released", body = LegalHoldEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company or hold"),
        (status = 409, description = "Not at the version of If-Match")))]
async fn release_company_hold(
    State(app): State<App>,
    caller: Caller,
    Path((id, hold_id)): Path<(i64, i64)>,
) -> Result<Json<LegalHoldEnvelope>, Problem> {
    release(app, caller, Held::Company(CompanyId(id)), hold_id).await
}
