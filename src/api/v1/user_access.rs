//! User company relation: who holds which role where.

use aggregates::access::{Right, Role};
use aggregates::ids::{CompanyId, UserAccessId, UserId};
use aggregates::user::{User, UserCommand};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use garde::Validate;
use projections::users::list::{self, AccessFilter, AccessRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accesses::{AccessView, role_of};
use super::nothing::Nothing;
use super::pages::{Meta, PageQuery};
use super::users::{PrimaryCompany, check_grant, require_visible, role_filter};
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::preconditions::{IfMatch, etag};
use crate::api::problem::Problem;
use crate::api::role_changes::{LostLeads, LostRole, held, keep_owners};
use crate::app::App;
use crate::ledger::{StreamKey, StreamKind};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_user_access, list_user_accesses))
        .routes(routes!(update_user_access, delete_user_access))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct NewAccess {
    /// When given, must be the user of the path.
    #[garde(skip)]
    user_id: Option<i64>,
    #[garde(skip)]
    company_id: i64,
    #[garde(skip)]
    access_id: i64,
    #[garde(skip)]
    #[serde(default)]
    primary: Option<bool>,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct AccessChanges {
    #[garde(skip)]
    company_id: Option<i64>,
    #[garde(skip)]
    access_id: Option<i64>,
    #[garde(skip)]
    primary: Option<bool>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AccessQuery {
    company_id: Option<i64>,
    access_id: Option<i64>,
    primary: Option<bool>,
}

/// A role held by a user in a company.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserAccessView {
    id: i64,
    primary: bool,
    company: PrimaryCompany,
    access: Option<AccessView>,
    user: MemberView,
}

/// A user as a member of companies.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberView {
    id: i64,
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    status: String,
    lang: Option<String>,
    theme: Option<String>,
    currency: Option<String>,
    birthdate: Option<NaiveDate>,
    full_name: String,
    avatar_route: Option<String>,
}

impl From<&AccessRow> for MemberView {
    fn from(row: &AccessRow) -> Self {
        Self {
            id: row.user_id,
            first_name: row.first_name.clone(),
            last_name: row.last_name.clone(),
            email: row.email.clone(),
            status: row.status.clone(),
            lang: row.lang.clone(),
            theme: row.theme.clone(),
            currency: row.currency.clone(),
            birthdate: row.birthdate,
            full_name: row.full_name.clone(),
            avatar_route: super::avatars::route_of(row.avatar.clone()),
        }
    }
}

