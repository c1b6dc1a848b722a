//! The legal terms that were published.

use aggregates::company::CompanyEvent;
use aggregates::ids::LegalTermId;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

/// Owns `legal_terms`.
#[derive(Default)]
pub struct LegalTerms {
    ids: Vec<i64>,
    versions: Vec<String>,
    titles: Vec<String>,
    contents: Vec<String>,
    hashes: Vec<String>,
    positions: Vec<i64>,
    times: Vec<DateTime<Utc>>,
}

impl Projection for LegalTerms {
    fn name(&self) -> &'static str {
        "legal_terms"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "legal_terms",
            key: &["id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        if let DomainEvent::Company(CompanyEvent::LegalTermsPublished {
            legal_term_id,
            version,
            title,
            content,
            content_hash,
        }) = &recorded.event
        {
            self.ids.push(legal_term_id.get());
            self.versions.push(version.clone());
            self.titles.push(title.clone());
            self.contents.push(content.clone());
            self.hashes.push(content_hash.clone());
            self.positions.push(recorded.position);
            self.times.push(recorded.recorded_at);
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let rows = std::mem::take(self);
        if rows.ids.is_empty() {
            return;
        }
        statement.part("new_legal_terms", |s| {
            s.sql(
                "INSERT INTO legal_terms (id, version, title, content, content_hash, position, published_at) \
                 SELECT r.* FROM head, unnest(",
            )
            .bind(rows.ids)
            .also(rows.versions)
            .also(rows.titles)
            .also(rows.contents)
            .also(rows.hashes)
            .also(rows.positions)
            .also(rows.times)
            .sql(") AS r");
        });
    }
}

/// A published text.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `legal_terms`, by the same names"
)]
pub struct LegalTermRow {
    pub id: i64,
    pub version: String,
    pub title: String,
    pub content: String,
    pub content_hash: String,
    pub published_at: DateTime<Utc>,
    /// Whether nothing newer was published.
    pub current: bool,
}

const SELECT: &str = "SELECT t.id, t.version, t.title, t.content, t.content_hash, t.published_at, \
     t.id = (SELECT max(id) FROM legal_terms) AS current FROM legal_terms t";

/// One text.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    id: LegalTermId,
) -> Result<Option<LegalTermRow>, sqlx::Error> {
    sqlx::query_as(&format!("{SELECT} WHERE t.id = $1"))
        .bind(id.get())
        .fetch_optional(connection)
        .await
}

/// The text that holds now.
///
/// # Errors
/// What the database answers.
pub async fn current(connection: &mut PgConnection) -> Result<Option<LegalTermRow>, sqlx::Error> {
    sqlx::query_as(&format!("{SELECT} ORDER BY t.id DESC LIMIT 1"))
        .fetch_optional(connection)
        .await
}
