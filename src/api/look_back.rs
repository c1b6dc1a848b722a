//! `?as_of=` on every GET of API V1: the same operation, carried out on the read tables and by the clock of a moment of the past. On anything
//! else it is refused.
//!
//! The operations know nothing of it. A request that looks back is given to a copy of the routes whose [`App`] is bound to the
//! moment, so that no operation can forget to honour it. Who may is asked of today's roles, before that.

use std::sync::Arc;

use aggregates::access::{Reach, Right};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;
use serde::Deserialize;
use tower::ServiceExt;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Components, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{RefOr, ResponseBuilder};

use super::caller::Caller;
use super::extract::query;
use super::field_errors::FieldErrors;
use super::meta;
use super::problem::Problem;
use super::request_id::RequestId;
use crate::app::{App, Authority};
use crate::ledger::moment::{Asked, Moment, NoMoment};

/// The largest answer that is given its `meta.as_of`: lists of 100 rows are far smaller.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// How many moments are remembered with what answers for them.
const MOMENTS: usize = 64;

/// An instant so long ago gets no more events, though nothing was recorded since: no commit lasts that long.
const SETTLED_AFTER: TimeDelta = TimeDelta::seconds(60);

/// What the middleware needs: today's parts, and the routes that look back.
#[derive(Clone)]
pub struct LookBack {
    today: App,
    routes: Router<App>,
    /// Whoever looks into the past asks for one moment again and again: what answers for it is made once.
    bound: Arc<Cache<Key, Arc<BoundRoutes>>>,
}

/// A moment as it was asked for, and [`Authority::under`] of who asked.
type Key = (Asked, Arc<str>);

/// The routes bound to a moment.
struct BoundRoutes {
    routes: Router,
    moment: Moment,
}

/// Who looks back, as found by today's roles.
#[derive(Clone)]
pub struct LookingBack(pub Caller);

#[derive(Deserialize)]
struct AsOfQuery {
    as_of: Option<String>,
}

impl LookBack {
    /// Of the routes of API V1, which are carried out as of the moment.
    #[must_use]
    pub fn new(today: App, routes: Router<App>) -> Self {
        Self {
            today,
            routes,
            bound: Arc::new(Cache::new(MOMENTS)),
        }
    }

    async fn carry_out(&self, request: Request, asked: Asked) -> Result<Response, Problem> {
        let (mut parts, _) = request.into_parts();
        let mut caller = Caller::from_request_parts(&mut parts, &self.today).await?;
        caller.authority = Arc::new(auditing(&caller.authority)?);
        let bound = self.bound_to(asked, &caller.authority).await?;
        let request = again(&parts, caller);
        let response = bound.routes.clone().oneshot(request).await.into_response();
        with_moment(response, bound.moment).await
    }

    /// The routes bound to the moment, for whoever holds this.
    async fn bound_to(
        &self,
        asked: Asked,
        authority: &Authority,
    ) -> Result<Arc<BoundRoutes>, Problem> {
        let key = (asked, authority.under());
        if let Some(known) = self.bound.get(&key) {
            return Ok(known);
        }
        let back = self.today.looking_back(asked, &key.1).await?;
        let (app, moment) = back.map_err(refusal)?;
        let bound = Arc::new(BoundRoutes {
            routes: self.routes.clone().with_state(app),
            moment,
        });
        let long_ago = moment
            .instant
            .is_some_and(|instant| self.today.clock.now() - instant > SETTLED_AFTER);
        if moment.settled || long_ago {
            self.bound.insert(key, bound.clone());
        }
        Ok(bound)
    }
}

