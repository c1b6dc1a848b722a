//! JSON bodies: read, checked, decoded, validated. A dialect with its own error bodies calls [`decode`] and words the
//! [`BodyError`] itself.

use axum::body::Bytes;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::{NUL_MESSAGE, wanted};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;

/// So many fields are named at most, lest a hostile body be answered with a longer one.
const MAX_ERRORS: usize = 50;

/// A JSON body that was decoded and passed its garde rules; as an answer, `200` with the value as JSON.
///
/// Refuses with 415 a `Content-Type` other than JSON (none at all is taken as JSON), with 413 what exceeds the limit,
/// with 400 what is not JSON, nested deeper than 128 included, and with 422 (fields named) everything else. An
/// `Option<Json<T>>` is `None` for an empty body.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

/// Why a body was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// There is none.
    Empty,
    /// It is not JSON; what is wrong and where.
    Syntax(String),
    /// It is JSON, but these fields are missing or wrong.
    Fields(FieldErrors),
}

/// Decodes and validates a body.
///
/// # Errors
/// See [`BodyError`]; all broken garde rules are reported, but of wrong types only the first (serde stops there).
pub fn decode<T>(body: &[u8]) -> Result<T, BodyError>
where
    T: DeserializeOwned + Validate,
    T::Context: Default,
{
    if body.trim_ascii().is_empty() {
        return Err(BodyError::Empty);
    }
    // serde_json gives up at 128 levels, so neither this nor the walk below can overflow the stack.
    let value: Value =
        serde_json::from_slice(body).map_err(|error| BodyError::Syntax(error.to_string()))?;
    let mut errors = FieldErrors::default();
    inspect(&value, None, &mut errors);
    if errors.is_empty() && !value.is_object() {
        // Serde would take a list's items for the fields in their order.
        errors.add("body", "must be an object");
    }
    if !errors.is_empty() {
        return Err(BodyError::Fields(errors));
    }
    let decoded: T = serde_path_to_error::deserialize(value)
        .map_err(|error| BodyError::Fields(explain_text::<T>(&error, body)))?;
    decoded
        .validate()
        .map_err(|report| BodyError::Fields(report.into()))?;
    Ok(decoded)
}

/// Whether the body is declared as JSON: `application/json`, any `application/…+json`, or nothing at all.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(declared) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let essence = declared.to_str().unwrap_or_default();
    let essence = essence.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = essence.split_once('/') else {
        return essence.is_empty();
    };
    let suffix = subtype.rsplit('+').next().unwrap_or_default();
    kind.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Empty => Self::unprocessable(FieldErrors::of(
                "body",
                "is empty; a JSON document is needed",
            )),
            BodyError::Syntax(reason) => {
                Self::malformed_body(format!("is not valid JSON: {reason}"))
            }
            BodyError::Fields(errors) => Self::unprocessable(errors),
        }
    }
}

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned + Validate,
    T::Context: Default,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = is_json(request.headers());
        let body = read(request, state).await?;
        if json || body.is_empty() {
            Ok(Self(decode(&body)?))
        } else {
            Err(Problem::unsupported_media_type("application/json"))
        }
    }
}

impl<T, S> OptionalFromRequest<S> for Json<T>
where
    T: DeserializeOwned + Validate,
    T::Context: Default,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        let json = is_json(request.headers());
        let body = read(request, state).await?;
        match decode(&body) {
            Err(BodyError::Empty) => Ok(None),
            _ if !json => Err(Problem::unsupported_media_type("application/json")),
            Ok(value) => Ok(Some(Self(value))),
            Err(error) => Err(error.into()),
        }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => {
                const JSON: HeaderValue = HeaderValue::from_static("application/json");
                ([(header::CONTENT_TYPE, JSON)], bytes).into_response()
            }
            Err(error) => Problem::internal(error).into_response(),
        }
    }
}

/// The whole body within the limit of axum's `DefaultBodyLimit`.
async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|error| {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::too_large()
        } else {
            Problem::malformed_body("could not be read to its end")
        }
    })
}

/// One step of the way to a value, with the steps before it; written out only when there is something to say.
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl Place<'_> {
    fn write(&self, path: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(path);
        }
        match self.step {
            Step::Key(key) => push_key(path, key),
            Step::Index(index) => push_index(path, index),
        }
    }
}

