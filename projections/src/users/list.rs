//! Reading users: one by id or e-mail, pages of them, their accesses, and what authentication needs.

use aggregates::ids::{CompanyId, UserId};
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use crate::ascending::Ascending;
use crate::companies::Visible;
use crate::page::{Page, PageRequest, Total};
use crate::search;

/// A user with the company they land on.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `users`, and of the primary access and company, by the same names"
)]
pub struct UserRow {
    pub id: i64,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub full_name: String,
    pub email: Option<String>,
    pub status: String,
    pub birthdate: Option<NaiveDate>,
    pub theme: Option<String>,
    pub lang: Option<String>,
    pub currency: Option<String>,
    pub phone_number: Option<String>,
    pub platform_owner: bool,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub access_id: Option<i64>,
    pub access_company_id: Option<i64>,
    pub access_role: Option<String>,
    pub company_name: Option<String>,
    pub company_is_default: Option<bool>,
    pub company_parent_id: Option<i64>,
    /// Where the primary access holds: the company and all above it.
    pub company_path: Option<Vec<i64>>,
    /// The avatar's file.
    pub avatar: Option<String>,
    pub onboarding_completed_at: Option<DateTime<Utc>>,
    /// Whether terms are published that the user has not approved.
    pub terms_pending: bool,
}

const COLUMNS: &str = "u.id, u.first_name, u.last_name, u.full_name, u.email, u.status, u.birthdate, u.theme, u.lang, \
     u.currency, u.phone_number, u.platform_owner, u.version, u.created_at, u.updated_at, a.id AS access_id, \
     a.company_id AS access_company_id, a.role AS access_role, c.name AS company_name, \
     c.is_default AS company_is_default, c.parent_company_id AS company_parent_id, \
     c.path AS company_path, v.file AS avatar, o.completed_at AS onboarding_completed_at, \
     coalesce((SELECT max(t.id) FROM legal_terms t) > coalesce(o.legal_term_id, 0), false) AS terms_pending";
const PRIMARY_JOINS: &str = " LEFT JOIN user_accesses a ON a.user_id = u.id AND a.is_primary \
     LEFT JOIN companies c ON c.id = a.company_id LEFT JOIN user_avatars v ON v.user_id = u.id \
     LEFT JOIN user_onboarding o ON o.user_id = u.id";

/// One user.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<Option<UserRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM users u{PRIMARY_JOINS} WHERE u.id = $1 AND u.status <> 'deleted'"
    ))
    .bind(user.get())
    .fetch_optional(connection)
    .await
}

/// The user who holds this normalised e-mail.
///
/// # Errors
/// What the database answers.
pub async fn by_email(
    connection: &mut PgConnection,
    email: &str,
) -> Result<Option<UserRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM users u{PRIMARY_JOINS} WHERE u.email = $1"
    ))
    .bind(email)
    .fetch_optional(connection)
    .await
}

/// What signing in needs: id, password hash and session epoch.
///
/// # Errors
/// What the database answers.
pub async fn credentials(
    connection: &mut PgConnection,
    email: &str,
) -> Result<Option<(i64, Option<String>, i64)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT u.id, k.password_hash, k.session_epoch FROM users u \
         JOIN user_credentials k ON k.user_id = u.id WHERE u.email = $1",
    )
    .bind(email)
    .fetch_optional(connection)
    .await
}

/// What a list of users is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// Name or e-mail contains.
    pub text: Option<String>,
    /// `pending` or `active`.
    pub status: Option<String>,
    /// Holds an access in exactly this company, which the reader sees.
    pub company_id: Option<i64>,
    /// Holds this role in a company that the reader sees (in that company, when both are given).
    pub role: Option<String>,
}