/// The middleware. Requests that do not look back pass untouched.
pub async fn look_back(State(looking): State<LookBack>, request: Request, next: Next) -> Response {
    let uri = request.uri();
    let query = uri.query().filter(|_| uri.path().starts_with("/api/v1/"));
    let asked = match query.map(asked) {
        None | Some(Ok(None)) => return next.run(request).await,
        // Whoever names a moment does not mean to change today.
        Some(Ok(Some(_))) if !request.method().is_safe() => {
            let only_reads = FieldErrors::of("as_of", "is for GET: the past cannot be changed");
            return Problem::malformed_query(only_reads).into_response();
        }
        Some(Ok(Some(asked))) => asked,
        Some(Err(problem)) => return problem.into_response(),
    };
    match Box::pin(looking.carry_out(request, asked)).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

fn asked(query: &str) -> Result<Option<Asked>, Problem> {
    if !query::names(query, "as_of") {
        return Ok(None);
    }
    let AsOfQuery { as_of } = query::decode(query).map_err(Problem::malformed_query)?;
    // Who names no moment is not to be answered with today's.
    let text = as_of.unwrap_or_default();
    if let Ok(position) = text.parse() {
        return Ok(Some(Asked::Position(position)));
    }
    // A `+` that was not escaped came as a space.
    let instant = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
    instant
        .map(|instant| Some(Asked::Instant(instant.with_timezone(&Utc))))
        .map_err(|_| {
            Problem::malformed_query(FieldErrors::of(
                "as_of",
                "must be an instant such as 2026-11-25T21:30:00Z, or a ledger position",
            ))
        })
}

fn refusal(none: NoMoment) -> Problem {
    Problem::unprocessable(FieldErrors::of("as_of", none.to_string()))
}

/// Only what is held by roles that may look back.
fn auditing(authority: &Authority) -> Result<Authority, Problem> {
    let mut auditing = authority.clone();
    auditing
        .roles
        .retain(|held| held.role.may(Right::Audit) == Some(Reach::All));
    if auditing.roles.is_empty() && !auditing.platform_owner {
        return Err(Problem::forbidden(
            "None of your roles allows reading the past.",
        ));
    }
    Ok(auditing)
}

/// The request once more, without what the first routing left in it.
fn again(parts: &Parts, caller: Caller) -> Request {
    let mut request = Request::new(Body::empty());
    // A router drops the body of an answer to HEAD, and the moment is told within it; the outer router drops it then.
    *request.method_mut() = match parts.method {
        Method::HEAD => Method::GET,
        ref method => method.clone(),
    };
    *request.uri_mut() = parts.uri.clone();
    *request.headers_mut() = parts.headers.clone();
    let extensions = request.extensions_mut();
    extensions.insert(LookingBack(caller));
    if let Some(id) = parts.extensions.get::<RequestId>() {
        extensions.insert(id.clone());
    }
    if let Some(peer) = parts.extensions.get::<ConnectInfo<std::net::SocketAddr>>() {
        extensions.insert(*peer);
    }
    request
}

/// Adds `meta.as_of` to an answer in JSON; every other byte stays.
async fn with_moment(response: Response, moment: Moment) -> Result<Response, Problem> {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    let is_json = response.headers().get(header::CONTENT_TYPE) == Some(&JSON);
    if response.status() != StatusCode::OK || !is_json {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_LIMIT)
        .await
        .map_err(|error| Problem::internal(anyhow::Error::from(error)))?;
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = meta::with_as_of(&body, moment.position, moment.recorded_at)
        .map_err(|error| Problem::internal(anyhow::Error::from(error)))?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Says of an operation that it takes `as_of`.
pub fn describe(operation: &mut Operation) {
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(parameter().into());
    let mut refusals = vec![(
        "422",
        "`validation`: `as_of` names a moment in the future, or one of which nothing is kept; or another field is wrong",
    )];
    let asks_who_calls = operation.security.as_ref().is_some_and(|s| !s.is_empty());
    if !asks_who_calls {
        refusals.push(("401", "`unauthorized`: `as_of` without a token"));
        refusals.push(("403", "`forbidden`: `as_of`, and no role allows it"));
    }
    let answers = &mut operation.responses.responses;
    for (status, description) in refusals {
        let refusal = ResponseBuilder::new().description(description);
        let answer = answers.entry(status.to_owned());
        answer.or_insert_with(|| RefOr::T(refusal.build()));
    }
}

/// Says of the `meta` of lists that it tells the moment.
pub fn describe_meta(components: &mut Components) {
    let Some(RefOr::T(Schema::Object(meta))) = components.schemas.get_mut("Meta") else {
        return;
    };
    let number = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("The ledger position that was shown."));
    let time = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("When it was recorded."));
    let moment = ObjectBuilder::new()
        .description(Some(
            "Only in answers to a request with `as_of`; there every answer has a `meta` with it.",
        ))
        .property("position", number)
        .property("recorded_at", time);
    meta.properties.insert("as_of".to_owned(), moment.into());
}

fn parameter() -> Parameter {
    ParameterBuilder::new()
        .name("as_of")
        .parameter_in(ParameterIn::Query)
        .description(Some(
            "Answers as it was: an RFC 3339 instant, or a ledger position. Takes a role that may read the history (owner, \
             admin, manager, auditor). The answer is that of then, but for `meta.as_of`, which tells position and time.",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}
