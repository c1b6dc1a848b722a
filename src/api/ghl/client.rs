//! The program that calls: its `Version` header, its token, and how much it may still ask.

use std::sync::{Arc, OnceLock};

use aggregates::company::integration_token::TokenScope;
use aggregates::ids::{CompanyId, IntegrationTokenId};
use aggregates::phone::Region;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use projections::companies::CompanyRow;
use projections::integration_tokens::IntegrationTokenRow;

use super::error::GhlError;
use crate::api::caller::{Caller, bearer_token};
use crate::api::problem::Problem;
use crate::app::App;
use crate::auth::integration_token;
use crate::auth::rate_limits::{Allowance, INTERVAL, PER_DAY};

/// The versions of the API that clients send.
const VERSIONS: [&str; 4] = ["v3", "2023-02-21", "2021-07-28", "2021-04-15"];

/// A program with a token that holds.
pub struct Client {
    /// It as any caller.
    pub caller: Caller,
    token: Arc<IntegrationTokenRow>,
}

impl Client {
    /// Checks a scope: `users.readonly` or `users.write`.
    pub fn require(&self, scope: &str) -> Result<(), GhlError> {
        let held = TokenScope::parse(scope).is_ok_and(|scope| self.token.has_scope(&scope));
        if held {
            Ok(())
        } else {
            Err(GhlError::unauthorized(
                "The token is not authorized for this scope.",
            ))
        }
    }

    /// The company that the token was made for.
    pub fn company_id(&self) -> CompanyId {
        CompanyId(self.token.company_id)
    }

    /// The company with this id, if it is the token's own or below it; the token's own when none is named.
    pub async fn company(
        &self,
        app: &App,
        named: Option<&str>,
    ) -> Result<Arc<CompanyRow>, GhlError> {
        let own = self.company_id().get().to_string();
        self.visible(app, named.unwrap_or(&own))
            .await?
            .ok_or_else(|| GhlError::forbidden("This company is not accessible from this token!"))
    }

    /// Where phone numbers without a country code are dialled: in the company with this id.
    pub async fn region(&self, app: &App, named: Option<&str>) -> Result<Region, GhlError> {
        let own = self.company_id().get().to_string();
        let company = self.visible(app, named.unwrap_or(&own)).await?;
        let region = company.and_then(|company| Region::parse(&company.region).ok());
        Ok(region.unwrap_or(app.region))
    }

    /// The location with this id, if the token reaches it.
    pub async fn location(&self, app: &App, named: &str) -> Result<Arc<CompanyRow>, GhlError> {
        self.visible(app, named)
            .await?
            .ok_or_else(|| GhlError::forbidden("The token does not have access to this location."))
    }

    /// An id that is no integer is one that nobody has.
    async fn visible(&self, app: &App, id: &str) -> Result<Option<Arc<CompanyRow>>, GhlError> {
        let Ok(id) = id.trim().parse() else {
            return Ok(None);
        };
        self.caller.write.judged.company(CompanyId(id));
        let company = app.company(CompanyId(id), self.caller.as_of).await?;
        Ok(company.filter(|company| self.caller.authority.sees(&company.path)))
    }
}

impl FromRequestParts<App> for Client {
    type Rejection = GhlError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, GhlError> {
        check_version(&parts.headers)?;
        let bearer = bearer_token(&parts.headers);
        let Some(bearer) = bearer else {
            return Err(GhlError::unauthorized(
                "Invalid token: access token is invalid",
            ));
        };
        if !bearer.starts_with(integration_token::PREFIX) {
            return Err(GhlError::unauthorized("Invalid JWT"));
        }
        let caller = Caller::authenticated(parts, app).await.map_err(unknown)?;
        let Some(token) = caller.token.clone() else {
            return Err(unknown(Problem::unauthorized()));
        };
        let now = app.clock.now();
        let allowance = app.rate_limits.count(IntegrationTokenId(token.id), now);
        if let Some(cell) = parts.extensions.get::<AllowanceCell>() {
            // Only this extractor sets it, once a request.
            let _ = cell.0.set(allowance);
        }
        match allowance.refused_for {
            Some(seconds) => Err(GhlError::too_many_requests(seconds)),
            None => Ok(Self { caller, token }),
        }
    }
}

fn unknown(problem: Problem) -> GhlError {
    if problem.status() == StatusCode::UNAUTHORIZED {
        GhlError::unauthorized("Invalid Private Integration token")
    } else {
        problem.into()
    }
}

fn check_version(headers: &HeaderMap) -> Result<(), GhlError> {
    let Some(version) = headers.get("version") else {
        return Err(GhlError::unauthorized("version header was not found."));
    };
    let version = version.to_str().unwrap_or_default().trim();
    if VERSIONS.contains(&version) {
        Ok(())
    } else {
        Err(GhlError::unauthorized("version header is invalid"))
    }
}

/// Where the extractor leaves what the answer's headers tell.
#[derive(Clone, Default)]
struct AllowanceCell(Arc<OnceLock<Allowance>>);

/// Adds the `X-RateLimit-` headers to every answer to a known token, refusals included.
pub async fn tell_allowance(mut request: Request, next: Next) -> Response {
    let cell = AllowanceCell::default();
    request.extensions_mut().insert(cell.clone());
    let mut response = next.run(request).await;
    if let Some(allowance) = cell.0.get() {
        write(response.headers_mut(), allowance);
    }
    response
}

fn write(headers: &mut HeaderMap, allowance: &Allowance) {
    let interval = INTERVAL.num_milliseconds();
    for (name, value) in [
        ("x-ratelimit-limit-daily", i64::from(PER_DAY)),
        (
            "x-ratelimit-daily-remaining",
            i64::from(allowance.left_today),
        ),
        ("x-ratelimit-daily-reset", allowance.day_ends_in),
        ("x-ratelimit-interval-milliseconds", interval),
        ("x-ratelimit-max", i64::from(allowance.per_interval)),
        (
            "x-ratelimit-remaining",
            i64::from(allowance.left_in_interval),
        ),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}
