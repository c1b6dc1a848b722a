//! Memberships: the catalogue of plans.

use aggregates::money::Currency;
use aggregates::plan::{Plan, Terms};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_memberships))
        .routes(routes!(show_membership))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CurrencyQuery {
    /// `MXN` (the default), `USD`, `EUR` or `BRL`.
    #[param(example = "MXN")]
    currency: Option<String>,
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
pub struct MembershipView {
    id: i64,
    name: &'static str,
    /// `free`, `team`, `business` or `enterprise`.
    #[schema(example = "team")]
    code: &'static str,
    description: &'static str,
    #[schema(example = "499.00")]
    price: String,
    currency: String,
    period: &'static str,
    /// Null without limit.
    max_users: Option<i64>,
    features: &'static [&'static str],
    limits: LimitsView,
}

/// How much of each thing there may be; null without limit.
#[derive(Debug, Serialize, ToSchema)]
struct LimitsView {
    users: Option<i64>,
    leads: Option<i64>,
    imports_per_month: Option<i64>,
    companies: Option<i64>,
}

impl From<Terms> for MembershipView {
    fn from(terms: Terms) -> Self {
        let plan = terms.plan;
        Self {
            id: plan.id(),
            name: plan.name(),
            code: plan.code(),
            description: plan.description(),
            price: terms.price.amount_text(),
            currency: terms.price.currency.to_string(),
            period: terms.period.code(),
            max_users: terms.limits.users,
            features: plan.features(),
            limits: LimitsView {
                users: terms.limits.users,
                leads: terms.limits.leads,
                imports_per_month: terms.limits.imports_per_month,
                companies: terms.limits.companies,
            },
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct MembershipList {
    memberships: Vec<MembershipView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct MembershipEnvelope {
    membership: MembershipView,
}

/// What the plan offers now in the wanted currency; in Mexican pesos when none is wanted.
///
/// # Errors
/// 400 for a currency without prices.
pub fn terms_in(plan: Plan, currency: Option<&str>) -> Result<Terms, Problem> {
    let refused = |reason: String| Problem::malformed_query(FieldErrors::of("currency", reason));
    let currency = match currency {
        Some(code) => Currency::parse(code).map_err(|error| refused(error.to_string()))?,
        None => Currency::MXN,
    };
    plan.terms(currency)
        .map_err(|error| refused(error.to_string()))
}

/// List available memberships
#[utoipa::path(get, path = "/memberships", tag = "Memberships", security(("bearer" = [])), params(CurrencyQuery),
    responses((status = 200, description = "List of memberships", body = MembershipList),
        (status = 400, description = "A currency without prices"), (status = 401, description = "No or bad token")))]
async fn list_memberships(
    _caller: Caller,
    Query(query): Query<CurrencyQuery>,
) -> Result<Json<MembershipList>, Problem> {
    let currency = query.currency.as_deref();
    let terms = Plan::ALL.into_iter().map(|plan| terms_in(plan, currency));
    let memberships = terms.map(|terms| terms.map(MembershipView::from));
    Ok(Json(MembershipList {
        memberships: memberships.collect::<Result<_, _>>()?,
    }))
}

/// Info of a membership
#[utoipa::path(get, path = "/memberships/{id}", tag = "Memberships", security(("bearer" = [])),
    params(("id" = i64, Path), CurrencyQuery),
    responses((status = 200, description = "Membership found", body = MembershipEnvelope),
        (status = 400, description = "A currency without prices"), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such membership")))]
async fn show_membership(
    _caller: Caller,
    Path(id): Path<i64>,
    Query(query): Query<CurrencyQuery>,
) -> Result<Json<MembershipEnvelope>, Problem> {
    let plan = Plan::from_id(id).ok_or_else(|| Problem::not_found("membership"))?;
    let membership = terms_in(plan, query.currency.as_deref())?.into();
    Ok(Json(MembershipEnvelope { membership }))
}
