//! Legal terms: numbered texts that are published and never changed. They are on the stream of the company of the first run,
//! which stands for the installation; the latest are the current ones.

use serde::{Deserialize, Serialize};

use super::{Company, CompanyError, CompanyEvent};
use crate::ids::{CompanyId, LegalTermId};
use crate::text::{self, TextError};

/// The company of the first run: its stream holds what belongs to the installation as a whole.
pub const INSTALLATION: CompanyId = CompanyId(1);

/// A text as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegalText {
    title: String,
    content: String,
    version: Option<String>,
}

/// Which field of a text is refused, and why.
pub type LegalTextError = (&'static str, TextError);

impl LegalText {
    /// Checks and trims: a title of 200 characters, a version of 50 (the id when absent), a content of 100,000.
    ///
    /// # Errors
    /// Every broken rule.
    pub fn parse(
        title: &str,
        content: &str,
        version: Option<&str>,
    ) -> Result<Self, Vec<LegalTextError>> {
        let title = text::line(title, 200).map_err(|error| ("title", error));
        let content = text::block(content, 100_000).map_err(|error| ("content", error));
        let version = version.map(|raw| text::line(raw, 50)).transpose();
        match (title, content, version) {
            (Ok(title), Ok(content), Ok(version)) => Ok(Self {
                title: title.to_owned(),
                content: content.to_owned(),
                version: version.map(str::to_owned),
            }),
            (title, content, version) => Err([
                title.err(),
                content.err(),
                version.err().map(|error| ("version", error)),
            ]
            .into_iter()
            .flatten()
            .collect()),
        }
    }

    /// What is hashed.
    #[must_use]
    pub fn content(&self) -> &str {
        &self.content
    }
}

/// The terms that hold now, as an approval refers to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentTerms {
    /// Which text.
    pub legal_term_id: LegalTermId,
    /// How it calls itself.
    pub version: String,
    /// SHA-256 of its content, in hexadecimal.
    pub content_hash: String,
}

/// The texts published so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegalTerms {
    versions: Vec<String>,
    current: Option<CurrentTerms>,
}

impl Company {
    /// The terms that hold now.
    #[must_use]
    pub fn current_terms(&self) -> Option<&CurrentTerms> {
        self.legal_terms.current.as_ref()
    }

    pub(super) fn publish(
        &self,
        legal_term_id: LegalTermId,
        text: LegalText,
        content_hash: String,
    ) -> Result<Vec<CompanyEvent>, CompanyError> {
        let version = text.version.unwrap_or_else(|| legal_term_id.to_string());
        if self.legal_terms.versions.contains(&version) {
            return Err(CompanyError::VersionPublished);
        }
        Ok(vec![CompanyEvent::LegalTermsPublished {
            legal_term_id,
            version,
            title: text.title,
            content: text.content,
            content_hash,
        }])
    }
}

impl LegalTerms {
    pub(super) fn evolve(&mut self, event: &CompanyEvent) {
        if let CompanyEvent::LegalTermsPublished {
            legal_term_id,
            version,
            content_hash,
            ..
        } = event
        {
            self.versions.push(version.clone());
            self.current = Some(CurrentTerms {
                legal_term_id: *legal_term_id,
                version: version.clone(),
                content_hash: content_hash.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decide;
    use crate::company::{CompanyCommand, CompanyName};
    use crate::phone::Region;
    use crate::testing::{assert_survives_storage, carry_out};

    fn publish(id: i64, version: Option<&str>) -> CompanyCommand {
        CompanyCommand::PublishLegalTerms {
            legal_term_id: LegalTermId(id),
            text: LegalText::parse("Terms", "Text", version).unwrap(),
            content_hash: format!("hash {id}"),
        }
    }

    #[test]
    fn the_latest_text_is_current_and_a_version_names_one_text_for_ever() {
        let mut company = Company::default();
        assert_eq!(
            company.decide(publish(1, None)),
            Err(CompanyError::NotCreated)
        );
        let create = CompanyCommand::Create {
            company_id: INSTALLATION,
            name: CompanyName::parse("Acme").unwrap(),
            default: true,
            parent_company_id: None,
            region: Region::US,
        };
        carry_out(&mut company, create);
        assert_eq!(company.current_terms(), None);
        for (id, version, called) in [(1, None, "1"), (2, Some("two"), "two")] {
            let events = carry_out(&mut company, publish(id, version));
            assert_survives_storage(&events[0], &[]);
            let current = company.current_terms().unwrap();
            assert_eq!(current.version, called);
            assert_eq!(current.content_hash, format!("hash {id}"));
        }
        for taken in ["1", "two"] {
            assert_eq!(
                company.decide(publish(3, Some(taken))),
                Err(CompanyError::VersionPublished)
            );
        }
    }

    #[test]
    fn every_wrong_field_of_a_text_is_told() {
        let wrong = LegalText::parse(" ", "", Some("\n")).unwrap_err();
        let fields: Vec<_> = wrong.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, ["title", "content", "version"]);
        let long = "x".repeat(100_001);
        assert_eq!(LegalText::parse("t", &long, None).unwrap_err().len(), 1);
    }
}
