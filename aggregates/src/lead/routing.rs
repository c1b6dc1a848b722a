//! Why a new lead went where it went, as its first event says.

use serde::{Deserialize, Serialize};

use crate::ids::{SourceId, TerritoryId, UserAccessId};

/// The lead's source gave it to one of its people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// The source.
    pub source_id: SourceId,
    /// Whose lead it became.
    pub user_access_id: UserAccessId,
    /// Why theirs.
    pub chosen_as: ChosenAs,
    /// The number of this turn among the source's; the next one is higher.
    pub turn: i64,
}

/// Why somebody was next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChosenAs {
    /// Of the source's people they had waited longest since their last turn, or never had one.
    LeastRecentlyServed,
}

/// A territory's rule matched the lead's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerritoryMatch {
    /// The territory.
    pub territory_id: TerritoryId,
    /// The version of its rule that matched.
    pub rule_version: u32,
}
