//! Sources with their people, and whose turn it was last.
//!
//! A removed source keeps its row, without a priority: leads go on to show its name. The turns are folded from the leads
//! that were routed, so that serving somebody writes nothing but the lead.

use std::collections::BTreeMap;

use aggregates::company::CompanyEvent;
use aggregates::ids::{CompanyId, SourceId};
use aggregates::lead::LeadEvent;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, QueryBuilder};

use crate::ascending::Ascending;
use crate::facts::FactKind;
use crate::page::{Page, PageRequest, Total};
use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

/// Of a source: the last turn of each access that was ever served from it, by the access's id.
pub static TURNS: FactKind = FactKind {
    name: "source_turns",
    sql: "SELECT source_id, user_access_id, turn FROM source_turns WHERE source_id = ANY($1)",
};

struct Row {
    /// Set when the batch adds the source.
    new: Option<New>,
    priority: Option<i32>,
    position: i64,
}

/// By which event of which company's an access was assigned.
struct Assignment {
    company_id: i64,
    position: i64,
}

struct New {
    company_id: i64,
    name: String,
    created_at: DateTime<Utc>,
}

/// Owns `sources`, `source_user_accesses` and `source_turns`.
#[derive(Default)]
pub struct Sources {
    rows: BTreeMap<i64, Row>,
    /// By source and access; `None` when it is taken away.
    people: BTreeMap<(i64, i64), Option<Assignment>>,
    turns: BTreeMap<(i64, i64), i64>,
}

impl Projection for Sources {
    fn name(&self) -> &'static str {
        "sources"
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "sources",
                key: &["id"],
                counts_when: "true",
                looked_up_by: &[],
            },
            Table {
                name: "source_user_accesses",
                key: &["source_id", "user_access_id"],
                counts_when: "true",
                looked_up_by: &[],
            },
            Table {
                name: "source_turns",
                key: &["source_id", "user_access_id"],
                counts_when: "true",
                looked_up_by: &[],
            },
        ]
    }

    fn fold(&mut self, recorded: &Recorded) {
        match &recorded.event {
            DomainEvent::Company(event) => self.fold_company(recorded, event),
            DomainEvent::Lead(LeadEvent::LeadCreated {
                routing: Some(routing),
                ..
            }) => {
                let key = (routing.source_id.get(), routing.user_access_id.get());
                self.turns.insert(key, routing.turn);
            }
            _ => {}
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let rows = std::mem::take(&mut self.rows);
        let (new, changed): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|(_, row)| row.new.is_some());
        if !new.is_empty() {
            write_new(statement, new);
        }
        if !changed.is_empty() {
            write_changed(statement, &changed);
        }
        let (assigned, removed): (Vec<_>, Vec<_>) = std::mem::take(&mut self.people)
            .into_iter()
            .partition(|(_, assignment)| assignment.is_some());
        if !removed.is_empty() {
            let (sources, accesses): (Vec<i64>, Vec<i64>) =
                removed.into_iter().map(|(key, _)| key).unzip();
            statement.part("removed_source_people", |s| {
                s.sql("DELETE FROM source_user_accesses p USING head, unnest(")
                    .bind(sources)
                    .also(accesses)
                    .sql(") AS r(source_id, user_access_id) WHERE p.source_id = r.source_id AND p.user_access_id = r.user_access_id");
            });
        }
        if !assigned.is_empty() {
            write_assigned(statement, assigned);
        }
        if !self.turns.is_empty() {
            write_turns(statement, std::mem::take(&mut self.turns));
        }
    }
}

