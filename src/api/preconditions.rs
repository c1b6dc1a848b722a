//! The headers of a write: `If-Match` (RFC 9110, section 13.1.1), `Idempotency-Key`, `X-Reason`; and the `ETag` of an
//! answer, which is the version of the resource's stream.

use axum::http::{HeaderMap, HeaderValue};

use super::problem::Problem;
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
    /// Reads the header. Weak and foreign tags never match; what is no list of tags is refused.
    ///
    /// # Errors
    /// 400 naming the header.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(text) = text(headers, "if-match")? else {
            return Ok(Self::Any);
        };
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let mut versions = Vec::new();
        for tag in text.split(',').map(str::trim) {
            let opaque = tag
                .strip_prefix("W/")
                .unwrap_or(tag)
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
                .ok_or_else(|| {
                    Problem::malformed_header("If-Match", "must be * or a list of entity tags")
                })?;
            if !tag.starts_with("W/") {
                versions.extend(opaque.parse::<i64>().ok());
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

/// The text of `Idempotency-Key`: 1 to 255 visible ASCII characters.
///
/// # Errors
/// 400 naming the header.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = text(headers, "idempotency-key")? else {
        return Ok(None);
    };
    let sound = (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if sound {
        Ok(Some(key))
    } else {
        Err(Problem::malformed_header(
            "Idempotency-Key",
            "must be 1 to 255 visible ASCII characters",
        ))
    }
}

/// The text of `X-Reason`: up to 500 characters of UTF-8, kept with every event of the request.
///
/// # Errors
/// 400 naming the header.
pub fn reason(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("x-reason") else {
        return Ok(None);
    };
    let refused = |why| Problem::malformed_header("X-Reason", why);
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| refused("must be UTF-8"))?;
    if text.chars().count() > 500 || text.chars().any(char::is_control) {
        return Err(refused("must be at most 500 characters on one line"));
    }
    Ok(Some(text.to_owned()))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    headers
        .get(name)
        .map(|value| {
            value
                .to_str()
                .map_err(|_| Problem::malformed_header(name, "must be visible ASCII"))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        headers
    }

    #[test]
    fn if_match_takes_strong_tags_and_refuses_what_is_no_tag() {
        let read = |text| IfMatch::of(&with("if-match", text)).ok();
        assert_eq!(read("*"), Some(IfMatch::Any));
        assert_eq!(read("\"3\", \"4\""), Some(IfMatch::OneOf(vec![3, 4])));
        assert_eq!(read("W/\"3\", \"x\""), Some(IfMatch::OneOf(vec![])));
        assert_eq!(read("3"), None);
    }

    #[test]
    fn a_reason_may_be_in_any_language_but_on_one_line() {
        assert_eq!(
            reason(&with("x-reason", "corrección")).unwrap().as_deref(),
            Some("corrección")
        );
        assert!(reason(&with("x-reason", &"x".repeat(501))).is_err());
    }

    #[test]
    fn an_idempotency_key_is_visible_ascii() {
        assert!(idempotency_key(&with("idempotency-key", "a b")).is_err());
        assert_eq!(
            idempotency_key(&with("idempotency-key", "a-1")).unwrap(),
            Some("a-1")
        );
    }
}
