//! Company users: who holds a role in exactly this company.

use aggregates::ids::CompanyId;
use axum::extract::State;
use projections::users::list::{self, AccessFilter, AccessRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accesses::{AccessView, role_of};
use super::pages::{Meta, PageQuery};
use super::user_access::MemberView;
use super::users::{role_filter, status_filter};
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::problem::Problem;
use crate::app::App;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_company_users))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CompanyUserQuery {
    /// Name or e-mail contains.
    search: Option<String>,
    access_id: Option<i64>,
    /// `pending` or `active`.
    status: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct CompanyUserView {
    #[serde(flatten)]
    member: MemberView,
    user_access: HeldView,
}

#[derive(Debug, Serialize, ToSchema)]
struct HeldView {
    id: i64,
    primary: bool,
    access: Option<AccessView>,
}

impl From<AccessRow> for CompanyUserView {
    fn from(row: AccessRow) -> Self {
        Self {
            member: MemberView::from(&row),
            user_access: HeldView {
                id: row.id,
                primary: row.is_primary,
                access: role_of(&row.role).map(AccessView::from),
            },
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct CompanyUserList {
    users: Vec<CompanyUserView>,
    meta: Meta,
}

/// Get users from an specific company
#[utoipa::path(get, path = "/companies/{company_id}/users", tag = "Company Users", security(("bearer" = [])),
    params(("company_id" = i64, Path), PageQuery, CompanyUserQuery),
    responses((status = 200, description = "List of users", body = CompanyUserList),
        (status = 400, description = "Malformed query"), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such company")))]
async fn list_company_users(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(page): Query<PageQuery>,
    Query(query): Query<CompanyUserQuery>,
) -> Result<Json<CompanyUserList>, Problem> {
    let wanted = page.check::<i64>()?;
    caller.scope(&app, CompanyId(company_id)).await?;
    let filter = AccessFilter {
        company_id: Some(company_id),
        role: role_filter(query.access_id),
        text: query.search,
        status: status_filter(query.status)?,
        ..AccessFilter::default()
    };
    let mut connection = app.pool.acquire().await?;
    let visible = caller.authority.visible();
    let (page, total) =
        list::access_page(&mut connection, &visible, &filter, &wanted.request).await?;
    let next = page.rows.last().map(|row| row.id).filter(|_| page.more);
    Ok(Json(CompanyUserList {
        meta: wanted.meta(total, next.as_ref()),
        users: page.rows.into_iter().map(CompanyUserView::from).collect(),
    }))
}
