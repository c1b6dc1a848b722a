//! HTTP: what every dialect shares. A dialect's requests, answers and error bodies live in its own folder and never
//! here; so does SQL, which has no place under `api` at all.

pub mod caller;
pub mod client_address;
pub mod docs;
pub mod extract;
pub mod field_errors;
pub mod ghl;
pub mod http_metrics;
pub mod idempotency;
pub mod layers;
pub mod look_back;
mod meta;
pub mod operations;
pub mod optimistic;
pub mod preconditions;
pub mod problem;
mod read_log;
pub mod request_id;
pub mod role_changes;
pub mod token_scopes;
pub mod v1;

use axum::Router;
use axum::middleware;
use utoipa_axum::router::OpenApiRouter;

use self::layers::Layers;
use self::look_back::LookBack;
use crate::app::App;

/// Every operation of every dialect, with the document that describes them.
pub fn routes() -> (Router<App>, utoipa::openapi::OpenApi) {
    let (routes, collected) = OpenApiRouter::new()
        .merge(v1::routes())
        .merge(ghl::routes())
        .merge(operations::routes())
        .split_for_parts();
    (routes, docs::describe(collected))
}

/// The whole HTTP service.
pub fn service(app: App) -> Router {
    let (routes, document) = routes();
    let looking = LookBack::new(app.clone(), v1::routes().split_for_parts().0);
    let past = middleware::from_fn_with_state(looking, look_back::look_back);
    let once = middleware::from_fn_with_state(app.clone(), idempotency::replay_or_run);
    let routes = routes
        .merge(docs::routes(&document))
        .layer(past)
        .layer(once);
    let layers = Layers::new(app.clock.clone()).with_dialect(ghl::translate);
    let client = middleware::from_fn_with_state(app.proxies.clone(), client_address::of_the_client);
    layers::wrap(routes, layers).layer(client).with_state(app)
}
