//! Membership of a company: attach, cancel, show.

use aggregates::access::Right;
use aggregates::ids::{CompanyId, SubscriptionId};
use aggregates::money::{Currency, Money};
use aggregates::plan::Plan;
use aggregates::subscription::{Phase, Subscription, SubscriptionCommand};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use garde::Validate;
use projections::subscriptions::{self, SubscriptionRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::memberships::terms_in;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::{IfMatch, etag};
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, StreamKey, StreamKind};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(attach_membership, show_company_membership))
        .routes(routes!(cancel_membership))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AttachQuery {
    /// An id of `GET /memberships`.
    #[param(required)]
    membership_id: Option<i64>,
    /// `MXN` (the default), `USD`, `EUR` or `BRL`.
    currency: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CancelQuery {
    /// Ends it now instead of at the end of the period.
    immediately: Option<bool>,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct CancelBody {
    /// Ends it now instead of at the end of the period.
    #[garde(skip)]
    immediately: Option<bool>,
}

/// A company's subscription.
#[derive(Debug, Serialize, ToSchema)]
struct CompanyMembershipView {
    id: i64,
    company_id: i64,
    /// `active` (on trial too), or `cancelled` from the cancellation on.
    status: &'static str,
    membership: AgreedMembership,
    started_at: DateTime<Utc>,
    /// When a cancelled one ends or has ended.
    ends_at: Option<DateTime<Utc>>,
    cancelled_at: Option<DateTime<Utc>>,
    /// Until when it is free of charge, or was.
    trial_ends_at: Option<DateTime<Utc>>,
    /// When it is renewed, unless it is cancelled.
    current_period_ends_at: DateTime<Utc>,
}

/// The plan, with price and limit as they were agreed upon.
#[derive(Debug, Serialize, ToSchema)]
struct AgreedMembership {
    id: i64,
    name: &'static str,
    code: &'static str,
    description: &'static str,
    price: String,
    currency: String,
    period: String,
    max_users: Option<i64>,
    features: &'static [&'static str],
}

impl From<SubscriptionRow> for CompanyMembershipView {
    fn from(row: SubscriptionRow) -> Self {
        let plan = Plan::from_code(&row.plan).unwrap_or(Plan::Free);
        let over = [Phase::Cancelling, Phase::Ended].map(Phase::code);
        let price = Money {
            amount: row.price,
            currency: Currency::parse(&row.currency).unwrap_or(Currency::MXN),
        };
        Self {
            id: row.id,
            company_id: row.company_id,
            status: if over.contains(&row.phase.as_str()) {
                "cancelled"
            } else {
                "active"
            },
            membership: AgreedMembership {
                id: plan.id(),
                name: plan.name(),
                code: plan.code(),
                description: plan.description(),
                price: price.amount_text(),
                currency: row.currency,
                period: row.period,
                max_users: row.max_users,
                features: plan.features(),
            },
            started_at: row.started_at,
            ends_at: row.ends_at,
            cancelled_at: row.cancelled_at,
            trial_ends_at: row.trial_ends_at,
            current_period_ends_at: row.period_ends_at,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct CompanyMembershipEnvelope {
    company_membership: CompanyMembershipView,
}

/// Attach membership to company
///
/// Starts a subscription: the first one that costs something with a trial of 14 days, any other at once. While one runs, its plan
/// is changed, and a cancelled one taken up again. What exceeds a smaller plan's limits stays; only more of it is refused.
#[utoipa::path(post, path = "/companies/{company_id}/membership", tag = "Membership", security(("bearer" = [])),
    params(("company_id" = i64, Path), AttachQuery, IfMatch),
    responses((status = 201, description = "Membership attached successfully", body = CompanyMembershipEnvelope),
        (status = 400, description = "A malformed query"), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company"),
        (status = 422, description = "No such membership")))]
async fn attach_membership(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(query): Query<AttachQuery>,
) -> Result<Response, Problem> {
    let company_id = CompanyId(company_id);
    caller.scope_with(&app, company_id, Right::Govern).await?;
    // Asked for only now: who sees no such company learns nothing else.
    let id = query
        .membership_id
        .ok_or_else(|| Problem::malformed_query(FieldErrors::of("membership_id", "is required")))?;
    let plan =
        Plan::from_id(id).ok_or_else(|| FieldErrors::of("membership_id", "is not a membership"))?;
    let terms = terms_in(plan, query.currency.as_deref())?;
    let stream = StreamKey::new(StreamKind::Subscription, company_id.get());
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            let now = unit.now();
            let running = unit.state::<Subscription>(company_id.get()).running(now);
            let subscription_id =
                running.unwrap_or_else(|| SubscriptionId(unit.next_id(IdKind::Subscription)));
            let attach = SubscriptionCommand::Attach {
                subscription_id,
                company_id,
                terms: Box::new(terms),
                now,
            };
            unit.execute::<Subscription>(company_id.get(), attach)?;
            Ok(company_id.get())
        })
        .on(stream);
    app.ledger.commit(work).await?;
    let attached = one(&app, company_id).await?;
    Ok((StatusCode::CREATED, attached).into_response())
}

async fn one(app: &App, company_id: CompanyId) -> Result<Response, Problem> {
    let mut connection = app.pool.acquire().await?;
    let row = subscriptions::of_company(&mut connection, company_id)
        .await?
        .ok_or_else(|| Problem::not_found("membership of the company"))?;
    let tag = [(header::ETAG, etag(row.version))];
    let company_membership = row.into();
    Ok((tag, Json(CompanyMembershipEnvelope { company_membership })).into_response())
}

/// Show the current or last subscription
#[utoipa::path(get, path = "/companies/{company_id}/membership", tag = "Membership", security(("bearer" = [])),
    params(("company_id" = i64, Path)),
    responses((status = 200, description = "Subscription found", body = CompanyMembershipEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company, or it never subscribed")))]
async fn show_company_membership(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
) -> Result<Response, Problem> {
    let company_id = CompanyId(company_id);
    caller
        .scope_with(&app, company_id, Right::Administer)
        .await?;
    one(&app, company_id).await
}

/// Cancel current subscription
///
/// It lasts to the end of the trial or period, unless `immediately` is true, in the query or in the body. After the end the
/// company is held to the limits of the free plan.
#[utoipa::path(post, path = "/companies/{company_id}/membership/cancel", tag = "Membership", security(("bearer" = [])),
    params(("company_id" = i64, Path), CancelQuery, IfMatch), request_body = Option<CancelBody>,
    responses((status = 200, description = "Subscription cancelled successfully", body = CompanyMembershipEnvelope),
        (status = 400, description = "A malformed query"), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company"),
        (status = 422, description = "No subscription runs")))]
async fn cancel_membership(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(query): Query<CancelQuery>,
    body: Option<Json<CancelBody>>,
) -> Result<Response, Problem> {
    let company_id = CompanyId(company_id);
    caller.scope_with(&app, company_id, Right::Govern).await?;
    let in_body = body.and_then(|Json(body)| body.immediately);
    let immediately = query.immediately.or(in_body).unwrap_or(false);
    let stream = StreamKey::new(StreamKind::Subscription, company_id.get());
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            let now = unit.now();
            let cancel = SubscriptionCommand::Cancel { immediately, now };
            unit.execute::<Subscription>(company_id.get(), cancel)?;
            Ok(company_id.get())
        })
        .on(stream);
    app.ledger.commit(work).await?;
    one(&app, company_id).await
}
