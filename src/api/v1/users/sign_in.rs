//! Signing in with e-mail and password, and asking whether a token still holds. How tokens are made and read is in `auth`.

use aggregates::email::Email;
use aggregates::ids::UserId;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use garde::Validate;
use projections::users::list;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::one;
use super::view::{UserEnvelope, UserView};
use crate::api::caller::{Anonymous, Caller};
use crate::api::extract::Json;
use crate::api::problem::Problem;
use crate::app::App;
use crate::auth::token::Session;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(validate_jwt))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct Credentials {
    #[garde(skip)]
    #[schema(example = "user@example.com")]
    email: String,
    #[garde(length(max = 1000))]
    password: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct LoginAnswer {
    token: String,
    expires_at: DateTime<Utc>,
    user: UserView,
}

/// Login into the application
///
/// A wrong e-mail and a wrong password cannot be told apart.
#[utoipa::path(post, path = "/users/login", tag = "Users", request_body = Credentials,
    responses((status = 200, description = "User logged in successfully", body = LoginAnswer),
        (status = 401, description = "Wrong e-mail or password")))]
async fn login(
    State(app): State<App>,
    // Nothing is kept of a sign-in; the headers of a write are held to their form all the same.
    _: Anonymous,
    Json(body): Json<Credentials>,
) -> Result<Json<LoginAnswer>, Problem> {
    let email = Email::parse(&body.email).ok();
    let mut connection = app.pool.acquire().await?;
    let known = match &email {
        Some(email) => list::credentials(&mut connection, email.as_str()).await?,
        None => None,
    };
    // The hash takes long: nobody else should wait for this connection meanwhile.
    drop(connection);
    let hash = known.as_ref().and_then(|(_, hash, _)| hash.clone());
    let matches = app.passwords.verify(body.password, hash).await?;
    let wrong = || {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "wrong_credentials",
            "The e-mail or the password is wrong.",
        )
    };
    let (id, _, epoch) = known.filter(|_| matches).ok_or_else(wrong)?;
    let user_id = UserId(id);
    let (token, expires_at) = app.tokens.issue(Session { user_id, epoch });
    let mut connection = app.pool.acquire().await?;
    let row = list::by_id(&mut connection, user_id)
        .await?
        .ok_or_else(wrong)?;
    Ok(Json(LoginAnswer {
        token,
        expires_at,
        user: row.into(),
    }))
}

/// Validate JWT
#[utoipa::path(get, path = "/users/validate_jwt", tag = "Users", security(("bearer" = [])),
    responses((status = 200, description = "JWT is valid", body = UserEnvelope), (status = 401, description = "No or bad token")))]
async fn validate_jwt(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    one(&app, &caller, caller.user_id).await
}
