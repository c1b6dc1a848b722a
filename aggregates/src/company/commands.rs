//! The wishes that concern one company, and the rules for which one is refused.
//!
//! The wishes of its parts are in the modules of those, and only named here. What a wish leads to is decided beside the
//! state. What is stored of it are events, and never the wish.

use super::CompanyName;
use super::answers::AnswerFault;
use super::campaigns::{CampaignCommand, CampaignError};
use super::cycles::{CycleCommand, CycleError};
use super::integration_token::NewIntegrationToken;
use super::legal_terms::LegalText;
use super::profile::UpdateCompany;
use super::questions::{QuestionCommand, QuestionError};
use super::sources::{SourceCommand, SourceError};
use super::territories::{NewTerritory, TerritoryError};
use crate::avatar::Avatar;
use crate::ids::{CompanyId, IntegrationTokenId, LegalTermId, UserAccessId, UserId};
use crate::legal_hold::{HoldCommand, HoldError};
use crate::phone::Region;

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
