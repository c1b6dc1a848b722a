//! The Company aggregate: a node of the companies' tree, and who owns it.
//!
//! Invariants
//! - A company is created once; its place in the tree is known from its first event.
//! - A company that has an owner always keeps one: the last owner can be neither removed nor demoted (contract decision
//!   "`user_access`"). A company may be born without an owner, held by the roles above it.
//!
//! Which role a user holds lives on the user's own stream; the owners are repeated here because only this stream can
//! decide who is the last. Whoever changes an owner's role changes both streams in one commit.

pub mod legal_terms;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::integration_token::{NewIntegrationToken, TokenName, TokenScope};
use self::legal_terms::{LegalTerms, LegalText};
use crate::Decide;
use crate::avatar::Avatar;
use crate::ids::{
    CampaignId, CompanyId, IntegrationTokenId, LegalTermId, QuestionId, SourceId, TerritoryId,
    UserAccessId, UserId,
};
use crate::phone::Region;
use crate::text::{self, TextError};

pub mod answers;
pub mod campaigns;
pub mod cycles;
pub mod profile;
pub mod questions;
pub mod sources;
pub mod territories;

use answers::AnswerFault;
use campaigns::{Campaign, CampaignCommand, CampaignError, Campaigns};
use cycles::{Cycle, CycleCommand, CycleError, Cycles};
use profile::{Profile, UpdateCompany};
use questions::{Question, QuestionCommand, QuestionError, Questions, ShownOption};
use sources::{SourceCommand, SourceError, SourceName, Sources};
use territories::{Area, NewTerritory, Territories, TerritoryError};

pub mod integration_token;

use crate::ids::LegalHoldId;
use crate::legal_hold::{Decided, HoldCommand, HoldError, Holds};

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

/// A wish that concerns one company.
#[derive(Debug, Clone)]
pub enum CompanyCommand {
    /// Bring a company into being.
    Create {
        /// The new company's id.
        company_id: CompanyId,
        /// What it is called.
        name: CompanyName,
        /// Whether users land here when none of their accesses is primary.
        default: bool,
        /// The company above; the caller has checked that it exists.
        parent_company_id: Option<CompanyId>,
        /// Where its phone numbers without a country code are read.
        region: Region,
    },
    /// An access becomes an owner's.
    AddOwner {
        /// The access.
        user_access_id: UserAccessId,
        /// Whose it is.
        user_id: UserId,
    },
    /// An access stops being an owner's.
    RemoveOwner {
        /// The access.
        user_access_id: UserAccessId,
        /// Whose it is.
        user_id: UserId,
    },
    /// Ask, reorder, archive; see there.
    Questions(QuestionCommand),
    /// Begin or change a campaign; see there.
    Campaigns(CampaignCommand),
    /// Add a cycle, or switch them; see there.
    Cycles(CycleCommand),
    /// Change name, place, region or whether users land here.
    Update(UpdateCompany),
    /// Something about its sources.
    Source(SourceCommand),
    /// Add territories.
    AddTerritories(Vec<NewTerritory>),
    /// Show this picture, or none.
    SetAvatar(Option<Avatar>),
    /// Publish legal terms. For the company that stands for the installation.
    PublishLegalTerms {
        /// The new text's id.
        legal_term_id: LegalTermId,
        /// The text.
        text: LegalText,
        /// SHA-256 of its content, in hexadecimal.
        content_hash: String,
    },
    /// Make a token for programs.
    CreateIntegrationToken(Box<NewIntegrationToken>),
    /// End a token.
    RevokeIntegrationToken {
        /// Which one.
        integration_token_id: IntegrationTokenId,
    },
    /// Place or lift a legal hold; see there.
    Hold(HoldCommand),
}

