//! A company with all that stand above it, as a decision sees them: what belongs to one of them holds below it too.

use aggregates::company::Company;
use aggregates::ids::CompanyId;
use projections::companies::CompanyRow;

use crate::ledger::{StreamKey, StreamKind, Unit, Work};

/// The decision reads the company and those above it.
#[must_use]
pub fn reading(mut work: Work, company: &CompanyRow) -> Work {
    for above in &company.path {
        work = work.on(StreamKey::new(StreamKind::Company, *above));
    }
    work
}

/// The company, the one above it, and so on up to the root, as the ledger has them at the moment of the decision: since the
/// request was read, the company may have moved. What it moved under is then not at hand and ends the way.
#[must_use]
pub fn upwards(unit: &Unit<'_>, company: CompanyId) -> Vec<CompanyId> {
    let mut way = vec![company];
    let mut at = company;
    while let Some(above) = unit.read(at.get(), Company::parent_company_id) {
        if way.contains(&above) {
            break;
        }
        way.push(above);
        at = above;
    }
    way
}
