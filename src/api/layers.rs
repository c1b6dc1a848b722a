//! Around every request: its id, the access log, metrics, panics, and problems in the one shape.
//!
//! Nothing here logs a query, a body, a header's text or a raw path: they may hold personal data.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;

use super::problem::Problem;
use crate::clock::Clock;

/// How long an answer may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The request's id, as answered in `X-Request-Id`.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Runs a request and answers it in the one shape, whatever happens inside.
pub async fn wrap(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched".to_owned(), |path| path.as_str().to_owned());
    let authenticated = request.headers().contains_key(header::AUTHORIZATION);
    request.extensions_mut().insert(RequestId(id.clone()));

    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = match tokio::time::timeout(TIME_LIMIT, run).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Problem::internal(anyhow::anyhow!("a handler panicked")).into_response(),
        Err(_) => Problem::timed_out().into_response(),
    };
    let mut response = in_our_shape(response, &id);

    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", id);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if authenticated {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    record(&method, &path, response.status(), began.elapsed(), &id);
    response
}

fn request_id(request: &Request) -> String {
    request
        .headers()
        .get("x-request-id")
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=100).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()))
        .map_or_else(|| Clock::system().new_id().to_string(), str::to_owned)
}

/// Gives problems their request's id, and turns what a library answered in plain text into a problem.
fn in_our_shape(response: Response, id: &str) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = match response.extensions().get::<Problem>() {
        Some(problem) => problem.clone(),
        None if is_plain(&response) => Problem::of_status(status),
        None => return response,
    };
    if let Some(cause) = problem.cause() {
        tracing::error!(request_id = id, cause, "internal error");
    }
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts
        .headers
        .insert(header::CONTENT_TYPE, super::problem::PROBLEM_JSON);
    problem.write_headers(&mut parts.headers);
    Response::from_parts(parts, problem.body(Some(id)))
}

fn is_plain(response: &Response) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
}

fn record(
    method: &axum::http::Method,
    path: &str,
    status: StatusCode,
    took: Duration,
    request_id: &str,
) {
    let class = match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    let labels = [
        ("method", method.as_str().to_owned()),
        ("path", path.to_owned()),
        ("status", class.to_owned()),
    ];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_duration_seconds", &labels).record(took);
    tracing::debug!(
        target: "leadledger::access",
        request_id,
        %method,
        path,
        status = status.as_u16(),
        micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
}
