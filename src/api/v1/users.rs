//! Users: show, show all, find by email, update. How one is created is in `creation`, how one signs in in `sign_in`, and how one
//! looks in `view`.

mod creation;
mod grant;
mod sign_in;
mod view;

use aggregates::Change;
use aggregates::access::{Right, Role};
use aggregates::email::Email;
use aggregates::ids::{CompanyId, UserId};
use aggregates::money::Currency;
use aggregates::person_name::PersonName;
use aggregates::phone::{Phone, Region};
use aggregates::user::{UpdateProfile, User, UserCommand};
use aggregates::{password, text};
use axum::extract::State;
use axum::response::Response;
use chrono::{NaiveDate, TimeDelta};
use garde::Validate;
use projections::users::list::{self, UserFilter, UserRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dates::past_day;
use super::pages::{Meta, PageQuery};
use crate::api::caller::Caller;
use crate::api::extract::{Json, Patch, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::IfMatch;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{StreamKey, StreamKind};
use view::envelope;

pub use grant::{Grant, check_grant};
pub use view::{PersonView, PrimaryCompany, UserEnvelope, UserView};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_users))
        .routes(routes!(find_by_email))
        .routes(routes!(show_user, update_user))
        .merge(creation::routes())
        .merge(sign_in::routes())
}