/// What happened to a company. These names and shapes are the storage format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompanyEvent {
    /// The company came into being.
    CompanyCreated {
        /// Its id, also the stream's name.
        company_id: CompanyId,
        /// What it is called.
        name: CompanyName,
        /// Whether users land here when none of their accesses is primary.
        default: bool,
        /// The company above.
        parent_company_id: Option<CompanyId>,
        /// ISO 3166 country of its phone numbers.
        region: Region,
    },
    /// An access became an owner's.
    OwnerAdded {
        /// The access.
        user_access_id: UserAccessId,
        /// Whose it is.
        user_id: UserId,
    },
    /// An access stopped being an owner's.
    OwnerRemoved {
        /// The access.
        user_access_id: UserAccessId,
        /// Whose it is.
        user_id: UserId,
    },
    /// A question is asked from now on, after all others.
    QuestionCreated {
        /// The question.
        question: Question,
        /// Its place in the order, from 1.
        priority: i64,
    },
    /// The questions are asked in another order; both lists are complete.
    QuestionsReordered {
        /// Before.
        from: Vec<QuestionId>,
        /// After.
        to: Vec<QuestionId>,
    },
    /// A question is asked no more.
    QuestionArchived {
        /// The question.
        question_id: QuestionId,
        /// Those that are still asked, in their order.
        remaining: Vec<QuestionId>,
    },
    /// A campaign shows other options of a question; an empty list stands for all of them.
    CampaignOptionsChanged {
        /// The campaign.
        campaign_id: CampaignId,
        /// The question.
        question_id: QuestionId,
        /// Before.
        from: Vec<ShownOption>,
        /// After.
        to: Vec<ShownOption>,
    },
    /// A campaign began.
    CampaignCreated {
        /// Its id.
        campaign_id: CampaignId,
        /// What it is.
        campaign: Campaign,
    },
    /// A campaign changed.
    CampaignChanged {
        /// Its id.
        campaign_id: CampaignId,
        /// Before.
        from: Campaign,
        /// After.
        to: Campaign,
    },
    /// The company works in cycles from now on, or no more.
    CyclesSwitched {
        /// Before.
        from: bool,
        /// After.
        to: bool,
    },
    /// It is called something else.
    CompanyRenamed {
        /// Before.
        from: CompanyName,
        /// After.
        to: CompanyName,
    },
    /// It stands elsewhere in the tree, with all below it.
    CompanyMoved {
        /// Before.
        from_parent_company_id: Option<CompanyId>,
        /// After.
        to_parent_company_id: Option<CompanyId>,
    },
    /// Users land here now, or no more.
    CompanyDefaultChanged {
        /// Before.
        from: bool,
        /// After.
        to: bool,
    },
    /// A cycle was added.
    CycleCreated {
        /// The cycle.
        cycle: Cycle,
    },
    /// Its phone numbers without a country code are read elsewhere.
    CompanyRegionChanged {
        /// Before.
        from: Region,
        /// After.
        to: Region,
    },
    /// Leads may come from one more source.
    SourceAdded {
        /// The source.
        source_id: SourceId,
        /// What it is called.
        name: SourceName,
        /// Its place, the last.
        priority: u32,
    },
    /// No more leads come from a source; those that did keep it.
    SourceRemoved {
        /// The source.
        source_id: SourceId,
        /// What it was called.
        name: SourceName,
        /// Who was served.
        user_access_ids: Vec<UserAccessId>,
        /// The sources that stay, first priority first.
        order: Vec<SourceId>,
    },
    /// The sources' priorities changed; both lists are complete.
    SourcesReordered {
        /// Before.
        from: Vec<SourceId>,
        /// After.
        to: Vec<SourceId>,
    },
    /// Leads from a source go to one more access.
    SourceUserAccessAssigned {
        /// The source.
        source_id: SourceId,
        /// The access.
        user_access_id: UserAccessId,
    },
    /// Leads from a source go to an access no more.
    SourceUserAccessRemoved {
        /// The source.
        source_id: SourceId,
        /// The access.
        user_access_id: UserAccessId,
    },
    /// The company has one more territory.
    TerritoryAdded {
        /// The territory.
        territory_id: TerritoryId,
        /// What it is called.
        name: String,
        /// The company's own code for it.
        code: Option<String>,
        /// Which leads belong to it.
        area: Area,
        /// The rule's version: 1, and one more with each change of the area.
        rule_version: u32,
    },
    /// The company shows another picture, or none.
    CompanyAvatarChanged {
        /// Before.
        from: Option<Avatar>,
        /// After.
        to: Option<Avatar>,
    },
    /// These legal terms are the current ones from now on.
    LegalTermsPublished {
        /// Their id.
        legal_term_id: LegalTermId,
        /// How they call themselves.
        version: String,
        /// Their heading.
        title: String,
        /// The text itself.
        content: String,
        /// SHA-256 of the content, in hexadecimal.
        content_hash: String,
    },
    /// A token for programs came into being.
    IntegrationTokenCreated {
        /// Its id.
        integration_token_id: IntegrationTokenId,
        /// What it is called.
        name: Option<TokenName>,
        /// What it may do.
        scopes: Vec<TokenScope>,
        /// SHA-256 of the secret, in hexadecimal.
        token_hash: String,
        /// When it ends by itself.
        expires_at: Option<DateTime<Utc>>,
    },
    /// A token was ended.
    IntegrationTokenRevoked {
        /// Which one.
        integration_token_id: IntegrationTokenId,
    },
    /// A legal hold was placed on the company and all below it.
    LegalHoldPlaced {
        /// Its id.
        legal_hold_id: LegalHoldId,
        /// Why, without a word about a person: it is never erased.
        reason: String,
        /// When it ends by itself.
        until: Option<DateTime<Utc>>,
    },
    /// A legal hold on the company was lifted.
    LegalHoldReleased {
        /// Its id.
        legal_hold_id: LegalHoldId,
    },
}

