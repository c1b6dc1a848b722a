//! The conditions that a caller may attach to a write, as headers: `If-Match`, `Idempotency-Key`, `X-Reason`; and the
//! `ETag` that the first refers to. Reads and checks their form; what follows from them is the ledger's.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};

use super::problem::Problem;

/// The strong entity tag of a resource (RFC 9110, 8.8.3): the version of its stream, in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ETag(pub i64);

impl ETag {
    /// As the header `ETag`.
    ///
    /// # Panics
    /// Never: digits in quotes are a valid header value.
    #[must_use]
    pub fn header_value(self) -> HeaderValue {
        HeaderValue::try_from(format!("\"{}\"", self.0))
            .expect("digits in quotes are a valid header value")
    }
}

impl axum::response::IntoResponseParts for ETag {
    type Error = std::convert::Infallible;

    /// Lets a handler answer `(ETag(version), Json(…))`.
    fn into_response_parts(
        self,
        mut parts: axum::response::ResponseParts,
    ) -> Result<axum::response::ResponseParts, Self::Error> {
        parts
            .headers_mut()
            .insert(header::ETAG, self.header_value());
        Ok(parts)
    }
}

/// The versions at which a caller wants the write to happen. As an extractor, it reads `If-Match`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expected {
    /// No `If-Match`: the caller does not mind.
    #[default]
    Unstated,
    /// `If-Match: *`: any, if the thing exists.
    Existing,
    /// One of these. Empty if only tags were given that none of ours ever equals (weak ones, other texts).
    OneOf(Vec<i64>),
}

impl Expected {
    /// Reads `If-Match` (RFC 9110, 13.1.1), which may be repeated.
    ///
    /// # Errors
    /// 400 for what is neither `*` nor a list of entity tags, or has more than 32.
    pub fn parse(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut versions = None;
        let lines: Vec<_> = headers.get_all(header::IF_MATCH).iter().collect();
        for line in &lines {
            let line = line.as_bytes().trim_ascii();
            if line == b"*" {
                return if lines.len() == 1 {
                    Ok(Self::Existing)
                } else {
                    Err(malformed_if_match())
                };
            }
            read_tags(line, versions.get_or_insert_default()).ok_or_else(malformed_if_match)?;
        }
        Ok(versions.map_or(Self::Unstated, Self::OneOf))
    }

    /// Whether a write may happen to an existing thing at this version. If not, the contract's answer is 409.
    #[must_use]
    pub fn allows(&self, version: i64) -> bool {
        match self {
            Self::Unstated | Self::Existing => true,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Expected {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::parse(&parts.headers)
    }
}

fn malformed_if_match() -> Problem {
    Problem::malformed_header("If-Match", r#"must be * or a list of entity tags, as "7""#)
}

/// Adds the versions of a comma-separated list of tags; `None` if it is not one.
fn read_tags(mut rest: &[u8], versions: &mut Vec<i64>) -> Option<()> {
    let mut tags = 0;
    loop {
        rest = rest.trim_ascii_start();
        let weak = rest.strip_prefix(b"W/");
        let opened = weak.unwrap_or(rest).strip_prefix(b"\"")?;
        let end = opened.iter().position(|byte| *byte == b'"')?;
        let (tag, after) = (&opened[..end], &opened[end + 1..]);
        if tag.iter().any(u8::is_ascii_control) || tag.contains(&b' ') || tags == 32 {
            return None;
        }
        tags += 1;
        let version = std::str::from_utf8(tag)
            .ok()
            .and_then(|tag| tag.parse().ok());
        if let (None, Some(version)) = (weak, version)
            && ETag(version).header_value().as_bytes()[1..=end] == *tag
        {
            versions.push(version);
        }
        rest = after.trim_ascii_start();
        if rest.is_empty() {
            return Some(());
        }
        rest = rest.strip_prefix(b",")?;
    }
}

/// The name under which a caller repeats a request without repeating its effect: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads `Idempotency-Key`, `None` if it is not there.
    ///
    /// # Errors
    /// 400 for one of another form, or two.
    pub fn parse(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = single(headers, "Idempotency-Key")? else {
            return Ok(None);
        };
        let bytes = value.as_bytes();
        if (1..=255).contains(&bytes.len())
            && bytes.iter().all(u8::is_ascii_graphic)
            && let Ok(text) = value.to_str()
        {
            return Ok(Some(Self(text.to_owned())));
        }
        Err(Problem::malformed_header(
            "Idempotency-Key",
            "must be 1 to 255 visible ASCII characters",
        ))
    }

    /// The key as sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why the caller does it, kept with the event: `X-Reason`, at most 500 characters of UTF-8, no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Reads `X-Reason`, `None` if it is not there or blank. Nothing is percent-decoded.
    ///
    /// # Errors
    /// 400 for one that is too long, not UTF-8, or has control characters; or two.
    pub fn parse(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = single(headers, "X-Reason")? else {
            return Ok(None);
        };
        let refuse = |why| Err(Problem::malformed_header("X-Reason", why));
        let Ok(text) = std::str::from_utf8(value.as_bytes()) else {
            return refuse("must be UTF-8");
        };
        let text = text.trim();
        if text.chars().any(char::is_control) {
            return refuse("must not contain control characters");
        }
        if text.chars().count() > 500 {
            return refuse("must have at most 500 characters");
        }
        Ok((!text.is_empty()).then(|| Self(text.to_owned())))
    }

    /// The reason, trimmed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The reason, trimmed.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
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
