//! The campaigns of a company, which bring it leads.
//!
//! Invariants
//! - A campaign does not end before it starts.
//! - It is active or paused until it is ended, and ended for good.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::CompanyEvent;
use crate::Change;
use crate::ids::{CampaignId, SourceId};

/// Whether a campaign runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CampaignStatus {
    /// It takes leads.
    Active,
    /// It takes none for now.
    Paused,
    /// It never will again.
    Ended,
}

impl CampaignStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Active, Self::Paused, Self::Ended];

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }

    /// The status with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }
}

/// A campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// What it is called; checked by the caller.
    pub name: String,
    /// Whether it runs.
    pub status: CampaignStatus,
    /// Where its leads come from.
    pub source_id: Option<SourceId>,
    /// Its first day.
    pub start_date: Option<NaiveDate>,
    /// Its last day.
    pub end_date: Option<NaiveDate>,
}

impl Campaign {
    /// Whether a lead can be given to it on this day. It may be announced, and answered, before its first day.
    #[must_use]
    pub fn takes_leads_on(&self, day: NaiveDate) -> bool {
        self.status == CampaignStatus::Active && self.end_date.is_none_or(|last| day <= last)
    }

    fn check(&self) -> Result<(), CampaignError> {
        match (self.start_date, self.end_date) {
            (Some(start), Some(end)) if end < start => Err(CampaignError::EndsBeforeStart),
            _ => Ok(()),
        }
    }
}

/// Changes of a campaign; what is not mentioned stays.
#[derive(Debug, Clone, Default)]
pub struct CampaignChanges {
    /// What it is called.
    pub name: Option<String>,
    /// Whether it runs.
    pub status: Option<CampaignStatus>,
    /// Where its leads come from.
    pub source_id: Change<SourceId>,
    /// Its first day.
    pub start_date: Change<NaiveDate>,
    /// Its last day.
    pub end_date: Change<NaiveDate>,
}

/// Every campaign of the company.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaigns(BTreeMap<CampaignId, Campaign>);

/// A wish that concerns a company's campaigns.
#[derive(Debug, Clone)]
pub enum CampaignCommand {
    /// Begin one.
    Create {
        /// The new campaign's id.
        campaign_id: CampaignId,
        /// What it is.
        campaign: Campaign,
    },
    /// Change one.
    Update {
        /// Which.
        campaign_id: CampaignId,
        /// What of it.
        changes: CampaignChanges,
    },
}

/// A rule of campaigns that a command would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CampaignError {
    /// The company has none with this id.
    #[error("there is no such campaign")]
    Unknown,
    /// Something refers to a campaign that neither the company nor one above has.
    #[error("this is not a campaign of the company")]
    NotOfCompany,
    /// It is paused, ended, or over.
    #[error("the campaign takes no leads now")]
    NotOpen,
    /// The dates are the wrong way round.
    #[error("a campaign cannot end before it starts")]
    EndsBeforeStart,
    /// Ended is for good, and nothing begins with it.
    #[error("a campaign that has ended does not begin again, and none begins as ended")]
    Ended,
}

impl Campaigns {
    /// The campaign with this id.
    #[must_use]
    pub fn get(&self, id: CampaignId) -> Option<&Campaign> {
        self.0.get(&id)
    }

    pub(super) fn decide(
        &self,
        command: CampaignCommand,
    ) -> Result<Vec<CompanyEvent>, CampaignError> {
        match command {
            CampaignCommand::Create {
                campaign_id,
                campaign,
            } => {
                if campaign.status == CampaignStatus::Ended {
                    return Err(CampaignError::Ended);
                }
                campaign.check()?;
                Ok(vec![CompanyEvent::CampaignCreated {
                    campaign_id,
                    campaign,
                }])
            }
            CampaignCommand::Update {
                campaign_id,
                changes,
            } => {
                let from = self.get(campaign_id).ok_or(CampaignError::Unknown)?.clone();
                let to = Campaign {
                    name: changes.name.unwrap_or_else(|| from.name.clone()),
                    status: changes.status.unwrap_or(from.status),
                    source_id: changes.source_id.apply(from.source_id),
                    start_date: changes.start_date.apply(from.start_date),
                    end_date: changes.end_date.apply(from.end_date),
                };
                if from.status == CampaignStatus::Ended && to.status != from.status {
                    return Err(CampaignError::Ended);
                }
                to.check()?;
                Ok(if from == to {
                    vec![]
                } else {
                    vec![CompanyEvent::CampaignChanged {
                        campaign_id,
                        from,
                        to,
                    }]
                })
            }
        }
    }

    pub(super) fn set(&mut self, id: CampaignId, campaign: &Campaign) {
        self.0.insert(id, campaign.clone());
    }
}

#[cfg(test)]
#[path = "campaigns_tests.rs"]
mod tests;
