//! Collecting changes: single values, whole objects, lists, and what is not shown.
//!
//! The old value of a field is the one that was told last. What an event says that it was counts only for a field of which nothing was
//! told yet, so that a history adds up, read forward, whatever its events hold.

use aggregates::Personal;
use aggregates::lead::Answer;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{ERASED, FieldChange, Told};

/// Changes under collection, on top of what was told before.
pub(super) struct Diff<'t> {
    told: &'t mut Told,
    /// When the event was recorded.
    at: DateTime<Utc>,
    changes: Vec<FieldChange>,
}

impl<'t> Diff<'t> {
    pub fn after(told: &'t mut Told, at: DateTime<Utc>) -> Self {
        Self {
            told,
            at,
            changes: Vec::new(),
        }
    }

    pub fn finish(self) -> Vec<FieldChange> {
        self.changes
    }

    /// A field that was set; one that held nothing and holds nothing is not told.
    pub fn new_value(self, field: impl Into<String>, to: &impl Serialize) -> Self {
        self.value(field, &(), to)
    }

    /// A field that ceased to be.
    pub fn gone(self, field: impl Into<String>, from: &impl Serialize) -> Self {
        self.value(field, from, &())
    }

    /// A field that holds nothing any more, if it held anything.
    pub fn cleared(self, field: &str) -> Self {
        self.value(field, &(), &())
    }

    /// Every field of a thing that ceased to be.
    pub fn all_gone(mut self, thing: &str) -> Self {
        for field in self.told.of(thing) {
            self = self.push(field, Value::Null, Value::Null);
        }
        self
    }

    /// Everything that the stream's thing held but for these fields; of secrets that it held them.
    pub fn everything_gone_but(mut self, stays: &[&str]) -> Self {
        let held = self.told.fields().map(|(field, _)| field.to_owned());
        let gone = held.filter(|field| !stays.contains(&field.as_str()));
        for field in gone.collect::<Vec<_>>() {
            self = self.push(field, Value::Null, Value::Null);
        }
        for secret in std::mem::take(&mut self.told.secrets) {
            self.changes.push(secret_of(secret));
        }
        self
    }

