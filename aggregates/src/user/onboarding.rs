//! A user's first steps: onboarding, which completes once, and the legal terms that they approve version by version.
//!
//! That only the current terms can be approved is the caller's to keep: which ones are current is decided on another stream.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{User, UserEvent};
use crate::Personal;
use crate::ids::LegalTermId;

/// How far the user came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onboarding {
    completed: bool,
    approved: Option<LegalTermId>,
}

/// A step.
#[derive(Debug, Clone)]
pub enum OnboardingCommand {
    /// The onboarding is through; a repeat changes nothing.
    CompleteOnboarding {
        /// Now.
        at: DateTime<Utc>,
    },
    /// The user agrees to these terms; a repeat changes nothing.
    ApproveTerms {
        /// Which text.
        legal_term_id: LegalTermId,
        /// How the text calls itself.
        version: String,
        /// SHA-256 of the text, in hexadecimal.
        content_hash: String,
        /// Now.
        at: DateTime<Utc>,
        /// The network address that they agreed from.
        ip: Option<String>,
    },
}

impl User {
    pub(super) fn onboard(&self, command: OnboardingCommand) -> Vec<UserEvent> {
        let so_far = &self.onboarding;
        match command {
            OnboardingCommand::CompleteOnboarding { .. } if so_far.completed => vec![],
            OnboardingCommand::CompleteOnboarding { at } => {
                vec![UserEvent::OnboardingCompleted { completed_at: at }]
            }
            OnboardingCommand::ApproveTerms { legal_term_id, .. }
                if so_far.approved == Some(legal_term_id) =>
            {
                vec![]
            }
            OnboardingCommand::ApproveTerms {
                legal_term_id,
                version,
                content_hash,
                at,
                ip,
            } => vec![UserEvent::LegalTermsApproved {
                legal_term_id,
                version,
                content_hash,
                approved_at: at,
                ip: ip.map(Personal::from),
            }],
        }
    }
}

impl Onboarding {
    pub(super) fn evolve(&mut self, event: &UserEvent) {
        match event {
            UserEvent::OnboardingCompleted { .. } => self.completed = true,
            UserEvent::LegalTermsApproved { legal_term_id, .. } => {
                self.approved = Some(*legal_term_id);
            }
            _ => {}
        }
    }
}