/// Users who share a company with the reader (or are the reader), by id.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    visible: &Visible,
    reader: UserId,
    filter: &UserFilter,
    request: &PageRequest<i64>,
) -> Result<(Page<UserRow>, Total), sqlx::Error> {
    let conditions = |query: &mut QueryBuilder<'_, Postgres>| {
        query.push(" WHERE u.status <> 'deleted'");
        if let Visible::Under(roots) = visible {
            query.push(" AND (u.id = ").push_bind(reader.get());
            query.push(
                " OR EXISTS (SELECT 1 FROM user_accesses v JOIN companies w ON w.id = v.company_id \
                 WHERE v.user_id = u.id AND w.path && ",
            );
            query.push_bind(roots.clone()).push("))");
        }
        if let Some(text) = &filter.text {
            query
                .push(" AND u.search LIKE ")
                .push_bind(search::contains_pattern(text));
        }
        if let Some(status) = &filter.status {
            query.push(" AND u.status = ").push_bind(status.clone());
        }
        if filter.company_id.is_some() || filter.role.is_some() {
            query.push(" AND EXISTS (SELECT 1 FROM user_accesses f");
            // Roles in companies that the reader does not see are nothing that a filter may tell of.
            if let Visible::Under(roots) = visible {
                query
                    .push(" JOIN companies x ON x.id = f.company_id AND x.path && ")
                    .push_bind(roots.clone());
            }
            query.push(" WHERE f.user_id = u.id");
            if let Some(company) = filter.company_id {
                query.push(" AND f.company_id = ").push_bind(company);
            }
            if let Some(role) = &filter.role {
                query.push(" AND f.role = ").push_bind(role.clone());
            }
            query.push(")");
        }
    };
    let list = Ascending {
        columns: COLUMNS,
        table: "users u",
        joins: PRIMARY_JOINS,
        key: "u.id",
    };
    list.page(connection, request, conditions).await
}

/// An access with its user and company.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `user_accesses`, `companies` and `users`, by the same names"
)]
pub struct AccessRow {
    pub id: i64,
    pub role: String,
    pub is_primary: bool,
    pub company_id: i64,
    pub company_name: String,
    pub company_is_default: bool,
    pub company_parent_id: Option<i64>,
    pub company_path: Vec<i64>,
    pub user_id: i64,
    pub user_version: i64,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub full_name: String,
    pub email: Option<String>,
    pub status: String,
    pub lang: Option<String>,
    pub theme: Option<String>,
    pub currency: Option<String>,
    pub birthdate: Option<NaiveDate>,
    /// The avatar's file.
    pub avatar: Option<String>,
}

const ACCESS: &str = "SELECT a.id, a.role, a.is_primary, a.company_id, c.name AS company_name, \
     c.is_default AS company_is_default, c.parent_company_id AS company_parent_id, c.path AS company_path, \
     u.id AS user_id, u.version AS user_version, u.first_name, u.last_name, u.full_name, u.email, u.status, u.lang, \
     u.theme, u.currency, u.birthdate, (SELECT v.file FROM user_avatars v WHERE v.user_id = u.id) AS avatar";
const ACCESS_FROM: &str = " FROM user_accesses a JOIN companies c ON c.id = a.company_id JOIN users u ON u.id = a.user_id";

/// One access.
///
/// # Errors
/// What the database answers.
pub async fn access_by_id(
    connection: &mut PgConnection,
    access: i64,
) -> Result<Option<AccessRow>, sqlx::Error> {
    sqlx::query_as(&format!("{ACCESS}{ACCESS_FROM} WHERE a.id = $1"))
        .bind(access)
        .fetch_optional(connection)
        .await
}

/// What a list of accesses is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct AccessFilter {
    /// Of this user.
    pub user_id: Option<i64>,
    /// In exactly this company.
    pub company_id: Option<i64>,
    /// With this role.
    pub role: Option<String>,
    /// Primary or not.
    pub is_primary: Option<bool>,
    /// The user's name or e-mail contains.
    pub text: Option<String>,
    /// The user's status.
    pub status: Option<String>,
}

