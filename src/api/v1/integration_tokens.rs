//! Integration tokens of a company: create, list, revoke. The token itself is shown once, in the answer that made it.

use aggregates::access::Right;
use aggregates::company::integration_token::{NewIntegrationToken, TokenName, TokenScope};
use aggregates::company::{Company, CompanyCommand};
use aggregates::ids::{CompanyId, IntegrationTokenId};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use garde::Validate;
use projections::integration_tokens::{self, IntegrationTokenRow};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::nothing::Nothing;
use super::pages::{Meta, PageQuery};
use super::users::checked;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::IfMatch;
use crate::api::problem::Problem;
use crate::app::App;
use crate::auth::integration_token;
use crate::ledger::{IdKind, StreamKey, StreamKind};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_integration_token, list_integration_tokens))
        .routes(routes!(revoke_integration_token))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct NewToken {
    /// 1 to 100 characters.
    #[garde(skip)]
    name: Option<String>,
    /// What the token may do: a resource with `.readonly` or `.write`.
    #[garde(length(min = 1, max = 50))]
    #[schema(example = json!(["users.readonly", "users.write"]))]
    scopes: Vec<String>,
    /// When it ends by itself; never, when absent.
    #[garde(skip)]
    expires_at: Option<DateTime<Utc>>,
}

impl NewToken {
    fn check(self, now: DateTime<Utc>) -> Result<NewIntegrationToken, FieldErrors> {
        let mut errors = FieldErrors::default();
        let name = self
            .name
            .and_then(|name| checked(&mut errors, "name", TokenName::parse(&name)));
        let mut scopes = Vec::new();
        for (n, scope) in self.scopes.iter().enumerate() {
            let field = format!("scopes[{n}]");
            scopes.extend(checked(&mut errors, &field, TokenScope::parse(scope)));
        }
        scopes.sort_unstable();
        scopes.dedup();
        if self.expires_at.is_some_and(|end| end <= now) {
            errors.add("expires_at", "must be in the future");
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(NewIntegrationToken {
            integration_token_id: IntegrationTokenId(0),
            name,
            scopes,
            token_hash: String::new(),
            expires_at: self.expires_at,
        })
    }
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
struct IntegrationTokenView {
    id: i64,
    company_id: i64,
    name: Option<String>,
    scopes: Vec<String>,
    expires_at: Option<DateTime<Utc>>,
    /// To the minute.
    last_used_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    /// Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "pit-9f0c9a52-4b6d-4a35-9a55-0e5a3d6c7b21")]
    token: Option<String>,
}

impl From<IntegrationTokenRow> for IntegrationTokenView {
    fn from(row: IntegrationTokenRow) -> Self {
        Self {
            id: row.id,
            company_id: row.company_id,
            name: row.name,
            scopes: row.scopes,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            created_at: row.created_at,
            token: None,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct IntegrationTokenEnvelope {
    integration_token: IntegrationTokenView,
}

#[derive(Debug, Serialize, ToSchema)]
struct IntegrationTokenList {
    integration_tokens: Vec<IntegrationTokenView>,
    meta: Meta,
}

/// Create an integration token of a company
///
/// It acts as an administrator of the company and those below, within its scopes. The answer is the only one that shows it.
#[utoipa::path(post, path = "/companies/{company_id}/integration_tokens", tag = "Integration Tokens", security(("bearer" = [])),
    params(("company_id" = i64, Path)), request_body = NewToken,
    responses((status = 201, description = "Token created successfully", body = IntegrationTokenEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company"), (status = 422, description = "Invalid")))]
async fn create_integration_token(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Json(body): Json<NewToken>,
) -> Result<Response, Problem> {
    let company = CompanyId(company_id);
    caller.scope_with(&app, company, Right::Administer).await?;
    let mut new = body.check(app.clock.now())?;
    let token = integration_token::generate();
    new.token_hash = integration_token::hash(token.expose_secret());
    let work = caller
        .work(move |unit| {
            let id = IntegrationTokenId(unit.next_id(IdKind::IntegrationToken));
            let new = NewIntegrationToken {
                integration_token_id: id,
                ..new.clone()
            };
            let create = CompanyCommand::CreateIntegrationToken(Box::new(new));
            unit.execute::<Company>(company_id, create)?;
            Ok(id.get())
        })
        .on(StreamKey::new(StreamKind::Company, company_id));
    let committed = app.ledger.commit(work).await?;
    let id = IntegrationTokenId(committed.resource_id);
    let row = integration_tokens::by_id(&mut *app.pool.acquire().await?, id).await?;
    let mut view =
        IntegrationTokenView::from(row.ok_or_else(|| Problem::not_found("integration token"))?);
    // What an earlier request made has another secret, which nobody knows any more.
    view.token = (!committed.replayed).then(|| token.expose_secret().to_owned());
    let body = Json(IntegrationTokenEnvelope {
        integration_token: view,
    });
    Ok((StatusCode::CREATED, body).into_response())
}

/// Show the integration tokens of a company
///
/// Those that are not revoked; never their secrets.
#[utoipa::path(get, path = "/companies/{company_id}/integration_tokens", tag = "Integration Tokens", security(("bearer" = [])),
    params(("company_id" = i64, Path), PageQuery),
    responses((status = 200, description = "List of tokens", body = IntegrationTokenList), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company")))]
async fn list_integration_tokens(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<IntegrationTokenList>, Problem> {
    let wanted = page.check::<i64>()?;
    let company = CompanyId(company_id);
    caller.scope_with(&app, company, Right::Administer).await?;
    let mut connection = app.pool.acquire().await?;
    let (page, total) = integration_tokens::page(&mut connection, company, &wanted.request).await?;
    let next = page.rows.last().map(|row| row.id).filter(|_| page.more);
    Ok(Json(IntegrationTokenList {
        meta: wanted.meta(total, next.as_ref()),
        integration_tokens: page.rows.into_iter().map(Into::into).collect(),
    }))
}

/// Revoke an integration token
///
/// It ends at once.
#[utoipa::path(delete, path = "/companies/{company_id}/integration_tokens/{id}", tag = "Integration Tokens", security(("bearer" = [])),
    params(("company_id" = i64, Path), ("id" = i64, Path), IfMatch),
    responses((status = 200, description = "Token revoked successfully", body = Nothing), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such token")))]
async fn revoke_integration_token(
    State(app): State<App>,
    caller: Caller,
    Path((company_id, id)): Path<(i64, i64)>,
) -> Result<Json<Nothing>, Problem> {
    let company = CompanyId(company_id);
    caller.scope_with(&app, company, Right::Administer).await?;
    let stream = StreamKey::new(StreamKind::Company, company_id);
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            let revoke = CompanyCommand::RevokeIntegrationToken {
                integration_token_id: IntegrationTokenId(id),
            };
            unit.execute::<Company>(company_id, revoke)?;
            Ok(id)
        })
        .on(stream);
    app.ledger.commit(work).await?;
    Ok(Json(Nothing {}))
}
