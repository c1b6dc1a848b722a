//! The headers of a write: `If-Match` (RFC 9110, section 13.1.1), `Idempotency-Key`, `X-Reason`; and the `ETag` of an
//! answer, which is the version of the resource's stream.

use axum::http::{HeaderMap, HeaderValue, header};
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::problem::Problem;
use crate::ledger::Provenance;
use crate::ledger::{Refusal, StreamKey, Unit};

/// The strong entity tag of a stream's version, such as `"7"`.
#[must_use]
pub fn etag(version: i64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits in quotes make a header value")
}

/// The versions that the caller expects the resource at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum IfMatch {
    /// No such header, or `*`.
    #[default]
    Any,
    /// One of these.
    OneOf(Vec<i64>),
}

impl IfMatch {
    /// Reads the header, which may be repeated. Weak and foreign tags never match; what is no list of tags, or one of
    /// more than 32, is refused.
    ///
    /// # Errors
    /// 400 naming the header.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let lines: Vec<_> = headers.get_all(header::IF_MATCH).iter().collect();
        let mut versions = Vec::new();
        match lines.as_slice() {
            [] => return Ok(Self::Any),
            [line] if line.as_bytes().trim_ascii() == b"*" => return Ok(Self::Any),
            lines => {
                for line in lines {
                    read_tags(line.as_bytes(), &mut versions).ok_or_else(|| {
                        Problem::malformed_header(
                            "If-Match",
                            r#"must be * or a list of entity tags, as "7""#,
                        )
                    })?;
                }
            }
        }
        Ok(Self::OneOf(versions))
    }

    /// Checks the stream's version inside the commit.
    ///
    /// # Errors
    /// [`Refusal::VersionConflict`].
    pub fn check(&self, unit: &Unit<'_>, stream: StreamKey) -> Result<(), Refusal> {
        let actual = unit.version(stream);
        match self {
            Self::OneOf(expected) if !expected.contains(&actual) => {
                Err(Refusal::VersionConflict { actual })
            }
            _ => Ok(()),
        }
    }
}

/// How the header is described where an operation takes it.
impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let tags = ObjectBuilder::new().schema_type(Type::String);
        let header = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "The `ETag` that the caller knows, as `\"7\"`, or several with commas; changed meanwhile is a 409.",
            ))
            .schema(Some(tags));
        vec![header.build()]
    }
}

/// Adds the versions of a comma-separated list of tags; `None` if it is not one.
fn read_tags(mut rest: &[u8], versions: &mut Vec<i64>) -> Option<()> {
    for _ in 0..32 {
        rest = rest.trim_ascii_start();
        let weak = rest.strip_prefix(b"W/");
        let opened = weak.unwrap_or(rest).strip_prefix(b"\"")?;
        let end = opened.iter().position(|byte| *byte == b'"')?;
        let (tag, after) = (&opened[..end], &opened[end + 1..]);
        // RFC 9110, 8.8.3: no space and no control character inside.
        if tag.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
            return None;
        }
        let version = std::str::from_utf8(tag)
            .ok()
            .and_then(|tag| tag.parse().ok());
        // Compared as text: `"07"` is another tag than `"7"`.
        if let (None, Some(version)) = (weak, version)
            && etag(version).as_bytes()[1..=end] == *tag
        {
            versions.push(version);
        }
        rest = after.trim_ascii_start();
        if rest.is_empty() {
            return Some(());
        }
        rest = rest.strip_prefix(b",")?;
    }
    None
}

/// The text of `Idempotency-Key`: 1 to 255 visible ASCII characters.
///
/// # Errors
/// 400 naming the header.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = single(headers, "Idempotency-Key")? else {
        return Ok(None);
    };
    match key.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok(Some(key))
        }
        _ => Err(Problem::malformed_header(
            "Idempotency-Key",
            "must be 1 to 255 visible ASCII characters",
        )),
    }
}

/// The text of `X-Reason`, trimmed: up to 500 characters of UTF-8, kept with every event of the request. Blank is none.
///
/// # Errors
/// 400 naming the header.
pub fn reason(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = single(headers, "X-Reason")? else {
        return Ok(None);
    };
    let refused = |why| Problem::malformed_header("X-Reason", why);
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| refused("must be UTF-8"))?;
    Provenance::reason_in(text).map_err(refused)
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Problem::malformed_header(name, "must be given once"));
    }
    Ok(first)
}

#[cfg(test)]
#[path = "preconditions_tests.rs"]
mod tests;
