//! Leads: create, get, update. The lists are in `lead_lists`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aggregates::Change;
use aggregates::access::{Reach, Right};
use aggregates::company::questions::MAX_OPTIONS;
use aggregates::email::Email;
use aggregates::ids::{
    CampaignId, CompanyId, LeadId, OptionId, QuestionId, SourceId, TerritoryId, UserAccessId,
};
use aggregates::lead::{
    Answer, Classification, Contact, CreateLead, Lead, LeadCommand, OnlyOf, UpdateLead,
};
use aggregates::money::{Currency, Money};
use aggregates::person_name::PersonName;
use aggregates::phone::{Phone, Region};
use aggregates::stage::Stage;
use aggregates::text;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use garde::Validate;
use projections::lead_notes;
use projections::leads::list::LeadRow;
use projections::users::list::access_by_id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accesses::{AccessView, role_of};
use super::lead_notes::{NoteView, writable};
use super::stages::StageView;
use super::users::{PersonView, checked, checked_change};
use crate::api::caller::{Caller, Scope};
use crate::api::extract::{Json, Patch, Path};
use crate::api::field_errors::FieldErrors;
use crate::api::optimistic::OptimisticCaller;
use crate::api::preconditions::{IfMatch, etag};
use crate::api::problem::Problem;
use crate::app::App;
use crate::lead_answers;
use crate::lead_routing;
use crate::ledger::{IdKind, StreamKey, StreamKind};
use crate::lineage;
use crate::plan_limits::PlanLimits;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_lead))
        .routes(routes!(show_lead, update_lead))
}

/// A lead to create, or the changes of one: what is absent stays, what is null is cleared.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
#[serde(default)]
pub struct LeadBody {
    #[schema(value_type = Option<String>)]
    first_name: Patch<String>,
    #[schema(value_type = Option<String>)]
    last_name: Patch<String>,
    #[schema(value_type = Option<String>, example = "user@example.com")]
    email: Patch<String>,
    /// With country code, or as dialled in the company's region; kept as E.164.
    #[schema(value_type = Option<String>)]
    phone_number: Patch<String>,
    stage_id: Option<i64>,
    #[schema(value_type = Option<i64>)]
    source_id: Patch<i64>,
    #[schema(value_type = Option<i64>)]
    campaign_id: Patch<i64>,
    #[schema(value_type = Option<i64>)]
    territory_id: Patch<i64>,
    /// Who works on it: a user access that holds in the company.
    #[schema(value_type = Option<i64>)]
    user_access_id: Patch<i64>,
    #[garde(length(max = 200))]
    answers: Option<Vec<AnswerBody>>,
    /// Fields of the company's own; null takes one away.
    #[garde(length(max = 100))]
    extra: Option<BTreeMap<String, Option<String>>>,
    #[schema(value_type = Option<MoneyBody>)]
    estimated_value: Patch<MoneyBody>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
struct AnswerBody {
    question_id: i64,
    #[serde(default)]
    option_id: Option<i64>,
    /// Where several options may be chosen.
    #[serde(default)]
    option_ids: Vec<i64>,
    #[serde(default)]
    value: Option<String>,
}

/// An exact amount of a currency.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
struct MoneyBody {
    #[schema(example = "1200.50")]
    amount: String,
    #[schema(example = "MXN")]
    currency: String,
}

/// A lead.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeadView {
    id: i64,
    company_id: i64,
    first_name: Option<String>,
    last_name: Option<String>,
    full_name: String,
    email: Option<String>,
    phone_number: Option<String>,
    stage: Option<StageView>,
    /// Since when it is in the stage.
    stage_entered_at: DateTime<Utc>,
    source: Option<NamedView>,
    campaign: Option<NamedView>,
    cycle: Option<NamedView>,
    territory: Option<NamedView>,
    user_access: Option<AssigneeView>,
    duplicate: bool,
    duplicate_of_id: Option<i64>,
    answers: serde_json::Value,
    extra: serde_json::Value,
    estimated_value: Option<MoneyBody>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// Since when the personal data is kept and not used: it is absent above.
    blocked_at: Option<DateTime<Utc>>,
    /// When the personal data was erased.
    erased_at: Option<DateTime<Utc>>,
    /// Only when a single lead is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<Vec<NoteView>>,
    /// Only in the list of duplicates: the id of the group's oldest lead.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_group: Option<i64>,
    /// Only in the list of duplicates: `email`, `phone`, or both.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_on: Option<Vec<String>>,
}

