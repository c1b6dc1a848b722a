//! The legal terms that an installation begins with; its owner publishes others when they like.

use aggregates::company::legal_terms::{INSTALLATION, LegalText};
use aggregates::company::{Company, CompanyCommand};
use aggregates::ids::LegalTermId;

use crate::digests;
use crate::ledger::{IdKind, Refusal, Unit};

/// Publishes the first text on the stream of the company that was just made.
pub fn publish_first(unit: &mut Unit<'_>) -> Result<(), Refusal> {
    let text = first_text();
    let publish = CompanyCommand::PublishLegalTerms {
        legal_term_id: LegalTermId(unit.next_id(IdKind::LegalTerm)),
        content_hash: digests::sha256(text.content().as_bytes()),
        text,
    };
    unit.execute::<Company>(INSTALLATION.get(), publish)
}

fn first_text() -> LegalText {
    let content = include_str!("texts/legal_terms.txt");
    LegalText::parse(
        "Términos y condiciones / Terms and conditions",
        content,
        None,
    )
    .expect("the text that is compiled in keeps the limits")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_first_text_keeps_the_limits() {
        assert!(
            super::first_text()
                .content()
                .contains("Terms and conditions")
        );
    }
}
