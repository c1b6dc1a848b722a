//! What is wrong with which field of a request, in any dialect. How it is answered is the dialect's.

use std::collections::BTreeMap;

use serde::Serialize;

/// Messages by field. A field is named as on the wire, nested ones as `answers[0].value`; `body` is the body as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FieldErrors(BTreeMap<String, Vec<String>>);

impl FieldErrors {
    /// One message for one field.
    #[must_use]
    pub fn of(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(field, message);
        errors
    }

    /// Adds a message; a field may have many.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.entry(field.into()).or_default().push(message.into());
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many fields have messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Fields in alphabetical order, each with its messages in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(f, m)| (f.as_str(), m.as_slice()))
    }

    /// `name must be a string; age is required`: for `detail`, and for dialects with flat messages. Limited to the
    /// first five fields.
    #[must_use]
    pub fn summary(&self) -> String {
        let messages = self
            .iter()
            .flat_map(|(f, all)| all.iter().map(move |m| format!("{f} {m}")));
        let mut text = messages.take(5).collect::<Vec<_>>().join("; ");
        if self.0.len() > 5 {
            text.push_str("; …");
        }
        text
    }
}

impl From<garde::Report> for FieldErrors {
    /// Garde's paths are already written as on the wire (`answers[0].value`), given that a renamed field carries the
    /// same name in `#[garde(rename = "…")]`.
    fn from(report: garde::Report) -> Self {
        let mut errors = Self::default();
        for (path, error) in report.iter() {
            let field = path.to_string();
            let field = if field.is_empty() { "body" } else { &field };
            errors.add(field, error.message());
        }
        errors
    }
}
