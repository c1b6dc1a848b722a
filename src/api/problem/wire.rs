//! The members of a problem as they go over the wire, and their schema.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

use super::{FieldErrors, Problem};

/// Why a request was refused: RFC 9457 problem details.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody<'a> {
    /// Relative reference that identifies the kind of problem.
    #[schema(example = "/problems/validation")]
    r#type: String,
    /// The kind of problem, in words.
    #[schema(value_type = String, example = "The request has invalid fields")]
    title: Cow<'static, str>,
    #[schema(example = 422)]
    status: u16,
    /// What is wrong with this request.
    #[schema(example = "email must be an e-mail address")]
    detail: &'a str,
    /// Stable name of the problem, for programs.
    #[schema(example = "validation")]
    code: &'a str,
    /// The request, as in its `X-Request-Id`.
    #[schema(required)]
    instance: Option<String>,
    /// Messages by field, named as in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, Vec<String>>>)]
    errors: Option<&'a FieldErrors>,
}

impl<'a> ProblemBody<'a> {
    pub(super) fn of(problem: &'a Problem, request_id: Option<&str>) -> Self {
        Self {
            r#type: format!("/problems/{}", problem.code.replace('_', "-")),
            title: title(problem.code),
            status: problem.status.as_u16(),
            detail: &problem.detail,
            code: problem.code,
            instance: request_id.map(|id| format!("/requests/{id}")),
            errors: problem.errors(),
        }
    }
}

impl utoipa::PartialSchema for Problem {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        <ProblemBody<'_> as utoipa::PartialSchema>::schema()
    }
}

impl ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Problem")
    }
}

/// RFC 9457: the same for every problem of one type. A rule's code reads well enough as words.
fn title(code: &'static str) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        "unauthorized" => "Not authenticated",
        "forbidden" => "Not permitted",
        "validation" => "The request has invalid fields",
        "malformed_body" => "The body cannot be read",
        "malformed_path" => "The path cannot be read",
        "malformed_query" => "The query cannot be read",
        "malformed_header" => "A header cannot be read",
        "too_large" => "The body is too large",
        "internal" => "Internal error",
        rule => {
            let mut words = rule.replace('_', " ");
            if let Some(first) = words.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            return Cow::Owned(words);
        }
    })
}
