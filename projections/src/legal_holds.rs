//! Legal holds on leads and companies, as they are listed. Whether something is held is decided on the streams, never here.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::company::CompanyEvent;
use aggregates::ids::{CompanyId, LeadId};
use aggregates::lead::LeadEvent;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, QueryBuilder};

use crate::ascending::Ascending;
use crate::page::{Page, PageRequest, Total};
use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

struct New {
    company_id: Option<i64>,
    lead_id: Option<i64>,
    reason: Option<String>,
    until: Option<DateTime<Utc>>,
    placed_at: DateTime<Utc>,
    released_at: Option<DateTime<Utc>>,
    position: i64,
}

/// A hold of an earlier batch that is lifted.
struct Lifted {
    lead_id: Option<i64>,
    at: DateTime<Utc>,
    position: i64,
}

/// Owns `legal_holds`.
#[derive(Default)]
pub struct LegalHolds {
    new: BTreeMap<i64, New>,
    lifted: BTreeMap<i64, Lifted>,
    erased_leads: BTreeSet<i64>,
}

impl LegalHolds {
    fn place(
        &mut self,
        recorded: &Recorded,
        id: i64,
        lead_id: Option<i64>,
        reason: Option<String>,
        until: Option<DateTime<Utc>>,
    ) {
        let hold = New {
            company_id: recorded.company_id.map(CompanyId::get),
            lead_id,
            reason,
            until,
            placed_at: recorded.recorded_at,
            released_at: None,
            position: recorded.position,
        };
        self.new.insert(id, hold);
    }

    fn lift(&mut self, recorded: &Recorded, id: i64, lead_id: Option<i64>) {
        if let Some(new) = self.new.get_mut(&id) {
            new.released_at = Some(recorded.recorded_at);
            new.position = recorded.position;
            return;
        }
        let lifted = Lifted {
            lead_id,
            at: recorded.recorded_at,
            position: recorded.position,
        };
        self.lifted.insert(id, lifted);
    }
}

impl Projection for LegalHolds {
    fn name(&self) -> &'static str {
        "legal_holds"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "legal_holds",
            key: &["id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let lead = Some(recorded.aggregate_id);
        match &recorded.event {
            DomainEvent::Lead(LeadEvent::LeadHoldPlaced {
                legal_hold_id,
                reason,
                until,
            }) => {
                let reason = reason.plain().cloned();
                self.place(recorded, legal_hold_id.get(), lead, reason, *until);
            }
            DomainEvent::Lead(LeadEvent::LeadHoldReleased { legal_hold_id }) => {
                self.lift(recorded, legal_hold_id.get(), lead);
            }
            DomainEvent::Lead(LeadEvent::LeadErased { .. }) => {
                self.erased_leads.insert(recorded.aggregate_id);
                for new in self.new.values_mut().filter(|new| new.lead_id == lead) {
                    new.reason = None;
                }
            }
            DomainEvent::Company(CompanyEvent::LegalHoldPlaced {
                legal_hold_id,
                reason,
                until,
            }) => self.place(
                recorded,
                legal_hold_id.get(),
                None,
                Some(reason.clone()),
                *until,
            ),
            DomainEvent::Company(CompanyEvent::LegalHoldReleased { legal_hold_id }) => {
                self.lift(recorded, legal_hold_id.get(), None);
            }
            _ => {}
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let lifted = std::mem::take(&mut self.lifted);
        let erased = std::mem::take(&mut self.erased_leads);
        if !erased.is_empty() {
            // One statement changes a row once: those that are lifted in the same batch lose their words there.
            statement.part("erased_holds", |s| {
                s.sql("UPDATE legal_holds SET reason = NULL FROM head WHERE lead_id = ANY(")
                    .bind(erased.iter().copied().collect::<Vec<_>>())
                    .sql(") AND id <> ALL(")
                    .bind(lifted.keys().copied().collect::<Vec<_>>())
                    .sql(")");
            });
        }
        write_lifted(statement, lifted, &erased);
        write_new(statement, std::mem::take(&mut self.new));
    }
}

fn write_lifted(
    statement: &mut Statement,
    lifted: BTreeMap<i64, Lifted>,
    erased_leads: &BTreeSet<i64>,
) {
    if lifted.is_empty() {
        return;
    }
    let (mut ids, mut times) = (Vec::new(), Vec::new());
    let (mut positions, mut erased) = (Vec::new(), Vec::new());
    for (id, hold) in lifted {
        ids.push(id);
        times.push(hold.at);
        positions.push(hold.position);
        erased.push(
            hold.lead_id
                .is_some_and(|lead| erased_leads.contains(&lead)),
        );
    }
    statement.part("lifted_holds", |s| {
        s.sql(
            "UPDATE legal_holds h SET released_at = r.released_at, position = r.position, \
             reason = CASE WHEN r.erased THEN NULL ELSE h.reason END FROM head, unnest(",
        )
        .bind(ids)
        .also(times)
        .also(positions)
        .also(erased)
        .sql(") AS r(id, released_at, position, erased) WHERE h.id = r.id");
    });
}

fn write_new(statement: &mut Statement, holds: BTreeMap<i64, New>) {
    if holds.is_empty() {
        return;
    }
    let (mut ids, mut companies, mut leads) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reasons, mut ends) = (Vec::new(), Vec::new());
    let (mut placed, mut released, mut positions) = (Vec::new(), Vec::new(), Vec::new());
    for (id, hold) in holds {
        ids.push(id);
        companies.push(hold.company_id);
        leads.push(hold.lead_id);
        reasons.push(hold.reason);
        ends.push(hold.until);
        placed.push(hold.placed_at);
        released.push(hold.released_at);
        positions.push(hold.position);
    }
    statement.part("new_holds", |s| {
        s.sql(
            "INSERT INTO legal_holds (id, company_id, lead_id, reason, until, placed_at, released_at, position) \
             SELECT r.* FROM head, unnest(",
        )
        .bind(ids)
        .also(companies)
        .also(leads)
        .also(reasons)
        .also(ends)
        .also(placed)
        .also(released)
        .also(positions)
        .sql(") AS r");
    });
}