/// Accesses in companies that the reader may see, by id.
///
/// # Errors
/// What the database answers.
pub async fn access_page(
    connection: &mut PgConnection,
    visible: &Visible,
    filter: &AccessFilter,
    request: &PageRequest<i64>,
) -> Result<(Page<AccessRow>, Total), sqlx::Error> {
    let conditions = |query: &mut QueryBuilder<'_, Postgres>| {
        query.push(ACCESS_FROM).push(" WHERE true");
        if let Visible::Under(roots) = visible {
            query.push(" AND c.path && ").push_bind(roots.clone());
        }
        for (column, value) in [
            ("a.user_id", filter.user_id),
            ("a.company_id", filter.company_id),
        ] {
            if let Some(value) = value {
                query.push(format!(" AND {column} = ")).push_bind(value);
            }
        }
        for (column, value) in [("a.role", &filter.role), ("u.status", &filter.status)] {
            if let Some(value) = value {
                query
                    .push(format!(" AND {column} = "))
                    .push_bind(value.clone());
            }
        }
        if let Some(is_primary) = filter.is_primary {
            query.push(" AND a.is_primary = ").push_bind(is_primary);
        }
        if let Some(text) = &filter.text {
            query
                .push(" AND u.search LIKE ")
                .push_bind(search::contains_pattern(text));
        }
    };
    let mut query = QueryBuilder::new("SELECT count(*)");
    conditions(&mut query);
    let count: i64 = query
        .build_query_scalar()
        .fetch_one(&mut *connection)
        .await?;
    let mut query = QueryBuilder::new(ACCESS);
    conditions(&mut query);
    if let Some(id) = request.after() {
        query.push(" AND a.id > ").push_bind(*id);
    }
    query
        .push(" ORDER BY a.id LIMIT ")
        .push_bind(request.per_page + 1)
        .push(" OFFSET ")
        .push_bind(request.offset());
    let rows = query.build_query_as().fetch_all(connection).await?;
    Ok((
        Page::from_overfetch(rows, request.per_page),
        Total::exact(count),
    ))
}

/// Whether the user holds an access in a company that the reader may see.
///
/// # Errors
/// What the database answers.
pub async fn shares_company(
    connection: &mut PgConnection,
    visible: &Visible,
    user: UserId,
) -> Result<bool, sqlx::Error> {
    let mut query = QueryBuilder::new(
        "SELECT EXISTS (SELECT 1 FROM user_accesses a JOIN companies c ON c.id = a.company_id WHERE a.user_id = ",
    );
    query.push_bind(user.get());
    if let Visible::Under(roots) = visible {
        query.push(" AND c.path && ").push_bind(roots.clone());
    }
    query.push(")");
    query.build_query_scalar().fetch_one(connection).await
}

/// The path of every company where the user holds an access.
///
/// # Errors
/// What the database answers.
pub async fn company_paths(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<Vec<Vec<i64>>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT c.path FROM user_accesses a JOIN companies c ON c.id = a.company_id WHERE a.user_id = $1",
    )
    .bind(user.get())
    .fetch_all(connection)
    .await
}

/// Who a caller is and where they hold what: all that authorisation needs, in one round trip.
///
/// # Errors
/// What the database answers.
pub async fn authority(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<Option<AuthorityRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT u.platform_owner, k.session_epoch, \
         coalesce(array_agg(a.id ORDER BY a.id) FILTER (WHERE a.id IS NOT NULL), '{}') AS access_ids, \
         coalesce(array_agg(a.company_id ORDER BY a.id) FILTER (WHERE a.id IS NOT NULL), '{}') AS company_ids, \
         coalesce(array_agg(a.role ORDER BY a.id) FILTER (WHERE a.id IS NOT NULL), '{}') AS roles \
         FROM users u JOIN user_credentials k ON k.user_id = u.id \
         LEFT JOIN user_accesses a ON a.user_id = u.id WHERE u.id = $1 GROUP BY u.id, k.user_id",
    )
    .bind(user.get())
    .fetch_optional(connection)
    .await
}

/// See [`authority`]. The three lists run in parallel.
#[derive(Debug, Clone, FromRow)]
#[expect(missing_docs, reason = "named by their columns")]
pub struct AuthorityRow {
    pub platform_owner: bool,
    pub session_epoch: i64,
    pub access_ids: Vec<i64>,
    pub company_ids: Vec<i64>,
    pub roles: Vec<String>,
}

/// The leads that are assigned to an access of the company, but for those of `still` and below, where it goes on to hold.
///
/// # Errors
/// What the database answers.
pub async fn leads_assigned_to(
    connection: &mut PgConnection,
    company: CompanyId,
    still: Option<CompanyId>,
    access: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT id FROM leads WHERE user_access_id = $2 AND company_id IN (SELECT id FROM companies \
         WHERE path && ARRAY[$1] AND NOT ($3::bigint IS NOT NULL AND path && ARRAY[$3]))",
    )
    .bind(company.get())
    .bind(access)
    .bind(still.map(CompanyId::get))
    .fetch_all(connection)
    .await
}
