//! Providers: what a user can be known by. Showing, linking and unlinking.

use aggregates::ids::{ProviderId, UserId};
use aggregates::user::providers::ProviderCommand;
use aggregates::user::{User, UserCommand};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use garde::Validate;
use projections::providers::{self, ProviderRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::users;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, Refusal, StreamKey, StreamKind};
use crate::providers::{Identity, IdentityError};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_providers, link_provider))
        .routes(routes!(unlink_provider))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct NewProvider {
    /// A provider of this installation, such as `google`.
    #[garde(length(max = 100))]
    provider: String,
    /// The identity token that the provider issued for this installation.
    #[garde(length(max = 10_000))]
    id_token: String,
}

/// The password (its id is 0), or a linked identity.
#[derive(Debug, Serialize, ToSchema)]
struct ProviderView {
    id: i64,
    provider: String,
    uid: Option<String>,
    email: Option<String>,
    created_at: DateTime<Utc>,
}

impl From<ProviderRow> for ProviderView {
    fn from(row: ProviderRow) -> Self {
        Self {
            id: row.id,
            provider: row.provider,
            uid: row.uid,
            email: row.email,
            created_at: row.created_at,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct ProviderList {
    providers: Vec<ProviderView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ProviderEnvelope {
    provider: ProviderView,
}

/// Show providers for a user
///
/// Users see their own; the platform owner sees everybody's.
#[utoipa::path(get, path = "/users/{user_id}/providers", tag = "User Providers", security(("bearer" = [])), params(("user_id" = i64, Path)),
    responses((status = 200, description = "List of providers", body = ProviderList), (status = 401, description = "No or bad token"),
        (status = 403, description = "Somebody else"), (status = 404, description = "No such user")))]
async fn list_providers(
    State(app): State<App>,
    caller: Caller,
    Path(user_id): Path<i64>,
) -> Result<Json<ProviderList>, Problem> {
    users::require_visible(&app, &caller, UserId(user_id)).await?;
    if user_id != caller.user_id.get() && !caller.authority.platform_owner {
        return Err(Problem::forbidden("These providers are somebody else's."));
    }
    let mut connection = app.pool.acquire().await?;
    let rows = providers::of_user(&mut connection, UserId(user_id)).await?;
    Ok(Json(ProviderList {
        providers: rows.into_iter().map(ProviderView::from).collect(),
    }))
}

/// Link an identity
///
/// Only one's own, proved by an identity token of a provider that the installation is configured for.
#[utoipa::path(post, path = "/users/{user_id}/providers", tag = "User Providers", security(("bearer" = [])), params(("user_id" = i64, Path)),
    request_body = NewProvider,
    responses((status = 201, description = "Linked", body = ProviderEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Somebody else"), (status = 404, description = "No such user"),
        (status = 422, description = "Unknown provider, bad token, or another user's identity")))]
async fn link_provider(
    State(app): State<App>,
    caller: Caller,
    Path(user_id): Path<i64>,
    Json(body): Json<NewProvider>,
) -> Result<Response, Problem> {
    require_oneself(&app, &caller, user_id).await?;
    let now = app.clock.now();
    let identity = app
        .issuers
        .verify(&body.provider, &body.id_token, now)
        .await;
    let Identity { uid, email } = identity.map_err(|error| match error {
        IdentityError::UnknownProvider => FieldErrors::of("provider", error.to_string()).into(),
        IdentityError::InvalidToken => FieldErrors::of("id_token", error.to_string()).into(),
        IdentityError::Unavailable => Problem::unavailable(60),
    })?;
    let claim = app.ledger.provider_claim(&body.provider, &uid);
    let (taken, provider) = (claim.clone(), body.provider);
    let work = caller
        .work(move |unit| {
            unit.claim(&taken, user_id, Refusal::IdentityTaken)?;
            if let Some(linked) = unit.state::<User>(user_id).linked(&provider, &uid) {
                return Ok(linked.get());
            }
            let provider_id = ProviderId(unit.next_id(IdKind::Provider));
            let link = ProviderCommand::LinkProvider {
                provider_id,
                provider: provider.clone(),
                uid: uid.clone(),
                email: email.clone(),
            };
            unit.execute::<User>(user_id, UserCommand::Provide(link))?;
            Ok(provider_id.get())
        })
        .claiming(claim)
        .on(StreamKey::new(StreamKind::User, user_id));
    let committed = app.ledger.commit(work).await?;
    let mut connection = app.pool.acquire().await?;
    let mut rows = providers::of_user(&mut connection, UserId(user_id)).await?;
    rows.retain(|row| row.id == committed.resource_id);
    // Another request may have unlinked it since.
    let row = rows.pop().ok_or_else(|| Problem::not_found("provider"))?;
    let provider = row.into();
    let answer = Json(ProviderEnvelope { provider });
    Ok((StatusCode::CREATED, answer).into_response())
}

/// Unlink an identity
#[utoipa::path(delete, path = "/users/{user_id}/providers/{id}", tag = "User Providers", security(("bearer" = [])),
    params(("user_id" = i64, Path), ("id" = i64, Path)),
    responses((status = 200, description = "Unlinked", body = Object), (status = 401, description = "No or bad token"),
        (status = 403, description = "Somebody else"), (status = 404, description = "No such user or provider")))]
async fn unlink_provider(
    State(app): State<App>,
    caller: Caller,
    Path((user_id, id)): Path<(i64, i64)>,
) -> Result<Json<serde_json::Value>, Problem> {
    require_oneself(&app, &caller, user_id).await?;
    let stream = StreamKey::new(StreamKind::User, user_id);
    let work = caller
        .work(move |unit| {
            let provider_id = ProviderId(id);
            let unlink = ProviderCommand::UnlinkProvider { provider_id };
            unit.execute::<User>(user_id, UserCommand::Provide(unlink))?;
            Ok(id)
        })
        .on(stream);
    app.ledger.commit(work).await?;
    Ok(Json(serde_json::json!({})))
}

async fn require_oneself(app: &App, caller: &Caller, user_id: i64) -> Result<(), Problem> {
    users::require_visible(app, caller, UserId(user_id)).await?;
    if user_id == caller.user_id.get() {
        Ok(())
    } else {
        Err(Problem::forbidden(
            "Nobody links identities for somebody else.",
        ))
    }
}
