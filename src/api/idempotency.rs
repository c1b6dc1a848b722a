//! `Idempotency-Key`: a write that is sent again with the same key acts once and is answered as the first time.
//!
//! The ledger records the key in the transaction of the effect, so that nothing can act twice. This layer keeps the answer
//! besides, sealed, and repeats it; should the server have died between the two, the operation answers anew from
//! what the ledger recorded. So it does when what allowed the caller to see the answer no longer holds: whoever lost a role, or a lead
//! that was blocked since, is judged as of now. A key is kept for 24 hours, as its hash, and belongs to one user. Requests with the same key that
//! come at the same time take turns, so that all but one are answered by what is kept.

mod grounds;

use aws_lc_rs::digest::{Context, SHA256};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use grounds::Grounds;
pub use grounds::Judged;

use super::caller::Caller;
use super::layers::is_upload;
use super::preconditions;
use super::problem::Problem;
use crate::app::App;
use crate::ledger::{IdempotencyKey, answers};

/// A request that carries a key.
#[derive(Debug, Clone)]
pub struct Once {
    /// SHA-256 of method, path with query, and body.
    pub fingerprint: Vec<u8>,
    /// Where the operation notes what its answer depends on.
    pub judged: Judged,
}

/// Says that the request did not act, because an earlier one with its key had.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const TRUE: HeaderValue = HeaderValue::from_static("true");

#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    /// Not known of what was kept before this was: such an answer is not repeated, but made anew.
    grounds: Option<Grounds>,
}

/// The middleware. Requests without the header pass untouched.
pub async fn replay_or_run(State(app): State<App>, request: Request, next: Next) -> Response {
    let key = match preconditions::idempotency_key(request.headers()) {
        // A file is not read twice: its operation tells by what it took in whether the key stands for the same.
        Ok(Some(_)) if takes_a_file(&request) => {
            let mut request = request;
            request.extensions_mut().insert(Once {
                fingerprint: Vec::new(),
                judged: Judged::default(),
            });
            return next.run(request).await;
        }
        Ok(Some(key)) if !request.method().is_safe() && !is_sign_in(&request) => {
            IdempotencyKey::stored(key)
        }
        Ok(_) => return next.run(request).await,
        Err(problem) => return problem.into_response(),
    };
    match run_once(&app, key, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

fn takes_a_file(request: &Request) -> bool {
    let template = request.extensions().get::<MatchedPath>();
    template.is_some_and(|template| is_upload(request.method(), template.as_str()))
}

/// A token is never kept, also not sealed: whoever signs in again gets another.
fn is_sign_in(request: &Request) -> bool {
    let template = request.extensions().get::<MatchedPath>();
    template.is_some_and(|template| template.as_str() == "/api/v1/users/login")
}

async fn run_once(
    app: &App,
    key: String,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = if parts.headers.contains_key(header::AUTHORIZATION) {
        Some(Caller::authenticated(&parts, app).await?)
    } else {
        None
    };
    let user_id = caller.as_ref().map_or(0, |c| c.write.owner_of_keys());
    let body = to_bytes(body, super::layers::AVATAR_BODY_LIMIT)
        .await
        .map_err(|_| Problem::too_large())?;
    let fingerprint = fingerprint(&parts, &body);

    let _turn = app.turns.take(user_id, &key).await;
    let earlier = answers::find(app.pool.today(), &app.secrets, user_id, &key).await?;
    let repeated = earlier.is_some();
    if let Some(earlier) = earlier {
        if earlier.fingerprint != fingerprint {
            return Err(reused());
        }
        let kept: Option<Kept> = earlier.answer.and_then(|a| serde_json::from_slice(&a).ok());
        if let Some(mut kept) = kept
            && let Some(grounds) = kept.grounds.take()
            && grounds.hold(app, caller.as_ref(), (user_id, &key)).await?
        {
            if let Some(caller) = &caller {
                let template = parts.extensions.get::<MatchedPath>();
                let path = template.map_or("", |template| template.as_str());
                let path = path.strip_prefix("/api/v1").unwrap_or(path);
                let leads = grounds.leads.iter().map(|l| (l.lead_id, l.company_id));
                caller.has_read(app, format!("{} {path}, repeated", parts.method), leads);
            }
            return Ok(replay(kept));
        }
    }

    let judged = Judged::default();
    parts.extensions.insert(Once {
        fingerprint: fingerprint.clone(),
        judged: judged.clone(),
    });
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if !response.status().is_success() {
        return Ok(response);
    }
    if repeated && let Some(caller) = &caller {
        // The effect was judged when it came to be; what it is answered with is judged now.
        for lead in answers::leads(app.pool.today(), user_id, &key).await? {
            caller
                .require_readable(app, lead.company_id, lead.user_access_id)
                .await?;
        }
    }
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX)
        .await
        .map_err(Problem::internal)?;
    let kept = Kept {
        status: parts.status.as_u16(),
        headers: parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
        grounds: Some(Grounds::of(app, caller.as_ref(), &judged, (user_id, &key)).await?),
    };
    if let Ok(answer) = serde_json::to_vec(&kept) {
        let used = (key.as_str(), fingerprint.as_slice());
        let now = app.clock.now();
        answers::keep(app.pool.today(), &app.secrets, user_id, used, &answer, now).await?;
    }
    if repeated {
        parts.headers.insert(REPLAYED, TRUE);
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Marks an answer as that of a request that did not act, because an earlier one with its key had.
pub fn say_repeated(response: &mut Response) {
    response.headers_mut().insert(REPLAYED, TRUE);
}

/// 409: the key stands for another request.
#[must_use]
pub fn reused() -> Problem {
    Problem::conflict(
        "idempotency_key_reused",
        "This Idempotency-Key was used for a request with another method, path or body.",
    )
}

fn fingerprint(parts: &axum::http::request::Parts, body: &Bytes) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    let target = parts.uri.path_and_query().map_or("", |path| path.as_str());
    for part in [parts.method.as_str(), target] {
        context.update(part.as_bytes());
        context.update(b"\n");
    }
    context.update(body);
    context.finish().as_ref().to_vec()
}

fn replay(kept: Kept) -> Response {
    let mut response = Response::new(Body::from(kept.body));
    *response.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    for (name, value) in kept.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    say_repeated(&mut response);
    response
}