/// A hold as it is listed.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `legal_holds`, by the same names"
)]
pub struct LegalHoldRow {
    pub id: i64,
    pub company_id: Option<i64>,
    pub lead_id: Option<i64>,
    pub reason: Option<String>,
    pub until: Option<DateTime<Utc>>,
    pub placed_at: DateTime<Utc>,
    pub released_at: Option<DateTime<Utc>>,
}

impl LegalHoldRow {
    /// Whether it holds at this time.
    #[must_use]
    pub fn stands_at(&self, now: DateTime<Utc>) -> bool {
        self.released_at.is_none() && self.until.is_none_or(|until| until > now)
    }
}

/// What a hold is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// One lead.
    Lead(LeadId),
    /// A company and all below it.
    Company(CompanyId),
}

const COLUMNS: &str = "id, company_id, lead_id, reason, until, placed_at, released_at";

impl Held {
    fn condition(self) -> (&'static str, i64) {
        match self {
            Self::Lead(lead) => ("lead_id = $1", lead.get()),
            Self::Company(company) => ("company_id = $1 AND lead_id IS NULL", company.get()),
        }
    }
}

/// A page of the holds that were ever placed on this, the oldest first.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    held: Held,
    request: &PageRequest<i64>,
) -> Result<(Page<LegalHoldRow>, Total), sqlx::Error> {
    let of_this = |query: &mut QueryBuilder<'_, sqlx::Postgres>| {
        let (condition, id) = match held {
            Held::Lead(lead) => (" WHERE lead_id = ", lead.get()),
            Held::Company(company) => (" WHERE lead_id IS NULL AND company_id = ", company.get()),
        };
        query.push(condition).push_bind(id);
    };
    let list = Ascending {
        columns: COLUMNS,
        table: "legal_holds",
        joins: "",
        key: "id",
    };
    list.page(connection, request, of_this).await
}

/// One of the holds on this.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    held: Held,
    id: i64,
) -> Result<Option<LegalHoldRow>, sqlx::Error> {
    let (condition, thing) = held.condition();
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM legal_holds WHERE {condition} AND id = $2"
    ))
    .bind(thing)
    .bind(id)
    .fetch_optional(connection)
    .await
}

/// A hold that stands on the company or on one above.
///
/// # Errors
/// What the database answers.
pub async fn standing_over(
    connection: &mut PgConnection,
    company: CompanyId,
    now: DateTime<Utc>,
) -> Result<Option<LegalHoldRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM legal_holds WHERE lead_id IS NULL AND released_at IS NULL AND (until IS NULL OR until > $2) \
         AND company_id IN (SELECT unnest(path) FROM companies WHERE id = $1) ORDER BY id LIMIT 1"
    ))
    .bind(company.get())
    .bind(now)
    .fetch_optional(connection)
    .await
}

/// Those of these leads that a hold of their own stands on.
///
/// # Errors
/// What the database answers.
pub async fn held_leads(
    connection: &mut PgConnection,
    leads: &[i64],
    now: DateTime<Utc>,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT DISTINCT lead_id FROM legal_holds WHERE lead_id = ANY($1) AND released_at IS NULL AND (until IS NULL OR until > $2)",
    )
    .bind(leads)
    .bind(now)
    .fetch_all(connection)
    .await
}

/// The companies whose holds hold any of these: theirs, and all above.
///
/// # Errors
/// What the database answers.
pub async fn companies_above(
    connection: &mut PgConnection,
    things: &[Held],
) -> Result<Vec<i64>, sqlx::Error> {
    let (mut leads, mut companies) = (Vec::new(), Vec::new());
    for thing in things {
        match thing {
            Held::Lead(lead) => leads.push(lead.get()),
            Held::Company(company) => companies.push(company.get()),
        }
    }
    sqlx::query_scalar(
        "SELECT DISTINCT unnest(c.path) FROM companies c \
         WHERE c.id = ANY($2) OR c.id IN (SELECT l.company_id FROM leads l WHERE l.id = ANY($1))",
    )
    .bind(leads)
    .bind(companies)
    .fetch_all(connection)
    .await
}
