//! The Company aggregate: a node of the companies' tree, and who owns it.
//!
//! Invariants
//! - A company is created once; its place in the tree is known from its first event.
//! - A company that has an owner always keeps one: the last owner can be neither removed nor demoted (contract decision
//!   "`user_access`"). A company may be born without an owner, held by the roles above it.
//!
//! Which role a user holds lives on the user's own stream; the owners are repeated here because only this stream can
//! decide who is the last. Whoever changes an owner's role changes both streams in one commit.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Decide;
use crate::avatar::Avatar;
use crate::ids::{CompanyId, IntegrationTokenId, UserAccessId};
use crate::legal_hold::{Decided, HoldCommand, Holds};
use crate::text::{self, TextError};

pub mod answers;
pub mod campaigns;
mod commands;
pub mod cycles;
mod events;
pub mod integration_token;
pub mod legal_terms;
pub mod profile;
pub mod questions;
pub mod sources;
pub mod territories;

use campaigns::{CampaignError, Campaigns};
use cycles::Cycles;
use legal_terms::LegalTerms;
use profile::Profile;
use questions::{Question, QuestionCommand, Questions};
use sources::Sources;
use territories::Territories;

pub use commands::{CompanyCommand, CompanyError};
pub use events::CompanyEvent;

/// What a company is called: 1 to 200 characters on one line, trimmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CompanyName(String);

impl CompanyName {
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
}

/// The state that decisions need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Company {
    id: Option<CompanyId>,
    owners: BTreeSet<UserAccessId>,
    #[serde(default)]
    questions: Questions,
    #[serde(default)]
    campaigns: Campaigns,
    #[serde(default)]
    cycles: Cycles,
    profile: Option<Profile>,
    sources: Sources,
    territories: Territories,
    avatar: Option<Avatar>,
    legal_terms: LegalTerms,
    /// Those that are not revoked.
    integration_tokens: BTreeSet<IntegrationTokenId>,
    #[serde(default)]
    holds: Holds,
}

impl Company {
    /// What it asks its leads.
    #[must_use]
    pub fn questions(&self) -> &Questions {
        &self.questions
    }

    /// Its campaigns.
    #[must_use]
    pub fn campaigns(&self) -> &Campaigns {
        &self.campaigns
    }

    /// Its working periods.
    #[must_use]
    pub fn cycles(&self) -> &Cycles {
        &self.cycles
    }

    /// Whether the company has been created.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.id.is_some()
    }

    /// Its picture.
    #[must_use]
    pub fn avatar(&self) -> Option<&Avatar> {
        self.avatar.as_ref()
    }

    /// The accesses that own it.
    #[must_use]
    pub fn owners(&self) -> &BTreeSet<UserAccessId> {
        &self.owners
    }

    /// Where its leads come from.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The legal holds on it, which hold everything below it too.
    #[must_use]
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Its territories.
    #[must_use]
    pub fn territories(&self) -> &Territories {
        &self.territories
    }
}

impl Decide for Company {
    fn decide(&self, command: CompanyCommand) -> Result<Vec<CompanyEvent>, CompanyError> {
        match command {
            CompanyCommand::Create {
                company_id,
                name,
                default,
                parent_company_id,
                region,
            } => {
                if self.exists() {
                    return Err(CompanyError::AlreadyCreated);
                }
                Ok(vec![CompanyEvent::CompanyCreated {
                    company_id,
                    name,
                    default,
                    parent_company_id,
                    region,
                }])
            }
            _ if !self.exists() => Err(CompanyError::NotCreated),
            CompanyCommand::AddOwner {
                user_access_id,
                user_id,
            } => Ok(if self.owners.contains(&user_access_id) {
                vec![]
            } else {
                vec![CompanyEvent::OwnerAdded {
                    user_access_id,
                    user_id,
                }]
            }),
            CompanyCommand::RemoveOwner {
                user_access_id,
                user_id,
            } => {
                if !self.owners.contains(&user_access_id) {
                    return Ok(vec![]);
                }
                if self.owners.len() == 1 {
                    return Err(CompanyError::LastOwner);
                }
                Ok(vec![CompanyEvent::OwnerRemoved {
                    user_access_id,
                    user_id,
                }])
            }
            CompanyCommand::Questions(command) => {
                if let QuestionCommand::Create(Question {
                    campaign_id: Some(campaign),
                    ..
                }) = &command
                {
                    let known = self.campaigns.get(*campaign);
                    known.ok_or(CampaignError::NotOfCompany)?;
                }
                Ok(self.questions.decide(command)?)
            }
            CompanyCommand::Campaigns(command) => Ok(self.campaigns.decide(command)?),
            CompanyCommand::Cycles(command) => Ok(self.cycles.decide(command)?),
            CompanyCommand::Update(update) => self.update(update),
            CompanyCommand::Source(command) => Ok(self.sources.decide(command)?),
            CompanyCommand::AddTerritories(new) => Ok(self.territories.add(new)?),
            CompanyCommand::SetAvatar(to) => Ok(if to == self.avatar {
                vec![]
            } else {
                vec![CompanyEvent::CompanyAvatarChanged {
                    from: self.avatar.clone(),
                    to,
                }]
            }),
            CompanyCommand::PublishLegalTerms {
                legal_term_id,
                text,
                content_hash,
            } => self.publish(legal_term_id, text, content_hash),
            CompanyCommand::CreateIntegrationToken(token) => {
                Ok(vec![CompanyEvent::IntegrationTokenCreated {
                    integration_token_id: token.integration_token_id,
                    name: token.name,
                    scopes: token.scopes,
                    token_hash: token.token_hash,
                    expires_at: token.expires_at,
                }])
            }
            CompanyCommand::RevokeIntegrationToken {
                integration_token_id,
            } => {
                if !self.integration_tokens.contains(&integration_token_id) {
                    return Err(CompanyError::UnknownIntegrationToken);
                }
                Ok(vec![CompanyEvent::IntegrationTokenRevoked {
                    integration_token_id,
                }])
            }
            CompanyCommand::Hold(command) => self.decide_hold(command),
        }
    }