/// Something that a lead refers to.
#[derive(Debug, Serialize, ToSchema)]
struct NamedView {
    id: i64,
    name: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct AssigneeView {
    id: i64,
    user: PersonView,
    access: Option<AccessView>,
}

impl LeadView {
    /// As in the list of duplicates.
    pub fn in_group(mut row: LeadRow) -> Self {
        let (group, matched_on) = (row.duplicate_group, row.matched_on.take());
        Self {
            duplicate_group: group,
            matched_on,
            ..Self::from(row)
        }
    }
}

impl From<LeadRow> for LeadView {
    fn from(row: LeadRow) -> Self {
        let named = |id: Option<i64>, name: Option<String>| id.map(|id| NamedView { id, name });
        let user_access = row
            .user_access_id
            .zip(row.assignee_user_id)
            .map(|(id, user_id)| AssigneeView {
                id,
                user: PersonView::new(
                    user_id,
                    row.assignee_full_name.unwrap_or_default(),
                    row.assignee_email,
                    row.assignee_avatar,
                ),
                access: row
                    .assignee_role
                    .as_deref()
                    .and_then(role_of)
                    .map(AccessView::from),
            });
        let currency = row.estimated_value_currency;
        let currency = currency.and_then(|code| Currency::parse(&code).ok());
        let duplicate_of_id = row.duplicate_group.filter(|group| *group != row.id);
        Self {
            id: row.id,
            company_id: row.company_id,
            first_name: row.first_name,
            last_name: row.last_name,
            full_name: row.full_name,
            email: row.email,
            phone_number: row.phone,
            stage: Stage::from_id(row.stage_id).map(StageView::from),
            stage_entered_at: row.stage_entered_at,
            source: named(row.source_id, row.source_name),
            campaign: named(row.campaign_id, row.campaign_name),
            cycle: named(row.cycle_id, row.cycle_name),
            territory: named(row.territory_id, row.territory_name),
            user_access,
            duplicate: duplicate_of_id.is_some(),
            duplicate_of_id,
            answers: row.answers,
            extra: row.extra,
            estimated_value: row
                .estimated_value_amount
                .zip(currency)
                .map(|(amount, currency)| MoneyBody {
                    amount: Money { amount, currency }.amount_text(),
                    currency: currency.to_string(),
                }),
            created_at: row.created_at,
            updated_at: row.updated_at,
            blocked_at: row.blocked_at,
            erased_at: row.erased_at,
            notes: None,
            duplicate_group: None,
            matched_on: None,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct LeadEnvelope {
    lead: LeadView,
}

/// The body with every value checked, and the user whose access is to be assigned.
struct Checked {
    update: UpdateLead,
    assignee: Option<i64>,
}

async fn check(app: &App, scope: &Scope, body: LeadBody) -> Result<Checked, Problem> {
    let mut errors = FieldErrors::default();
    let region = Region::parse(&scope.company.region).unwrap_or(app.region);
    let name = |name: String| PersonName::parse(&name);
    let positive = |id: i64| {
        if id > 0 {
            Ok(id)
        } else {
            Err("must be a positive id")
        }
    };
    let stage = body
        .stage_id
        .map(|id| Stage::from_id(id).ok_or("is not a stage; see GET /api/v1/stages"));
    let update = UpdateLead {
        first_name: checked_change(
            &mut errors,
            "first_name",
            blank_is_null(body.first_name),
            name,
        ),
        last_name: checked_change(
            &mut errors,
            "last_name",
            blank_is_null(body.last_name),
            name,
        ),
        email: checked_change(&mut errors, "email", blank_is_null(body.email), |e| {
            Email::parse(&e)
        }),
        phone: checked_change(
            &mut errors,
            "phone_number",
            blank_is_null(body.phone_number),
            |p| Phone::parse(&p, region),
        ),
        stage: stage.and_then(|stage| checked(&mut errors, "stage_id", stage)),
        source_id: checked_change(&mut errors, "source_id", body.source_id, positive).map(SourceId),
        campaign_id: checked_change(&mut errors, "campaign_id", body.campaign_id, positive)
            .map(CampaignId),
        territory_id: checked_change(&mut errors, "territory_id", body.territory_id, positive)
            .map(TerritoryId),
        user_access_id: Change::from(body.user_access_id).map(UserAccessId),
        answers: check_answers(&mut errors, body.answers.unwrap_or_default()),
        extra: check_extra(&mut errors, body.extra.unwrap_or_default()),
        estimated_value: checked_change(
            &mut errors,
            "estimated_value",
            body.estimated_value,
            |value| money(&value),
        ),
        only_of: None,
    };
    let mut assignee = None;
    if let Change::Set(access) = update.user_access_id {
        let mut connection = app.pool.acquire().await?;
        match access_by_id(&mut connection, access.get()).await? {
            Some(row) if scope.company.path.contains(&row.company_id) => {
                assignee = Some(row.user_id);
            }
            _ => errors.add(
                "user_access_id",
                "is not a user access that holds in this company",
            ),
        }
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    Ok(Checked { update, assignee })
}

/// Forms send an empty text for a field that was left alone: it means "nothing".
fn blank_is_null(patch: Patch<String>) -> Patch<String> {
    match patch {
        Patch::Value(text) if text.trim().is_empty() => Patch::Null,
        other => other,
    }
}

fn money(body: &MoneyBody) -> Result<Money, String> {
    let currency = Currency::parse(&body.currency).map_err(|error| error.to_string())?;
    Money::parse(&body.amount, currency).map_err(|error| error.to_string())
}

fn check_answers(errors: &mut FieldErrors, answers: Vec<AnswerBody>) -> Vec<Answer> {
    let mut checked_answers = Vec::with_capacity(answers.len());
    for (n, answer) in answers.into_iter().enumerate() {
        for (field, id) in [
            ("question_id", Some(answer.question_id)),
            ("option_id", answer.option_id),
        ] {
            if id.is_some_and(|id| id <= 0) {
                errors.add(format!("answers[{n}].{field}"), "must be a positive id");
            }
        }
        if answer.option_ids.iter().any(|id| *id <= 0) || answer.option_ids.len() > MAX_OPTIONS {
            let field = format!("answers[{n}].option_ids");
            errors.add(field, "must be positive ids, at most 100");
        }
        let value = answer.value.as_deref().filter(|value| !value.is_empty());
        let field = format!("answers[{n}].value");
        checked_answers.push(Answer {
            question_id: QuestionId(answer.question_id),
            option_id: answer.option_id.map(OptionId),
            option_ids: answer.option_ids.into_iter().map(OptionId).collect(),
            question_text: None,
            value: value
                .and_then(|value| checked(errors, &field, text::block(value, 10_000)))
                .map(str::to_owned),
        });
    }
    checked_answers
}

fn check_extra(
    errors: &mut FieldErrors,
    extra: BTreeMap<String, Option<String>>,
) -> BTreeMap<String, Option<String>> {
    let mut checked_extra = BTreeMap::new();
    for (name, value) in extra {
        let field = format!("extra.{name}");
        let Some(name) = checked(errors, "extra", text::line(&name, 100)).map(str::to_owned) else {
            continue;
        };
        let value = value.filter(|value| !value.trim().is_empty());
        let value = value
            .map(|value| checked(errors, &field, text::block(&value, 10_000)).map(str::to_owned));
        checked_extra.insert(name, value.flatten());
    }
    checked_extra
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

fn single(row: LeadRow, notes: Vec<lead_notes::NoteRow>) -> Response {
    let tag = [(header::ETAG, etag(row.version))];
    let mut lead = LeadView::from(row);
    lead.notes = Some(notes.into_iter().map(NoteView::from).collect());
    (tag, Json(LeadEnvelope { lead })).into_response()
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
    require_readable(&app, &caller, row.company_id, row.user_access_id).await?;
    caller.has_read(&app, "GET /leads/{id}", [(row.id, row.company_id)]);
    Ok(single(row, notes))
}

/// Asks that the caller may read a lead of this company that is assigned to this access.
///
/// # Errors
/// 404 when the company is not visible, 403 when the lead is out of the role's reach.
pub async fn require_readable(
    app: &App,
    caller: &Caller,
    company: i64,
    assignee: Option<i64>,
) -> Result<(), Problem> {
    let scope = caller.scope_of(app, CompanyId(company), "lead").await?;
    let readable = match scope.require(Right::ReadLeads)? {
        Reach::All => true,
        Reach::Own => {
            assignee.is_none_or(|access| scope.own_accesses().contains(&UserAccessId(access)))
        }
    };
    if readable {
        Ok(())
    } else {
        Err(Problem::forbidden(
            "Your role reaches only leads that are assigned to you or to nobody.",
        ))
    }
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
    app.ledger.commit(work).await?;
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
