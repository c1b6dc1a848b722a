//! Where a company's leads come from: its sources in their order of priority, and who is served leads from each.
//!
//! Invariants
//! - The order of the list is the priority, 1 to n without a gap; a reorder names every source once.
//! - No two sources of a company have the same name, without regard to case.
//! - An access is assigned to a source at most once.
//!
//! That an access holds in the company is looked up by the caller, and so are the turns: who was served last is written
//! with each lead, not here, where it would make one stream grow by every lead.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::CompanyEvent;
use crate::ids::{SourceId, UserAccessId};
use crate::text::{self, TextError};

/// The most sources that one company can have.
pub const MAX_SOURCES: usize = 1_000;
/// The most accesses that one source can have.
pub const MAX_SOURCE_ACCESSES: usize = 1_000;

/// What a source is called: 1 to 200 characters on one line, trimmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceName(String);

impl SourceName {
    /// Checks and trims.
    ///
    /// # Errors
    /// Empty, too long, or with control characters.
    pub fn parse(raw: &str) -> Result<Self, TextError> {
        text::line(raw, 200).map(|name| Self(name.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.0.to_lowercase() == other.0.to_lowercase()
    }
}

/// A source that is not removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    id: SourceId,
    name: SourceName,
    /// In order of assignment.
    user_access_ids: Vec<UserAccessId>,
}

impl Source {
    /// Who is next, and the number of that turn: of the source's people the one who was served least recently; who never was
    /// comes first, in order of assignment. `turns` holds the last turn of everybody who was ever served, by
    /// the id of their access.
    #[must_use]
    pub fn next(&self, turns: &BTreeMap<i64, i64>) -> Option<(UserAccessId, i64)> {
        let last_turn = |access: &UserAccessId| turns.get(&access.get()).copied().unwrap_or(0);
        // Of equals, `min_by_key` answers the first.
        let next = self.user_access_ids.iter().min_by_key(|a| last_turn(a))?;
        let turn = turns.values().max().copied().unwrap_or(0).saturating_add(1);
        Some((*next, turn))
    }

    /// Whether leads from here go to anybody.
    #[must_use]
    pub fn has_people(&self) -> bool {
        !self.user_access_ids.is_empty()
    }
}

/// A company's sources, first priority first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sources(Vec<Source>);

/// A wish that concerns the sources of one company.
#[derive(Debug, Clone)]
pub enum SourceCommand {
    /// Add one at the end.
    Add {
        /// The new source's id.
        source_id: SourceId,
        /// What it is called.
        name: SourceName,
    },
    /// Take one away; those behind it move up. Leads keep it.
    Remove {
        /// The source.
        source_id: SourceId,
    },
    /// Put all of them into this order.
    Reorder {
        /// Each source once.
        source_ids: Vec<SourceId>,
    },
    /// Let leads from the source go to this access too.
    Assign {
        /// The source.
        source_id: SourceId,
        /// The access; the caller has checked that it holds in the company.
        user_access_id: UserAccessId,
    },
    /// Let no more leads from the source go to this access.
    Unassign {
        /// The source.
        source_id: SourceId,
        /// The access.
        user_access_id: UserAccessId,
    },
    /// The access holds here no more: it is taken out of every source.
    Withdraw {
        /// The access.
        user_access_id: UserAccessId,
    },
}

/// A rule of sources that a command would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It never was, or is removed.
    #[error("there is no such source in the company")]
    Unknown,
    /// Another source has this name.
    #[error("another source of the company has this name")]
    NameTaken,
    /// The order leaves a source out, names one twice, or names a foreign one.
    #[error("the order must name every source of the company exactly once")]
    IncompleteOrder,
    /// The access is not assigned to the source.
    #[error("the user access is not assigned to the source")]
    NotAssigned,
    /// More than [`MAX_SOURCES`].
    #[error("a company has at most {MAX_SOURCES} sources")]
    TooMany,
    /// More than [`MAX_SOURCE_ACCESSES`].
    #[error("a source has at most {MAX_SOURCE_ACCESSES} user accesses")]
    TooManyAccesses,
}

impl Sources {
    /// The source, unless it is removed or another company's.
    #[must_use]
    pub fn get(&self, source_id: SourceId) -> Option<&Source> {
        self.0.iter().find(|source| source.id == source_id)
    }

    fn ids(&self) -> Vec<SourceId> {
        self.0.iter().map(|source| source.id).collect()
    }

