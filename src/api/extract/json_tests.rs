//! What a body can do to a handler: nothing, unless it is right.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::{Request, StatusCode, header};
use axum::routing::post;
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

#[derive(Debug, Serialize, Deserialize, Validate)]
struct Answer {
    #[garde(length(chars, min = 1))]
    value: String,
}

#[derive(Debug, Serialize, Deserialize, Validate)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Open,
    Won,
}

#[derive(Debug, Serialize, Deserialize, Validate)]
#[garde(allow_unvalidated)]
struct Form {
    #[garde(length(chars, max = 5), ascii)]
    name: String,
    age: Option<i64>,
    small: Option<i32>,
    #[garde(dive)]
    #[serde(default)]
    answers: Vec<Answer>,
    kind: Option<Kind>,
    on: Option<NaiveDate>,
    at: Option<DateTime<Utc>>,
    score: Option<f64>,
    active: Option<bool>,
    extra: Option<Value>,
}

fn app() -> Router {
    Router::new()
        .route("/", post(|Json(form): Json<Form>| async { Json(form) }))
        .route(
            "/optional",
            post(|form: Option<Json<Form>>| async move { Json(form.is_some()) }),
        )
        .layer(DefaultBodyLimit::max(10_000))
}

async fn send(path: &str, content_type: Option<&str>, body: &str) -> (StatusCode, Value) {
    let mut request = Request::post(path);
    if let Some(content_type) = content_type {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = app().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1_000_000).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn refused(body: &str) -> (u16, Value) {
    let (status, answer) = send("/", Some("application/json"), body).await;
    assert!(status.is_client_error(), "{body}: {status}");
    assert_eq!(answer["status"], status.as_u16());
    (status.as_u16(), answer["errors"].clone())
}

#[tokio::test]
async fn a_right_body_is_taken_whatever_its_kind_of_json() {
    for content_type in [
        None,
        Some("application/json"),
        Some("Application/JSON; charset=utf-8"),
        Some("application/merge-patch+json"),
    ] {
        let (status, answer) = send("/", content_type, r#"{"name": "Ada", "unknown": 1}"#).await;
        assert_eq!(
            (status, &answer["name"]),
            (StatusCode::OK, &json!("Ada")),
            "{content_type:?}"
        );
    }
}

#[tokio::test]
async fn another_media_type_is_415() {
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "nonsense",
        "application/jsonx",
    ] {
        let (status, answer) = send("/", Some(content_type), r#"{"name": "Ada"}"#).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        assert_eq!(answer["code"], "unsupported_media_type");
    }
}

#[tokio::test]
async fn an_empty_body_is_422_and_says_so() {
    for body in ["", "  \n"] {
        let (status, errors) = refused(body).await;
        assert_eq!(
            (status, errors),
            (
                422,
                json!({"body": ["is empty; a JSON document is needed"]})
            )
        );
    }
    let (status, _) = send("/", None, "").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn an_optional_body_may_be_empty_but_not_wrong() {
    assert_eq!(send("/optional", None, "").await.1, json!(false));
    assert_eq!(
        send("/optional", Some("text/plain"), "").await.1,
        json!(false)
    );
    assert_eq!(
        send("/optional", None, r#"{"name":"A"}"#).await.1,
        json!(true)
    );
    let (status, _) = send("/optional", None, r#"{"name":7}"#).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn what_is_not_json_is_400() {
    for body in [
        "{",
        "nope",
        r#"{"name": "Ada",}"#,
        r#"{"name": "Ada"} x"#,
        r#"{"name": "\ud800"}"#,
        "{\"name\": \"raw \0 NUL\"}",
        r#"{"name": "Ada", "score": 1e999}"#,
    ] {
        let (status, errors) = refused(body).await;
        assert_eq!(status, 400, "{body}");
        assert!(
            errors["body"][0].as_str().unwrap().contains("line 1"),
            "{errors}"
        );
    }
}

#[tokio::test]
async fn deep_nesting_is_400_and_does_not_overflow_the_stack() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for depth in [127, 1_000] {
            let body = format!(
                r#"{{"name":"A","extra":{}1{}}}"#,
                open.repeat(depth),
                close.repeat(depth)
            );
            assert_eq!(refused(&body).await.0, 400);
        }
    }
    let body = "[".repeat(9_000);
    assert_eq!(refused(&body).await.0, 400);
}

#[tokio::test]
async fn a_wrong_type_is_422_and_names_the_field() {
    for (body, field, message) in [
        (r#"{"name": 7}"#, "name", "must be a string"),
        (r#"{"name": null}"#, "name", "must be a string"),
        (r"{}", "name", "is required"),
        (r"[]", "body", "must be an object"),
        (r"7", "body", "must be an object"),
        (r#""text""#, "body", "must be an object"),
        (r#"{"name":"A","age":"7"}"#, "age", "must be an integer"),
        (r#"{"name":"A","age":1.5}"#, "age", "must be an integer"),
        (
            r#"{"name":"A","small":3000000000}"#,
            "small",
            "must be an integer in range",
        ),
        (r#"{"name":"A","answers":{}}"#, "answers", "must be a list"),
        (
            r#"{"name":"A","answers":[{"value":"x"},{"value":7}]}"#,
            "answers[1].value",
            "must be a string",
        ),
        (
            r#"{"name":"A","answers":[{}]}"#,
            "answers[0].value",
            "is required",
        ),
        (
            r#"{"name":"A","kind":"lost"}"#,
            "kind",
            "must be one of open or won",
        ),
        (
            r#"{"name":"A","on":7}"#,
            "on",
            "must be a date such as 2026-01-31",
        ),
        (
            r#"{"name":"A","at":7}"#,
            "at",
            "must be an RFC 3339 time such as 2026-01-31T23:59:59Z",
        ),
        (r#"{"name":"A","score":"x"}"#, "score", "must be a number"),
        (
            r#"{"name":"A","active":1}"#,
            "active",
            "must be true or false",
        ),
    ] {
        assert_eq!(
            refused(body).await,
            (422, json!({field: [message]})),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_text_that_is_no_date_or_time_is_422_and_told_the_form() {
    for (field, value, form) in [
        ("on", "2026-02-30", "a date such as 2026-01-31"),
        ("on", "", "a date such as 2026-01-31"),
        (
            "at",
            "2026-11-26",
            "an RFC 3339 time such as 2026-01-31T23:59:59Z",
        ),
        (
            "at",
            "x, expected",
            "an RFC 3339 time such as 2026-01-31T23:59:59Z",
        ),
    ] {
        let body = json!({"name": "A", field: value});
        let (status, errors) = refused(&body.to_string()).await;
        assert_eq!(status, 422);
        assert_eq!(errors, json!({field: [format!("must be {form}")]}));
    }
}

#[tokio::test]
async fn numbers_beyond_64_bits_are_422_wherever_they_are() {
    for number in [
        "9223372036854775808",
        "18446744073709551616",
        "-9223372036854775809999",
        "1e300",
    ] {
        for (body, field) in [
            (format!(r#"{{"name":"A","age":{number}}}"#), "age"),
            (
                format!(r#"{{"name":"A","extra":[{{"n":{number}}}]}}"#),
                "extra[0].n",
            ),
        ] {
            assert_eq!(
                refused(&body).await,
                (
                    422,
                    json!({field: ["must be a number that fits in 64 bits"]})
                )
            );
        }
    }
    let (status, answer) = send("/", None, r#"{"name":"A","age":-9223372036854775808}"#).await;
    assert_eq!((status, &answer["age"]), (StatusCode::OK, &json!(i64::MIN)));
}

#[tokio::test]
async fn a_nul_character_is_422_wherever_it_is() {
    for (body, field) in [
        (r#"{"name":"a\u0000b"}"#, "name"),
        (
            r#"{"name":"A","extra":{"deep":["\u0000"]}}"#,
            "extra.deep[0]",
        ),
        (r#""\u0000""#, "body"),
    ] {
        assert_eq!(refused(body).await, (422, json!({field: [NUL_MESSAGE]})));
    }
    let (status, errors) = refused(r#"{"name":"A","extra":{"\u0000":1}}"#).await;
    assert_eq!(status, 422);
    assert!(errors["extra"].is_array(), "{errors}");
}

#[tokio::test]
async fn every_broken_rule_is_reported_under_its_field() {
    let (status, errors) =
        refused(r#"{"name":"длинное","answers":[{"value":"x"},{"value":""}]}"#).await;
    assert_eq!(status, 422);
    assert_eq!(errors["name"].as_array().unwrap().len(), 2, "{errors}");
    assert_eq!(errors["answers[1].value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_answer_to_a_hostile_body_stays_short() {
    let body = format!(
        r#"{{"name":"A","extra":[{}1]}}"#,
        r#""\u0000","#.repeat(1_000)
    );
    let (status, errors) = refused(&body).await;
    assert_eq!(
        (status, errors.as_object().unwrap().len()),
        (422, MAX_ERRORS)
    );
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let body = format!(r#"{{"name":"{}"}}"#, "a".repeat(20_000));
    let (status, answer) = send("/", None, &body).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer["code"], "too_large");
}

proptest::proptest! {
    #[test]
    fn no_bytes_whatever_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        drop(decode::<Form>(&body));
    }

    #[test]
    fn no_json_like_text_panics(body in r#"[\[\]{}",:0-9eE.\-a-z\\ntu]{0,60}"#) {
        drop(decode::<Form>(body.as_bytes()));
    }
}
