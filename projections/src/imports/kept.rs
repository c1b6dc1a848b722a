//! Reading what undone imports left alone.

use std::collections::{HashMap, HashSet};

use sqlx::{FromRow, PgConnection};

use crate::ascending::Ascending;
use crate::page::{Page, PageRequest, Total};

/// A lead that stayed when its import was undone.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct KeptRow {
    /// The lead.
    pub lead_id: i64,
    /// The row that touched it last.
    pub row_number: i64,
    /// `changed_since` or `legal_hold`; `None` where it was not recorded.
    pub reason: Option<String>,
}

/// A page of the leads that stayed when the import was undone, in the order of their ids. The cursor is an id.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    import: i64,
    request: &PageRequest<i64>,
) -> Result<(Page<KeptRow>, Total), sqlx::Error> {
    let list = Ascending {
        columns: "lead_id, row_number, reason",
        table: "import_kept_leads",
        joins: "",
        key: "lead_id",
    };
    let of_import = |query: &mut sqlx::QueryBuilder<'_, sqlx::Postgres>| {
        query.push(" WHERE import_id = ").push_bind(import);
    };
    list.page(connection, request, of_import).await
}

/// Of the imports with these codes those that are undone, each with the leads among these that it kept.
///
/// # Errors
/// What the database answers.
pub async fn undone(
    connection: &mut PgConnection,
    codes: &[String],
    leads: &[i64],
) -> Result<HashMap<String, HashSet<i64>>, sqlx::Error> {
    let rows: Vec<(String, Vec<i64>)> = sqlx::query_as(
        "SELECT i.import_code, ARRAY(SELECT k.lead_id FROM import_kept_leads k WHERE k.import_id = i.id AND k.lead_id = ANY($2)) \
         FROM imports i WHERE i.import_code = ANY($1) AND i.status = 'undone'",
    )
    .bind(codes)
    .bind(leads)
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(code, kept)| (code, kept.into_iter().collect()))
        .collect())
}
