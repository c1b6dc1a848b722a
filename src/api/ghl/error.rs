//! The error bodies of this dialect: 400 `{statusCode, message}`, 401 `{statusCode, message, error}`, 422 with a list of
//! messages; never problem+json.

use std::borrow::Cow;

use aggregates::user::UserError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::auth::password::Busy;
use crate::ledger::{CommitError, Refusal};

/// A refusal in this dialect.
#[derive(Debug)]
pub enum GhlError {
    /// In words of its own.
    Said(StatusCode, Message),
    /// What all dialects refuse; [`translate`] words it.
    Shared(Problem),
}

/// One sentence, or all that is wrong.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = UsersV3Message)]
pub enum Message {
    /// One sentence.
    One(Cow<'static, str>),
    /// All that is wrong.
    Many(Vec<String>),
}

/// The body as it goes over the wire.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsersV3Error)]
pub struct ErrorBody {
    status_code: u16,
    message: Message,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

impl GhlError {
    fn said(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Said(status, Message::One(message.into()))
    }

    /// 400.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::said(StatusCode::BAD_REQUEST, message)
    }

    /// 401: no token, one that does not hold, or a missing scope.
    pub fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::said(StatusCode::UNAUTHORIZED, message)
    }

    /// 403.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::said(StatusCode::FORBIDDEN, message)
    }

    /// 404 for a user.
    pub fn unknown_user() -> Self {
        Self::said(StatusCode::NOT_FOUND, "The user does not exist.")
    }

    /// 422.
    pub fn invalid(messages: Vec<String>) -> Self {
        Self::Said(StatusCode::UNPROCESSABLE_ENTITY, Message::Many(messages))
    }

    /// 429.
    pub fn too_many_requests(seconds: u32) -> Self {
        Self::Shared(Problem::too_many_requests(seconds))
    }
}

impl IntoResponse for GhlError {
    fn into_response(self) -> Response {
        match self {
            Self::Said(status, message) => answer(status, message),
            // The outermost layer logs its cause and has it translated.
            Self::Shared(problem) => problem.into_response(),
        }
    }
}

fn answer(status: StatusCode, message: Message) -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
    let without_name = [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND];
    let body = ErrorBody {
        status_code: status.as_u16(),
        message,
        error: (!without_name.contains(&status))
            .then_some(status.canonical_reason())
            .flatten(),
    };
    let body = serde_json::to_vec(&body).expect("texts and a number always serialise");
    let mut response = (status, [(header::CONTENT_TYPE, JSON)], body).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// A shared refusal in this dialect, if the path is one of its own: also of what arises outside handlers.
#[must_use]
pub fn translate(path: &str, problem: &Problem) -> Option<Response> {
    let below = path.strip_prefix("/v3").unwrap_or(path);
    let is_ours = below == "/users" || below.starts_with("/users/") || path.starts_with("/v3/");
    (is_ours || path == "/v3").then(|| {
        let message = match problem.status() {
            StatusCode::UNPROCESSABLE_ENTITY => Message::Many(messages(problem)),
            StatusCode::NOT_FOUND if problem.code() == "unknown_path" => {
                Message::One(Cow::Owned(format!("Cannot find {}", shown(path))))
            }
            StatusCode::TOO_MANY_REQUESTS => Message::One(Cow::Borrowed("Too Many Requests")),
            _ => Message::One(Cow::Owned(problem.detail().to_owned())),
        };
        answer(problem.status(), message)
    })
}

/// A path is the client's: only as much of it as helps.
fn shown(path: &str) -> String {
    path.chars().take(200).collect()
}

fn messages(problem: &Problem) -> Vec<String> {
    let Some(errors) = problem.errors() else {
        return vec![problem.detail().to_owned()];
    };
    flat(errors)
}

/// `field message`, one for each.
pub fn flat(errors: &FieldErrors) -> Vec<String> {
    let all = errors
        .iter()
        .flat_map(|(field, messages)| messages.iter().map(move |m| format!("{field} {m}")));
    all.collect()
}

impl From<Problem> for GhlError {
    fn from(problem: Problem) -> Self {
        Self::Shared(problem)
    }
}

impl From<sqlx::Error> for GhlError {
    fn from(error: sqlx::Error) -> Self {
        Self::Shared(error.into())
    }
}

impl From<Busy> for GhlError {
    fn from(_: Busy) -> Self {
        Self::Shared(Problem::queue_full(1))
    }
}

impl From<CommitError> for GhlError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(refusal) => refusal.into(),
            CommitError::QueueFull => Self::Shared(Problem::queue_full(1)),
            CommitError::Unavailable => Self::Shared(Problem::unavailable(1)),
            CommitError::Broken(why) => {
                Self::Shared(Problem::internal(anyhow::anyhow!("commit broken: {why}")))
            }
        }
    }
}

/// The rule of [`super::reach`] that an owner's roles and sign-in are not for tokens.
pub const OWNER_NEEDED: Refusal = Refusal::Rule("owner_needed");
/// Somebody changed the user's roles between the look and the commit.
pub const CHANGED_MEANWHILE: Refusal = Refusal::Rule("changed_meanwhile");

impl From<Refusal> for GhlError {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::EmailTaken => Self::bad_request("A user with this email already exists"),
            Refusal::User(UserError::NotRegistered) => Self::unknown_user(),
            OWNER_NEEDED => {
                Self::forbidden("You do not have permission to change an owner of a company")
            }
            CHANGED_MEANWHILE | Refusal::User(UserError::AlreadyHasAccess) => Self::said(
                StatusCode::CONFLICT,
                "The user was changed by somebody else meanwhile; try again.",
            ),
            Refusal::VersionConflict { .. } | Refusal::IdempotencyKeyReused => {
                Self::said(StatusCode::CONFLICT, detail)
            }
            // The last owner of a company and a plan without room among them.
            _ => Self::invalid(vec![detail]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_dialect_are_translated() {
        let problem = Problem::method_not_allowed();
        for ours in [
            "/users",
            "/users/",
            "/users/7",
            "/v3/users",
            "/v3/else",
            "/v3",
        ] {
            assert!(translate(ours, &problem).is_some(), "{ours}");
        }
        for other in ["/", "/api/v1/users", "/usersx", "/v3x", "/docs"] {
            assert!(translate(other, &problem).is_none(), "{other}");
        }
    }
}
