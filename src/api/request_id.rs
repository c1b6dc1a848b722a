//! The name of one request, the same in the answer, the log and the ledger's metadata.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::Problem;
use crate::clock::Clock;

/// The header that carries it, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id: the caller's `X-Request-Id` if it is 1 to 64 of letters, digits, `_` and `-`, else a new
/// uuid v7. Handlers take it as an argument. Cloning does not allocate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes over the caller's id, or makes one.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, clock: &Clock) -> Self {
        match headers.get(X_REQUEST_ID) {
            Some(given) if is_sane(given.as_bytes()) => Self(given.clone()),
            _ => {
                let mut buffer = uuid::Uuid::encode_buffer();
                let text = clock.new_id().hyphenated().encode_lower(&mut buffer);
                Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown")))
            }
        }
    }

    /// The id as text; safe in a URI, a log and a header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as the answer's header.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Whatever else a caller sends could forge lines in a log, or fill it, or be an e-mail: it stays with every event of the request,
/// unsealed.
fn is_sane(id: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&id.len()) && id.iter().all(allowed)
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Problem::internal(anyhow::anyhow!("the router is not wrapped in its layers"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const TOO_LONG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdefg";

    fn id_for(given: Option<&'static str>) -> RequestId {
        let mut headers = HeaderMap::new();
        if let Some(given) = given {
            headers.insert(X_REQUEST_ID, HeaderValue::from_static(given));
        }
        RequestId::from_headers(&headers, &Clock::system())
    }

    #[test]
    fn a_sane_id_is_taken_over() {
        assert_eq!(id_for(Some("Abc-1__9")).as_str(), "Abc-1__9");
        assert_eq!(id_for(Some(LONGEST)).as_str(), LONGEST);
    }

    #[test]
    fn any_other_is_replaced_by_a_uuid_of_version_7() {
        let others = ["", "a b", "a\"b", "a/../b", "ana.ruiz", "ana@x", TOO_LONG];
        for given in std::iter::once(None).chain(others.map(Some)) {
            let id = id_for(given);
            let uuid: uuid::Uuid = id.as_str().parse().unwrap();
            assert_eq!(uuid.get_version_num(), 7, "{given:?}");
        }
    }
}
