//! What operators and orchestrators ask: is it alive, is it ready, what are its numbers. None of it needs a token and
//! none of it shows data; whoever exposes the server decides who may reach it.

use std::future::Future;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use super::problem::Problem;

/// `GET /health/live`: 200 as long as the process answers. `GET /health/ready`: 200 if `is_ready` says so, else 503
/// with `Retry-After`. `is_ready` is asked for each request and should answer within a second.
pub fn health<S, F, R>(is_ready: F) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = bool> + Send,
{
    let ready = || async move {
        if is_ready().await {
            status("ready")
        } else {
            Problem::unavailable(1).into_response()
        }
    };
    Router::new()
        .route("/health/live", get(|| async { status("live") }))
        .route("/health/ready", get(ready))
}

/// `GET /metrics` in the Prometheus text format.
pub fn metrics<S: Clone + Send + Sync + 'static>(handle: PrometheusHandle) -> Router<S> {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let render = || async move { ([(header::CONTENT_TYPE, TEXT)], handle.render()) };
    Router::new().route("/metrics", get(render))
}

fn status(word: &'static str) -> Response {
    axum::Json(serde_json::json!({ "status": word })).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt;

    use super::*;

    async fn get_text(router: Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 100_000).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_follows_the_check_and_live_does_not() {
        for (up, expected) in [
            (true, StatusCode::OK),
            (false, StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let app: Router = health(move || async move { up });
            assert_eq!(get_text(app.clone(), "/health/ready").await.0, expected);
            assert_eq!(get_text(app, "/health/live").await.0, StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn requests_are_counted_by_template_and_timed_in_buckets() {
        let recorder = crate::observability::recorder().unwrap();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            let metrics = crate::api::http_metrics::HttpMetrics::new();
            for _ in 0..3 {
                metrics.record(
                    &axum::http::Method::GET,
                    "/leads/{lead_id}",
                    StatusCode::OK,
                    std::time::Duration::from_millis(3),
                );
            }
        });
        let (_, text) = get_text(metrics(handle), "/metrics").await;
        let labels = r#"method="GET",path="/leads/{lead_id}",status="2xx""#;
        for line in [
            format!("http_requests_total{{{labels}}} 3"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"0.005\"}} 3"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"0.0025\"}} 0"),
            format!("http_request_duration_seconds_count{{{labels}}} 3"),
        ] {
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
    }
}
