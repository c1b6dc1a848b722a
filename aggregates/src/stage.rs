//! The stages of a lead: one global ordered catalogue (contract decision "Stages").

use serde::{Deserialize, Serialize};

/// A stage. On the wire and in events it is its integer id.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "i64", into = "i64")]
pub enum Stage {
    /// Just came in.
    #[default]
    New,
    /// Somebody reached the person.
    Contacted,
    /// Worth pursuing.
    Qualified,
    /// An offer is out.
    Proposal,
    /// Became a customer.
    Won,
    /// Will not become one.
    Lost,
}

/// What a stage means for the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// Still being worked.
    Open,
    /// Ended well.
    Won,
    /// Ended badly.
    Lost,
}

impl StageKind {
    /// `open`, `won` or `lost`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }
}

impl Stage {
    /// Every stage in catalogue order.
    pub const ALL: [Self; 6] = [
        Self::New,
        Self::Contacted,
        Self::Qualified,
        Self::Proposal,
        Self::Won,
        Self::Lost,
    ];

    /// The fixed id, which is also the priority: 1 to 6.
    #[must_use]
    pub const fn id(self) -> i64 {
        self as i64 + 1
    }

    /// The fixed code, such as `qualified`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Contacted => "contacted",
            Self::Qualified => "qualified",
            Self::Proposal => "proposal",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }

    /// The English name, such as `Qualified`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Contacted => "Contacted",
            Self::Qualified => "Qualified",
            Self::Proposal => "Proposal",
            Self::Won => "Won",
            Self::Lost => "Lost",
        }
    }

    /// Whether a lead in this stage is open, won or lost.
    #[must_use]
    pub const fn kind(self) -> StageKind {
        match self {
            Self::Won => StageKind::Won,
            Self::Lost => StageKind::Lost,
            _ => StageKind::Open,
        }
    }

    /// The stage with this id.
    #[must_use]
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.id() == id)
    }
}

/// There is no stage with this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no stage {0}")]
pub struct UnknownStage(pub i64);

impl TryFrom<i64> for Stage {
    type Error = UnknownStage;

    fn try_from(id: i64) -> Result<Self, UnknownStage> {
        Self::from_id(id).ok_or(UnknownStage(id))
    }
}

impl From<Stage> for i64 {
    fn from(stage: Stage) -> Self {
        stage.id()
    }
}