/// Finds what no field may hold: NUL characters and numbers that 64 bits cannot.
fn inspect(value: &Value, place: Option<&Place<'_>>, errors: &mut FieldErrors) {
    let mut blame = |message: &str| {
        if errors.len() < MAX_ERRORS {
            let mut path = String::new();
            match place {
                Some(place) => place.write(&mut path),
                None => path.push_str("body"),
            }
            errors.add(path, message);
        }
    };
    match value {
        Value::String(text) if text.contains('\0') => blame(NUL_MESSAGE),
        Value::Number(number) if !fits(number) => {
            blame("must be a number that fits in 64 bits");
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let step = Step::Index(index);
                inspect(
                    item,
                    Some(&Place {
                        parent: place,
                        step,
                    }),
                    errors,
                );
            }
        }
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains('\0')) {
                blame("must not have a field name with a NUL character");
                return;
            }
            for (key, item) in fields {
                let step = Step::Key(key);
                inspect(
                    item,
                    Some(&Place {
                        parent: place,
                        step,
                    }),
                    errors,
                );
            }
        }
        _ => {}
    }
}

/// Integers beyond `i64` come either as `u64` or, longer still, as floats.
fn fits(number: &serde_json::Number) -> bool {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    number.is_i64() || !number.is_u64() && number.as_f64().is_some_and(|float| float.abs() < LIMIT)
}

/// [`explain`], where what is wrong may be the form of a text. Serde then says why the text is not of it, in chrono's words, and not
/// which form is wanted: that it says of a value that is no text at all.
fn explain_text<T: DeserializeOwned>(
    error: &serde_path_to_error::Error<serde_json::Error>,
    body: &[u8],
) -> FieldErrors {
    let of_another = || {
        let mut body: Value = serde_json::from_slice(body).ok()?;
        let mut place = &mut body;
        for segment in error.path() {
            place = match segment {
                Segment::Seq { index } => place.get_mut(*index)?,
                Segment::Map { key } => place.get_mut(key.as_str())?,
                Segment::Enum { .. } | Segment::Unknown => return None,
            };
        }
        let text = std::mem::replace(place, Value::Bool(false));
        let error = serde_path_to_error::deserialize::<_, T>(body).err()?;
        let told = error.inner().to_string();
        let (_, kind) = told.rsplit_once(", expected ")?;
        (text.is_string() && wanted::form_of(kind).is_some()).then(|| explain(&error))
    };
    of_another().unwrap_or_else(|| explain(error))
}

/// Words serde's complaint for the one who wrote the body: which field, and what is expected, never the value itself.
fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldErrors {
    let mut path = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => push_index(&mut path, *index),
            Segment::Map { key } => push_key(&mut path, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let text = error.inner().to_string();
    let (field, message) = reword(&text);
    if let Some(field) = field {
        push_key(&mut path, field);
    }
    FieldErrors::of(if path.is_empty() { "body" } else { &path }, message)
}

/// The field that serde names in its sentence, if it does, and our wording of it.
fn reword(text: &str) -> (Option<&str>, String) {
    let quoted = |prefix: &str| text.strip_prefix(prefix)?.split('`').next();
    if let Some(field) = quoted("missing field `") {
        return (Some(field), "is required".to_owned());
    }
    if let Some(field) = quoted("unknown field `") {
        return (Some(field), "is not a known field".to_owned());
    }
    let message = match text.rsplit_once(", expected ") {
        Some((_, choices)) if text.starts_with("unknown variant") => {
            let choices = choices.strip_prefix("one of ").unwrap_or(choices);
            format!("must be one of {}", choices.replace('`', ""))
        }
        Some((_, kind)) if text.starts_with("invalid ") => {
            format!("must be {}", kind_in_words(kind))
        }
        _ if text.starts_with("data did not match any variant") => {
            "has none of the accepted forms".to_owned()
        }
        _ => format!("is not valid: {text}"),
    };
    (None, message)
}

fn kind_in_words(kind: &str) -> &str {
    match kind {
        "i8" | "i16" | "i32" | "u8" | "u16" | "u32" => "an integer in range",
        "i64" => "an integer",
        "u64" | "usize" => "an integer of at least 0",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        "str" | "string" => "a string",
        kind if kind.starts_with("struct ") => "an object",
        kind if kind.starts_with("enum ") || kind == "variant identifier" => "one of its values",
        kind => wanted::form_of(kind).unwrap_or(kind),
    }
}

fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

fn push_index(path: &mut String, index: usize) {
    path.push('[');
    path.push_str(&index.to_string());
    path.push(']');
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
