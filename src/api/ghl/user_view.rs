//! A user as this dialect shows them: the same fields in every answer.

use std::collections::BTreeMap;

use aggregates::ids::UserId;
use aggregates::user::account_settings::PERMISSIONS;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use projections::companies::CompanyRow;
use projections::user_profiles::list::{self, UserProfileRow};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::client::Client;
use super::error::{ErrorBody, GhlError};
use crate::api::extract::Json;
use crate::api::preconditions::etag;
use crate::app::App;

/// A user. What is not known is an empty text.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsersV3User)]
pub struct UserView {
    id: String,
    company_id: String,
    name: String,
    first_name: String,
    last_name: String,
    email: String,
    phone: String,
    extension: String,
    /// Every flag, with its default unless it was set.
    permissions: BTreeMap<String, bool>,
    scopes: Vec<String>,
    scopes_assigned_to_only: Vec<String>,
    roles: RolesView,
    /// Number by location id.
    lc_phone: BTreeMap<String, String>,
    platform_language: String,
    profile_photo: String,
    deleted: bool,
    #[schema(value_type = String)]
    date_added: String,
    #[schema(value_type = String)]
    date_updated: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsersV3Roles)]
struct RolesView {
    r#type: String,
    role: String,
    location_ids: Vec<String>,
    /// Whether the user is limited to their locations.
    restrict_sub_account: bool,
}

impl From<UserProfileRow> for UserView {
    fn from(row: UserProfileRow) -> Self {
        let settings = &row.settings;
        let language = settings["language"].as_str();
        Self {
            id: row.user_id.to_string(),
            company_id: row.company_id.to_string(),
            name: row.name,
            first_name: row.first_name.unwrap_or_default(),
            last_name: row.last_name.unwrap_or_default(),
            email: row.email.unwrap_or_default(),
            phone: row.phone.unwrap_or_default(),
            extension: row.extension.unwrap_or_default(),
            permissions: permissions(&settings["permissions"]),
            scopes: texts(&settings["scopes"]),
            scopes_assigned_to_only: texts(&settings["scopes_assigned_to_only"]),
            platform_language: language
                .unwrap_or_else(|| language_of(row.lang.as_deref()))
                .to_owned(),
            roles: RolesView {
                restrict_sub_account: row.account_type == "account",
                r#type: row.account_type,
                role: row.role,
                location_ids: row.location_ids.iter().map(ToString::to_string).collect(),
            },
            lc_phone: numbers(&row.phone_numbers),
            profile_photo: row.photo_url.unwrap_or_default(),
            deleted: row.is_deleted,
            date_added: time(row.created_at),
            date_updated: time(row.updated_at),
        }
    }
}

fn permissions(set: &Value) -> BTreeMap<String, bool> {
    let all = PERMISSIONS
        .iter()
        .map(|(flag, default)| ((*flag).to_owned(), set[flag].as_bool().unwrap_or(*default)));
    all.collect()
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts
        .filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

fn numbers(map: &Value) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flatten();
    entries
        .filter_map(|(location, number)| Some((location.clone(), number.as_str()?.to_owned())))
        .collect()
}

/// The language of a user who set one in API V1 only.
fn language_of(lang: Option<&str>) -> &'static str {
    match lang {
        Some("pt-BR") => "pt_BR",
        Some(tag) if tag.starts_with("pt") => "pt_PT",
        Some(tag) if tag.starts_with("es") => "es",
        _ => "en_US",
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The row of a user whom the company sees; an id that is no integer is one that nobody has.
pub async fn row_of(
    app: &App,
    company: &CompanyRow,
    user_id: &str,
) -> Result<UserProfileRow, GhlError> {
    let Ok(id) = user_id.parse() else {
        return Err(GhlError::unknown_user());
    };
    let mut connection = app.pool.acquire().await?;
    let company = aggregates::ids::CompanyId(company.id);
    let row = list::by_id(&mut connection, company, UserId(id)).await?;
    row.ok_or_else(GhlError::unknown_user)
}

/// The answer about one user.
pub async fn answer(app: &App, company: &CompanyRow, user_id: i64) -> Result<Response, GhlError> {
    let row = row_of(app, company, &user_id.to_string()).await?;
    let tag = [(header::ETAG, etag(row.version))];
    Ok((tag, Json(UserView::from(row))).into_response())
}

/// Get User
#[utoipa::path(get, path = "/users/{user_id}", operation_id = "get-user", tag = "Users v3", security(("bearer" = [])),
    params(("user_id" = String, Path), ("Version" = String, Header)),
    responses((status = 200, description = "The user", body = UserView), (status = 401, description = "No or bad token, or its scope is missing", body = ErrorBody),
        (status = 404, description = "No such user", body = ErrorBody)))]
pub async fn get_user(
    State(app): State<App>,
    client: Client,
    Path(user_id): Path<String>,
) -> Result<Response, GhlError> {
    client.require("users.readonly")?;
    let company = client.company(&app, None).await?;
    let row = row_of(&app, &company, &user_id).await?;
    answer(&app, &company, row.user_id).await
}
