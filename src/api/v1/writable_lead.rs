//! Which lead a request may change: asked by everything that is written on a lead.

use aggregates::access::{Reach, Right};
use aggregates::ids::{CompanyId, LeadId};
use aggregates::lead::OnlyOf;
use projections::leads::list::LeadRow;

use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::app::App;

/// A lead that the caller may change, and the accesses it must be assigned to when their right reaches only so far.
///
/// # Errors
/// 404 when the lead is unknown or its company not visible; 403 when the right is missing.
pub async fn writable(app: &App, caller: &Caller, lead: i64) -> Result<(LeadRow, OnlyOf), Problem> {
    let row = app.reads.lead.get(LeadId(lead)).await?;
    let row = row.ok_or_else(|| Problem::not_found("lead"))?;
    let company = CompanyId(row.company_id);
    let scope = caller.scope_of(app, company, "lead").await?;
    let only_of = match scope.require(Right::WriteLeads)? {
        Reach::All => None,
        Reach::Own => Some(scope.own_accesses()),
    };
    Ok((row, only_of))
}