impl From<AccessRow> for UserAccessView {
    fn from(row: AccessRow) -> Self {
        Self {
            id: row.id,
            primary: row.is_primary,
            access: role_of(&row.role).map(AccessView::from),
            user: MemberView::from(&row),
            company: PrimaryCompany {
                id: row.company_id,
                name: row.company_name,
                default: row.company_is_default,
                parent_company_id: row.company_parent_id,
            },
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct UserAccessEnvelope {
    user_access: UserAccessView,
}

#[derive(Debug, Serialize, ToSchema)]
struct UserAccessList {
    user_accesses: Vec<UserAccessView>,
    meta: Meta,
}

/// The access as it is answered.
///
/// # Errors
/// 404 when it is none.
pub async fn access_view(app: &App, id: i64) -> Result<UserAccessView, Problem> {
    row(app, id).await.map(UserAccessView::from)
}

async fn row(app: &App, id: i64) -> Result<AccessRow, Problem> {
    let mut connection = app.pool.acquire().await?;
    let row = list::access_by_id(&mut connection, id).await?;
    row.ok_or_else(|| Problem::not_found("user access"))
}

async fn one(app: &App, id: i64) -> Result<Response, Problem> {
    let row = row(app, id).await?;
    let tag = [(header::ETAG, etag(row.user_version))];
    let user_access = UserAccessView::from(row);
    Ok((tag, Json(UserAccessEnvelope { user_access })).into_response())
}

/// Create `user_accesses` for a user
#[utoipa::path(post, path = "/users/{user_id}/user_access", tag = "User Company Relation", security(("bearer" = [])),
    params(("user_id" = i64, Path), IfMatch), request_body = NewAccess,
    responses((status = 201, description = "User access created successfully", body = UserAccessEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such user"), (status = 422, description = "Invalid")))]
async fn create_user_access(
    State(app): State<App>,
    caller: Caller,
    Path(user_id): Path<i64>,
    Json(body): Json<NewAccess>,
) -> Result<Response, Problem> {
    require_visible(&app, &caller, UserId(user_id)).await?;
    if body.user_id.is_some_and(|id| id != user_id) {
        return Err(Problem::unprocessable(
            crate::api::field_errors::FieldErrors::of("user_id", "must be the user of the path"),
        ));
    }
    let primary = body.primary.unwrap_or(false);
    let grant = check_grant(&app, &caller, "", body.company_id, body.access_id, primary).await?;
    let stream = StreamKey::new(StreamKind::User, user_id);
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            Ok(grant.execute(unit, UserId(user_id))?.get())
        })
        .on(stream)
        .on(StreamKey::new(StreamKind::Company, body.company_id));
    let work = grant.limits.watch_users(work);
    let committed = app.ledger.commit(work).await?;
    let access = one(&app, committed.resource_id).await?;
    Ok((StatusCode::CREATED, access).into_response())
}

/// Show `user_accesses` for a user
///
/// Those in companies that the caller sees.
#[utoipa::path(get, path = "/users/{user_id}/user_access", tag = "User Company Relation", security(("bearer" = [])),
    params(("user_id" = i64, Path), PageQuery, AccessQuery),
    responses((status = 200, description = "List of user accesses", body = UserAccessList), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such user")))]
async fn list_user_accesses(
    State(app): State<App>,
    caller: Caller,
    Path(user_id): Path<i64>,
    Query(page): Query<PageQuery>,
    Query(query): Query<AccessQuery>,
) -> Result<Json<UserAccessList>, Problem> {
    let wanted = page.check::<i64>()?;
    require_visible(&app, &caller, UserId(user_id)).await?;
    let filter = AccessFilter {
        user_id: Some(user_id),
        company_id: query.company_id,
        role: role_filter(query.access_id),
        is_primary: query.primary,
        ..AccessFilter::default()
    };
    let mut connection = app.pool.acquire().await?;
    let visible = caller.authority.visible();
    let (page, total) =
        list::access_page(&mut connection, &visible, &filter, &wanted.request).await?;
    let next = page.rows.last().map(|row| row.id).filter(|_| page.more);
    Ok(Json(UserAccessList {
        meta: wanted.meta(total, next.as_ref()),
        user_accesses: page.rows.into_iter().map(UserAccessView::from).collect(),
    }))
}

/// The access, if it is this user's and in a company that the caller sees and administers; an owner's takes an owner.
async fn administered(
    app: &App,
    caller: &Caller,
    user_id: i64,
    access: i64,
) -> Result<AccessRow, Problem> {
    let mut connection = app.pool.acquire().await?;
    let row = list::access_by_id(&mut connection, access).await?;
    drop(connection);
    let row = row
        .filter(|row| row.user_id == user_id && caller.authority.sees(&row.company_path))
        .ok_or_else(|| Problem::not_found("user access"))?;
    let scope = caller.scope(app, CompanyId(row.company_id)).await?;
    scope.require(Right::Administer)?;
    if row.role == Role::Owner.code() {
        scope.require(Right::Govern)?;
    }
    Ok(row)
}

/// Update `user_accesses` for a user
///
/// Where it no longer holds, its leads become unassigned and sources lose it, in the same commit.
#[utoipa::path(put, path = "/users/{user_id}/user_access/{user_access_id}", tag = "User Company Relation", security(("bearer" = [])),
    params(("user_id" = i64, Path), ("user_access_id" = i64, Path), IfMatch), request_body = AccessChanges,
    responses((status = 200, description = "User access updated successfully", body = UserAccessEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such user access"), (status = 422, description = "Invalid")))]
async fn update_user_access(
    State(app): State<App>,
    caller: Caller,
    Path((user_id, id)): Path<(i64, i64)>,
    Json(body): Json<AccessChanges>,
) -> Result<Response, Problem> {
    let row = administered(&app, &caller, user_id, id).await?;
    let to_company = body.company_id.unwrap_or(row.company_id);
    let role = role_of(&row.role).map_or(0, Role::id);
    let to_role = body.access_id.unwrap_or(role);
    let grant = check_grant(&app, &caller, "", to_company, to_role, false).await?;
    let stream = StreamKey::new(StreamKind::User, user_id);
    let if_match = caller.write.if_match.clone();
    let primary = body.primary;
    let leads = LostLeads::default();
    let moved = (to_company != row.company_id).then(|| {
        leads.find(vec![LostRole {
            access: UserAccessId(id),
            company: CompanyId(row.company_id),
            still: Some(CompanyId(to_company)),
        }])
    });
    let mut work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            let access = UserAccessId(id);
            let before = held(unit, user_id, access)?;
            if before.0 != grant.company_id {
                grant.limits.add_user(unit, UserId(user_id))?;
            }
            unit.execute::<User>(
                user_id,
                UserCommand::ChangeAccess {
                    user_access_id: access,
                    company_id: Some(grant.company_id),
                    role: Some(grant.role),
                    primary,
                },
            )?;
            keep_owners(
                unit,
                UserId(user_id),
                access,
                Some(before),
                Some((grant.company_id, grant.role)),
            )?;
            leads.unassign(unit)?;
            Ok(id)
        })
        .on(stream)
        .on(StreamKey::new(StreamKind::Company, row.company_id))
        .on(StreamKey::new(StreamKind::Company, to_company));
    work = grant.limits.watch_users(work);
    if let Some(find) = moved {
        work = work.sweeping(find);
    }
    app.ledger.commit(work).await?;
    one(&app, id).await
}

/// Remove an specific `user_access`
///
/// Its leads become unassigned and sources lose it in the same commit.
#[utoipa::path(delete, path = "/users/{user_id}/user_access/{user_access_id}", tag = "User Company Relation", security(("bearer" = [])),
    params(("user_id" = i64, Path), ("user_access_id" = i64, Path), IfMatch),
    responses((status = 200, description = "User access deleted successfully", body = Nothing), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such user access"),
        (status = 422, description = "The last owner cannot be removed")))]
async fn delete_user_access(
    State(app): State<App>,
    caller: Caller,
    Path((user_id, id)): Path<(i64, i64)>,
) -> Result<Json<Nothing>, Problem> {
    let row = administered(&app, &caller, user_id, id).await?;
    let stream = StreamKey::new(StreamKind::User, user_id);
    let leads = LostLeads::default();
    let find = leads.find(vec![LostRole {
        access: UserAccessId(id),
        company: CompanyId(row.company_id),
        still: None,
    }]);
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            let user_access_id = UserAccessId(id);
            let before = held(unit, user_id, user_access_id)?;
            unit.execute::<User>(user_id, UserCommand::RevokeAccess { user_access_id })?;
            keep_owners(unit, UserId(user_id), user_access_id, Some(before), None)?;
            leads.unassign(unit)?;
            Ok(id)
        })
        .on(stream)
        .on(StreamKey::new(StreamKind::Company, row.company_id))
        .sweeping(find);
    app.ledger.commit(work).await?;
    Ok(Json(Nothing {}))
}