impl Sources {
    fn fold_company(&mut self, recorded: &Recorded, event: &CompanyEvent) {
        match event {
            CompanyEvent::SourceAdded {
                source_id,
                name,
                priority,
            } => {
                self.place(recorded, *source_id, i32::try_from(*priority).ok());
                // Only a foreign writer adds one twice; the first keeps its name then.
                if let Some(row) = self.rows.get_mut(&source_id.get()) {
                    row.new.get_or_insert_with(|| New {
                        company_id: recorded.aggregate_id,
                        name: name.as_str().to_owned(),
                        created_at: recorded.recorded_at,
                    });
                }
            }
            CompanyEvent::SourceRemoved {
                source_id,
                user_access_ids,
                order,
                ..
            } => {
                self.place(recorded, *source_id, None);
                self.put_in_order(recorded, order);
                for access in user_access_ids {
                    self.people.insert((source_id.get(), access.get()), None);
                }
            }
            CompanyEvent::SourcesReordered { to, .. } => self.put_in_order(recorded, to),
            CompanyEvent::SourceUserAccessAssigned {
                source_id,
                user_access_id,
            } => {
                self.people.insert(
                    (source_id.get(), user_access_id.get()),
                    Some(Assignment {
                        company_id: recorded.aggregate_id,
                        position: recorded.position,
                    }),
                );
            }
            CompanyEvent::SourceUserAccessRemoved {
                source_id,
                user_access_id,
            } => {
                self.people
                    .insert((source_id.get(), user_access_id.get()), None);
            }
            _ => {}
        }
    }

    fn put_in_order(&mut self, recorded: &Recorded, order: &[SourceId]) {
        for (source, priority) in order.iter().zip(1..) {
            self.place(recorded, *source, Some(priority));
        }
    }

    fn place(&mut self, recorded: &Recorded, source: SourceId, priority: Option<i32>) {
        let row = self.rows.entry(source.get()).or_insert(Row {
            new: None,
            priority: None,
            position: 0,
        });
        row.priority = priority;
        row.position = recorded.position;
    }
}

fn write_new(statement: &mut Statement, new: Vec<(i64, Row)>) {
    let (mut ids, mut companies, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let (mut priorities, mut positions, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for (id, row) in new {
        let Some(new) = row.new else { continue };
        ids.push(id);
        companies.push(new.company_id);
        names.push(new.name);
        priorities.push(row.priority);
        positions.push(row.position);
        times.push(new.created_at);
    }
    statement.part("new_sources", |s| {
        s.sql(
            "INSERT INTO sources (id, company_id, name, priority, position, created_at) \
             SELECT r.* FROM head, unnest(",
        )
        .bind(ids)
        .also(companies)
        .also(names)
        .also(priorities)
        .also(positions)
        .also(times)
        .sql(
            ") AS r ON CONFLICT (id) DO UPDATE SET priority = excluded.priority, position = excluded.position",
        );
    });
}

fn write_changed(statement: &mut Statement, changed: &[(i64, Row)]) {
    let ids: Vec<i64> = changed.iter().map(|(id, _)| *id).collect();
    let priorities: Vec<_> = changed.iter().map(|(_, row)| row.priority).collect();
    let positions: Vec<_> = changed.iter().map(|(_, row)| row.position).collect();
    statement.part("changed_sources", |s| {
        s.sql(
            "UPDATE sources s SET priority = r.priority, position = r.position FROM head, unnest(",
        )
        .bind(ids)
        .also(priorities)
        .also(positions)
        .sql(") AS r(id, priority, position) WHERE s.id = r.id");
    });
}

fn write_assigned(statement: &mut Statement, assigned: Vec<((i64, i64), Option<Assignment>)>) {
    let (mut sources, mut accesses) = (Vec::new(), Vec::new());
    let (mut companies, mut positions) = (Vec::new(), Vec::new());
    for ((source, access), assignment) in assigned {
        let Some(assignment) = assignment else {
            continue;
        };
        sources.push(source);
        accesses.push(access);
        companies.push(assignment.company_id);
        positions.push(assignment.position);
    }
    statement.part("assigned_source_people", |s| {
        s.sql("INSERT INTO source_user_accesses (source_id, user_access_id, company_id, position) SELECT r.* FROM head, unnest(")
            .bind(sources)
            .also(accesses)
            .also(companies)
            .also(positions)
            // Taken away and assigned again within the batch: the row is still there.
            .sql(") AS r ON CONFLICT (source_id, user_access_id) DO UPDATE SET position = excluded.position");
    });
}

fn write_turns(statement: &mut Statement, turns: BTreeMap<(i64, i64), i64>) {
    let (mut sources, mut accesses, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for ((source, access), turn) in turns {
        sources.push(source);
        accesses.push(access);
        numbers.push(turn);
    }
    statement.part("source_turns_taken", |s| {
        s.sql("INSERT INTO source_turns (source_id, user_access_id, turn) SELECT r.* FROM head, unnest(")
            .bind(sources)
            .also(accesses)
            .also(numbers)
            .sql(") AS r ON CONFLICT (source_id, user_access_id) DO UPDATE SET turn = excluded.turn");
    });
}

/// A source that is not removed.
#[derive(Debug, Clone, FromRow)]
#[expect(missing_docs, reason = "the columns of `sources`, by the same names")]
pub struct SourceRow {
    pub id: i64,
    pub company_id: i64,
    pub name: String,
    pub priority: i32,
    pub created_at: DateTime<Utc>,
}

/// Somebody to whom leads of a source go.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `source_user_accesses`, `user_accesses` and `users`, by the same names"
)]
pub struct SourcePerson {
    pub source_id: i64,
    pub user_access_id: i64,
    pub role: String,
    pub user_id: i64,
    pub full_name: String,
    pub email: Option<String>,
    /// Of their avatar.
    pub avatar: Option<String>,
}

const COLUMNS: &str = "s.id, s.company_id, s.name, s.priority, s.created_at";

/// One source of the company.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    company: CompanyId,
    source: SourceId,
) -> Result<Option<SourceRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM sources s WHERE s.id = $1 AND s.company_id = $2 AND s.priority IS NOT NULL"
    ))
    .bind(source.get())
    .bind(company.get())
    .fetch_optional(connection)
    .await
}

