//! Whatever happens inside, a client sees one shape and finds its request again.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::api::extract::Json;

fn routes() -> Router {
    Router::new()
        .route("/ok", get(|| async { Json("fine") }))
        .route(
            "/id",
            get(|id: RequestId| async move { id.as_str().to_owned() }),
        )
        .route("/panic", get(panics))
        .route(
            "/slow",
            get(|| async { tokio::time::sleep(Duration::from_secs(60)).await }),
        )
        .route(
            "/fault",
            get(|| async { Problem::internal(anyhow::anyhow!("secret")) }),
        )
        .route(
            "/text",
            get(|| async { (StatusCode::BAD_REQUEST, "plain") }),
        )
        .route("/bare", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route(
            "/own",
            get(|| async { (StatusCode::CONFLICT, Json("mine")) }),
        )
        .route("/body", post(|body: String| async move { body }))
        .route(
            "/stored",
            get(|| async { ([(header::CACHE_CONTROL, "max-age=60")], "kept") }),
        )
}

async fn panics() -> StatusCode {
    panic!("a literal")
}

fn app(layers: Layers) -> Router {
    wrap(routes(), layers)
}

async fn send(app: Router, request: axum::http::request::Builder, body: Vec<u8>) -> Answer {
    let request = request.body(Body::from(body)).unwrap();
    let response = app.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 10_000_000).await.unwrap();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(problem["status"], self.status);
        for member in ["type", "title", "detail", "code", "instance"] {
            assert!(problem[member].is_string(), "{member} in {problem}");
        }
        let instance = format!("/requests/{}", self.header("x-request-id"));
        assert_eq!(problem["instance"], instance);
        problem
    }
}

async fn get_from(layers: Layers, path: &str) -> Answer {
    send(app(layers), Request::get(path), Vec::new()).await
}

fn layers() -> Layers {
    Layers::new(Clock::system())
}

#[tokio::test(start_paused = true)]
async fn every_refusal_is_a_problem() {
    for (path, status, code) in [
        ("/nowhere", 404, "unknown_path"),
        ("/panic", 500, "internal"),
        ("/slow", 503, "timed_out"),
        ("/fault", 500, "internal"),
        ("/text", 400, "refused"),
        ("/bare", 503, "unavailable"),
    ] {
        let answer = get_from(layers(), path).await;
        assert_eq!(answer.status, status, "{path}");
        let problem = answer.problem();
        assert_eq!(problem["code"], code, "{path}");
        assert!(!answer.text.contains("secret"), "{problem}");
        if status == 503 {
            assert_eq!(answer.header("retry-after"), "1");
        }
    }
}

#[tokio::test]
async fn a_wrong_method_is_a_problem_and_keeps_its_allow() {
    let answer = send(app(layers()), Request::delete("/body"), Vec::new()).await;
    assert_eq!(answer.problem()["code"], "method_not_allowed");
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn what_is_too_large_is_a_problem_also_from_anothers_extractor() {
    let body = vec![b'a'; BODY_LIMIT + 1];
    let answer = send(app(layers()), Request::post("/body"), body).await;
    assert_eq!(
        (answer.status, answer.problem()["code"].as_str()),
        (413, Some("too_large"))
    );
    let answer = send(
        app(layers()),
        Request::post("/body"),
        vec![b'a'; BODY_LIMIT],
    )
    .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_handlers_own_error_body_stays() {
    let answer = get_from(layers(), "/own").await;
    assert_eq!((answer.status, answer.text.as_str()), (409, "\"mine\""));
}

#[tokio::test]
async fn a_request_id_goes_round() {
    let request = Request::get("/id").header("X-Request-Id", "mine-1");
    let answer = send(app(layers()), request, Vec::new()).await;
    assert_eq!(
        (answer.text.as_str(), answer.header("x-request-id")),
        ("mine-1", "mine-1")
    );

    let request = Request::get("/id").header("X-Request-Id", "no good");
    let answer = send(app(layers()), request, Vec::new()).await;
    assert_ne!(answer.text, "no good");
    assert_eq!(answer.text, answer.header("x-request-id"));
}

#[tokio::test]
async fn answers_are_not_to_be_stored_or_sniffed_unless_they_say_so() {
    let answer = get_from(layers(), "/ok").await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("content-security-policy").contains("'none'"));
    let answer = get_from(layers(), "/stored").await;
    assert_eq!(answer.header("cache-control"), "max-age=60");
}

#[tokio::test]
async fn another_dialect_words_its_own_refusals() {
    let other = layers().with_dialect(|path, problem| {
        let body = serde_json::json!({ "statusCode": problem.status().as_u16() });
        path.starts_with("/users/")
            .then(|| (problem.status(), axum::Json(body)).into_response())
    });
    let answer = get_from(other.clone(), "/users/x/y").await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (404, r#"{"statusCode":404}"#)
    );
    assert!(!answer.header("x-request-id").is_empty());
    assert_eq!(
        get_from(other, "/nowhere").await.problem()["code"],
        "unknown_path"
    );
}

#[tokio::test]
async fn a_head_request_is_answered_like_its_get() {
    let answer = send(app(layers()), Request::head("/nowhere"), Vec::new()).await;
    assert_eq!(answer.status, 404);
    let answer = send(app(layers()), Request::head("/ok"), Vec::new()).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
}
