//! How many leads each company has: kept up to date by difference, so that no limit ever counts rows.

use std::collections::BTreeMap;

use aggregates::lead::LeadEvent;

use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

/// Owns `company_totals`.
#[derive(Default)]
pub struct CompanyTotals {
    /// By how much each company's number changes.
    deltas: BTreeMap<i64, i64>,
}

impl Projection for CompanyTotals {
    fn name(&self) -> &'static str {
        "company_totals"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "company_totals",
            key: &["company_id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        match &recorded.event {
            DomainEvent::Lead(LeadEvent::LeadCreated { company_id, .. }) => {
                *self.deltas.entry(company_id.get()).or_insert(0) += 1;
            }
            DomainEvent::Lead(LeadEvent::LeadRemoved { .. }) => {
                if let Some(company_id) = recorded.company_id {
                    *self.deltas.entry(company_id.get()).or_insert(0) -= 1;
                }
            }
            _ => {}
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let deltas = std::mem::take(&mut self.deltas);
        if deltas.is_empty() {
            return;
        }
        let (companies, leads): (Vec<i64>, Vec<i64>) = deltas.into_iter().unzip();
        statement.part("company_totals_moved", |s| {
            s.sql("INSERT INTO company_totals (company_id, leads) SELECT r.* FROM head, unnest(")
                .bind(companies)
                .also(leads)
                .sql(
                    ") AS r ON CONFLICT (company_id) DO UPDATE SET leads = company_totals.leads + EXCLUDED.leads",
                );
        });
    }
}
