//! What a query can do to a handler.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;

use super::*;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Filter {
    page: Option<i64>,
    per_page: Option<u16>,
    search: Option<String>,
    primary: Option<bool>,
    from: Option<NaiveDate>,
    since: Option<DateTime<Utc>>,
    stage: Option<Stage>,
    ids: Vec<i64>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    New,
    Won,
}

#[derive(Debug, Deserialize)]
struct Needed {
    email: String,
}

fn refused(query: &str) -> (String, String) {
    let errors = decode::<Filter>(query).expect_err(query);
    let (field, messages) = errors.iter().next().expect("a field is named");
    (field.to_owned(), messages[0].clone())
}

#[test]
fn right_parameters_pass_and_unknown_ones_do_not_matter() {
    let filter: Filter = decode(
        "page=2&per_page=25&search=a+b%2Bc&primary=true&from=2026-01-31&stage=won&ids=1&ids=2&x=y&x=z",
    )
    .unwrap();
    assert_eq!(
        filter,
        Filter {
            page: Some(2),
            per_page: Some(25),
            search: Some("a b+c".to_owned()),
            primary: Some(true),
            from: NaiveDate::from_ymd_opt(2026, 1, 31),
            since: None,
            stage: Some(Stage::Won),
            ids: vec![1, 2],
        }
    );
}

#[test]
fn empty_parameters_are_absent() {
    for query in ["", "&", "page=&search=&ids=", "page&&search", "=", "=&=="] {
        assert_eq!(decode::<Filter>(query).unwrap(), Filter::default());
    }
    let errors = decode::<Needed>("email=").unwrap_err();
    assert_eq!(errors, FieldErrors::of("email", "is required"));
    assert_eq!(decode::<Needed>("email=a%40b").unwrap().email, "a@b");
}

#[test]
fn a_wrong_value_names_its_parameter() {
    for (query, field, message) in [
        ("page=x", "page", "must be an integer of at most 64 bits"),
        ("page=1.0", "page", "must be an integer of at most 64 bits"),
        (
            "page=9223372036854775808",
            "page",
            "must be an integer of at most 64 bits",
        ),
        (
            "per_page=-1",
            "per_page",
            "must be an integer from 0 to 65535",
        ),
        ("primary=yes", "primary", "must be true or false"),
        ("stage=lost", "stage", "must be one of new, won"),
        ("page=1&page=2", "page", "must be given once"),
        ("search=%ff", "search", "must be UTF-8"),
        ("search=a%00b", "search", NUL_MESSAGE),
        ("unknown=%00", "unknown", NUL_MESSAGE),
        ("%00=1", "query", NUL_MESSAGE),
        (
            "ids=1&ids=x",
            "ids[1]",
            "must be an integer of at most 64 bits",
        ),
    ] {
        assert_eq!(
            refused(query),
            (field.to_owned(), message.to_owned()),
            "{query}"
        );
    }
    for (query, field, form) in [
        ("from=2026-02-30", "from", "a date such as 2026-01-31"),
        (
            "since=2026-11-26",
            "since",
            "an RFC 3339 time such as 2026-01-31T23:59:59Z",
        ),
        (
            "since=x",
            "since",
            "an RFC 3339 time such as 2026-01-31T23:59:59Z",
        ),
    ] {
        assert_eq!(
            refused(query),
            (field.to_owned(), format!("must be {form}"))
        );
    }
}

#[test]
fn a_flood_of_parameters_is_refused() {
    let query = "p=1&".repeat(10_000);
    assert_eq!(refused(&query).0, "query");
}

proptest::proptest! {
    #[test]
    fn no_query_panics(query in r"[a-z=&%+0-9\[\]]{0,60}") {
        drop(decode::<Filter>(&query));
    }
}