impl CompanyEvent {
    /// The version of every shape above.
    pub const VERSION: &'static str = "1";

    /// The stored event type: the variant's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::CompanyCreated { .. } => "CompanyCreated",
            Self::OwnerAdded { .. } => "OwnerAdded",
            Self::OwnerRemoved { .. } => "OwnerRemoved",
            Self::QuestionCreated { .. } => "QuestionCreated",
            Self::QuestionsReordered { .. } => "QuestionsReordered",
            Self::QuestionArchived { .. } => "QuestionArchived",
            Self::CampaignOptionsChanged { .. } => "CampaignOptionsChanged",
            Self::CampaignCreated { .. } => "CampaignCreated",
            Self::CampaignChanged { .. } => "CampaignChanged",
            Self::CyclesSwitched { .. } => "CyclesSwitched",
            Self::CycleCreated { .. } => "CycleCreated",
            Self::CompanyRenamed { .. } => "CompanyRenamed",
            Self::CompanyMoved { .. } => "CompanyMoved",
            Self::CompanyDefaultChanged { .. } => "CompanyDefaultChanged",
            Self::CompanyRegionChanged { .. } => "CompanyRegionChanged",
            Self::SourceAdded { .. } => "SourceAdded",
            Self::SourceRemoved { .. } => "SourceRemoved",
            Self::SourcesReordered { .. } => "SourcesReordered",
            Self::SourceUserAccessAssigned { .. } => "SourceUserAccessAssigned",
            Self::SourceUserAccessRemoved { .. } => "SourceUserAccessRemoved",
            Self::TerritoryAdded { .. } => "TerritoryAdded",
            Self::CompanyAvatarChanged { .. } => "CompanyAvatarChanged",
            Self::LegalTermsPublished { .. } => "LegalTermsPublished",
            Self::IntegrationTokenCreated { .. } => "IntegrationTokenCreated",
            Self::IntegrationTokenRevoked { .. } => "IntegrationTokenRevoked",
            Self::LegalHoldPlaced { .. } => "LegalHoldPlaced",
            Self::LegalHoldReleased { .. } => "LegalHoldReleased",
        }
    }
}

/// A rule that a command would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompanyError {
    /// The stream is empty.
    #[error("there is no such company")]
    NotCreated,
    /// The id is taken.
    #[error("the company exists already")]
    AlreadyCreated,
    /// Nobody would own the company any more.
    #[error("the last owner of a company cannot be removed or demoted")]
    LastOwner,
    /// A rule of its questions.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// A rule of its campaigns.
    #[error(transparent)]
    Campaign(#[from] CampaignError),
    /// A rule of its cycles.
    #[error(transparent)]
    Cycle(#[from] CycleError),
    /// A lead's answer does not fit.
    #[error("an answer {fault}")]
    Answer {
        /// Its place in the list of answers, from 0.
        entry: usize,
        /// Why.
        fault: AnswerFault,
    },
    /// It would stand under itself.
    #[error("a company cannot be moved under itself or under one below it")]
    UnderItself,
    /// Nobody could govern it once it stands alone.
    #[error("a company needs an owner of its own before it can stand alone")]
    NoOwner,
    /// A rule of its sources.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A rule of its territories.
    #[error(transparent)]
    Territory(#[from] TerritoryError),
    /// A version names one text for ever.
    #[error("legal terms of this version are published already")]
    VersionPublished,
    /// The token never was, or is revoked.
    #[error("the company has no such integration token")]
    UnknownIntegrationToken,
    /// A rule of its legal holds.
    #[error(transparent)]
    Hold(#[from] HoldError),
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
