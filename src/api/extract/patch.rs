//! The field of an update: absent, `null`, or a value. What `null` does to the thing is the handler's decision.

use garde::Validate;
use garde::error::NoKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::__dev::ComposeSchema;
use utoipa::openapi::schema::{OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// One field of a body that may be partial. Needs `#[serde(default)]` on the field (on the struct, utoipa's derive
/// would want to serialise the default into the document).
///
/// Garde: `#[garde(inner(length(chars, max = 80)))]` applies rules to a value that is there, `#[garde(dive)]`
/// validates a nested struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// The field is not in the body: leave it as it is.
    #[default]
    Missing,
    /// The field is `null`: clear it.
    Null,
    /// The field has a value: set it.
    Value(T),
}

impl<T> Patch<T> {
    /// Whether the body does not speak of the field.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    /// The value, if there is one; `None` for absent and for `null`.
    #[must_use]
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing | Self::Null => None,
        }
    }

    /// What to set: `None` for absent, `Some(None)` for `null`.
    #[must_use]
    pub fn change(self) -> Option<Option<T>> {
        match self {
            Self::Missing => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }

    /// The same state about a borrowed value.
    #[must_use]
    pub const fn as_ref(&self) -> Patch<&T> {
        match self {
            Self::Missing => Patch::Missing,
            Self::Null => Patch::Null,
            Self::Value(value) => Patch::Value(value),
        }
    }

    /// The same state about another value.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Missing => Patch::Missing,
            Self::Null => Patch::Null,
            Self::Value(value) => Patch::Value(convert(value)),
        }
    }

    /// As [`map`](Self::map), with a conversion that may refuse.
    ///
    /// # Errors
    /// What `convert` refuses with.
    pub fn try_map<U, E>(self, convert: impl FnOnce(T) -> Result<U, E>) -> Result<Patch<U>, E> {
        Ok(match self {
            Self::Missing => Patch::Missing,
            Self::Null => Patch::Null,
            Self::Value(value) => Patch::Value(convert(value)?),
        })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::deserialize(deserializer)? {
            Some(value) => Self::Value(value),
            None => Self::Null,
        })
    }
}

impl<T: Serialize> Serialize for Patch<T> {
    /// Pair it with `#[serde(skip_serializing_if = "Patch::is_missing")]`; alone, absent is written as `null`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => serializer.serialize_some(value),
            Self::Missing | Self::Null => serializer.serialize_none(),
        }
    }
}

impl<T> garde::rules::inner::Inner<T> for Patch<T> {
    type Key = NoKey;

    fn validate_inner<F: FnMut(&T, &NoKey)>(&self, mut rule: F) {
        if let Self::Value(value) = self {
            rule(value, &NoKey::default());
        }
    }
}

impl<T: Validate> Validate for Patch<T> {
    type Context = T::Context;

    fn validate_into(
        &self,
        context: &Self::Context,
        parent: &mut dyn FnMut() -> garde::Path,
        report: &mut garde::Report,
    ) {
        if let Self::Value(value) = self {
            value.validate_into(context, parent, report);
        }
    }
}

// The trait is what utoipa's derive demands of a generic field's type, and only a derive can otherwise meet it; a
// derive on this enum would describe its variants.
impl<T: ComposeSchema> ComposeSchema for Patch<T> {
    /// The schema of `T` that also takes `null`.
    fn compose(generics: Vec<RefOr<Schema>>) -> RefOr<Schema> {
        let inner = match generics.first() {
            Some(schema) => schema.clone(),
            None => T::compose(generics),
        };
        match inner {
            RefOr::T(Schema::Object(mut object)) => {
                if let SchemaType::Type(one) = object.schema_type {
                    object.schema_type = SchemaType::from_iter([one, Type::Null]);
                }
                RefOr::T(Schema::Object(object))
            }
            other => OneOfBuilder::new()
                .item(ObjectBuilder::new().schema_type(Type::Null))
                .item(other)
                .into(),
        }
    }
}

impl<T: ToSchema> ToSchema for Patch<T>
where
    Self: PartialSchema,
{
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

impl<T> From<Patch<T>> for aggregates::Change<T> {
    fn from(patch: Patch<T>) -> Self {
        match patch {
            Patch::Missing => Self::Keep,
            Patch::Null => Self::Clear,
            Patch::Value(value) => Self::Set(value),
        }
    }
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
