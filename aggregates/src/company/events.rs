//! What happened to a company, as it is stored: the events with their names and their version.
//!
//! No rule belongs here, and nothing that only today's code needs: what was stored once is read for ever. How a shape is
//! changed is written in `docs/events.md`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::CompanyName;
use super::campaigns::Campaign;
use super::cycles::Cycle;
use super::integration_token::{TokenName, TokenScope};
use super::questions::{Question, ShownOption};
use super::sources::SourceName;
use super::territories::Area;
use crate::avatar::Avatar;
use crate::ids::{
    CampaignId, CompanyId, IntegrationTokenId, LegalHoldId, LegalTermId, QuestionId, SourceId,
    TerritoryId, UserAccessId, UserId,
};
use crate::phone::Region;

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
