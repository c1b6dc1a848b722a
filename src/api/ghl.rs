//! The Users API of the GoHighLevel (LeadConnector) dialect, for clients that only change their base URL and token.
//!
//! Served at `/users…` and `/v3/users…`. Its requests, answers and error bodies live here and nowhere else; users, roles and
//! the ledger are the same as everywhere. `docs/gohighlevel.md` says how the dialect's words map onto ours.

mod account;
mod bodies;
mod client;
mod create_user;
mod delete_user;
mod error;
mod fields;
mod reach;
mod search_users;
mod update_user;
mod user_view;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub use error::{ErrorBody, translate};

/// Every operation, under both prefixes, with and without the slash after the collection. Described once.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    let described = OpenApiRouter::new()
        .routes(routes!(search_users::search_users))
        .routes(routes!(search_users::filter_users_by_email))
        .routes(routes!(
            user_view::get_user,
            update_user::update_user,
            delete_user::delete_user
        ))
        .routes(routes!(
            create_user::create_user,
            search_users::list_users_of_location
        ));
    let (router, document) = described.split_for_parts();
    let collection = get(search_users::list_users_of_location).post(create_user::create_user);
    let router = router
        .route("/users", collection)
        .layer(from_fn(client::tell_allowance));
    let both = Router::new().merge(router.clone()).nest("/v3", router);
    OpenApiRouter::with_openapi(document).merge(OpenApiRouter::from(both))
}
