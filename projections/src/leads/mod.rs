//! The lead list: one row a lead, and the counts by stage that follow every move of a row.
//!
//! Counts are written here and not by a projection of their own, because the same statement knows each row before and
//! after its change: the difference is what counts. No read of the counts ever scans leads.

mod columns;
pub mod counts;
pub mod export;
mod hits;
pub mod list;
pub mod past;

use std::collections::BTreeMap;

use aggregates::lead::LeadEvent;

use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;
use columns::{Columns, Row};

/// See the module's text. Owns `leads`, `stage_counts` and `stage_counts_daily`.
#[derive(Default)]
pub struct Leads {
    rows: BTreeMap<i64, Row>,
}

impl Projection for Leads {
    fn name(&self) -> &'static str {
        "leads"
    }

    fn tables(&self) -> &'static [Table] {
        const DAILY: &[&str] = &[
            "company_id",
            "created_on",
            "stage_id",
            "source_id",
            "campaign_id",
            "cycle_id",
            "territory_id",
            "user_access_id",
        ];
        &[
            Table {
                name: "leads",
                key: &["id"],
                counts_when: "true",
                looked_up_by: &["leads_email", "leads_phone"],
            },
            Table {
                name: "stage_counts",
                key: counts::DIMENSIONS,
                counts_when: "count <> 0",
                looked_up_by: &[],
            },
            Table {
                name: "stage_counts_daily",
                key: DAILY,
                counts_when: "count <> 0",
                looked_up_by: &[],
            },
        ]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let DomainEvent::Lead(event) = &recorded.event else {
            return;
        };
        let row = self.rows.entry(recorded.aggregate_id).or_default();
        row.version = recorded.sequence;
        row.position = recorded.position;
        row.updated_at = recorded.recorded_at;
        row.apply(event);
        if let LeadEvent::LeadCreated { .. } = event {
            row.created_at = Some(recorded.recorded_at);
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let rows = std::mem::take(&mut self.rows);
        let (mut new, mut changed, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for (id, row) in rows {
            match (row.created_at.is_some(), row.removed) {
                // One that the batch itself makes and takes away never gets a row.
                (true, true) => {}
                (true, false) => new.push((id, row)),
                (false, true) => removed.push(id),
                (false, false) => changed.push((id, row)),
            }
        }
        let (any_new, any_changed) = (!new.is_empty(), !changed.is_empty());
        let any_removed = !removed.is_empty();
        if any_new {
            write_new(statement, Columns::from(new));
        }
        if let Some(position) = statement.is_visible_from()
            && (any_changed || any_removed)
        {
            let replaced = changed.iter().map(|(id, _)| *id);
            keep(
                statement,
                position,
                replaced.chain(removed.iter().copied()).collect(),
            );
        }
        if any_changed {
            write_changed(statement, Columns::from(changed));
        }
        if any_removed {
            write_removed(statement, removed);
        }
        counts::write(statement, any_new, any_changed, any_removed);
    }
}

fn write_new(statement: &mut Statement, columns: Columns) {
    statement.part("new_leads", |s| {
        s.sql(
            "INSERT INTO leads (id, company_id, first_name, last_name, full_name, email, phone, search, stage_id, \
             source_id, campaign_id, cycle_id, territory_id, user_access_id, answers, extra, \
             estimated_value_amount, estimated_value_currency, version, position, updated_at, created_at, stage_entered_at) \
             SELECT r.id, r.company_id, r.first_name, r.last_name, r.full_name, r.email, r.phone, r.search, r.stage_id, \
             r.source_id, r.campaign_id, r.cycle_id, r.territory_id, r.user_access_id, r.answers::jsonb, \
             r.extra::jsonb, r.amount, r.currency, r.version, r.position, r.updated_at, r.created_at, r.stage_entered_at \
             FROM head, ",
        );
        columns.unnest(s);
        s.sql(
            " RETURNING company_id, created_at, stage_id, source_id, campaign_id, cycle_id, territory_id, \
             user_access_id",
        );
    });
}

/// Keeps the rows that are about to change as they were. Done here and not by a trigger, which would cost a lone change more.
fn keep(statement: &mut Statement, position: i64, leads: Vec<i64>) {
    statement.part("past_leads", |s| {
        s.sql("INSERT INTO past.leads SELECT l.position, ")
            .bind(position)
            .sql(", l.* FROM head, leads l WHERE l.id = ANY(")
            .bind(leads)
            .sql(")");
    });
}

fn write_removed(statement: &mut Statement, ids: Vec<i64>) {
    statement.part("removed_leads", |s| {
        s.sql("DELETE FROM leads l USING head WHERE l.id = ANY(")
            .bind(ids)
            .sql(
                ") RETURNING l.company_id, l.created_at, l.stage_id, l.source_id, l.campaign_id, l.cycle_id, \
                 l.territory_id, l.user_access_id",
            );
    });
}

fn write_changed(statement: &mut Statement, columns: Columns) {
    statement.part("changed_leads", |s| {
        s.sql("UPDATE leads l SET ");
        for (column, part, source) in columns::CHANGEABLE {
            s.sql(&format!(
                "{column} = CASE WHEN r.changed & {part} <> 0 THEN {source} ELSE l.{column} END, "
            ));
        }
        s.sql(
            "version = r.version, position = r.position, updated_at = r.updated_at \
             FROM head, leads b, ",
        );
        columns.unnest(s);
        s.sql(
            " WHERE l.id = r.id AND b.id = r.id \
             RETURNING l.company_id, l.created_at, l.stage_id, l.source_id, l.campaign_id, l.cycle_id, \
             l.territory_id, l.user_access_id, b.stage_id AS old_stage_id, b.source_id AS old_source_id, \
             b.campaign_id AS old_campaign_id, b.territory_id AS old_territory_id, \
             b.user_access_id AS old_user_access_id",
        );
    });
}
