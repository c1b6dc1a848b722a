//! Leads: create, get, update. The lists are in `lead_lists`, what is sent and its checks in `input`, what is answered in `view`.

mod input;
mod view;

use std::sync::{Arc, Mutex, PoisonError};

use aggregates::Change;
use aggregates::access::{Reach, Right};
use aggregates::ids::{CompanyId, LeadId, UserAccessId};
use aggregates::lead::{
    Classification, Contact, CreateLead, Lead, LeadCommand, OnlyOf, UpdateLead,
};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use projections::leads::list::LeadRow;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::writable_lead::writable;
use crate::api::caller::{Caller, Scope};
use crate::api::extract::{Json, Path};
use crate::api::optimistic::OptimisticCaller;
use crate::api::preconditions::IfMatch;
use crate::api::problem::Problem;
use crate::app::App;
use crate::lead_answers;
use crate::lead_routing;
use crate::ledger::{IdKind, StreamKey, StreamKind};
use crate::lineage;
use crate::plan_limits::PlanLimits;
use input::{Checked, LeadBody, check};
use view::{LeadEnvelope, single};

pub use view::LeadView;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_lead))
        .routes(routes!(show_lead, update_lead))
}

/// Create a lead for a company
#[utoipa::path(post, path = "/companies/{company_id}/leads", tag = "Leads", security(("bearer" = [])),
    params(("company_id" = i64, Path)), request_body = LeadBody,
    responses((status = 201, description = "Lead created successfully", body = LeadEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company"), (status = 422, description = "Invalid")))]
async fn create_lead(
    State(app): State<App>,
    caller: OptimisticCaller,
    Path(company_id): Path<i64>,
    Json(body): Json<LeadBody>,
) -> Result<Response, Problem> {
    let create = |caller| create(&app, caller, CompanyId(company_id), body.clone());
    caller.attempt(&app, create).await
}

async fn create(
    app: &App,
    caller: Caller,
    company_id: CompanyId,
    body: LeadBody,
) -> Result<Response, Problem> {
    let (scope, reach) = caller
        .scope_with(app, company_id, Right::WriteLeads)
        .await?;
    let Checked { update, assignee } = check(app, &scope, body).await?;
    let user_access_id = assignee_of_new(&scope, reach, update.user_access_id)?;
    // An access that was not asked for is the caller's own.
    let assignee = assignee.or(user_access_id.map(|_| caller.user_id.get()));
    let company = scope.company.clone();
    let limits = PlanLimits::of(&company);
    let create = new_lead(company_id, user_access_id, update);
    let mut reading = create.clone();
    reading.classification.source_id =
        lead_answers::likely_source(app, create.classification).await?;
    let made = Arc::new(Mutex::new(None));
    let making = made.clone();
    let work = caller.work(move |unit| {
        lead_routing::check_assignee(unit, assignee, user_access_id, &company)?;
        limits.add_lead(unit)?;
        let lead_id = LeadId(unit.next_id(IdKind::Lead));
        let mut create = CreateLead {
            lead_id,
            ..create.clone()
        };
        lead_answers::settle_new(unit, &company.path, &mut create)?;
        lead_routing::settle(unit, &mut create)?;
        *making.lock().unwrap_or_else(PoisonError::into_inner) =
            LeadRow::of_new(&create, unit.now());
        unit.execute::<Lead>(lead_id.get(), LeadCommand::Create(Box::new(create)))?;
        Ok(lead_id.get())
    });
    let mut work = lead_routing::reading_for_new(work, &scope.company, &reading);
    if let Some(user) = assignee {
        work = work.on(StreamKey::new(StreamKind::User, user));
    }
    let committed = app.ledger.commit(limits.watch_leads(work)).await?;
    let made = made.lock().unwrap_or_else(PoisonError::into_inner).take();
    let row = match made.filter(|_| committed.as_assumed) {
        Some(row) => row,
        None => app
            .reads
            .lead
            .get(LeadId(committed.resource_id))
            .await?
            .ok_or_else(|| Problem::not_found("lead"))?,
    };
    // Nobody can have written a note before the id was known to anybody.
    Ok((StatusCode::CREATED, single(row, Vec::new())).into_response())
}

/// Who may only work on their own leads creates them for themselves.
fn assignee_of_new(
    scope: &Scope,
    reach: Reach,
    wanted: Change<UserAccessId>,
) -> Result<Option<UserAccessId>, Problem> {
    let own = scope.own_accesses();
    match (reach, wanted) {
        (Reach::All, wanted) => Ok(wanted.apply(None)),
        (Reach::Own, Change::Keep | Change::Clear) => Ok(own.first().copied()),
        (Reach::Own, Change::Set(access)) if own.contains(&access) => Ok(Some(access)),
        (Reach::Own, Change::Set(_)) => Err(Problem::forbidden(
            "Your role creates leads only for yourself.",
        )),
    }
}

fn new_lead(
    company_id: CompanyId,
    user_access_id: Option<UserAccessId>,
    body: UpdateLead,
) -> CreateLead {
    CreateLead {
        lead_id: LeadId(0),
        company_id,
        contact: Contact {
            first_name: body.first_name.apply(None),
            last_name: body.last_name.apply(None),
            email: body.email.apply(None),
            phone: body.phone.apply(None),
        },
        stage: body.stage.unwrap_or_default(),
        classification: Classification {
            source_id: body.source_id.apply(None),
            campaign_id: body.campaign_id.apply(None),
            territory_id: body.territory_id.apply(None),
        },
        territory_match: None,
        routing: None,
        cycle_id: None,
        user_access_id,
        answers: body.answers,
        extra: body
            .extra
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
        estimated_value: body.estimated_value.apply(None),
    }
}

async fn one(app: &App, id: LeadId) -> Result<Response, Problem> {
    let (row, notes) = tokio::join!(app.reads.lead.get(id), app.reads.notes.get(id));
    let row = row?.ok_or_else(|| Problem::not_found("lead"))?;
    Ok(single(row, notes?))
}

/// Get lead by id
#[utoipa::path(get, path = "/leads/{id}", tag = "Leads", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "Lead found", body = LeadEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such lead")))]
async fn show_lead(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    let (row, notes) = tokio::join!(
        app.reads.lead.get(LeadId(id)),
        app.reads.notes.get(LeadId(id))
    );
    let (row, notes) = (row?, notes?);
    let row = row.ok_or_else(|| Problem::not_found("lead"))?;
    caller
        .require_readable(&app, row.company_id, row.user_access_id)
        .await?;
    caller.has_read(&app, "GET /leads/{id}", [(row.id, row.company_id)]);
    Ok(single(row, notes))
}

/// Update a lead
#[utoipa::path(put, path = "/leads/{id}", tag = "Leads", security(("bearer" = [])), params(("id" = i64, Path), IfMatch), request_body = LeadBody,
    responses((status = 200, description = "Lead updated successfully", body = LeadEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such lead"),
        (status = 409, description = "Not at the version of If-Match"), (status = 422, description = "Invalid")))]
async fn update_lead(
    State(app): State<App>,
    caller: OptimisticCaller,
    Path(id): Path<i64>,
    Json(body): Json<LeadBody>,
) -> Result<Response, Problem> {
    let update = |caller| update(&app, caller, id, body.clone());
    caller.attempt(&app, update).await
}

async fn update(app: &App, caller: Caller, id: i64, body: LeadBody) -> Result<Response, Problem> {
    let (row, only_of) = writable(app, &caller, id).await?;
    let scope = caller.scope(app, CompanyId(row.company_id)).await?;
    let Checked {
        mut update,
        assignee,
    } = check(app, &scope, body).await?;
    may_reassign(&only_of, update.user_access_id)?;
    update.only_of = only_of;
    let stream = StreamKey::new(StreamKind::Lead, id);
    let if_match = caller.write.if_match.clone();
    let company = scope.company.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            let access = update.user_access_id.apply(None);
            lead_routing::check_assignee(unit, assignee, access, &company)?;
            let mut update = update.clone();
            lead_routing::check_changes(unit, id, &update)?;
            lead_answers::settle_update(unit, &company.path, id, &mut update)?;
            unit.execute::<Lead>(id, LeadCommand::Update(Box::new(update)))?;
            Ok(id)
        })
        .on(stream);
    let mut work = lineage::reading(work, &scope.company);
    if let Some(user) = assignee {
        work = work.on(StreamKey::new(StreamKind::User, user));
    }
    let committed = app.ledger.commit(work).await?;
    let lead = (row.id, row.company_id);
    caller.has_seen_unchanged(app, committed, "PUT /leads/{id}", lead);
    one(app, LeadId(id)).await
}

/// Who may only work on their own leads may hand one back, but not to somebody else.
fn may_reassign(only_of: &OnlyOf, wanted: Change<UserAccessId>) -> Result<(), Problem> {
    match (only_of, wanted) {
        (Some(own), Change::Set(access)) if !own.contains(&access) => Err(Problem::forbidden(
            "Your role assigns leads only to yourself.",
        )),
        _ => Ok(()),
    }
}