    fn evolve(&mut self, event: &CompanyEvent) {
        self.legal_terms.evolve(event);
        match event {
            CompanyEvent::CompanyCreated { company_id, .. } => {
                self.id = Some(*company_id);
                self.profile = Profile::of(event);
            }
            CompanyEvent::OwnerAdded { user_access_id, .. } => {
                self.owners.insert(*user_access_id);
            }
            CompanyEvent::OwnerRemoved { user_access_id, .. } => {
                self.owners.remove(user_access_id);
            }
            CompanyEvent::QuestionCreated { question, .. } => self.questions.created(question),
            CompanyEvent::QuestionsReordered { to, .. } => self.questions.ordered(to),
            CompanyEvent::QuestionArchived {
                question_id,
                remaining,
            } => self.questions.archived(*question_id, remaining),
            CompanyEvent::CampaignOptionsChanged {
                campaign_id,
                question_id,
                to,
                ..
            } => self.questions.shown(*campaign_id, *question_id, to),
            CompanyEvent::CampaignCreated {
                campaign_id,
                campaign: to,
            }
            | CompanyEvent::CampaignChanged {
                campaign_id, to, ..
            } => self.campaigns.set(*campaign_id, to),
            CompanyEvent::CyclesSwitched { to, .. } => self.cycles.switched(*to),
            CompanyEvent::CycleCreated { cycle } => self.cycles.created(cycle),
            CompanyEvent::CompanyRenamed { .. }
            | CompanyEvent::CompanyMoved { .. }
            | CompanyEvent::CompanyDefaultChanged { .. }
            | CompanyEvent::CompanyRegionChanged { .. } => {
                if let Some(profile) = &mut self.profile {
                    profile.evolve(event);
                }
            }
            CompanyEvent::SourceAdded { .. }
            | CompanyEvent::SourceRemoved { .. }
            | CompanyEvent::SourcesReordered { .. }
            | CompanyEvent::SourceUserAccessAssigned { .. }
            | CompanyEvent::SourceUserAccessRemoved { .. } => self.sources.evolve(event),
            CompanyEvent::TerritoryAdded { .. } => self.territories.evolve(event),
            CompanyEvent::CompanyAvatarChanged { to, .. } => self.avatar.clone_from(to),
            CompanyEvent::LegalTermsPublished { .. } => {}
            CompanyEvent::IntegrationTokenCreated {
                integration_token_id,
                ..
            } => {
                self.integration_tokens.insert(*integration_token_id);
            }
            CompanyEvent::IntegrationTokenRevoked {
                integration_token_id,
            } => {
                self.integration_tokens.remove(integration_token_id);
            }
            CompanyEvent::LegalHoldPlaced {
                legal_hold_id,
                until,
                ..
            } => self.holds.placed(*legal_hold_id, *until),
            CompanyEvent::LegalHoldReleased { legal_hold_id } => {
                self.holds.released(*legal_hold_id);
            }
        }
    }
}

impl Company {
    fn decide_hold(&self, command: HoldCommand) -> Result<Vec<CompanyEvent>, CompanyError> {
        Ok(match self.holds.decide(command)? {
            Decided::Nothing => vec![],
            Decided::Place {
                legal_hold_id,
                reason,
                until,
            } => vec![CompanyEvent::LegalHoldPlaced {
                legal_hold_id,
                reason,
                until,
            }],
            Decided::Release { legal_hold_id } => {
                vec![CompanyEvent::LegalHoldReleased { legal_hold_id }]
            }
        })
    }
}

crate::bridge_to_cqrs_es!(
    Company,
    "company",
    CompanyCommand,
    CompanyEvent,
    CompanyError
);

#[cfg(test)]
mod tests;
