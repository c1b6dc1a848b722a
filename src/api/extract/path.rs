//! Path parameters. Which paths exist is the router's; whether an id exists is the handler's.

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::NUL_MESSAGE;
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;

/// The path's parameters, percent-decoded: one value, a tuple in the path's order, or a struct by name.
///
/// Refuses with 400, naming the parameter, what is not of its type (an integer id of letters or beyond 64 bits), not
/// UTF-8, or has a NUL character.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.path().contains("%00") {
            return Err(blame_nul(parts, state).await);
        }
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                let names = names(parts, state).await;
                Err(explain(error.into_kind(), &names))
            }
            Err(error) => Err(Problem::internal(error)),
        }
    }
}

fn explain(kind: ErrorKind, names: &[String]) -> Problem {
    let name = |index: usize| names.get(index).map_or("path", String::as_str);
    let (field, message) = match kind {
        ErrorKind::ParseErrorAtKey {
            key, expected_type, ..
        } => (key, must_be(expected_type)),
        ErrorKind::ParseErrorAtIndex {
            index,
            expected_type,
            ..
        } => (name(index).to_owned(), must_be(expected_type)),
        ErrorKind::ParseError { expected_type, .. } => (name(0).to_owned(), must_be(expected_type)),
        ErrorKind::InvalidUtf8InPathParam { key } => (key, "must be UTF-8".to_owned()),
        ErrorKind::DeserializeError { key, message, .. } => {
            (key, format!("is not valid: {message}"))
        }
        // A value's own `Deserialize` refused it and axum does not say which; with one parameter it is plain.
        ErrorKind::Message(message) => (name(0).to_owned(), format!("is not valid: {message}")),
        wrong_handler => {
            return Problem::internal(anyhow::anyhow!(
                "path and handler do not agree: {wrong_handler}"
            ));
        }
    };
    Problem::malformed_path(FieldErrors::of(field, message))
}

fn must_be(rust_type: &str) -> String {
    match rust_type {
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" => {
            "must be an integer of at most 64 bits".to_owned()
        }
        "bool" => "must be true or false".to_owned(),
        "f32" | "f64" => "must be a number".to_owned(),
        _ => "is not valid".to_owned(),
    }
}

async fn names<S: Send + Sync>(parts: &mut Parts, state: &S) -> Vec<String> {
    match RawPathParams::from_request_parts(parts, state).await {
        Ok(params) => params.iter().map(|(name, _)| name.to_owned()).collect(),
        Err(_) => Vec::new(),
    }
}

async fn blame_nul<S: Send + Sync>(parts: &mut Parts, state: &S) -> Problem {
    let mut errors = FieldErrors::default();
    if let Ok(params) = RawPathParams::from_request_parts(parts, state).await {
        for (name, _) in params.iter().filter(|(_, value)| value.contains('\0')) {
            errors.add(name, NUL_MESSAGE);
        }
    }
    if errors.is_empty() {
        errors.add("path", NUL_MESSAGE);
    }
    Problem::malformed_path(errors)
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
