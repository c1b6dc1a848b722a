//! Finds the token in a request's headers.

use axum::http::{HeaderMap, header};

/// The token of `Authorization: Bearer <token>` (the scheme in any case), or a bare `Authorization: <token>`, which the
/// contract accepts too. `None` without the header, with another scheme, or with two such headers, of which the
/// server and a proxy before it might read different ones.
#[must_use]
pub fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?.trim();
    if values.next().is_some() {
        return None;
    }
    let token = match value.split_once([' ', '\t']) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim_start(),
        Some(_) => return None,
        None => value,
    };
    let is_token = !token.is_empty()
        && !token.contains(char::is_whitespace)
        && !token.eq_ignore_ascii_case("bearer");
    is_token.then_some(token)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn token_of(values: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        bearer_token(&headers).map(str::to_owned)
    }

    #[test]
    fn with_and_without_the_scheme() {
        for value in [
            "Bearer a.b.c",
            "bearer a.b.c",
            "BEARER   a.b.c",
            "a.b.c",
            "Bearer a.b.c ",
        ] {
            assert_eq!(token_of(&[value]).as_deref(), Some("a.b.c"), "{value}");
        }
    }

    #[test]
    fn what_is_no_token() {
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Basic YTpi",
            "Bearer a b",
            "Token x",
        ] {
            assert_eq!(token_of(&[value]), None, "{value}");
        }
        assert_eq!(token_of(&[]), None);
        assert_eq!(token_of(&["Bearer a", "Bearer b"]), None);
    }
}
