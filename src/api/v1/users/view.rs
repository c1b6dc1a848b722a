//! A user as it is answered: in full, and as others refer to one. Which user it is, and who may see them, is asked elsewhere.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, Utc};
use projections::users::list::UserRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::accesses::role_of;
use super::super::avatars;
use crate::api::caller::Caller;
use crate::api::extract::Json;
use crate::api::preconditions::etag;

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    id: i64,
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    status: String,
    full_name: String,
    avatar_route: Option<String>,
    birthdate: Option<NaiveDate>,
    theme: Option<String>,
    lang: Option<String>,
    currency: Option<String>,
    phone_number: Option<String>,
    primary_access: Option<PrimaryAccess>,
    primary_company: Option<PrimaryCompany>,
    onboarding_completed_at: Option<DateTime<Utc>>,
    /// Whether there are legal terms that the user has yet to approve.
    terms_pending: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct PrimaryAccess {
    id: i64,
    company_id: i64,
    access_id: i64,
    access_name: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PrimaryCompany {
    pub id: i64,
    pub name: String,
    pub default: bool,
    pub parent_company_id: Option<i64>,
}

/// A user as others refer to them.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonView {
    id: i64,
    full_name: String,
    email: Option<String>,
    avatar_route: Option<String>,
}

impl PersonView {
    pub fn new(id: i64, full_name: String, email: Option<String>, avatar: Option<String>) -> Self {
        Self {
            id,
            full_name,
            email,
            avatar_route: avatars::route_of(avatar),
        }
    }
}

impl UserView {
    /// As `caller` sees the user: a primary access in a company that they do not see is none.
    pub fn seen_by(caller: &Caller, mut row: UserRow) -> Self {
        let path = row.company_path.as_deref();
        let hidden = path.is_some_and(|path| !caller.authority.sees(path));
        if hidden && row.id != caller.user_id.get() {
            row.access_id = None;
            row.access_company_id = None;
        }
        row.into()
    }
}

impl From<UserRow> for UserView {
    fn from(row: UserRow) -> Self {
        let role = row.access_role.as_deref().and_then(role_of);
        let primary_access =
            row.access_id
                .zip(row.access_company_id)
                .zip(role)
                .map(|((id, company_id), role)| PrimaryAccess {
                    id,
                    company_id,
                    access_id: role.id(),
                    access_name: role.name(),
                });
        let primary_company = row
            .access_company_id
            .zip(row.company_name)
            .map(|(id, name)| PrimaryCompany {
                id,
                name,
                default: row.company_is_default.unwrap_or_default(),
                parent_company_id: row.company_parent_id,
            });
        Self {
            id: row.id,
            first_name: row.first_name,
            last_name: row.last_name,
            email: row.email,
            status: row.status,
            full_name: row.full_name,
            avatar_route: avatars::route_of(row.avatar),
            birthdate: row.birthdate,
            theme: row.theme,
            lang: row.lang,
            currency: row.currency,
            phone_number: row.phone_number,
            primary_access,
            primary_company,
            onboarding_completed_at: row.onboarding_completed_at,
            terms_pending: row.terms_pending,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct UserEnvelope {
    user: UserView,
}

/// One user, with the version as the `ETag`.
pub fn envelope(version: i64, user: UserView) -> Response {
    let tag = [(header::ETAG, etag(version))];
    (tag, Json(UserEnvelope { user })).into_response()
}
