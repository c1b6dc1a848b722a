//! Forms that callers send, right and wrong.

use super::*;

fn headers(name: &'static str, values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn if_match(value: &str) -> Result<IfMatch, Problem> {
    IfMatch::of(&headers("if-match", &[value.as_bytes()]))
}

#[test]
fn a_tag_that_was_answered_matches_its_version_again() {
    let sent = etag(7);
    assert_eq!(sent, "\"7\"");
    let expected = IfMatch::of(&headers("if-match", &[sent.as_bytes()])).unwrap();
    assert_eq!(expected, IfMatch::OneOf(vec![7]));
}

#[test]
fn lists_stars_and_absence() {
    assert_eq!(IfMatch::of(&HeaderMap::new()).unwrap(), IfMatch::Any);
    assert_eq!(if_match("*").unwrap(), IfMatch::Any);
    assert_eq!(
        if_match(r#""1", "2","3""#).unwrap(),
        IfMatch::OneOf(vec![1, 2, 3])
    );
    let twice = headers("if-match", &[b"\"1\"", b"\"2\""]);
    assert_eq!(IfMatch::of(&twice).unwrap(), IfMatch::OneOf(vec![1, 2]));
}

#[test]
fn weak_and_foreign_tags_never_match() {
    for value in [
        r#"W/"7""#,
        r#""abc""#,
        r#""""#,
        r#""07""#,
        r#""+7""#,
        "\"99999999999999999999\"",
    ] {
        assert_eq!(if_match(value).unwrap(), IfMatch::OneOf(vec![]), "{value}");
    }
    assert_eq!(if_match(r#""a,b", "7""#).unwrap(), IfMatch::OneOf(vec![7]));
}

#[test]
fn what_is_no_list_of_tags_is_400_and_names_the_header() {
    for value in [
        "", "7", "\"7", "7\"", "\"7\"8", "\"7\",", ",\"7\"", "*, \"7\"", "w/\"7\"",
    ] {
        let problem = if_match(value).expect_err(value);
        assert_eq!(
            (problem.status().as_u16(), problem.code()),
            (400, "malformed_header")
        );
        assert_eq!(
            problem.errors().unwrap().iter().next().unwrap().0,
            "If-Match"
        );
    }
    assert!(if_match(&vec!["\"1\""; 33].join(",")).is_err());
}

#[test]
fn an_idempotency_key_is_visible_ascii() {
    let parse = |value: &[u8]| {
        idempotency_key(&headers("idempotency-key", &[value])).map(|key| key.map(str::to_owned))
    };
    assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
    assert_eq!(parse(b"a-1").unwrap().unwrap(), "a-1");
    assert!(parse(&[b'x'; 255]).is_ok());
    for bad in [&b""[..], b"a b", "é".as_bytes(), &[b'x'; 256], b"\t"] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
    assert!(idempotency_key(&headers("idempotency-key", &[b"a", b"a"])).is_err());
}

#[test]
fn a_reason_is_utf_8_without_control_characters() {
    let parse = |value: &[u8]| reason(&headers("x-reason", &[value]));
    assert_eq!(
        parse("  Kunde rief an – täglich  ".as_bytes())
            .unwrap()
            .unwrap()
            .as_str(),
        "Kunde rief an – täglich"
    );
    assert_eq!(parse(b"a%20b").unwrap().unwrap(), "a%20b");
    assert_eq!(parse(b"  ").unwrap(), None);
    assert!(parse("ä".repeat(500).as_bytes()).is_ok());
    for bad in [
        "ä".repeat(501).as_bytes(),
        b"\xff",
        b"a\tb",
        "a\u{85}b".as_bytes(),
    ] {
        let problem = parse(bad).expect_err("refused");
        assert_eq!(
            problem.errors().unwrap().iter().next().unwrap().0,
            "X-Reason"
        );
    }
}
