//! The working periods of companies. Whether a company works in them is in its own row.

use std::collections::BTreeMap;

use aggregates::company::CompanyEvent;
use aggregates::company::cycles::Cycle;
use aggregates::ids::{CompanyId, CycleId};
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{FromRow, PgConnection, QueryBuilder};

use crate::page::{Page, PageRequest, Total};
use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;
use crate::total;

struct NewCycle {
    company_id: i64,
    cycle: Cycle,
    position: i64,
    created_at: DateTime<Utc>,
}

/// Owns `cycles`.
#[derive(Default)]
pub struct Cycles {
    new: BTreeMap<i64, NewCycle>,
}

impl Projection for Cycles {
    fn name(&self) -> &'static str {
        "cycles"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "cycles",
            key: &["id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        if let DomainEvent::Company(CompanyEvent::CycleCreated { cycle }) = &recorded.event {
            self.new.insert(
                cycle.cycle_id.get(),
                NewCycle {
                    company_id: recorded.aggregate_id,
                    cycle: cycle.clone(),
                    position: recorded.position,
                    created_at: recorded.recorded_at,
                },
            );
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let new = std::mem::take(&mut self.new);
        if new.is_empty() {
            return;
        }
        let (mut ids, mut companies, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        let (mut positions, mut times) = (Vec::new(), Vec::new());
        for (id, row) in new {
            ids.push(id);
            companies.push(row.company_id);
            names.push(row.cycle.name);
            starts.push(row.cycle.start_date);
            ends.push(row.cycle.end_date);
            positions.push(row.position);
            times.push(row.created_at);
        }
        statement.part("new_cycles", |s| {
            s.sql(
                "INSERT INTO cycles (id, company_id, name, start_date, end_date, position, created_at) \
                 SELECT r.* FROM head, unnest(",
            )
            .bind(ids)
            .also(companies)
            .also(names)
            .also(starts)
            .also(ends)
            .also(positions)
            .also(times)
            .sql(") AS r");
        });
    }
}

/// A cycle as it is read.
#[derive(Debug, Clone, FromRow)]
#[expect(missing_docs, reason = "the columns of `cycles`, by the same names")]
pub struct CycleRow {
    pub id: i64,
    pub company_id: i64,
    pub name: String,
    pub start_date: NaiveDate,
    pub end_date: NaiveDate,
}

const COLUMNS: &str = "c.id, c.company_id, c.name, c.start_date, c.end_date";

/// One cycle.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    cycle: CycleId,
) -> Result<Option<CycleRow>, sqlx::Error> {
    sqlx::query_as(&format!("SELECT {COLUMNS} FROM cycles c WHERE c.id = $1"))
        .bind(cycle.get())
        .fetch_optional(connection)
        .await
}

/// A page of the company's cycles, the earliest first; a cursor is the first day of the last one, which no other has.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    company: CompanyId,
    request: &PageRequest<NaiveDate>,
) -> Result<(Page<CycleRow>, Total), sqlx::Error> {
    let total = total::counted(connection, |query| {
        query
            .push("SELECT 1 FROM cycles c WHERE c.company_id = ")
            .push_bind(company.get());
    })
    .await?;
    let mut query = QueryBuilder::new(format!(
        "SELECT {COLUMNS} FROM cycles c WHERE c.company_id = "
    ));
    query.push_bind(company.get());
    if let Some(day) = request.after() {
        query.push(" AND c.start_date > ").push_bind(*day);
    }
    query
        .push(" ORDER BY c.start_date LIMIT ")
        .push_bind(request.per_page + 1)
        .push(" OFFSET ")
        .push_bind(request.offset());
    let rows = query.build_query_as().fetch_all(connection).await?;
    Ok((Page::from_overfetch(rows, request.per_page), total))
}