/// Every field may be absent (stays as it is) or null (is cleared; a password cannot be).
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
#[serde(default)]
#[derive(Default)]
struct UserChanges {
    #[schema(value_type = Option<String>)]
    first_name: Patch<String>,
    #[schema(value_type = Option<String>)]
    last_name: Patch<String>,
    #[schema(value_type = Option<NaiveDate>, example = "1990-01-31")]
    birthdate: Patch<NaiveDate>,
    #[schema(value_type = Option<String>)]
    theme: Patch<String>,
    #[schema(value_type = Option<String>, example = "es-MX")]
    lang: Patch<String>,
    password: Option<String>,
    #[schema(value_type = Option<String>, example = "MXN")]
    currency: Patch<String>,
    #[schema(value_type = Option<String>)]
    phone_number: Patch<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct UserQuery {
    /// Name or e-mail contains, without regard to case and accents.
    search: Option<String>,
    /// `pending` or `active`.
    status: Option<String>,
    company_id: Option<i64>,
    access_id: Option<i64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EmailQuery {
    email: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct UserList {
    users: Vec<UserView>,
    meta: Meta,
}

/// Takes a checked value, or notes why it is refused.
pub fn checked<T, E: std::fmt::Display>(
    errors: &mut FieldErrors,
    field: &str,
    result: Result<T, E>,
) -> Option<T> {
    result
        .map_err(|error| errors.add(field, error.to_string()))
        .ok()
}

/// Takes a checked three-state value, or notes why it is refused.
pub fn checked_change<T, U, E: std::fmt::Display>(
    errors: &mut FieldErrors,
    field: &str,
    patch: Patch<T>,
    check: impl FnOnce(T) -> Result<U, E>,
) -> Change<U> {
    checked(errors, field, Change::from(patch).try_map(check)).unwrap_or_default()
}

pub fn check_password(errors: &mut FieldErrors, password: Option<&str>) {
    if let Some(Err(broken)) = password.map(password::check) {
        for rule in broken {
            errors.add("password", rule);
        }
    }
}

pub async fn one(app: &App, caller: &Caller, id: UserId) -> Result<Response, Problem> {
    let row = row(app, id).await?;
    Ok(envelope(row.version, UserView::seen_by(caller, row)))
}

async fn row(app: &App, id: UserId) -> Result<UserRow, Problem> {
    let mut connection = app.pool.acquire().await?;
    let row = list::by_id(&mut connection, id).await?;
    row.ok_or_else(|| Problem::not_found("user"))
}

/// Find a user by email
#[utoipa::path(get, path = "/users/find_by_email", tag = "Users", security(("bearer" = [])), params(EmailQuery),
    responses((status = 200, description = "User found", body = UserEnvelope), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such user, or none that the caller sees")))]
async fn find_by_email(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<EmailQuery>,
) -> Result<Response, Problem> {
    let email = Email::parse(&query.email)
        .map_err(|error| Problem::malformed_query(FieldErrors::of("email", error.to_string())))?;
    let mut connection = app.pool.acquire().await?;
    let row = list::by_email(&mut connection, email.as_str()).await?;
    drop(connection);
    let row = row.ok_or_else(|| Problem::not_found("user"))?;
    require_visible(&app, &caller, UserId(row.id)).await?;
    Ok(envelope(row.version, UserView::seen_by(&caller, row)))
}

/// Show all users
///
/// Those who share a company with the caller.
#[utoipa::path(get, path = "/users", tag = "Users", security(("bearer" = [])), params(PageQuery, UserQuery),
    responses((status = 200, description = "List of users", body = UserList),
        (status = 400, description = "Malformed query"), (status = 401, description = "No or bad token")))]
async fn list_users(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageQuery>,
    Query(query): Query<UserQuery>,
) -> Result<Json<UserList>, Problem> {
    let wanted = page.check::<i64>()?;
    let filter = UserFilter {
        text: query.search,
        status: status_filter(query.status)?,
        company_id: query.company_id,
        role: role_filter(query.access_id),
    };
    let mut connection = app.pool.acquire().await?;
    let visible = caller.authority.visible();
    let (page, total) = list::page(
        &mut connection,
        &visible,
        caller.user_id,
        &filter,
        &wanted.request,
    )
    .await?;
    let next = page.rows.last().map(|row| row.id).filter(|_| page.more);
    Ok(Json(UserList {
        meta: wanted.meta(total, next.as_ref()),
        users: page
            .rows
            .into_iter()
            .map(|row| UserView::seen_by(&caller, row))
            .collect(),
    }))
}

/// A filter by status: one that users have.
///
/// # Errors
/// 400 for any other.
pub fn status_filter(status: Option<String>) -> Result<Option<String>, Problem> {
    match status.as_deref() {
        None | Some("pending" | "active") => Ok(status),
        Some(_) => Err(Problem::malformed_query(FieldErrors::of(
            "status",
            "must be one of pending, active",
        ))),
    }
}

/// The stored code that a filter by access id means; an unknown id matches nothing.
pub fn role_filter(access_id: Option<i64>) -> Option<String> {
    access_id.map(|id| Role::from_id(id).map_or("", Role::code).to_owned())
}

/// Show a user
#[utoipa::path(get, path = "/users/{id}", tag = "Users", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "User found", body = UserEnvelope), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such user, or none that the caller sees")))]
async fn show_user(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    require_visible(&app, &caller, UserId(id)).await?;
    one(&app, &caller, UserId(id)).await
}

/// The accesses of a user in companies that the caller sees.
///
/// # Errors
/// 404 unless the user is the caller, shares a company with them, or the caller sees everybody.
pub async fn require_visible(app: &App, caller: &Caller, user: UserId) -> Result<(), Problem> {
    if user == caller.user_id {
        return Ok(());
    }
    caller.write.judged.user(user);
    let mut connection = app.pool.acquire().await?;
    let visible = if caller.authority.platform_owner {
        list::by_id(&mut connection, user).await?.is_some()
    } else {
        list::shares_company(&mut connection, &caller.authority.visible(), user).await?
    };
    if visible {
        Ok(())
    } else {
        Err(Problem::not_found("user"))
    }
}

/// Update a user
///
/// Users change themselves; an administrator of every company that a user belongs to may change their profile too, but not their password.
#[utoipa::path(put, path = "/users/{id}", tag = "Users", security(("bearer" = [])), params(("id" = i64, Path), IfMatch), request_body = UserChanges,
    responses((status = 200, description = "User updated successfully", body = UserEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such user"), (status = 422, description = "Invalid")))]
async fn update_user(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(body): Json<UserChanges>,
) -> Result<Response, Problem> {
    let user_id = UserId(id);
    require_visible(&app, &caller, user_id).await?;
    may_change(&app, &caller, user_id, body.password.is_some()).await?;
    let mut errors = FieldErrors::default();
    // A day begins fourteen hours earlier at the other side of the world.
    let today = (app.clock.now() + TimeDelta::hours(14)).date_naive();
    let name = |name: String| PersonName::parse(&name);
    let line = |value: String| text::line(&value, 50).map(str::to_owned);
    let region = region_of(&app, &caller, user_id).await?;
    let update = UpdateProfile {
        first_name: checked_change(&mut errors, "first_name", body.first_name, name),
        last_name: checked_change(&mut errors, "last_name", body.last_name, name),
        birthdate: checked_change(&mut errors, "birthdate", body.birthdate, |d| {
            past_day(d, today)
        }),
        theme: checked_change(&mut errors, "theme", body.theme, line),
        lang: checked_change(&mut errors, "lang", body.lang, language),
        currency: checked_change(&mut errors, "currency", body.currency, |c| {
            Currency::parse(&c)
        }),
        phone_number: checked_change(&mut errors, "phone_number", body.phone_number, |p| {
            Phone::parse(&p, region)
        }),
    };
    check_password(&mut errors, body.password.as_deref());
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let password_hash = match body.password {
        Some(password) => Some(app.passwords.hash(password).await?),
        None => None,
    };
    let stream = StreamKey::new(StreamKind::User, id);
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            unit.execute::<User>(id, UserCommand::UpdateProfile(Box::new(update.clone())))?;
            if let Some(password_hash) = password_hash.clone() {
                unit.execute::<User>(id, UserCommand::SetPassword { password_hash })?;
            }
            Ok(id)
        })
        .on(stream);
    app.ledger.commit(work).await?;
    one(&app, &caller, user_id).await
}

/// Where the user's phone numbers without a country code are dialled: in the company of their primary access.
async fn region_of(app: &App, caller: &Caller, user: UserId) -> Result<Region, Problem> {
    let Some(company) = row(app, user).await?.access_company_id else {
        return Ok(app.region);
    };
    let company = app.company(CompanyId(company), caller.as_of).await?;
    let region = company.and_then(|company| Region::parse(&company.region).ok());
    Ok(region.unwrap_or(app.region))
}

/// A language tag: `es`, `en` or `pt`, with or without a region.
fn language(tag: String) -> Result<String, &'static str> {
    let (language, region) = tag.split_once('-').unwrap_or((&tag, ""));
    let known = ["es", "en", "pt"].contains(&language);
    let sound =
        tag == language || region.len() == 2 && region.bytes().all(|b| b.is_ascii_uppercase());
    if known && sound {
        Ok(tag)
    } else {
        Err("must be es, en or pt, with or without a region, such as es-MX")
    }
}

async fn may_change(
    app: &App,
    caller: &Caller,
    user: UserId,
    password: bool,
) -> Result<(), Problem> {
    if user == caller.user_id || caller.authority.platform_owner {
        return Ok(());
    }
    let refused = || Problem::forbidden("You may not change this user.");
    if password {
        return Err(refused());
    }
    let mut connection = app.pool.acquire().await?;
    let paths = list::company_paths(&mut connection, user).await?;
    let administers = |path: &Vec<i64>| caller.authority.reach(path, Right::Administer).is_some();
    if !paths.is_empty() && paths.iter().all(administers) {
        Ok(())
    } else {
        Err(refused())
    }
}
