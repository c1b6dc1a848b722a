//! Updating a company, which may move it in the tree: what hangs on the roles above it moves in the same commit.

use std::sync::{Arc, Mutex, PoisonError};

use aggregates::Change;
use aggregates::access::Right;
use aggregates::company::profile::UpdateCompany;
use aggregates::company::sources::SourceCommand;
use aggregates::company::{Company, CompanyCommand, CompanyName};
use aggregates::ids::{CompanyId, UserAccessId};
use aggregates::lead::{Lead, LeadCommand};
use aggregates::phone::Region;
use aggregates::plan::Limited;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use garde::Validate;
use projections::companies::moves::{self, Joins, Touched};
use projections::legal_holds::Held;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::companies::{CompanyEnvelope, one, parent};
use super::users::{checked, checked_change};
use crate::api::caller::{Caller, Scope};
use crate::api::extract::{Json, Patch, Path};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::IfMatch;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{FindStreams, Refusal, StreamKey, StreamKind, Unit};
use crate::legal_hold;
use crate::plan_limits::PlanLimits;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(update_company))
}

/// The changes of a company: what is absent stays.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
#[serde(default)]
struct CompanyChanges {
    /// 1 to 200 characters.
    name: Option<String>,
    /// Whether users land here when none of their accesses is primary. A tree has one such company: setting it here clears
    /// it elsewhere in the tree.
    default: Option<bool>,
    /// The company to stand under; null to stand alone.
    #[schema(value_type = Option<i64>)]
    parent_company_id: Patch<i64>,
    /// ISO 3166 country in which phone numbers without a country code are read.
    region: Option<String>,
}

/// Update a company
///
/// Takes an administrator there; to move it, also above it, where it was and where it goes. Roles held above the new place
/// hold in it and below at once. Those held only above the old one end there: their leads become unassigned and sources lose
/// them in the same commit. Leads keep the sources and territories that they have. The plan above
/// the new place must have room for what comes under it.
#[utoipa::path(put, path = "/companies/{id}", tag = "Companies", security(("bearer" = [])), params(("id" = i64, Path), IfMatch),
    request_body = CompanyChanges,
    responses((status = 200, description = "Company updated successfully", body = CompanyEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company"),
        (status = 409, description = "Not at the version of If-Match"), (status = 422, description = "Invalid")))]
async fn update_company(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(body): Json<CompanyChanges>,
) -> Result<Response, Problem> {
    let company = CompanyId(id);
    let (scope, _) = caller.scope_with(&app, company, Right::Administer).await?;
    let update = check(&body)?;
    may_move(&app, &caller, &scope, update.parent_company_id).await?;
    let stream = StreamKey::new(StreamKind::Company, id);
    let if_match = caller.write.if_match.clone();
    let sweep = Sweep::default();
    let find = sweep.find(company, &update);
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            sweep.carry_out(unit, company, update.clone())?;
            Ok(id)
        })
        .on(stream);
    let work = match find {
        Some(find) => work.sweeping(find),
        None => work,
    };
    app.ledger.commit(work).await?;
    one(&app, company).await
}

fn check(body: &CompanyChanges) -> Result<UpdateCompany, Problem> {
    let mut errors = FieldErrors::default();
    let name = body.name.as_deref();
    let name = name.and_then(|name| checked(&mut errors, "name", CompanyName::parse(name)));
    let region = body.region.as_deref();
    let region = region.and_then(|text| checked(&mut errors, "region", Region::parse(text)));
    let positive = |id| {
        if id > 0 {
            Ok(CompanyId(id))
        } else {
            Err("must be a positive id")
        }
    };
    let parent_company_id = checked_change(
        &mut errors,
        "parent_company_id",
        body.parent_company_id,
        positive,
    );
    if !errors.is_empty() {
        return Err(errors.into());
    }
    Ok(UpdateCompany {
        name,
        default: body.default,
        parent_company_id,
        above_parent: Vec::new(),
        region,
    })
}

/// Whoever moves a company administers it from where it stands and from where it will: else an administrator of it alone
/// could take it away from those above.
async fn may_move(
    app: &App,
    caller: &Caller,
    scope: &Scope,
    to: Change<CompanyId>,
) -> Result<(), Problem> {
    let from = scope.company.parent_company_id.map(CompanyId);
    let to = to.apply(from);
    if to == from {
        return Ok(());
    }
    parent(app, caller, to.map(CompanyId::get)).await?;
    let Some(from) = from else { return Ok(()) };
    let above = caller.scope(app, from).await;
    let above = above.map_err(|problem| {
        if problem.status() == StatusCode::NOT_FOUND {
            Problem::forbidden("Moving a company takes an administrator of the one above it.")
        } else {
            problem
        }
    })?;
    above.require(Right::Administer).map(|_| ())
}

