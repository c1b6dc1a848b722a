//! Leads whose personal data was ever blocked: how far that went, and why.
//!
//! One small table that lists join: a lead that was never blocked has no row.

use std::collections::BTreeMap;

use aggregates::ids::{CompanyId, LeadId};
use aggregates::lead::LeadEvent;
use aggregates::lead::erasure::ErasureReason;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

/// Shown and used: never blocked, or the block was taken back.
pub const IN_USE: &str = "in_use";
/// Kept and not used.
pub const BLOCKED: &str = "blocked";
/// Gone.
pub const ERASED: &str = "erased";

#[derive(Default)]
struct Row {
    company_id: Option<i64>,
    status: &'static str,
    reason: Option<&'static str>,
    /// Set when the batch blocks it.
    blocked_at: Option<DateTime<Utc>>,
    unblocked_at: Option<DateTime<Utc>>,
    erased_at: Option<DateTime<Utc>>,
    erased_position: Option<i64>,
    position: i64,
}

/// Owns `lead_erasures`.
#[derive(Default)]
pub struct LeadErasures {
    rows: BTreeMap<i64, Row>,
}

impl Projection for LeadErasures {
    fn name(&self) -> &'static str {
        "lead_erasures"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "lead_erasures",
            key: &["lead_id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let DomainEvent::Lead(event) = &recorded.event else {
            return;
        };
        let status = match event {
            LeadEvent::LeadBlocked { .. } => BLOCKED,
            LeadEvent::LeadUnblocked { .. } => IN_USE,
            LeadEvent::LeadErased { .. } => ERASED,
            _ => return,
        };
        let row = self.rows.entry(recorded.aggregate_id).or_default();
        row.company_id = recorded.company_id.map(CompanyId::get);
        row.status = status;
        row.position = recorded.position;
        match event {
            LeadEvent::LeadBlocked { reason } => {
                row.reason = Some(reason.code());
                row.blocked_at = Some(recorded.recorded_at);
                row.unblocked_at = None;
            }
            LeadEvent::LeadErased { reason } => {
                row.reason = Some(reason.code());
                row.erased_at = Some(recorded.recorded_at);
                row.erased_position = Some(recorded.position);
            }
            _ => row.unblocked_at = Some(recorded.recorded_at),
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return;
        }
        let (mut leads, mut companies) = (Vec::new(), Vec::new());
        let (mut statuses, mut reasons) = (Vec::new(), Vec::new());
        let (mut blocked, mut unblocked, mut erased) = (Vec::new(), Vec::new(), Vec::new());
        let (mut erased_positions, mut positions) = (Vec::new(), Vec::new());
        for (lead, row) in rows {
            leads.push(lead);
            companies.push(row.company_id);
            statuses.push(row.status);
            reasons.push(row.reason);
            blocked.push(row.blocked_at);
            unblocked.push(row.unblocked_at);
            erased.push(row.erased_at);
            erased_positions.push(row.erased_position);
            positions.push(row.position);
        }
        statement.part("changed_erasures", |s| {
            s.sql(
                "INSERT INTO lead_erasures AS t (lead_id, company_id, status, reason, blocked_at, unblocked_at, erased_at, \
                 erased_position, position) SELECT r.* FROM head, unnest(",
            )
            .bind(leads)
            .also(companies)
            .also(statuses)
            .also(reasons)
            .also(blocked)
            .also(unblocked)
            .also(erased)
            .also(erased_positions)
            .also(positions)
            // A new block begins anew; every other step keeps what the steps before it said.
            .sql(
                ") AS r ON CONFLICT (lead_id) DO UPDATE SET status = excluded.status, position = excluded.position, \
                 reason = coalesce(excluded.reason, t.reason), \
                 blocked_at = coalesce(excluded.blocked_at, t.blocked_at), \
                 unblocked_at = CASE WHEN excluded.blocked_at IS NULL THEN coalesce(excluded.unblocked_at, t.unblocked_at) \
                 ELSE excluded.unblocked_at END, \
                 erased_at = excluded.erased_at, erased_position = excluded.erased_position",
            );
        });
    }
}

/// How far the erasure of a lead went.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `lead_erasures`, by the same names"
)]
pub struct ErasureRow {
    pub lead_id: i64,
    pub company_id: Option<i64>,
    pub status: String,
    pub reason: Option<String>,
    pub blocked_at: Option<DateTime<Utc>>,
    pub unblocked_at: Option<DateTime<Utc>>,
    pub erased_at: Option<DateTime<Utc>>,
    pub erased_position: Option<i64>,
}

impl ErasureRow {
    /// Of a lead that was never blocked.
    #[must_use]
    pub fn never(lead: LeadId) -> Self {
        Self {
            lead_id: lead.get(),
            company_id: None,
            status: IN_USE.to_owned(),
            reason: None,
            blocked_at: None,
            unblocked_at: None,
            erased_at: None,
            erased_position: None,
        }
    }

    /// Why, where a reason was given.
    #[must_use]
    pub fn reason(&self) -> Option<ErasureReason> {
        self.reason.as_deref().and_then(ErasureReason::from_code)
    }

    /// Whether the personal data is neither to be read nor to be used.
    #[must_use]
    pub fn hides(&self) -> bool {
        self.status != IN_USE
    }
}

/// How far the erasure of this lead went.
///
/// # Errors
/// What the database answers.
pub async fn of_lead(
    connection: &mut PgConnection,
    lead: LeadId,
) -> Result<ErasureRow, sqlx::Error> {
    let row = sqlx::query_as(
        "SELECT lead_id, company_id, status, reason, blocked_at, unblocked_at, erased_at, erased_position \
         FROM lead_erasures WHERE lead_id = $1",
    )
    .bind(lead.get())
    .fetch_optional(connection)
    .await?;
    Ok(row.unwrap_or_else(|| ErasureRow::never(lead)))
}

/// The leads of this company that are blocked now.
///
/// # Errors
/// What the database answers.
pub async fn blocked(
    connection: &mut PgConnection,
    company: CompanyId,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT lead_id FROM lead_erasures WHERE status = $1 AND company_id = $2")
        .bind(BLOCKED)
        .bind(company.get())
        .fetch_all(connection)
        .await
}
