//! What the company's catalogues decide about a lead: whether its source and territory are the company's, which territory
//! its address falls into, and whom its source gives it to.
//!
//! All of it is decided inside the commit, on the catalogues as they are at that moment, and on the turns as the leads
//! before this one left them: that keeps the turns fair however many leads come at once, on however many nodes.

use aggregates::Change;
use aggregates::company::Company;
use aggregates::company::sources::Source;
use aggregates::company::territories::Address;
use aggregates::ids::{CompanyId, SourceId, TerritoryId, UserAccessId};
use aggregates::lead::routing::{ChosenAs, Routing, TerritoryMatch};
use aggregates::lead::{CreateLead, Lead, UpdateLead};
use aggregates::user::User;
use projections::companies::CompanyRow;
use projections::facts::Fact;
use projections::sources;

use crate::ledger::{Refusal, Unit, Work};
use crate::lineage;

/// The decision about a new lead reads the catalogues, and the turns of its source if somebody is to be picked from it.
#[must_use]
pub fn reading_for_new(work: Work, company: &CompanyRow, lead: &CreateLead) -> Work {
    let work = lineage::reading(work, company);
    match lead.classification.source_id {
        Some(source) if lead.user_access_id.is_none() => work.reading(turns_of(source)),
        _ => work,
    }
}

/// Checks the new lead's source and territory, finds the territory of its address when none is named, and picks one of its
/// source's people when nobody is.
///
/// # Errors
/// [`Refusal::UnknownReference`] naming the field.
pub fn settle(unit: &mut Unit<'_>, lead: &mut CreateLead) -> Result<(), Refusal> {
    let way = lineage::upwards(unit, lead.company_id);
    if let Some(source) = lead.classification.source_id {
        check_source(unit, &way, source)?;
        if lead.user_access_id.is_none() {
            lead.routing = take_turn(unit, &way, source);
        }
    }
    match lead.classification.territory_id {
        Some(territory) => check_territory(unit, &way, territory)?,
        None => lead.territory_match = matching_territory(unit, &way, lead),
    }
    Ok(())
}

/// Checks a source and a territory that a lead is to get. One that it has already may stay, even when it was removed since.
///
/// # Errors
/// [`Refusal::UnknownReference`] naming the field.
pub fn check_changes(unit: &Unit<'_>, lead_id: i64, update: &UpdateLead) -> Result<(), Refusal> {
    let (company, now) = unit.look_at(lead_id, |lead: &Lead| {
        (lead.company_id, lead.classification())
    });
    let Some(company) = company else {
        return Ok(());
    };
    let way = lineage::upwards(unit, company);
    match update.source_id {
        Change::Set(to) if now.source_id != Some(to) => check_source(unit, &way, to)?,
        _ => {}
    }
    match update.territory_id {
        Change::Set(to) if now.territory_id != Some(to) => check_territory(unit, &way, to),
        _ => Ok(()),
    }
}

/// Checks that the assigned access still holds in the company. `assignee` is whose it is; the work must read their stream.
///
/// # Errors
/// The rule `assignee_has_no_access`.
pub fn check_assignee(
    unit: &Unit<'_>,
    assignee: Option<i64>,
    access: Option<UserAccessId>,
    company: &CompanyRow,
) -> Result<(), Refusal> {
    let (Some(user), Some(access)) = (assignee, access) else {
        return Ok(());
    };
    let held = unit.look_at(user, |user: &User| {
        user.access(access).map(|held| held.company_id)
    });
    match held {
        Some(at) if lineage::upwards(unit, CompanyId(company.id)).contains(&at) => Ok(()),
        _ => Err(Refusal::Rule("assignee_has_no_access")),
    }
}

/// Whether the source is one of the company's, or of one above it. The work must read those
/// ([`lineage::reading`]).
#[must_use]
pub fn knows_source(unit: &Unit<'_>, company: CompanyId, source: SourceId) -> bool {
    with_source(unit, &lineage::upwards(unit, company), source, |_| ()).is_some()
}

/// Who was served last from the source: what picking one of its people depends on.
#[must_use]
pub fn turns_of(source: SourceId) -> Fact {
    Fact {
        kind: &sources::TURNS,
        id: source.get(),
    }
}

fn with_source<T>(
    unit: &Unit<'_>,
    way: &[CompanyId],
    source: SourceId,
    look: impl Fn(&Source) -> T,
) -> Option<T> {
    way.iter().find_map(|company| {
        unit.look_at(company.get(), |company: &Company| {
            company.sources().get(source).map(&look)
        })
    })
}

fn check_source(unit: &Unit<'_>, way: &[CompanyId], source: SourceId) -> Result<(), Refusal> {
    with_source(unit, way, source, |_| ()).ok_or(Refusal::UnknownReference {
        field: "source_id",
        thing: "source",
    })
}

fn check_territory(
    unit: &Unit<'_>,
    way: &[CompanyId],
    territory: TerritoryId,
) -> Result<(), Refusal> {
    let known = way.iter().any(|company| {
        unit.look_at(company.get(), |company: &Company| {
            company.territories().has(territory)
        })
    });
    if known {
        Ok(())
    } else {
        Err(Refusal::UnknownReference {
            field: "territory_id",
            thing: "territory",
        })
    }
}

fn take_turn(unit: &mut Unit<'_>, way: &[CompanyId], source_id: SourceId) -> Option<Routing> {
    let fact = turns_of(source_id);
    let mut turns = unit.fact(fact);
    let next = with_source(unit, way, source_id, |source| source.next(&turns)).flatten();
    let (user_access_id, turn) = next?;
    turns.insert(user_access_id.get(), turn);
    unit.set_fact(fact, turns);
    Some(Routing {
        source_id,
        user_access_id,
        chosen_as: ChosenAs::LeastRecentlyServed,
        turn,
    })
}

/// The company's own territories come before those of the companies above it.
fn matching_territory(
    unit: &Unit<'_>,
    way: &[CompanyId],
    lead: &CreateLead,
) -> Option<TerritoryMatch> {
    let address = Address::of(&lead.extra);
    let matched = way.iter().find_map(|company| {
        unit.look_at(company.get(), |company: &Company| {
            company.territories().matching(&address)
        })
    });
    matched.map(|(territory_id, rule_version)| TerritoryMatch {
        territory_id,
        rule_version,
    })
}
