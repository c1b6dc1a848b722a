//! What a path can do to a handler.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

#[derive(Deserialize)]
struct Both {
    company_id: i64,
    code: String,
}

async fn call(uri: &str) -> (u16, Value) {
    let app =
        Router::new()
            .route(
                "/leads/{lead_id}",
                get(|Path(id): Path<i64>| async move { id.to_string() }),
            )
            .route(
                "/companies/{company_id}/leads/{lead_id}",
                get(|Path((a, b)): Path<(i64, i64)>| async move { (a + b).to_string() }),
            )
            .route(
                "/companies/{company_id}/codes/{code}",
                get(|Path(both): Path<Both>| async move {
                    format!("\"{}{}\"", both.company_id, both.code)
                }),
            );
    let request = Request::get(uri).body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 10_000).await.unwrap();
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    if status == StatusCode::OK {
        (200, answer)
    } else {
        assert_eq!(answer["code"], "malformed_path", "{answer}");
        (status.as_u16(), answer["errors"].clone())
    }
}

#[tokio::test]
async fn right_parameters_pass() {
    assert_eq!(call("/leads/7").await, (200, json!(7)));
    assert_eq!(call("/companies/1/leads/2").await, (200, json!(3)));
    assert_eq!(call("/companies/1/codes/a%20b").await, (200, json!("1a b")));
}

#[tokio::test]
async fn a_wrong_parameter_is_400_and_named() {
    let integer = "must be an integer of at most 64 bits";
    for (uri, field, message) in [
        ("/leads/abc", "lead_id", integer),
        ("/leads/1.5", "lead_id", integer),
        ("/leads/9223372036854775808", "lead_id", integer),
        ("/leads/%F0%9F%92%A9", "lead_id", integer),
        ("/companies/1/leads/x", "lead_id", integer),
        ("/companies/x/leads/2", "company_id", integer),
        ("/companies/x/codes/2", "company_id", integer),
        ("/companies/1/codes/%ff", "code", "must be UTF-8"),
        ("/companies/1/codes/a%00b", "code", NUL_MESSAGE),
        ("/leads/%00", "lead_id", NUL_MESSAGE),
    ] {
        assert_eq!(call(uri).await, (400, json!({field: [message]})), "{uri}");
    }
}