    /// A time that is the event's own where it does not say another.
    pub fn since(self, field: &str, from: &impl Serialize, to: Option<DateTime<Utc>>) -> Self {
        let to = to.unwrap_or(self.at);
        self.value(field, from, &to)
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

    /// A field that is told though it may be what it was: it says why.
    pub fn stated(mut self, field: &str, to: &impl Serialize) -> Self {
        let to = json(to);
        if self.told.values.get(field) == Some(&to) {
            self.changes.push(FieldChange {
                field: field.to_owned(),
                from: to.clone(),
                to,
                withheld: None,
            });
            return self;
        }
        self.push(field.to_owned(), Value::Null, to)
    }

    /// What the event brought along and no later one refers to.
    pub fn brought(mut self, field: &str, to: &impl Serialize) -> Self {
        self.changes.push(FieldChange {
            field: field.to_owned(),
            from: Value::Null,
            to: json(to),
            withheld: None,
        });
        self
    }

    /// The fields of a value about a person, each behind `prefix`, or the word that all of it is erased under `name`.
    pub fn personal<T: Serialize>(
        self,
        name: &str,
        prefix: &str,
        from: Option<&Personal<T>>,
        to: Option<&Personal<T>>,
    ) -> Self {
        let opened = |value: &Personal<T>| value.plain().is_some();
        let closed = !from.into_iter().chain(to).all(opened);
        let value = |value: Option<&Personal<T>>| value.map(json).unwrap_or_default();
        let (from, to) = (value(from), value(to));
        if closed {
            self.push(name.to_owned(), from, to)
        } else {
            self.objects(prefix, from, to)
        }
    }

    /// What was answered to each question, or the word that all of it is erased.
    pub fn answers(
        self,
        from: Option<&Personal<Vec<Answer>>>,
        to: Option<&Personal<Vec<Answer>>>,
    ) -> Self {
        let by_question = |answers: Option<&Personal<Vec<Answer>>>| {
            let answers = match answers {
                Some(answers) => answers.plain()?.as_slice(),
                None => &[],
            };
            let named = |answer: &Answer| (format!("[{}]", answer.question_id), json(answer));
            Some(Value::Object(answers.iter().map(named).collect()))
        };
        match (by_question(from), by_question(to)) {
            (Some(from), Some(to)) => self.objects("answers", from, to),
            _ => self.push("answers".to_owned(), json(&from), json(&to)),
        }
    }

    /// [`Diff::personal`] of a value that an event repeats as it was: told only where it was another.
    pub fn repeated<T: Serialize>(self, name: &str, prefix: &str, value: &Personal<T>) -> Self {
        if value.plain().is_none() {
            return self;
        }
        self.personal(name, prefix, Some(value), Some(value))
    }

    /// Every field of an object that differs, its name behind `prefix`.
    pub fn object(self, prefix: &str, from: &impl Serialize, to: &impl Serialize) -> Self {
        self.objects(prefix, json(from), json(to))
    }

    /// The order of the things of a kind, and the place of each, from 1.
    pub fn order(self, kind: &str, from: &impl Serialize, to: &impl Serialize) -> Self {
        let places = list(json(to)).into_iter().zip(1_u64..);
        let diff = self.value(format!("{kind}.order"), from, to);
        places.fold(diff, |diff, (id, place)| {
            diff.push(
                format!("{kind}[{id}].priority"),
                Value::Null,
                Value::from(place),
            )
        })
    }

    /// The same, for one more of the kind, which comes last.
    pub fn last_of(self, kind: &str, id: &impl Serialize) -> Self {
        let mut order = self.told.list(&format!("{kind}.order"));
        order.push(json(id));
        self.order(kind, &(), &order)
    }

    /// A list with one more in it.
    pub fn one_more(self, field: String, item: &impl Serialize) -> Self {
        let mut items = self.told.list(&field);
        items.push(json(item));
        self.push(field, Value::Null, Value::Array(items))
    }

    /// A list with one less in it.
    pub fn one_less(self, field: String, item: &impl Serialize) -> Self {
        let item = json(item);
        let mut items = self.told.list(&field);
        items.retain(|other| *other != item);
        self.push(field, Value::Array(vec![item]), Value::Array(items))
    }

    /// That a secret was set or replaced.
    pub fn secret(mut self, field: &str) -> Self {
        self.told.secrets.insert(field.to_owned());
        self.changes.push(secret_of(field.to_owned()));
        self
    }

    fn objects(mut self, prefix: &str, from: Value, to: Value) -> Self {
        let named = |name: &str| match name {
            // As the API's answers name it.
            "phone" if prefix.is_empty() => "phone_number".to_owned(),
            name => format!("{prefix}{name}"),
        };
        let (mut from, to) = (fields(from), fields(to));
        for (name, to) in to {
            let old = from.remove(&name).unwrap_or_default();
            self = self.push(named(&name), old, to);
        }
        for (name, old) in from {
            self = self.push(named(&name), old, Value::Null);
        }
        self
    }

    fn push(mut self, field: String, from: Value, to: Value) -> Self {
        let from = match self.told.values.get(&field) {
            Some(told) => told.clone(),
            None if is_empty(&from) => Value::Null,
            None => from,
        };
        // What held nothing holds nothing still.
        let to = if from.is_null() && is_empty(&to) {
            Value::Null
        } else {
            to
        };
        let closed = is_closed(&from) || is_closed(&to);
        if from != to || closed {
            let shown = |value: &Value| {
                if is_closed(value) {
                    Value::Null
                } else {
                    value.clone()
                }
            };
            self.changes.push(FieldChange {
                field: field.clone(),
                from: shown(&from),
                to: shown(&to),
                withheld: closed.then_some(ERASED),
            });
            self.told.values.insert(field, to);
        }
        self
    }
}

impl Told {
    /// Each field that holds something, in the order of their names; `None` for what nobody can read.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Option<&Value>)> {
        let held = self.values.iter().filter(|(_, value)| !value.is_null());
        held.map(|(field, value)| (field.as_str(), (!is_closed(value)).then_some(value)))
    }

    /// The fields of this thing that hold something.
    fn of(&self, thing: &str) -> Vec<String> {
        let parts = format!("{thing}.");
        let held = self.fields().map(|(field, _)| field);
        let of_it = held.filter(|field| field.starts_with(&parts));
        of_it.map(str::to_owned).collect()
    }

    fn list(&self, field: &str) -> Vec<Value> {
        list(self.values.get(field).cloned().unwrap_or_default())
    }
}

fn secret_of(field: String) -> FieldChange {
    FieldChange {
        field,
        from: Value::Null,
        to: Value::Null,
        withheld: Some("secret"),
    }
}

/// A list or an object of nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
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
