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

use serde::{Deserialize, Serialize};

use self::legal_terms::{LegalTerms, LegalText};
use crate::Decide;
use crate::avatar::Avatar;
use crate::ids::{CompanyId, LegalTermId, UserAccessId, UserId};
use crate::phone::Region;
use crate::text::{self, TextError};

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
    avatar: Option<Avatar>,
    legal_terms: LegalTerms,
}

impl Company {
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
            Self::CompanyAvatarChanged { .. } => "CompanyAvatarChanged",
            Self::LegalTermsPublished { .. } => "LegalTermsPublished",
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
    /// A version names one text for ever.
    #[error("legal terms of this version are published already")]
    VersionPublished,
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
        }
    }

    fn evolve(&mut self, event: &CompanyEvent) {
        self.legal_terms.evolve(event);
        match event {
            CompanyEvent::CompanyCreated { company_id, .. } => self.id = Some(*company_id),
            CompanyEvent::OwnerAdded { user_access_id, .. } => {
                self.owners.insert(*user_access_id);
            }
            CompanyEvent::OwnerRemoved { user_access_id, .. } => {
                self.owners.remove(user_access_id);
            }
            CompanyEvent::CompanyAvatarChanged { to, .. } => self.avatar.clone_from(to),
            CompanyEvent::LegalTermsPublished { .. } => {}
        }
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
