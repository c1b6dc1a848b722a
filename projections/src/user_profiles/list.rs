//! Reading users as a company sees them: one, by e-mail, and searched.

use aggregates::ids::{CompanyId, UserId};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use crate::search;

/// A user as seen from one company.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `user_profiles` and `user_memberships`, by the same names"
)]
pub struct UserProfileRow {
    pub user_id: i64,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub name: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub extension: Option<String>,
    pub lang: Option<String>,
    pub platform_owner: bool,
    pub settings: Value,
    pub photo_url: Option<String>,
    pub phone_numbers: Value,
    pub accesses: Value,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub is_deleted: bool,
    pub company_id: i64,
    pub account_type: String,
    pub role: String,
    pub location_ids: Vec<i64>,
}

const COLUMNS: &str = "p.user_id, p.first_name, p.last_name, p.name, p.email, p.phone, p.extension, p.lang, \
     p.platform_owner, p.settings, p.photo_url, p.phone_numbers, p.accesses, p.version, p.created_at, p.updated_at, \
     m.is_deleted, m.company_id, m.account_type, m.role, m.location_ids";
const FROM: &str = " FROM user_memberships m JOIN user_profiles p ON p.user_id = m.user_id";

/// One user who is not deleted, if the company sees them.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    company: CompanyId,
    user: UserId,
) -> Result<Option<UserProfileRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS}{FROM} WHERE m.company_id = $1 AND m.user_id = $2 AND NOT m.is_deleted"
    ))
    .bind(company.get())
    .bind(user.get())
    .fetch_optional(connection)
    .await
}

/// In which order users are listed; the id decides between equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By first and last name.
    #[default]
    Name,
    /// By family name.
    LastName,
    /// By e-mail.
    Email,
    /// By when they were registered.
    Added,
    /// By when they last changed.
    Updated,
}

impl Order {
    const fn column(self) -> &'static str {
        match self {
            Self::Name => "m.sort_name",
            Self::LastName => "m.sort_last_name",
            Self::Email => "m.email",
            Self::Added => "m.created_at",
            Self::Updated => "p.updated_at",
        }
    }
}

/// What a search is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct ProfileFilter {
    /// Name, e-mail or phone number contains.
    pub text: Option<String>,
    /// One of these.
    pub ids: Option<Vec<i64>>,
    /// Has one of these e-mails, which are normalised.
    pub emails: Option<Vec<String>>,
    /// Also belongs to this company or one below it.
    pub location: Option<i64>,
    /// `account` or `agency`.
    pub account_type: Option<String>,
    /// `admin` or `user`.
    pub role: Option<String>,
    /// Those who are deleted instead of those who are not.
    pub deleted: bool,
}

/// Which part of the matches is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    /// In which order.
    pub order: Order,
    /// Whether it is turned round.
    pub descending: bool,
    /// How many are passed over.
    pub skip: i64,
    /// How many at most.
    pub limit: i64,
}

fn conditions(query: &mut QueryBuilder<'_, Postgres>, company: CompanyId, filter: &ProfileFilter) {
    query
        .push(" WHERE m.company_id = ")
        .push_bind(company.get());
    query.push(if filter.deleted {
        " AND m.is_deleted"
    } else {
        " AND NOT m.is_deleted"
    });
    if let Some(text) = &filter.text {
        query
            .push(" AND (m.search LIKE ")
            .push_bind(search::contains_pattern(text));
        if let Some(digits) = search::phone_digits(text) {
            query
                .push(" OR m.search LIKE ")
                .push_bind(search::contains_pattern(&digits));
        }
        query.push(")");
    }
    if let Some(ids) = &filter.ids {
        query
            .push(" AND m.user_id = ANY(")
            .push_bind(ids.clone())
            .push(")");
    }
    if let Some(emails) = &filter.emails {
        query
            .push(" AND m.email = ANY(")
            .push_bind(emails.clone())
            .push(")");
    }
    if let Some(location) = filter.location {
        query
            .push(
                " AND m.user_id IN (SELECT l.user_id FROM user_memberships l WHERE l.company_id = ",
            )
            .push_bind(location)
            .push(")");
    }
    for (column, value) in [
        ("m.account_type", &filter.account_type),
        ("m.role", &filter.role),
    ] {
        if let Some(value) = value {
            query
                .push(format!(" AND {column} = "))
                .push_bind(value.clone());
        }
    }
}

/// The wanted part of the users whom the company sees and the filter lets through, and how many these are in all.
///
/// # Errors
/// What the database answers.
pub async fn search(
    connection: &mut PgConnection,
    company: CompanyId,
    filter: &ProfileFilter,
    slice: Slice,
) -> Result<(Vec<UserProfileRow>, i64), sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM user_memberships m");
    conditions(&mut query, company, filter);
    let count = query
        .build_query_scalar()
        .fetch_one(&mut *connection)
        .await?;
    let direction = if slice.descending { "DESC" } else { "ASC" };
    let column = slice.order.column();
    let order = format!(" ORDER BY {column} {direction}, m.user_id {direction}");
    // What is skipped is skipped without its profile, unless the order needs it.
    let chosen = if column.starts_with("p.") {
        FROM
    } else {
        " FROM user_memberships m"
    };
    let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM (SELECT m.*{chosen}"));
    conditions(&mut query, company, filter);
    query
        .push(format!("{order} LIMIT "))
        .push_bind(slice.limit)
        .push(" OFFSET ")
        .push_bind(slice.skip)
        .push(format!(
            ") AS m JOIN user_profiles p ON p.user_id = m.user_id{order}"
        ));
    let rows = query.build_query_as().fetch_all(connection).await?;
    Ok((rows, count))
}
