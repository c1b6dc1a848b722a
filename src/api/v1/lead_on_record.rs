//! The lead that a request is about, where the ledger is asked and not the list of leads: one that an undone import took away again is
//! still on record, with its history, its evidence and its personal data.

use aggregates::access::Right;
use aggregates::ids::{CompanyId, LeadId};
use projections::lead_erasures;

use crate::api::caller::{Caller, Scope};
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::subject;

/// A lead that the ledger knows, in a company that the caller sees.
pub struct LeadOnRecord {
    /// The lead.
    pub id: LeadId,
    /// Its company.
    pub company: CompanyId,
    /// Whether its personal data is blocked or erased, today.
    pub hidden: bool,
    scope: Scope,
}

impl LeadOnRecord {
    /// Finds it.
    ///
    /// # Errors
    /// 404 when the lead is unknown or its company not visible.
    pub async fn find(app: &App, caller: &Caller, lead: i64) -> Result<Self, Problem> {
        let unknown = || Problem::not_found("lead");
        let id = LeadId(lead);
        let (company, hidden) = if let Some(row) = app.reads.lead.get(id).await? {
            (CompanyId(row.company_id), row.hidden)
        } else {
            let mut connection = app.pool.acquire().await?;
            let company = subject::company_of(&mut connection, lead).await?;
            let company = company.ok_or_else(unknown)?;
            let erasure = lead_erasures::of_lead(&mut connection, id).await?;
            (company, erasure.hides())
        };
        Ok(Self {
            id,
            company,
            hidden,
            scope: caller.scope_of(app, company, "lead").await?,
        })
    }

    /// Whether the caller holds the right there.
    #[must_use]
    pub fn allows(&self, right: Right) -> bool {
        self.scope.require(right).is_ok()
    }

    /// Asks that the caller holds the right there.
    ///
    /// # Errors
    /// 403.
    pub fn require(&self, right: Right) -> Result<(), Problem> {
        self.scope.require(right).map(|_| ())
    }
}
