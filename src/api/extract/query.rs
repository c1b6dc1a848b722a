//! Query parameters. A dialect with its own error bodies calls [`decode`] and words the refusal itself.

use std::borrow::Cow;
use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};

use super::{NUL_MESSAGE, wanted};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;

/// More parameters than any operation has, and few enough to compare each with each.
const MAX_PARAMETERS: usize = 200;

/// The query, form-decoded (`+` is a space), as a struct. Unknown parameters are ignored and empty ones are absent;
/// a repeated one is for a list field, elsewhere it is refused rather than guessed at.
///
/// Refuses with 400, naming the parameter, what is not of its type, is not UTF-8, or has a NUL character.
///
/// A struct must not `#[serde(flatten)]` another (serde then forgets that numbers come as text): a handler takes two
/// `Query`s instead, since each ignores what the other knows.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        decode(parts.uri.query().unwrap_or_default())
            .map(Self)
            .map_err(Problem::malformed_query)
    }
}

/// Decodes a raw query string, without its `?`.
///
/// # Errors
/// Messages by parameter; of wrong types only the first.
pub fn decode<T: DeserializeOwned>(query: &str) -> Result<T, FieldErrors> {
    let parameters = collect(query)?;
    let map = MapDeserializer::new(
        parameters
            .iter()
            .map(|(name, values)| (name.as_ref(), Values(values))),
    );
    serde_path_to_error::deserialize::<_, T>(map).map_err(|error| {
        let path = error.path().to_string();
        let refusal = error.into_inner();
        let name = refusal.missing.map_or(path.as_str(), |name| name);
        FieldErrors::of(if name == "." { "query" } else { name }, refusal.message)
    })
}

/// Whether a raw query string has the parameter, with a value or without.
#[must_use]
pub fn names(query: &str, parameter: &str) -> bool {
    let mut names = query
        .split('&')
        .map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| form_decode(name).is_some_and(|name| name == parameter))
}

type Parameters<'a> = Vec<(Cow<'a, str>, Vec<Cow<'a, str>>)>;

/// Names with their non-empty values, in the order of first appearance.
fn collect(query: &str) -> Result<Parameters<'_>, FieldErrors> {
    let mut parameters = Parameters::new();
    let mut errors = FieldErrors::default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    for (count, pair) in pairs.enumerate() {
        if count == MAX_PARAMETERS {
            return Err(FieldErrors::of(
                "query",
                format!("has more than {MAX_PARAMETERS} parameters"),
            ));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = form_decode(name) else {
            errors.add("query", "has a parameter name that is not UTF-8");
            continue;
        };
        let Some(value) = form_decode(value) else {
            errors.add(name, "must be UTF-8");
            continue;
        };
        if name.contains('\0') {
            errors.add("query", NUL_MESSAGE);
        } else if value.contains('\0') {
            errors.add(name, NUL_MESSAGE);
        } else if !value.is_empty() {
            match parameters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => parameters.push((name, vec![value])),
            }
        }
    }
    if errors.is_empty() {
        Ok(parameters)
    } else {
        Err(errors)
    }
}

/// `None` if the bytes are not UTF-8. A `%` that starts no escape stands for itself, as browsers have it.
fn form_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

/// Why a value was refused; `missing` names a parameter that serde wanted and did not find.
#[derive(Debug)]
struct Refusal {
    missing: Option<&'static str>,
    message: String,
}

impl Refusal {
    fn new(message: impl Into<String>) -> Self {
        Self {
            missing: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self::new(format!("is not valid: {message}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            missing: Some(field),
            message: "is required".to_owned(),
        }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("must be one of {}", expected.join(", ")))
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {expected}"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {expected}"))
    }
}

/// All values of one parameter; never none.
#[derive(Clone, Copy)]
struct Values<'a>(&'a [Cow<'a, str>]);

impl<'a> Values<'a> {
    fn single(self) -> Result<&'a str, Refusal> {
        match self.0 {
            [value] => Ok(value),
            _ => Err(Refusal::new("must be given once")),
        }
    }
}

impl<'de> IntoDeserializer<'de, Refusal> for Values<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parse_as {
    ($($method:ident => $visit:ident, $what:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            match self.single()?.trim().parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Refusal::new($what)),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Values<'de> {
    type Error = Refusal;

    parse_as! {
        deserialize_i8 => visit_i8, "must be an integer of at most 8 bits";
        deserialize_i16 => visit_i16, "must be an integer of at most 16 bits";
        deserialize_i32 => visit_i32, "must be an integer of at most 32 bits";
        deserialize_i64 => visit_i64, "must be an integer of at most 64 bits";
        deserialize_u8 => visit_u8, "must be an integer from 0 to 255";
        deserialize_u16 => visit_u16, "must be an integer from 0 to 65535";
        deserialize_u32 => visit_u32, "must be an integer from 0 to 4294967295";
        deserialize_u64 => visit_u64, "must be an integer of at least 0";
        deserialize_f32 => visit_f32, "must be a number";
        deserialize_f64 => visit_f64, "must be a number";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_borrowed_str(self.single()?)
    }

    /// A text, or what is written as one: a time, a date. Of these, what they should look like helps more than why they are none.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let kind = (&visitor as &dyn de::Expected).to_string();
        let parsed = visitor.visit_borrowed_str(self.single()?);
        parsed.map_err(|refusal| match wanted::form_of(&kind) {
            Some(form) => Refusal::new(format!("must be {form}")),
            None => refusal,
        })
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.single()? {
            "true" | "1" => visitor.visit_bool(true),
            "false" | "0" => visitor.visit_bool(false),
            _ => Err(Refusal::new("must be true or false")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let singles = self.0.chunks(1).map(Values);
        visitor.visit_seq(SeqDeserializer::new(singles))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_enum(self.single()?.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char string bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier
    }
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
