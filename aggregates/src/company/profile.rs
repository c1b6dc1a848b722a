//! What a company is called, where it stands in the tree, and whether users land on it.
//!
//! Invariants
//! - The tree has no cycles: nothing moves under itself. What stands above the new parent is looked up by the caller under
//!   the append lock, so that two moves at once cannot close a circle.
//! - What stands alone has an owner of its own: nobody else could ever govern it.

use serde::{Deserialize, Serialize};

use super::{Company, CompanyError, CompanyEvent, CompanyName};
use crate::change::Change;
use crate::ids::CompanyId;
use crate::phone::Region;

/// The part of the state that an update compares with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    name: CompanyName,
    default: bool,
    parent_company_id: Option<CompanyId>,
    region: Region,
}

/// See [`super::CompanyCommand::Update`].
#[derive(Debug, Clone, Default)]
pub struct UpdateCompany {
    /// What it is called.
    pub name: Option<CompanyName>,
    /// Whether users land here when none of their accesses is primary.
    pub default: Option<bool>,
    /// The company above.
    pub parent_company_id: Change<CompanyId>,
    /// The new parent and all above it, as they are under the append lock.
    pub above_parent: Vec<CompanyId>,
    /// Where its phone numbers without a country code are read.
    pub region: Option<Region>,
}

impl Profile {
    pub(super) fn of(event: &CompanyEvent) -> Option<Self> {
        match event {
            CompanyEvent::CompanyCreated {
                company_id: _,
                name,
                default,
                parent_company_id,
                region,
            } => Some(Self {
                name: name.clone(),
                default: *default,
                parent_company_id: *parent_company_id,
                region: *region,
            }),
            _ => None,
        }
    }

    pub(super) fn evolve(&mut self, event: &CompanyEvent) {
        match event {
            CompanyEvent::CompanyRenamed { to, .. } => self.name = to.clone(),
            CompanyEvent::CompanyDefaultChanged { to, .. } => self.default = *to,
            CompanyEvent::CompanyRegionChanged { to, .. } => self.region = *to,
            CompanyEvent::CompanyMoved {
                to_parent_company_id,
                ..
            } => self.parent_company_id = *to_parent_company_id,
            _ => {}
        }
    }
}

impl Company {
    /// The company above.
    #[must_use]
    pub fn parent_company_id(&self) -> Option<CompanyId> {
        self.profile.as_ref()?.parent_company_id
    }

    pub(super) fn update(&self, update: UpdateCompany) -> Result<Vec<CompanyEvent>, CompanyError> {
        let (Some(id), Some(now)) = (self.id, &self.profile) else {
            return Err(CompanyError::NotCreated);
        };
        let mut events = Vec::new();
        if let Some(to) = update.name
            && to != now.name
        {
            let from = now.name.clone();
            events.push(CompanyEvent::CompanyRenamed { from, to });
        }
        let to_parent = update.parent_company_id.apply(now.parent_company_id);
        if to_parent != now.parent_company_id {
            if update.above_parent.contains(&id) || to_parent == Some(id) {
                return Err(CompanyError::UnderItself);
            }
            if to_parent.is_none() && self.owners.is_empty() {
                return Err(CompanyError::NoOwner);
            }
            events.push(CompanyEvent::CompanyMoved {
                from_parent_company_id: now.parent_company_id,
                to_parent_company_id: to_parent,
            });
        }
        if let Some(to) = update.default
            && to != now.default
        {
            let from = now.default;
            events.push(CompanyEvent::CompanyDefaultChanged { from, to });
        }
        if let Some(to) = update.region
            && to != now.region
        {
            let from = now.region;
            events.push(CompanyEvent::CompanyRegionChanged { from, to });
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests;
