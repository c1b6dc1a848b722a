//! Accesses: the catalogue of roles.

use aggregates::access::Role;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::Caller;
use crate::api::extract::{Json, Path};
use crate::api::problem::Problem;
use crate::app::App;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_accesses))
        .routes(routes!(show_access))
}

/// A role.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessView {
    id: i64,
    name: &'static str,
    /// `owner`, `admin`, `manager`, `agent`, `analyst` or `auditor`.
    #[schema(example = "manager")]
    code: &'static str,
}

impl From<Role> for AccessView {
    fn from(role: Role) -> Self {
        Self {
            id: role.id(),
            name: role.name(),
            code: role.code(),
        }
    }
}

/// The role with this stored code.
pub fn role_of(code: &str) -> Option<Role> {
    Role::ALL.into_iter().find(|role| role.code() == code)
}

#[derive(Debug, Serialize, ToSchema)]
struct AccessList {
    accesses: Vec<AccessView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct AccessEnvelope {
    access: AccessView,
}

/// List all available accesses
#[utoipa::path(get, path = "/accesses", tag = "Accesses", security(("bearer" = [])),
    responses((status = 200, description = "List of accesses", body = AccessList), (status = 401, description = "No or bad token")))]
async fn list_accesses(_caller: Caller) -> Json<AccessList> {
    Json(AccessList {
        accesses: Role::ALL.into_iter().map(AccessView::from).collect(),
    })
}

/// List access by id
#[utoipa::path(get, path = "/accesses/{id}", tag = "Accesses", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "Access found", body = AccessEnvelope), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such access")))]
async fn show_access(
    _caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<AccessEnvelope>, Problem> {
    let role = Role::from_id(id).ok_or_else(|| Problem::not_found("access"))?;
    Ok(Json(AccessEnvelope {
        access: role.into(),
    }))
}
