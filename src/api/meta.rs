//! `meta.as_of` in an answer that is made already: inserted into its text, so that every other byte stays what it was.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The members of a JSON object in their order, their values as they stand.
struct Members<'a>(Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

#[derive(Serialize)]
struct AsOf {
    position: i64,
    recorded_at: DateTime<Utc>,
}

/// The answer with `meta.as_of`; `meta` comes last when the answer had none.
///
/// # Errors
/// When the body is no JSON object.
pub fn with_as_of(
    body: &[u8],
    position: i64,
    recorded_at: DateTime<Utc>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut answer: Members<'_> = serde_json::from_slice(body)?;
    let as_of = serde_json::value::to_raw_value(&AsOf {
        position,
        recorded_at,
    })?;
    let found = answer.0.iter().position(|(name, _)| name == "meta");
    let mut meta = match found {
        Some(at) => serde_json::from_str(answer.0[at].1.get())?,
        None => Members(Vec::new()),
    };
    meta.0.push((Cow::Borrowed("as_of"), Cow::Owned(as_of)));
    let meta = serde_json::value::to_raw_value(&meta)?;
    match found {
        Some(at) => answer.0[at].1 = Cow::Owned(meta),
        None => answer.0.push((Cow::Borrowed("meta"), Cow::Owned(meta))),
    }
    serde_json::to_vec(&answer)
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value.as_ref())?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((Cow::Owned(name), Cow::Borrowed(value)));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(body: &str) -> String {
        let at = DateTime::from_timestamp(1_800_000_000, 5_000).unwrap();
        String::from_utf8(with_as_of(body.as_bytes(), 7, at).unwrap()).unwrap()
    }

    #[test]
    fn nothing_but_the_moment_is_added() {
        let as_of = r#""as_of":{"position":7,"recorded_at":"2027-01-15T08:00:00.000005Z"}"#;
        assert_eq!(
            spliced(r#"{"z":{"b":1,"a":1.50},"meta":{"total":1}}"#),
            format!(r#"{{"z":{{"b":1,"a":1.50}},"meta":{{"total":1,{as_of}}}}}"#)
        );
        assert_eq!(
            spliced(r#"{"z":"\u00e9 é"}"#),
            format!(r#"{{"z":"\u00e9 é","meta":{{{as_of}}}}}"#)
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(with_as_of(b"[1]", 7, DateTime::UNIX_EPOCH).is_err());
    }
}
