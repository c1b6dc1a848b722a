//! Reading imports: one, a list, what is under way, and what became of the rows.

use aggregates::import::{FailedRow, RowOutcomes};
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use crate::companies::Visible;
use crate::page::{Page, PageRequest, Total};
use crate::total;

/// An import as it is read, with what it refers to as it is called today.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `imports` and of the rows it refers to, by the same names"
)]
pub struct ImportRow {
    pub id: i64,
    pub import_code: String,
    pub company_id: i64,
    pub user_id: Option<i64>,
    pub name: String,
    pub import_type: String,
    pub status: String,
    pub file_size: i64,
    pub options: serde_json::Value,
    pub columns: serde_json::Value,
    pub total_rows: Option<i64>,
    pub imported_rows: i64,
    pub updated_rows: i64,
    pub skipped_rows: i64,
    pub failed_rows: i64,
    pub duplicate_rows: i64,
    pub errors: Json<Vec<FailedRow>>,
    pub failure: Option<String>,
    pub failure_detail: Option<String>,
    pub removed_leads: i64,
    pub restored_leads: i64,
    pub kept_leads: i64,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub undone_at: Option<DateTime<Utc>>,
    pub company_name: String,
    pub company_default: bool,
    pub company_parent_id: Option<i64>,
    pub user_full_name: Option<String>,
    pub user_email: Option<String>,
    /// Of their avatar.
    pub user_avatar: Option<String>,
}

impl ImportRow {
    /// The rows that have an outcome.
    #[must_use]
    pub fn processed_rows(&self) -> i64 {
        self.imported_rows + self.updated_rows + self.skipped_rows + self.failed_rows
    }
}

const SELECT: &str = "SELECT i.id, i.import_code, i.company_id, i.user_id, i.name, i.import_type, i.status, i.file_size, \
     i.options, i.columns, i.total_rows, i.imported_rows, i.updated_rows, i.skipped_rows, i.failed_rows, i.duplicate_rows, \
     i.errors, i.failure, i.failure_detail, i.removed_leads, i.restored_leads, i.kept_leads, i.version, i.created_at, i.started_at, \
     i.finished_at, i.undone_at, c.name AS company_name, c.is_default AS company_default, \
     c.parent_company_id AS company_parent_id, u.full_name AS user_full_name, u.email AS user_email, \
     (SELECT v.file FROM user_avatars v WHERE v.user_id = u.id) AS user_avatar";
const FROM: &str =
    " FROM imports i JOIN companies c ON c.id = i.company_id LEFT JOIN users u ON u.id = i.user_id";

/// The import with this id.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    id: i64,
) -> Result<Option<ImportRow>, sqlx::Error> {
    sqlx::query_as(&format!("{SELECT}{FROM} WHERE i.id = $1"))
        .bind(id)
        .fetch_optional(connection)
        .await
}

/// The codes of these imports, and what their files are called; in the order in which they were begun.
///
/// # Errors
/// What the database answers.
pub async fn names_of(
    connection: &mut PgConnection,
    codes: &[String],
) -> Result<Vec<(String, String)>, sqlx::Error> {
    sqlx::query_as("SELECT import_code, name FROM imports WHERE import_code = ANY($1) ORDER BY id")
        .bind(codes)
        .fetch_all(connection)
        .await
}

/// The import with this code.
///
/// # Errors
/// What the database answers.
pub async fn by_code(
    connection: &mut PgConnection,
    code: &str,
) -> Result<Option<ImportRow>, sqlx::Error> {
    sqlx::query_as(&format!("{SELECT}{FROM} WHERE i.import_code = $1"))
        .bind(code)
        .fetch_optional(connection)
        .await
}

/// What a list of imports is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct ImportFilter {
    /// Into this company.
    pub company_id: Option<i64>,
    /// In this status.
    pub status: Option<String>,
    /// Of this type.
    pub import_type: Option<String>,
}

/// A page of the imports into companies that the reader may see, the newest first. The cursor is an id.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    visible: &Visible,
    filter: &ImportFilter,
    request: &PageRequest<i64>,
) -> Result<(Page<ImportRow>, Total), sqlx::Error> {
    let conditions = |query: &mut QueryBuilder<'_, Postgres>| {
        query.push(FROM).push(" WHERE true");
        if let Visible::Under(roots) = visible {
            query.push(" AND c.path && ").push_bind(roots.clone());
        }
        if let Some(company) = filter.company_id {
            query.push(" AND i.company_id = ").push_bind(company);
        }
        if let Some(status) = &filter.status {
            query.push(" AND i.status = ").push_bind(status.clone());
        }
        if let Some(import_type) = &filter.import_type {
            query
                .push(" AND i.import_type = ")
                .push_bind(import_type.clone());
        }
    };
    let total = total::counted(connection, |query| {
        query.push("SELECT 1");
        conditions(query);
    })
    .await?;
    let mut query = QueryBuilder::new(SELECT);
    conditions(&mut query);
    if let Some(id) = request.after() {
        query.push(" AND i.id < ").push_bind(*id);
    }
    query
        .push(" ORDER BY i.id DESC LIMIT ")
        .push_bind(request.per_page + 1)
        .push(" OFFSET ")
        .push_bind(request.offset());
    let rows = query.build_query_as().fetch_all(connection).await?;
    Ok((Page::from_overfetch(rows, request.per_page), total))
}

/// An import that has not come to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct UnderWay {
    /// Its id.
    pub id: i64,
    /// Where its leads go.
    pub company_id: i64,
}

/// The imports that have not come to rest: those that are being undone, the newest first, and then the others, the oldest first. So what
/// one import did to the leads of another is taken back before those leads are looked at for the other.
///
/// # Errors
/// What the database answers.
pub async fn under_way(connection: &mut PgConnection) -> Result<Vec<UnderWay>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, company_id FROM imports WHERE status IN ('pending', 'processing', 'undoing') \
         ORDER BY CASE WHEN status = 'undoing' THEN -id ELSE id END",
    )
    .fetch_all(connection)
    .await
}

/// What became of the rows of some commits of an import, in the order of the rows, after the given row.
///
/// # Errors
/// What the database answers.
pub async fn outcomes_after(
    connection: &mut PgConnection,
    import: i64,
    row: i64,
    limit: i64,
) -> Result<Vec<RowOutcomes>, sqlx::Error> {
    let found: Vec<Json<RowOutcomes>> = sqlx::query_scalar(
        "SELECT outcomes FROM import_chunks WHERE import_id = $1 AND first_row > $2 ORDER BY first_row LIMIT $3",
    )
    .bind(import)
    .bind(row)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(|Json(outcomes)| outcomes).collect())
}
