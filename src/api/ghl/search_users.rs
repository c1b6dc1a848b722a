//! Search Users, Filter Users by Email, and the deprecated list of a location.

use std::collections::BTreeMap;

use aggregates::email::Email;
use aggregates::ids::CompanyId;
use axum::extract::{RawQuery, State};
use projections::companies::CompanyRow;
use projections::user_profiles::list::{self, Order, ProfileFilter, Slice};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::bodies::EmailFilter;
use super::client::Client;
use super::error::{ErrorBody, GhlError, flat};
use super::fields::Fields;
use super::user_view::UserView;
use crate::api::extract::Json;
use crate::api::extract::query;
use crate::app::App;

/// The most users of one answer.
const MAX_LIMIT: i64 = 100;
const DEFAULT_LIMIT: i64 = 25;
/// The most ids of one request.
const MAX_IDS: usize = 500;
/// The most e-mails of one request.
const MAX_EMAILS: usize = 500;

/// What a search may be narrowed to and ordered by; all of it together.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters, which are read one by one"
)]
#[expect(non_snake_case, reason = "named as on the wire")]
struct SearchParameters {
    companyId: String,
    /// A part of name, e-mail or phone number, without regard to case and accents.
    query: Option<String>,
    /// Default 0.
    skip: Option<String>,
    /// Default 25, at most 100.
    limit: Option<String>,
    locationId: Option<String>,
    /// `account` or `agency`.
    r#type: Option<String>,
    /// `admin` or `user`.
    role: Option<String>,
    /// Separated by commas.
    ids: Option<String>,
    /// `name` (the default), `firstName`, `lastName`, `email`, `dateAdded` or `dateUpdated`.
    sort: Option<String>,
    /// `asc` (the default) or `desc`.
    sortDirection: Option<String>,
    enabled2waySync: Option<bool>,
    /// Added: those who are deleted instead.
    deleted: Option<bool>,
}

/// Users, and how many match in all.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsersV3Found)]
pub struct Found {
    users: Vec<UserView>,
    count: i64,
}

fn parameters(RawQuery(raw): RawQuery) -> Result<Fields, GhlError> {
    let decoded: Result<BTreeMap<String, String>, _> = query::decode(&raw.unwrap_or_default());
    match decoded {
        Ok(parameters) => Ok(parameters.into()),
        Err(errors) => Err(GhlError::invalid(flat(&errors))),
    }
}

/// Search Users
#[utoipa::path(get, path = "/users/search", operation_id = "search-users", tag = "Users v3", security(("bearer" = [])), params(("Version" = String, Header), SearchParameters),
    responses((status = 200, description = "The users", body = Found), (status = 401, description = "No or bad token, or its scope is missing", body = ErrorBody),
        (status = 403, description = "Another company or location", body = ErrorBody), (status = 422, description = "Invalid", body = ErrorBody)))]
pub async fn search_users(
    State(app): State<App>,
    client: Client,
    query: RawQuery,
) -> Result<Json<Found>, GhlError> {
    client.require("users.readonly")?;
    let mut fields = parameters(query)?;
    let company = fields.required_text("companyId");
    let location = fields.text("locationId");
    let slice = slice(&mut fields);
    let mut filter = ProfileFilter {
        text: fields.text("query").filter(|text| !text.trim().is_empty()),
        ids: ids(&mut fields),
        account_type: word(&mut fields, "type", &["account", "agency"]),
        role: word(&mut fields, "role", &["admin", "user"]),
        deleted: fields.flag("deleted").unwrap_or_default(),
        ..ProfileFilter::default()
    };
    if fields.flag("enabled2waySync") == Some(true) {
        // No calendar of ours is synchronised: nobody is.
        filter.ids = Some(Vec::new());
    }
    fields.finish()?;
    let company = client.company(&app, company.as_deref()).await?;
    if let Some(location) = location {
        filter.location = Some(client.location(&app, &location).await?.id);
    }
    let (users, count) = found(&app, &company, &filter, slice).await?;
    Ok(Json(Found { users, count }))
}

fn slice(fields: &mut Fields) -> Slice {
    const SORTS: [&str; 6] = [
        "name",
        "firstName",
        "lastName",
        "email",
        "dateAdded",
        "dateUpdated",
    ];
    let order = fields.word("sort", &SORTS, |word| match word {
        "name" | "firstName" => Some(Order::Name),
        "lastName" => Some(Order::LastName),
        "email" => Some(Order::Email),
        "dateAdded" => Some(Order::Added),
        "dateUpdated" => Some(Order::Updated),
        _ => None,
    });
    let descending = fields.word("sortDirection", &["asc", "desc"], |word| {
        match word.to_ascii_lowercase().as_str() {
            "asc" => Some(false),
            "desc" => Some(true),
            _ => None,
        }
    });
    Slice {
        order: order.unwrap_or_default(),
        descending: descending.unwrap_or_default(),
        skip: fields.number("skip", 0, i64::from(i32::MAX)).unwrap_or(0),
        limit: fields
            .number("limit", 1, MAX_LIMIT)
            .unwrap_or(DEFAULT_LIMIT),
    }
}

fn word(fields: &mut Fields, name: &str, words: &[&str]) -> Option<String> {
    fields.word(name, words, |word| {
        words.contains(&word).then(|| word.to_owned())
    })
}

