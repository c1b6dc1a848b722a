//! Reading all leads of a selection, page after page, as they were at one moment.

use aggregates::ids::CompanyId;
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder, Transaction};

use super::counts::LeadFilter;
use super::list::{Cursor, LeadRow, Sort, page, push_conditions};
use crate::page::{PageFrom, PageRequest};

/// Rows of one page: few enough for memory, enough to make round trips cheap.
const PAGE: i64 = 1_000;

/// Which leads, in which order.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Of this company.
    pub company: CompanyId,
    /// That meet this filter.
    pub filter: LeadFilter,
    /// And contain this text in name, e-mail or phone.
    pub text: Option<String>,
    /// In this order.
    pub sort: Sort,
}

/// All leads of a selection as of the moment when the snapshot was taken. Holds a connection until it is dropped.
#[derive(Debug)]
pub struct Snapshot {
    transaction: Transaction<'static, Postgres>,
    selection: Selection,
    after: Option<Cursor>,
    ended: bool,
}

impl Snapshot {
    /// Takes the snapshot.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn take(pool: &PgPool, selection: Selection) -> Result<Self, sqlx::Error> {
        let transaction = pool
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        Ok(Self {
            transaction,
            selection,
            after: None,
            ended: false,
        })
    }

    /// The connection that sees the same moment.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// How many leads there are, exactly.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn count(&mut self) -> Result<i64, sqlx::Error> {
        let mut query = QueryBuilder::new("SELECT count(*) FROM leads l");
        self.push_where(&mut query);
        query
            .build_query_scalar()
            .fetch_one(&mut *self.transaction)
            .await
    }

    /// The names of the extra fields that any of the leads has, in the order of their letters; at most so many.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn extra_fields(&mut self, most: i64) -> Result<Vec<String>, sqlx::Error> {
        let mut query = QueryBuilder::new(
            "SELECT DISTINCT f.name COLLATE \"C\" FROM leads l CROSS JOIN LATERAL jsonb_object_keys(l.extra) AS f(name)",
        );
        self.push_where(&mut query);
        query.push(" ORDER BY 1 LIMIT ").push_bind(most);
        query
            .build_query_scalar()
            .fetch_all(&mut *self.transaction)
            .await
    }

    /// The questions that any of the leads has an answer to, by id, each with its wording; at most so many.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn answered(&mut self, most: i64) -> Result<Vec<(i64, String)>, sqlx::Error> {
        let mut query = QueryBuilder::new(
            "SELECT (a.answer->>'question_id')::bigint, coalesce(max(a.answer->>'question_text'), '') \
             FROM leads l CROSS JOIN LATERAL jsonb_array_elements(l.answers) AS a(answer)",
        );
        self.push_where(&mut query);
        query.push(" GROUP BY 1 ORDER BY 1 LIMIT ").push_bind(most);
        query
            .build_query_as()
            .fetch_all(&mut *self.transaction)
            .await
    }

    /// The next page; empty at the end.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn next_page(&mut self) -> Result<Vec<LeadRow>, sqlx::Error> {
        if self.ended {
            return Ok(Vec::new());
        }
        let request = PageRequest {
            per_page: PAGE,
            from: match self.after.take() {
                Some(cursor) => PageFrom::After(cursor),
                None => PageFrom::Offset(0),
            },
        };
        let selection = &self.selection;
        let text = selection.text.as_deref();
        let (company, filter, sort) = (selection.company, &selection.filter, selection.sort);
        let connection = &mut *self.transaction;
        let page = page(connection, company, filter, text, sort, &request).await?;
        self.after = page.rows.last().map(|row| sort.cursor_after(row));
        self.ended = !page.more;
        Ok(page.rows)
    }

    fn push_where(&self, query: &mut QueryBuilder<'_, Postgres>) {
        let selection = &self.selection;
        let text = selection.text.as_deref();
        push_conditions(query, selection.company, &selection.filter, text);
    }
}
