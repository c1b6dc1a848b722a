//! Collecting changes: single values, whole objects, and what is not shown.

use aggregates::Personal;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{ERASED, FieldChange};

/// Changes under collection.
#[derive(Default)]
pub(super) struct Diff(Vec<FieldChange>);

impl Diff {
    pub fn finish(self) -> Vec<FieldChange> {
        self.0
    }

    /// A field that came into being; one that holds nothing is not told.
    pub fn new_value(self, field: impl Into<String>, to: &impl Serialize) -> Self {
        self.value(field, &(), to)
    }

    /// A field that ceased to be.
    pub fn gone(self, field: impl Into<String>, from: &impl Serialize) -> Self {
        self.value(field, from, &())
    }

    /// A field's old and new value; none when they are the same.
    pub fn value(
        self,
        field: impl Into<String>,
        from: &impl Serialize,
        to: &impl Serialize,
    ) -> Self {
        self.push(field.into(), json(from), json(to))
    }

    /// The fields of a value about a person, or the word that it is erased under `name`.
    pub fn personal<T: Serialize>(
        self,
        name: &str,
        from: Option<&Personal<T>>,
        to: Option<&Personal<T>>,
    ) -> Self {
        let (from, to) = (from.map(json), to.map(json));
        if from.as_ref().is_some_and(is_closed) || to.as_ref().is_some_and(is_closed) {
            return self.push(
                name.to_owned(),
                from.unwrap_or_default(),
                to.unwrap_or_default(),
            );
        }
        self.objects("", from.unwrap_or_default(), to.unwrap_or_default())
    }

    /// Every field of an object that differs, its name behind `prefix`.
    pub fn object(self, prefix: &str, from: &impl Serialize, to: &impl Serialize) -> Self {
        self.objects(prefix, json(from), json(to))
    }

    /// That a secret was set or replaced.
    pub fn secret(mut self, field: &str) -> Self {
        self.0.push(FieldChange {
            field: field.to_owned(),
            from: Value::Null,
            to: Value::Null,
            withheld: Some("secret"),
        });
        self
    }

    fn objects(mut self, prefix: &str, from: Value, to: Value) -> Self {
        let (mut from, to) = (fields(from), fields(to));
        for (name, to) in to {
            let old = from.remove(&name).unwrap_or_default();
            self = self.push(format!("{prefix}{}", named(&name)), old, to);
        }
        for (name, old) in from {
            self = self.push(format!("{prefix}{}", named(&name)), old, Value::Null);
        }
        self
    }

    fn push(mut self, field: String, from: Value, to: Value) -> Self {
        let withheld = (is_closed(&from) || is_closed(&to)).then_some(ERASED);
        let shown = |value: Value| {
            if is_closed(&value) {
                Value::Null
            } else {
                value
            }
        };
        let (from, to) = (shown(from), shown(to));
        if from != to || withheld.is_some() {
            self.0.push(FieldChange {
                field,
                from,
                to,
                withheld,
            });
        }
        self
    }
}

fn json(value: &impl Serialize) -> Value {
    let value = serde_json::to_value(value);
    match value.expect("events are made of values that always serialise") {
        // How a plain value that looks like a sealed one is told from it.
        Value::Object(mut map)
            if map.len() == 1 && map.get("plain").is_some_and(Value::is_object) =>
        {
            map.remove("plain").unwrap_or_default()
        }
        value => value,
    }
}

/// What a destroyed or missing key leaves of a value about a person.
fn is_closed(value: &Value) -> bool {
    let Some(map) = value.as_object().filter(|map| map.len() == 1) else {
        return false;
    };
    map.get("erased") == Some(&Value::Bool(true)) || map.get("sealed").is_some_and(Value::is_string)
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// As the API's answers name it.
fn named(name: &str) -> &str {
    match name {
        "phone" => "phone_number",
        other => other,
    }
}
