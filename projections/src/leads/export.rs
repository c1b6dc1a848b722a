//! Reading all leads of a selection, row after row, as they were at one moment.

use aggregates::ids::CompanyId;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sqlx::{PgConnection, Postgres, QueryBuilder, Transaction};

use super::counts::LeadFilter;
use super::list::{
    LEAD_COLUMNS, LEAD_JOINS, LeadRow, Sort, push_conditions, push_not_hidden, push_order,
};
use crate::duplicates::Hidden;

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
pub struct Snapshot {
    transaction: Transaction<'static, Postgres>,
    selection: Selection,
    all: QueryBuilder<'static, Postgres>,
}

impl Snapshot {
    /// How its transaction has to begin.
    pub const BEGIN: &'static str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

    /// Of what the transaction sees, which began as [`Snapshot::BEGIN`] says.
    #[must_use]
    pub fn take(transaction: Transaction<'static, Postgres>, selection: Selection) -> Self {
        let mut all = QueryBuilder::new(format!("SELECT {LEAD_COLUMNS} FROM leads l{LEAD_JOINS}"));
        selection.push_where(&mut all);
        push_order(&mut all, selection.sort);
        Self {
            transaction,
            selection,
            all,
        }
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
        self.selection.push_where(&mut query);
        query
            .build_query_scalar()
            .fetch_one(&mut *self.transaction)
            .await
    }

    /// The names of the extra fields that any of the leads shows, in the order of their letters; at most so many.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn extra_fields(&mut self, most: i64) -> Result<Vec<String>, sqlx::Error> {
        let mut query = QueryBuilder::new(
            "SELECT DISTINCT f.name COLLATE \"C\" FROM leads l CROSS JOIN LATERAL jsonb_object_keys(l.extra) AS f(name)",
        );
        self.selection.push_where(&mut query);
        // As it was earlier, the row of who is blocked or erased may still have some.
        push_not_hidden(&mut query);
        query.push(" ORDER BY 1 LIMIT ").push_bind(most);
        query
            .build_query_scalar()
            .fetch_all(&mut *self.transaction)
            .await
    }

    /// The questions to which any of the leads shows an answer, by id, each with its wording; at most so many.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn answered(&mut self, most: i64) -> Result<Vec<(i64, String)>, sqlx::Error> {
        let mut query = QueryBuilder::new(
            "SELECT (a.answer->>'question_id')::bigint, coalesce(max(a.answer->>'question_text'), '') \
             FROM leads l CROSS JOIN LATERAL jsonb_array_elements(l.answers) AS a(answer)",
        );
        self.selection.push_where(&mut query);
        push_not_hidden(&mut query);
        query.push(" GROUP BY 1 ORDER BY 1 LIMIT ").push_bind(most);
        query
            .build_query_as()
            .fetch_all(&mut *self.transaction)
            .await
    }

    /// The leads. The database sends them as they are taken: pages would hold as many leads at once, however large each is.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn rows(
        &mut self,
    ) -> Result<BoxStream<'_, Result<LeadRow, sqlx::Error>>, sqlx::Error> {
        let company = self.selection.company;
        let hidden = Hidden::of(&mut self.transaction, company, None).await?;
        let rows = self
            .all
            .build_query_as::<LeadRow>()
            .fetch(&mut *self.transaction);
        Ok(rows
            .map_ok(move |mut row| {
                hidden.settle(&mut row);
                row
            })
            .boxed())
    }
}

impl Selection {
    fn push_where(&self, query: &mut QueryBuilder<'_, Postgres>) {
        let text = self.text.as_deref();
        push_conditions(query, self.company, &self.filter, text);
    }
}