/// An id that is no integer is one that nobody has.
fn ids(fields: &mut Fields) -> Option<Vec<i64>> {
    let text = fields.text("ids")?;
    if text.split(',').count() > MAX_IDS {
        fields.refuse(format!("ids must contain no more than {MAX_IDS} elements"));
    }
    let ids = text.split(',').filter_map(|id| id.trim().parse().ok());
    Some(ids.collect())
}

async fn found(
    app: &App,
    company: &CompanyRow,
    filter: &ProfileFilter,
    slice: Slice,
) -> Result<(Vec<UserView>, i64), GhlError> {
    let mut connection = app.pool.acquire().await?;
    let company = CompanyId(company.id);
    let (rows, count) = list::search(&mut connection, company, filter, slice).await?;
    Ok((rows.into_iter().map(UserView::from).collect(), count))
}

/// Users with only the fields that were asked for, and how many match in all.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsersV3Projected)]
pub struct Projected {
    users: Vec<Map<String, Value>>,
    count: i64,
}

/// Filter Users by Email
///
/// `emails` is one text, separated by commas; `deleted` finds those who are deleted.
#[utoipa::path(post, path = "/users/search/filter-by-email", operation_id = "filter-users-by-email", tag = "Users v3", security(("bearer" = [])), params(("Version" = String, Header)),
    request_body = EmailFilter,
    responses((status = 200, description = "The users", body = Projected), (status = 400, description = "Not JSON", body = ErrorBody),
        (status = 401, description = "No or bad token, or its scope is missing", body = ErrorBody),
        (status = 403, description = "Another company", body = ErrorBody), (status = 422, description = "Invalid", body = ErrorBody)))]
pub async fn filter_users_by_email(
    State(app): State<App>,
    client: Client,
    mut fields: Fields,
) -> Result<Json<Projected>, GhlError> {
    client.require("users.readonly")?;
    let company = fields.required_text("companyId");
    let emails = fields.required_text("emails");
    let emails = emails.map(|emails| emails_of(&mut fields, &emails));
    let projection = fields.text("projection");
    let slice = slice(&mut fields);
    let filter = ProfileFilter {
        emails,
        deleted: fields.flag("deleted").unwrap_or_default(),
        ..ProfileFilter::default()
    };
    fields.finish()?;
    let company = client.company(&app, company.as_deref()).await?;
    let (users, count) = found(&app, &company, &filter, slice).await?;
    let users = users
        .iter()
        .map(|user| projected(user, projection.as_deref().unwrap_or_default()));
    Ok(Json(Projected {
        users: users.collect(),
        count,
    }))
}

fn emails_of(fields: &mut Fields, text: &str) -> Vec<String> {
    let parts: Vec<_> = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    if parts.len() > MAX_EMAILS {
        fields.refuse(format!(
            "emails must contain no more than {MAX_EMAILS} elements"
        ));
        return Vec::new();
    }
    let mut emails = Vec::with_capacity(parts.len());
    for part in parts {
        match Email::parse(part) {
            Ok(email) => emails.push(email.as_str().to_owned()),
            Err(_) => fields.refuse("each value in emails must be an email"),
        }
    }
    emails
}

/// `all`, a list of field names, or nothing for id and e-mail. The id is always there; unknown names are ignored.
fn projected(user: &UserView, projection: &str) -> Map<String, Value> {
    let Ok(Value::Object(mut user)) = serde_json::to_value(user) else {
        return Map::new();
    };
    let wanted: Vec<_> = projection
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    match wanted.as_slice() {
        ["all"] => {}
        [] => user.retain(|name, _| name == "id" || name == "email"),
        wanted => user.retain(|name, _| name == "id" || wanted.contains(&name.as_str())),
    }
    user
}

/// The users of a location.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsersV3OfLocation)]
pub struct OfLocation {
    users: Vec<UserView>,
}

/// Get User by Location
///
/// Deprecated: search with `locationId` instead, which counts and goes on after 100.
#[utoipa::path(get, path = "/users/", operation_id = "get-users-of-location", tag = "Users v3", security(("bearer" = [])), params(("Version" = String, Header), ("locationId" = String, Query)),
    responses((status = 200, description = "The users", body = OfLocation), (status = 401, description = "No or bad token, or its scope is missing", body = ErrorBody),
        (status = 403, description = "Another location", body = ErrorBody), (status = 422, description = "Invalid", body = ErrorBody)))]
pub async fn list_users_of_location(
    State(app): State<App>,
    client: Client,
    query: RawQuery,
) -> Result<Json<OfLocation>, GhlError> {
    client.require("users.readonly")?;
    let mut fields = parameters(query)?;
    let location = fields.required_text("locationId").unwrap_or_default();
    let slice = Slice {
        limit: fields.number("limit", 1, MAX_LIMIT).unwrap_or(MAX_LIMIT),
        ..slice(&mut fields)
    };
    fields.finish()?;
    let company = client.company(&app, None).await?;
    let filter = ProfileFilter {
        location: Some(client.location(&app, &location).await?.id),
        ..ProfileFilter::default()
    };
    let (users, _) = found(&app, &company, &filter, slice).await?;
    Ok(Json(OfLocation { users }))
}
