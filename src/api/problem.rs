//! The error answer of the API: RFC 9457 problem details, `application/problem+json`.
//!
//! Holds the shape, and one constructor per case of the contract. Does not hold rules (a domain error says itself
//! which code and fields it has) nor another dialect's error body.

use std::borrow::Cow;
use std::sync::Arc;

pub use super::field_errors::FieldErrors;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use wire::ProblemBody;

mod wire;

/// The code of [`Problem::stale_authority`].
pub const STALE_AUTHORITY: &str = "stale_authority";

/// A refusal on its way to the client. Cheap to make; the body is written when it is answered.
///
/// The member `instance` names the request (`/requests/{request id}`) and is filled in by
/// [`layers::wrap`](super::layers::wrap), which also logs the cause of an [internal](Problem::internal) one.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    errors: Option<Box<FieldErrors>>,
    retry_after: Option<u32>,
    cause: Option<Arc<str>>,
}

impl Problem {
    /// Any status with any code. `code` is `snake_case` and stable: clients branch on it, and `type` is made from it.
    /// Prefer the constructors below, which hold the contract's pairs.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: None,
            retry_after: None,
            cause: None,
        }
    }

    /// 401: no token, or one that does not hold. Carries `WWW-Authenticate: Bearer` (RFC 6750).
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "A valid token is needed: Authorization: Bearer <token>.",
        )
    }

    /// 403: the caller is known and sees the thing, but lacks the right.
    #[must_use]
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: the id is unknown, or its company is one that the caller cannot see. `thing` is a singular, as `lead`.
    #[must_use]
    pub fn not_found(thing: &str) -> Self {
        let detail = format!("There is no such {thing}, or you cannot see it.");
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 404: no operation has this path.
    #[must_use]
    pub fn unknown_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown_path",
            "No operation has this path.",
        )
    }

    /// 405: the path is there, the method is not. The router adds `Allow`.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This path does not take this method; see the Allow header.",
        )
    }

    /// 409: only where the contract lists it, or when the caller sent `If-Match` or `Idempotency-Key`.
    #[must_use]
    pub fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 503: rights changed while the command was on its way; [`OptimisticCaller`](super::optimistic::OptimisticCaller) asks
    /// again before a client sees this.
    #[must_use]
    pub fn stale_authority() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            STALE_AUTHORITY,
            "Rights have changed meanwhile; try again.",
        )
        .retry_after(1)
    }

    /// 410: it was there, and is expired, revoked or used.
    #[must_use]
    pub fn gone(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::GONE, code, detail)
    }

    /// 413: the body has more than the operation takes.
    #[must_use]
    pub fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "The body is larger than this operation accepts.",
        )
    }

    /// 415: the body is not of a type that the operation takes.
    #[must_use]
    pub fn unsupported_media_type(expected: &str) -> Self {
        let detail = format!("The body must be sent with Content-Type: {expected}.");
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            detail,
        )
    }

    /// 422: fields of the body are wrong, by shape or by rule.
    #[must_use]
    pub fn unprocessable(errors: FieldErrors) -> Self {
        Self::with_summary(StatusCode::UNPROCESSABLE_ENTITY, "validation", errors)
    }

    /// 422: a rule of the domain refuses a well-formed request; `code` names the rule (`plan_limit`, `last_owner`).
    #[must_use]
    pub fn refused(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 400: the body is not JSON at all. `reason` says what is wrong and where.
    #[must_use]
    pub fn malformed_body(reason: impl Into<String>) -> Self {
        Self::with_summary(
            StatusCode::BAD_REQUEST,
            "malformed_body",
            FieldErrors::of("body", reason),
        )
    }

    /// 400: path parameters are not of their type.
    #[must_use]
    pub fn malformed_path(errors: FieldErrors) -> Self {
        Self::with_summary(StatusCode::BAD_REQUEST, "malformed_path", errors)
    }

    /// 400: query parameters are not of their type.
    #[must_use]
    pub fn malformed_query(errors: FieldErrors) -> Self {
        Self::with_summary(StatusCode::BAD_REQUEST, "malformed_query", errors)
    }

    /// 400: a header is not of its form.
    #[must_use]
    pub fn malformed_header(name: &str, reason: impl Into<String>) -> Self {
        Self::with_summary(
            StatusCode::BAD_REQUEST,
            "malformed_header",
            FieldErrors::of(name, reason),
        )
    }

    /// 429: this caller has to wait `retry_after` seconds (at least 1 is answered).
    #[must_use]
    pub fn too_many_requests(retry_after: u32) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "Too many requests; see the Retry-After header.",
        )
        .retry_after(retry_after)
    }

    /// 503: the server has more work waiting than it will queue. Nothing was done; try again after the seconds given.
    #[must_use]
    pub fn queue_full(retry_after: u32) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "queue_full",
            "The server has too much work waiting; nothing was done.",
        )
        .retry_after(retry_after)
    }

    /// 503: something that the server needs, such as its database, is not there right now.
    #[must_use]
    pub fn unavailable(retry_after: u32) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The server cannot answer right now; try again.",
        )
        .retry_after(retry_after)
    }

    /// 503: the answer was not ready in time. Whether the request took effect is not known.
    #[must_use]
    pub fn timed_out() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timed_out",
            "The answer took too long. The request may have taken effect: repeat it with the same Idempotency-Key.",
        )
        .retry_after(1)
    }

    /// 500: a fault of the server. The client learns nothing of `cause`, which is logged with the request id; its
    /// `Display` (all sources, `a: b: c`) must therefore carry no personal data.
    #[must_use]
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        let cause = format!("{:#}", cause.into());
        let mut problem = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong on the server. The request id identifies it in the log.",
        );
        problem.cause = Some(cause.into());
        problem
    }

    /// The general problem of a status that came without one, as from a library's own rejection.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::unauthorized(),
            StatusCode::NOT_FOUND => Self::unknown_path(),
            StatusCode::METHOD_NOT_ALLOWED => Self::method_not_allowed(),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(
                status,
                "unsupported_media_type",
                "The body is not of the media type that this operation takes.",
            ),
            StatusCode::UNPROCESSABLE_ENTITY => {
                Self::unprocessable(FieldErrors::of("body", "is not what this operation takes"))
            }
            StatusCode::TOO_MANY_REQUESTS => Self::too_many_requests(1),
            StatusCode::INTERNAL_SERVER_ERROR => {
                Self::internal(anyhow::anyhow!("answered without a cause"))
            }
            StatusCode::SERVICE_UNAVAILABLE => Self::unavailable(1),
            other => Self::new(
                other,
                "refused",
                other
                    .canonical_reason()
                    .unwrap_or("The request was refused."),
            ),
        }
    }

    /// Adds a field's message, for a rule that blames one.
    #[must_use]
    pub fn with_error(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.get_or_insert_default().add(field, message);
        self
    }

    /// Sets `Retry-After`; never 0, which would invite a tight loop.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code that clients branch on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The sentence for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The messages by field, if fields are to blame.
    #[must_use]
    pub fn errors(&self) -> Option<&FieldErrors> {
        self.errors.as_deref()
    }

    /// What the log is told and the client is not.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The headers that belong to the problem in any dialect: `Retry-After`, `WWW-Authenticate`.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }

    /// The body as it goes over the wire, with `instance` naming the request if it is known.
    pub fn body(&self, request_id: Option<&str>) -> Body {
        let wire = ProblemBody::of(self, request_id);
        Body::from(serde_json::to_vec(&wire).expect("strings and numbers always serialise"))
    }

    fn with_summary(status: StatusCode, code: &'static str, errors: FieldErrors) -> Self {
        let mut problem = Self::new(status, code, errors.summary());
        problem.errors = Some(Box::new(errors));
        problem
    }
}

/// The media type of [`Problem`] (RFC 9457, section 3).
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body(None));
        *response.status_mut() = self.status;
        self.write_headers(response.headers_mut());
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, PROBLEM_JSON);
        response.extensions_mut().insert(self);
        response
    }
}

impl From<FieldErrors> for Problem {
    fn from(errors: FieldErrors) -> Self {
        Self::unprocessable(errors)
    }
}

impl From<sqlx::Error> for Problem {
    /// A database that is away is 503, told in the log by its kind; anything else is a fault of ours.
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => Self::unavailable(1),
            sqlx::Error::Database(refused)
                if refused
                    .code()
                    .is_some_and(|code| code.starts_with("57P") || code.starts_with("53")) =>
            {
                Self::unavailable(1)
            }
            // A database error's text may quote data: only its code is kept.
            sqlx::Error::Database(refused) => Self::internal(anyhow::anyhow!(
                "database error {} {}",
                refused.code().unwrap_or_default(),
                refused.table().unwrap_or_default()
            )),
            _ => Self::internal(error),
        }
    }
}
