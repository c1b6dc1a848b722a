//! What operators ask: is it alive, is it ready, what does it measure.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use crate::app::App;
use crate::checkpoint_key_command::listed;
use crate::ledger::checkpoints;

/// The operators' operations.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metrics))
        .routes(routes!(checkpoint_keys))
}

/// The process runs.
#[utoipa::path(get, path = "/health/live", tag = "Operations", responses((status = 200, description = "Alive")))]
async fn live() -> StatusCode {
    StatusCode::OK
}

/// It can serve: the database answers.
#[utoipa::path(get, path = "/health/ready", tag = "Operations",
    responses((status = 200, description = "Ready"), (status = 503, description = "The database is away")))]
async fn ready(State(app): State<App>) -> Response {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
    match tokio::time::timeout(PATIENCE, app.is_ready()).await {
        Ok(true) => StatusCode::OK.into_response(),
        _ => Problem::unavailable(1).into_response(),
    }
}

/// Keys that sign checkpoints of the ledger, a line each: the key (C2SP `signed-note`), since when, until when.
#[utoipa::path(get, path = "/.well-known/leadledger-checkpoint-keys", tag = "Operations",
    responses((status = 200, description = "The keys", content_type = "text/plain", body = String)))]
async fn checkpoint_keys(State(app): State<App>) -> Result<String, Problem> {
    let mut connection = app.pool.acquire().await?;
    Ok(listed(&checkpoints::keys(&mut connection).await?))
}

/// Prometheus metrics.
#[utoipa::path(get, path = "/metrics", tag = "Operations",
    responses((status = 200, description = "Prometheus text format", content_type = "text/plain", body = String)))]
async fn metrics(State(app): State<App>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        app.metrics.render(),
    )
}
