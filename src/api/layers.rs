//! What surrounds every handler: the request id, the limits on time and size, the access log, the metrics, the headers
//! that every answer has, and the promise that no refusal leaves as plain text. What a caller may do is not decided here.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::{FutureExt, stream};

use super::http_metrics::HttpMetrics;
use super::problem::Problem;
use super::request_id::{RequestId, X_REQUEST_ID};
use crate::clock::Clock;

/// The largest body where a route sets no `DefaultBodyLimit` of its own: 2 MiB.
pub const BODY_LIMIT: usize = 2 * 1024 * 1024;

/// The largest body that carries a picture: 2 MiB in base64, and what stands around it.
pub const AVATAR_BODY_LIMIT: usize = 4 * 1024 * 1024;

/// The largest body that carries a file of leads as a form: 200 MB, and what stands around it.
pub const IMPORT_BODY_LIMIT: usize = 201_000_000;

/// The largest body that carries a file of leads in base64: 16 MB of file.
pub const IMPORT_JSON_LIMIT: usize = 22 * 1024 * 1024;

/// The largest part of an upload in parts.
pub const IMPORT_PART_LIMIT: usize = 16 * 1024 * 1024;

/// How long the answer to an upload may take, whose body comes as fast as the client's line is.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// How long an answer's head may take where nothing else is set.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// The path in log and metrics of a request that no route matched.
const UNMATCHED: &str = "unmatched";

/// Puts a problem into another dialect's words: given the path that was asked for, answers the dialect's response, or
/// `None` for a path of ours. It is asked about the refusals that arise outside handlers too (404, 405, 413, time-outs).
pub type Dialect = fn(path: &str, problem: &Problem) -> Option<Response>;

/// What the layers need to know.
#[derive(Clone)]
pub struct Layers {
    /// Dates the request ids.
    pub clock: Clock,
    /// Counts and times.
    pub metrics: HttpMetrics,
    /// Time until an answer's head; its body may take longer.
    pub timeout: Duration,
    /// Largest body; a route may set its own by `DefaultBodyLimit`.
    pub body_limit: usize,
    /// Another dialect served beside ours.
    pub dialect: Option<Dialect>,
}

impl Layers {
    /// The defaults: [`TIMEOUT`], [`BODY_LIMIT`], our dialect only.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            metrics: HttpMetrics::new(),
            timeout: TIMEOUT,
            body_limit: BODY_LIMIT,
            dialect: None,
        }
    }

    /// The same with another dialect served beside ours.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = Some(dialect);
        self
    }
}

/// Surrounds a finished router, its fallbacks for 404 and 405 included. Call it last: routes added later are bare.
///
/// A response's own `Cache-Control` and `Content-Security-Policy` are kept; otherwise nothing may be stored or loaded.
pub fn wrap<S: Clone + Send + Sync + 'static>(router: Router<S>, layers: Layers) -> Router<S> {
    let body_limit = DefaultBodyLimit::max(layers.body_limit);
    router
        .fallback(|| async { Problem::unknown_path() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(body_limit)
        .layer(from_fn_with_state(Arc::new(layers), surround))
}

async fn surround(State(layers): State<Arc<Layers>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::from_headers(request.headers(), &layers.clock);
    let method = request.method().clone();
    let template = request.extensions().get::<MatchedPath>().cloned();
    let asked = layers
        .dialect
        .map(|dialect| (dialect, request.uri().clone()));
    request.extensions_mut().insert(id.clone());

    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let uploads = template
        .as_ref()
        .is_some_and(|template| is_upload(&method, template.as_str()));
    let timeout = if uploads {
        UPLOAD_TIMEOUT.max(layers.timeout)
    } else {
        layers.timeout
    };
    let response = match tokio::time::timeout(timeout, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            Problem::internal(anyhow::anyhow!(panic_message(&*panic))).into_response()
        }
        Err(_) => Problem::timed_out().into_response(),
    };

    let template = template.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let status = response.status();
    let elapsed = started.elapsed();
    layers.metrics.record(&method, template, status, elapsed);
    log(&method, template, &response, elapsed, &id);
    let mut response = if status.is_client_error() || status.is_server_error() {
        finish_refusal(response, &id, asked)
    } else {
        response
    };
    if method == Method::HEAD {
        response = of_unknown_length(response);
    }
    write_headers(response.headers_mut(), &id);
    response
}

