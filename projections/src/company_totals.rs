//! How many leads each company has: kept up to date by difference, so that no limit ever counts rows.

use std::collections::BTreeMap;

use aggregates::lead::LeadEvent;

use crate::batch::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

/// Owns `company_totals`.
#[derive(Default)]
pub struct CompanyTotals {
    new_leads: BTreeMap<i64, i64>,
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
        if let DomainEvent::Lead(LeadEvent::LeadCreated { company_id, .. }) = &recorded.event {
            *self.new_leads.entry(company_id.get()).or_insert(0) += 1;
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let new_leads = std::mem::take(&mut self.new_leads);
        if new_leads.is_empty() {
            return;
        }
        let (companies, leads): (Vec<i64>, Vec<i64>) = new_leads.into_iter().unzip();
        statement.part("company_totals_grown", |s| {
            s.sql("INSERT INTO company_totals (company_id, leads) SELECT r.* FROM head, unnest(")
                .bind(companies)
                .also(leads)
                .sql(
                    ") AS r ON CONFLICT (company_id) DO UPDATE SET leads = company_totals.leads + EXCLUDED.leads",
                );
        });
    }
}
