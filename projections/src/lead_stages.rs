//! The stages that leads have left, and how long they were there. A new lead costs no row: where a lead is now, and since
//! when, is in its own row, from which the first stay of a batch takes its beginning.
//!
//! When a move is taken back, the lead is again in its stage since it had come there: stays that ended after that never were.

use std::collections::BTreeMap;

use aggregates::ids::LeadId;
use aggregates::lead::LeadEvent;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use crate::page::{Page, PageRequest, Total};
use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;
use crate::total;

struct Stay {
    lead_id: i64,
    position: i64,
    stage_id: i64,
    /// `None` when it began before the batch.
    entered_at: Option<DateTime<Utc>>,
    left_at: DateTime<Utc>,
    /// Whether the batch also holds the lead's creation.
    is_new_lead: bool,
}

/// Owns `lead_stages`.
#[derive(Default)]
pub struct LeadStages {
    stays: Vec<Stay>,
    /// When a lead entered the stage it is in, and whether the batch creates it; of the leads that the batch moves.
    entered: BTreeMap<i64, (DateTime<Utc>, bool)>,
    /// Leads whose stays that ended after this time are taken back.
    taken_back: Vec<(i64, DateTime<Utc>)>,
    /// Leads that are taken away with all their stays.
    removed_leads: Vec<i64>,
}

impl Projection for LeadStages {
    fn name(&self) -> &'static str {
        "lead_stages"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "lead_stages",
            key: &["lead_id", "position"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn reads(&self) -> &'static [&'static str] {
        &["leads"]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let lead_id = recorded.aggregate_id;
        match &recorded.event {
            DomainEvent::Lead(LeadEvent::LeadCreated { .. }) => {
                self.entered.insert(lead_id, (recorded.recorded_at, true));
            }
            DomainEvent::Lead(LeadEvent::LeadStageChanged {
                from_stage_id,
                to_entered_at,
                ..
            }) => {
                let known = self.entered.get(&lead_id).copied();
                let is_new_lead = known.is_some_and(|(_, is_new)| is_new);
                if let Some(since) = *to_entered_at {
                    self.stays
                        .retain(|stay| stay.lead_id != lead_id || stay.left_at <= since);
                    self.taken_back.push((lead_id, since));
                    self.entered.insert(lead_id, (since, is_new_lead));
                    return;
                }
                self.stays.push(Stay {
                    lead_id,
                    position: recorded.position,
                    stage_id: from_stage_id.id(),
                    entered_at: known.map(|(at, _)| at),
                    left_at: recorded.recorded_at,
                    is_new_lead,
                });
                self.entered
                    .insert(lead_id, (recorded.recorded_at, is_new_lead));
            }
            DomainEvent::Lead(LeadEvent::LeadRemoved { .. }) => {
                self.stays.retain(|stay| stay.lead_id != lead_id);
                self.removed_leads.push(lead_id);
            }
            _ => {}
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        self.entered.clear();
        let removed_leads = std::mem::take(&mut self.removed_leads);
        if !removed_leads.is_empty() {
            statement.part("removed_leads_stages", |s| {
                s.sql("DELETE FROM lead_stages USING head WHERE lead_id = ANY(")
                    .bind(removed_leads)
                    .sql(")");
            });
        }
        let taken_back = std::mem::take(&mut self.taken_back);
        if !taken_back.is_empty() {
            let (leads, times): (Vec<_>, Vec<_>) = taken_back.into_iter().unzip();
            statement.part("taken_back_lead_stages", |s| {
                s.sql("DELETE FROM lead_stages t USING head, unnest(")
                    .bind(leads)
                    .also(times)
                    .sql(") AS r(lead_id, since) WHERE t.lead_id = r.lead_id AND t.left_at > r.since");
            });
        }
        let stays = std::mem::take(&mut self.stays);
        if stays.is_empty() {
            return;
        }
        let (mut leads, mut positions, mut stages) = (Vec::new(), Vec::new(), Vec::new());
        let (mut entered, mut left, mut is_new) = (Vec::new(), Vec::new(), Vec::new());
        for stay in stays {
            leads.push(stay.lead_id);
            positions.push(stay.position);
            stages.push(stay.stage_id);
            entered.push(stay.entered_at);
            left.push(stay.left_at);
            is_new.push(stay.is_new_lead);
        }
        // The statement sees `leads` as it was before the batch. A stream that never began a lead has no rows at all.
        statement.part("new_lead_stages", |s| {
            s.sql(
                "INSERT INTO lead_stages (lead_id, position, stage_id, entered_at, left_at) \
                 SELECT r.lead_id, r.position, r.stage_id, coalesce(r.entered_at, l.stage_entered_at), r.left_at \
                 FROM head, unnest(",
            )
            .bind(leads)
            .also(positions)
            .also(stages)
            .also(entered)
            .also(left)
            .also(is_new)
            .sql(
                ") AS r(lead_id, position, stage_id, entered_at, left_at, is_new) \
                 LEFT JOIN leads l ON l.id = r.lead_id WHERE r.is_new OR l.id IS NOT NULL",
            );
        });
    }
}

/// A stay in a stage.
#[derive(Debug, Clone, FromRow)]
pub struct StayRow {
    /// Its place among the lead's stays: the ledger position by which it ended, [`i64::MAX`] for the present one.
    pub position: i64,
    /// The stage.
    pub stage_id: i64,
    /// When the lead entered it.
    pub entered_at: DateTime<Utc>,
    /// When the lead left it; `None` for the stage it is in.
    pub left_at: Option<DateTime<Utc>>,
}

/// A page of the lead's stays, the first one first; a cursor is a [`StayRow::position`].
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    lead: LeadId,
    request: &PageRequest<i64>,
) -> Result<(Page<StayRow>, Total), sqlx::Error> {
    let total = total::counted(connection, |query| {
        query
            .push("SELECT 1 FROM lead_stages WHERE lead_id = ")
            .push_bind(lead.get())
            .push(" UNION ALL SELECT 1 FROM leads WHERE id = ")
            .push_bind(lead.get());
    })
    .await?;
    let rows = sqlx::query_as(
        "SELECT position, stage_id, entered_at, left_at FROM lead_stages WHERE lead_id = $1 AND position > $2 \
         UNION ALL SELECT 9223372036854775807, stage_id, stage_entered_at, NULL FROM leads \
         WHERE id = $1 AND $2 < 9223372036854775807 \
         ORDER BY position LIMIT $3 OFFSET $4",
    )
    .bind(lead.get())
    .bind(request.after().copied().unwrap_or(0))
    .bind(request.per_page + 1)
    .bind(request.offset())
    .fetch_all(connection)
    .await?;
    Ok((Page::from_overfetch(rows, request.per_page), total))
}
