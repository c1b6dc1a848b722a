//! Request bodies of this dialect: read field by field, so that everything that is wrong is told at once.
//!
//! A field that is null counts as not sent: clients of typed languages send null for what they do not mention. Unknown
//! fields are ignored.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::error::GhlError;
use crate::api::problem::Problem;

/// The most values of a list or map.
const MAX_ENTRIES: usize = 500;
/// The most messages of an answer.
const MAX_ERRORS: usize = 50;

/// A JSON object on its way to becoming a request.
#[derive(Debug, Default)]
pub struct Fields {
    values: Map<String, Value>,
    errors: Vec<String>,
}

impl Fields {
    /// Notes something wrong.
    pub fn refuse(&mut self, message: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(message.into());
        }
    }

    /// Whether the field was sent.
    pub fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name).filter(|value| !value.is_null())
    }

    /// A text; numbers are taken for the digits they are written with.
    pub fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if !text.contains('\0') => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => {
                self.refuse(format!("{name} must be a string"));
                None
            }
        }
    }

    /// A text that must be there and say something.
    pub fn required_text(&mut self, name: &str) -> Option<String> {
        if !self.has(name) {
            self.refuse(format!("{name} must be a string"));
            self.refuse(format!("{name} should not be empty"));
            return None;
        }
        let text = self.text(name)?;
        if text.trim().is_empty() {
            self.refuse(format!("{name} should not be empty"));
            return None;
        }
        Some(text)
    }

    /// A checked text. Blank is `Some(None)` where that is allowed.
    pub fn checked<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        text: &str,
        check: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match check(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(format!("{name} {error}"));
                None
            }
        }
    }

    /// One of a few words.
    pub fn word<T>(
        &mut self,
        name: &str,
        words: &[&str],
        meaning: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let found = meaning(&text);
        if found.is_none() {
            self.refuse(format!(
                "{name} must be one of the following values: {}",
                words.join(", ")
            ));
        }
        found
    }

    /// Whether it is so: `true` or `false`, also as text.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(value) => Some(value),
            Value::String(text) if text == "true" || text == "false" => Some(text == "true"),
            _ => {
                self.refuse(format!("{name} must be a boolean value"));
                None
            }
        }
    }

    /// An integer from `least` to `most`, as number or text.
    pub fn number(&mut self, name: &str, least: i64, most: i64) -> Option<i64> {
        let number = match self.take(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) if text.trim().is_empty() => return None,
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            None => self.refuse(format!("{name} must be a number string")),
            Some(number) if number < least => {
                self.refuse(format!("{name} must not be less than {least}"));
            }
            Some(number) if number > most => {
                self.refuse(format!("{name} must not be greater than {most}"));
            }
            Some(number) => return Some(number),
        }
        None
    }

    /// A list of texts.
    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let Value::Array(values) = self.take(name)? else {
            self.refuse(format!("{name} must be an array"));
            return None;
        };
        if values.len() > MAX_ENTRIES {
            self.refuse(format!(
                "{name} must contain no more than {MAX_ENTRIES} elements"
            ));
            return None;
        }
        let mut texts = Vec::with_capacity(values.len());
        for value in values {
            match value {
                Value::String(text) if !text.contains('\0') => texts.push(text),
                Value::Number(number) => texts.push(number.to_string()),
                _ => {
                    self.refuse(format!("each value in {name} must be a string"));
                    return None;
                }
            }
        }
        Some(texts)
    }

    /// A map with values of one kind.
    pub fn map<T>(
        &mut self,
        name: &str,
        kind: &str,
        value_of: impl Fn(Value) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let Value::Object(entries) = self.take(name)? else {
            self.refuse(format!("{name} must be an object"));
            return None;
        };
        if entries.len() > MAX_ENTRIES {
            self.refuse(format!(
                "{name} must contain no more than {MAX_ENTRIES} elements"
            ));
            return None;
        }
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            match value_of(value) {
                Some(value) => {
                    map.insert(key, value);
                }
                None => self.refuse(format!("{name}.{} must be {kind}", shown(&key))),
            }
        }
        Some(map)
    }

    /// Everything was right.
    pub fn finish(self) -> Result<(), GhlError> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(GhlError::invalid(self.errors))
        }
    }
}

/// A name that the client chose, as far as it helps to find it.
pub fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}

impl From<BTreeMap<String, String>> for Fields {
    /// Query parameters.
    fn from(parameters: BTreeMap<String, String>) -> Self {
        let values = parameters
            .into_iter()
            .map(|(name, value)| (name, Value::String(value)));
        Self {
            values: values.collect(),
            errors: Vec::new(),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = GhlError;

    async fn from_request(request: Request, state: &S) -> Result<Self, GhlError> {
        let body = Bytes::from_request(request, state).await.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                GhlError::from(Problem::too_large())
            } else {
                GhlError::bad_request("The body could not be read to its end")
            }
        })?;
        if body.trim_ascii().is_empty() {
            return Err(GhlError::bad_request("The body is empty; JSON is needed"));
        }
        match serde_json::from_slice(&body) {
            Ok(Value::Object(values)) => Ok(Self {
                values,
                errors: Vec::new(),
            }),
            Ok(_) => Err(GhlError::bad_request("The body must be a JSON object")),
            Err(error) => Err(GhlError::bad_request(format!(
                "The body is not valid JSON: {error}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(body: Value) -> Fields {
        let Value::Object(values) = body else {
            panic!("an object");
        };
        Fields {
            values,
            errors: Vec::new(),
        }
    }

    #[test]
    fn null_is_not_sent_and_numbers_are_texts() {
        let mut body = fields(json!({"a": null, "b": 7, "c": ["1", 2]}));
        assert_eq!(body.text("a"), None);
        assert_eq!(body.text("b").as_deref(), Some("7"));
        assert_eq!(body.texts("c").unwrap(), ["1", "2"]);
        assert!(body.errors.is_empty());
    }

    #[test]
    fn everything_wrong_is_told() {
        let mut body = fields(json!({"a": [], "b": "x", "c": "101", "d": "", "e": {"f": 1}}));
        body.text("a");
        body.flag("b");
        body.number("c", 0, 100);
        body.required_text("d");
        body.map("e", "a boolean value", |value| value.as_bool());
        let wanted = [
            "a must be a string",
            "b must be a boolean value",
            "c must not be greater than 100",
            "d should not be empty",
            "e.f must be a boolean value",
        ];
        assert_eq!(body.errors, wanted);
    }
}
