//! Which leads are as an import left them.
//!
//! That is what nothing happened to since; and what nothing happened to since but by imports that were undone and did not keep the lead: undoing
//! one brings the lead back to what it was before, so that its events and those that take them back come to nothing. That an
//! import is undone for a lead is history and cannot change. So it is read before the commit, which then only has to see whether the lead
//! is still at the version that was read.

use std::collections::{BTreeSet, HashMap};

use projections::imports::kept;
use sqlx::PgConnection;

use super::through::Through;
use super::touched::Touched;
use crate::ledger::lead_past;

/// Of these leads those that are as the import left them, each with the version at which that is so.
///
/// # Errors
/// What the database answers.
pub async fn as_left(
    connection: &mut PgConnection,
    touched: &[Touched],
) -> Result<HashMap<i64, i64>, sqlx::Error> {
    let candidates = touched.iter().filter(|touched| !touched.changed_between);
    let candidates: Vec<(i64, i64)> = candidates
        .map(|touched| (touched.lead_id, touched.after))
        .collect();
    let later = lead_past::later(connection, &candidates).await?;
    let mut as_left: HashMap<i64, i64> = candidates.into_iter().collect();
    if later.is_empty() {
        return Ok(as_left);
    }
    let sources = later
        .iter()
        .flat_map(|later| later.sources.iter().flatten());
    let codes: BTreeSet<&str> = sources
        .filter_map(|source| Through::parse(source))
        .map(|through| through.code)
        .collect();
    let codes: Vec<String> = codes.into_iter().map(str::to_owned).collect();
    let leads: Vec<i64> = later.iter().map(|later| later.lead_id).collect();
    let undone = kept::undone(connection, &codes, &leads).await?;
    for later in &later {
        let comes_to_nothing = later.sources.iter().all(|source| {
            let through = source.as_deref().and_then(Through::parse);
            let kept = through.and_then(|through| undone.get(through.code));
            kept.is_some_and(|kept| !kept.contains(&later.lead_id))
        });
        if comes_to_nothing {
            as_left.insert(later.lead_id, later.version);
        } else {
            as_left.remove(&later.lead_id);
        }
    }
    Ok(as_left)
}