    fn known(&self, source_id: SourceId) -> Result<&Source, SourceError> {
        self.get(source_id).ok_or(SourceError::Unknown)
    }

    pub(super) fn decide(&self, command: SourceCommand) -> Result<Vec<CompanyEvent>, SourceError> {
        match command {
            SourceCommand::Add { source_id, name } => self.add(source_id, name),
            SourceCommand::Remove { source_id } => {
                let source = self.known(source_id)?;
                let mut order = self.ids();
                order.retain(|id| *id != source_id);
                Ok(vec![CompanyEvent::SourceRemoved {
                    source_id,
                    name: source.name.clone(),
                    user_access_ids: source.user_access_ids.clone(),
                    order,
                }])
            }
            SourceCommand::Reorder { source_ids } => self.reorder(source_ids),
            SourceCommand::Assign {
                source_id,
                user_access_id,
            } => {
                let source = self.known(source_id)?;
                if source.user_access_ids.contains(&user_access_id) {
                    return Ok(vec![]);
                }
                if source.user_access_ids.len() >= MAX_SOURCE_ACCESSES {
                    return Err(SourceError::TooManyAccesses);
                }
                Ok(vec![CompanyEvent::SourceUserAccessAssigned {
                    source_id,
                    user_access_id,
                }])
            }
            SourceCommand::Unassign {
                source_id,
                user_access_id,
            } => {
                if !self
                    .known(source_id)?
                    .user_access_ids
                    .contains(&user_access_id)
                {
                    return Err(SourceError::NotAssigned);
                }
                Ok(vec![CompanyEvent::SourceUserAccessRemoved {
                    source_id,
                    user_access_id,
                }])
            }
            SourceCommand::Withdraw { user_access_id } => Ok(self
                .0
                .iter()
                .filter(|source| source.user_access_ids.contains(&user_access_id))
                .map(|source| CompanyEvent::SourceUserAccessRemoved {
                    source_id: source.id,
                    user_access_id,
                })
                .collect()),
        }
    }

    fn add(&self, source_id: SourceId, name: SourceName) -> Result<Vec<CompanyEvent>, SourceError> {
        if self.0.iter().any(|known| known.name.is_same_as(&name)) {
            return Err(SourceError::NameTaken);
        }
        if self.0.len() >= MAX_SOURCES {
            return Err(SourceError::TooMany);
        }
        let priority = u32::try_from(self.0.len() + 1).expect("at most MAX_SOURCES");
        Ok(vec![CompanyEvent::SourceAdded {
            source_id,
            name,
            priority,
        }])
    }

    fn reorder(&self, to: Vec<SourceId>) -> Result<Vec<CompanyEvent>, SourceError> {
        let from = self.ids();
        let each_once = |ids: &[SourceId]| ids.iter().copied().collect::<BTreeSet<_>>();
        if to.len() != from.len() || each_once(&to) != each_once(&from) {
            return Err(SourceError::IncompleteOrder);
        }
        Ok(if from == to {
            vec![]
        } else {
            vec![CompanyEvent::SourcesReordered { from, to }]
        })
    }

    pub(super) fn evolve(&mut self, event: &CompanyEvent) {
        match event {
            CompanyEvent::SourceAdded {
                source_id, name, ..
            } => self.0.push(Source {
                id: *source_id,
                name: name.clone(),
                user_access_ids: Vec::new(),
            }),
            CompanyEvent::SourceRemoved { source_id, .. } => {
                self.0.retain(|source| source.id != *source_id);
            }
            CompanyEvent::SourcesReordered { to, .. } => {
                let places: BTreeMap<_, usize> = to.iter().copied().zip(0..).collect();
                self.0.sort_by_key(|source| places.get(&source.id).copied());
            }
            CompanyEvent::SourceUserAccessAssigned {
                source_id,
                user_access_id,
            } => self.change(*source_id, |accesses| {
                if !accesses.contains(user_access_id) {
                    accesses.push(*user_access_id);
                }
            }),
            CompanyEvent::SourceUserAccessRemoved {
                source_id,
                user_access_id,
            } => self.change(*source_id, |accesses| {
                accesses.retain(|access| access != user_access_id);
            }),
            _ => {}
        }
    }

    fn change(&mut self, source_id: SourceId, change: impl FnOnce(&mut Vec<UserAccessId>)) {
        if let Some(source) = self.0.iter_mut().find(|source| source.id == source_id) {
            change(&mut source.user_access_ids);
        }
    }
}

#[cfg(test)]
mod tests;