/// An answer to HEAD for the next router outwards. Where a router dropped the body before its length was known, the next one would take the length for that of what is
/// left, which is 0; a HEAD tells the length of the answer to GET or none (RFC 9110, 8.6).
pub fn of_unknown_length(response: Response) -> Response {
    let dropped = response.size_hint().exact() == Some(0);
    if !dropped || response.headers().contains_key(header::CONTENT_LENGTH) {
        return response;
    }
    response.map(|_| Body::from_stream(stream::empty::<Result<Bytes, Infallible>>()))
}

/// Whether the operation's body is a large file, taken in while it comes.
#[must_use]
pub fn is_upload(method: &Method, template: &str) -> bool {
    (method == Method::POST && template.ends_with("/import/leads"))
        || template.contains("/import/uploads/")
}

/// Gives a refusal its final body: our problem with its `instance`, or the other dialect's. What a library answered in
/// plain text, or without a body, becomes a problem; a body of any other type is somebody's intention and stays.
fn finish_refusal(response: Response, id: &RequestId, asked: Option<(Dialect, Uri)>) -> Response {
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        None if is_plain(&parts.headers) => Problem::of_status(parts.status),
        None => return Response::from_parts(parts, body),
    };
    if let Some((dialect, uri)) = asked
        && let Some(mut translated) = dialect(uri.path(), &problem)
    {
        problem.write_headers(translated.headers_mut());
        parts.headers.remove(header::CONTENT_LENGTH);
        // `Allow` and whatever else the answer was given on its way: only what describes the body is replaced.
        for (name, value) in &parts.headers {
            let headers = translated.headers_mut();
            headers.entry(name).or_insert_with(|| value.clone());
        }
        return translated;
    }
    problem.write_headers(&mut parts.headers);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts
        .headers
        .insert(header::CONTENT_TYPE, super::problem::PROBLEM_JSON);
    Response::from_parts(parts, problem.body(Some(id.as_str())))
}

fn is_plain(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|value| value.as_bytes().starts_with(b"text/plain"))
}

fn write_headers(headers: &mut HeaderMap, id: &RequestId) {
    const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
    const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
    const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
    const NOTHING: HeaderValue =
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.reserve(5);
    headers.insert(X_REQUEST_ID, id.header_value());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(header::REFERRER_POLICY, NO_REFERRER);
    headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(NOTHING);
}

/// A fault always; any other answer only where the operator asks for `leadledger::access=debug`, since a line costs as
/// much as a read. The path as declared, never as asked for; no query, no address, no body.
fn log(method: &Method, path: &str, response: &Response, elapsed: Duration, id: &RequestId) {
    let (method, request_id) = (method.as_str(), id.as_str());
    let status = response.status().as_u16();
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        let problem = response.extensions().get::<Problem>();
        let cause = problem.and_then(Problem::cause).unwrap_or("unknown");
        tracing::error!(target: "leadledger::fault", method, path, request_id, cause, "internal error");
    }
    let duration_ms = elapsed.as_secs_f64() * 1_000.0;
    tracing::debug!(target: "leadledger::access", method, path, status, duration_ms, request_id, "request");
}

/// The panic's message if it is a literal. A formatted one may quote a value, and a value may be personal data.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    match panic.downcast_ref::<&'static str>() {
        Some(text) => format!("panic: {text}"),
        None => "panic: its message is withheld, its place is in the log".to_owned(),
    }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
