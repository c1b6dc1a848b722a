//! HTTP: what every dialect shares. A dialect's requests, answers and error bodies live in its own folder and never
//! here; so does SQL, which has no place under `api` at all.

pub mod caller;
pub mod docs;
pub mod extract;
pub mod field_errors;
pub mod idempotency;
pub mod layers;
pub mod operations;
pub mod preconditions;
pub mod problem;
pub mod v1;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// The largest body that an operation takes, unless it says otherwise: 2 MiB.
const BODY_LIMIT: usize = 2 * 1024 * 1024;

/// Every operation of every dialect, with the document that describes them.
pub fn routes() -> (Router<App>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(docs::frame())
        .merge(v1::routes())
        .merge(operations::routes())
        .split_for_parts()
}

/// The whole HTTP service.
pub fn service(app: App) -> Router {
    let (routes, document) = routes();
    routes
        .merge(docs::routes(document))
        .fallback(|| async { problem::Problem::unknown_path() })
        .method_not_allowed_fallback(|| async { problem::Problem::method_not_allowed() })
        .layer(middleware::from_fn_with_state(
            app.clone(),
            idempotency::replay_or_run,
        ))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn(layers::wrap))
        .with_state(app)
}