/// All sources of the company, first priority first.
///
/// # Errors
/// What the database answers.
pub async fn of_company(
    connection: &mut PgConnection,
    company: CompanyId,
) -> Result<Vec<SourceRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM sources s WHERE s.company_id = $1 AND s.priority IS NOT NULL ORDER BY s.priority"
    ))
    .bind(company.get())
    .fetch_all(connection)
    .await
}

/// A page of the company's sources, first priority first. The cursor is a priority.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    company: CompanyId,
    request: &PageRequest<i64>,
) -> Result<(Page<SourceRow>, Total), sqlx::Error> {
    let conditions = |query: &mut QueryBuilder<'_, sqlx::Postgres>| {
        query
            .push(" WHERE s.priority IS NOT NULL AND s.company_id = ")
            .push_bind(company.get());
    };
    let list = Ascending {
        columns: COLUMNS,
        table: "sources s",
        joins: "",
        key: "s.priority",
    };
    list.page(connection, request, conditions).await
}

/// The people of these sources, each source's in order of assignment.
///
/// # Errors
/// What the database answers.
pub async fn people(
    connection: &mut PgConnection,
    sources: &[i64],
) -> Result<Vec<SourcePerson>, sqlx::Error> {
    sqlx::query_as(
        "SELECT p.source_id, p.user_access_id, a.role, u.id AS user_id, u.full_name, u.email, \
         (SELECT v.file FROM user_avatars v WHERE v.user_id = u.id) AS avatar \
         FROM source_user_accesses p JOIN user_accesses a ON a.id = p.user_access_id \
         JOIN users u ON u.id = a.user_id WHERE p.source_id = ANY($1) ORDER BY p.source_id, p.position",
    )
    .bind(sources)
    .fetch_all(connection)
    .await
}

/// The companies with a source to which the access is assigned, but for `still` and those below it, where it goes on to hold.
///
/// # Errors
/// What the database answers.
pub async fn companies_served_by(
    connection: &mut PgConnection,
    access: i64,
    still: Option<CompanyId>,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT DISTINCT p.company_id FROM source_user_accesses p JOIN companies c ON c.id = p.company_id \
         WHERE p.user_access_id = $1 AND NOT ($2::bigint IS NOT NULL AND c.path && ARRAY[$2])",
    )
    .bind(access)
    .bind(still.map(CompanyId::get))
    .fetch_all(connection)
    .await
}