/// What else an update touches, found under the append lock.
#[derive(Clone, Default)]
struct Sweep(Arc<Mutex<Touched>>);

impl Sweep {
    /// `None` when nothing but the company itself can be touched.
    fn find(&self, company: CompanyId, update: &UpdateCompany) -> Option<FindStreams> {
        let to = match update.parent_company_id {
            Change::Keep => None,
            Change::Clear => Some(None),
            Change::Set(parent) => Some(Some(parent)),
        };
        let becomes_default = update.default == Some(true);
        if to.is_none() && !becomes_default {
            return None;
        }
        let found = self.clone();
        let find: FindStreams = Arc::new(move |connection| {
            let found = found.clone();
            Box::pin(async move {
                let touched =
                    moves::touched_by_update(connection, company, to, becomes_default).await?;
                let leads = touched.leads.iter().map(|(lead, _)| *lead);
                let leads = leads.map(|lead| StreamKey::new(StreamKind::Lead, lead));
                let companies = touched.sources.iter().map(|(company, _)| company);
                let companies = companies.chain(&touched.defaults);
                let companies = companies.map(|id| StreamKey::new(StreamKind::Company, *id));
                let plan = touched.joins.iter();
                let plan =
                    plan.map(|joins| StreamKey::new(StreamKind::Subscription, joins.governed_by));
                let streams = leads.chain(companies).chain(plan).collect();
                *found.0.lock().unwrap_or_else(PoisonError::into_inner) = touched;
                Ok(streams)
            })
        });
        // A hold above the old place must not be left behind.
        let places = std::iter::once(company).chain(to.flatten());
        Some(legal_hold::also_finding(
            find,
            places.map(Held::Company).collect(),
        ))
    }

    fn carry_out(
        &self,
        unit: &mut Unit<'_>,
        company: CompanyId,
        mut update: UpdateCompany,
    ) -> Result<(), Refusal> {
        let touched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        update.above_parent.clone_from(&touched.above_parent);
        if touched.gives_way {
            update.default = Some(false);
        }
        match update.parent_company_id {
            Change::Keep => {}
            Change::Clear => legal_hold::refuse_if_left_behind(unit, company, None)?,
            Change::Set(to) => legal_hold::refuse_if_left_behind(unit, company, Some(to))?,
        }
        unit.execute::<Company>(company.get(), CompanyCommand::Update(update))?;
        if let Some(joins) = &touched.joins {
            make_room(unit, joins)?;
        }
        no_more_defaults(unit, &touched.defaults)?;
        for (lead, access) in &touched.leads {
            let user_access_id = UserAccessId(*access);
            unit.execute::<Lead>(*lead, LeadCommand::Unassign { user_access_id })?;
        }
        for (company, access) in &touched.sources {
            let user_access_id = UserAccessId(*access);
            let withdraw = CompanyCommand::Source(SourceCommand::Withdraw { user_access_id });
            unit.execute::<Company>(*company, withdraw)?;
        }
        Ok(())
    }
}

/// Decides that the plan above the new place has room for what comes under it.
fn make_room(unit: &Unit<'_>, joins: &Joins) -> Result<(), Refusal> {
    let limits = PlanLimits::of_subscription(joins.governed_by);
    limits.check(unit, Limited::Companies, joins.companies)?;
    limits.check(unit, Limited::Leads, joins.leads)?;
    limits.check(unit, Limited::Users, joins.users)
}

fn no_more_defaults(unit: &mut Unit<'_>, companies: &[i64]) -> Result<(), Refusal> {
    for company in companies {
        let update = UpdateCompany {
            default: Some(false),
            ..UpdateCompany::default()
        };
        unit.execute::<Company>(*company, CompanyCommand::Update(update))?;
    }
    Ok(())
}

/// The defaults that give way to a new company of the same tree, found under the append lock.
#[derive(Clone, Default)]
pub struct FormerDefaults(Arc<Mutex<Vec<i64>>>);

impl FormerDefaults {
    /// Those of the tree to which `parent` belongs.
    pub fn find(&self, parent: CompanyId) -> FindStreams {
        let found = self.clone();
        Arc::new(move |connection| {
            let found = found.clone();
            Box::pin(async move {
                let defaults = moves::defaults_beside(connection, parent).await?;
                let streams = defaults
                    .iter()
                    .map(|id| StreamKey::new(StreamKind::Company, *id))
                    .collect();
                *found.0.lock().unwrap_or_else(PoisonError::into_inner) = defaults;
                Ok(streams)
            })
        })
    }

    /// Users land on them no more.
    pub fn clear(&self, unit: &mut Unit<'_>) -> Result<(), Refusal> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        no_more_defaults(unit, &found)
    }
}
