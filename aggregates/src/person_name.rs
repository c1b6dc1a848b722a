//! Names of people.
//!
//! Invariants: a parsed name is trimmed, 1 to 100 characters, without control characters. Nothing else is assumed
//! about names: no alphabet, no capitals, no number of words. Who may read a name is the business of `Personal`.

use serde::{Deserialize, Serialize};

use crate::text::{self, TextError};

/// A first or a last name.
///
/// Input comes in by [`PersonName::parse`]; deserialising is for stored values and takes any string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonName(String);

impl PersonName {
    /// The most characters of one name.
    pub const MAX_CHARS: usize = 100;

    /// Trims and checks a name.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn parse(raw: &str) -> Result<Self, TextError> {
        text::line(raw, Self::MAX_CHARS).map(|name| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for PersonName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// First and last name with one space between them; whichever is absent or empty is left out.
#[must_use]
pub fn full_name(first: Option<&PersonName>, last: Option<&PersonName>) -> String {
    let parts = [first, last].map(|name| name.map_or("", PersonName::as_str));
    match parts {
        ["", only] | [only, ""] => only.to_owned(),
        [first, last] => format!("{first} {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_may_be_in_any_script() {
        assert_eq!(
            PersonName::parse(" José María ").unwrap().as_str(),
            "José María"
        );
        assert_eq!(PersonName::parse("王").unwrap().as_str(), "王");
    }

    #[test]
    fn blank_long_and_unprintable_names_are_refused() {
        assert_eq!(PersonName::parse(" "), Err(TextError::Blank));
        assert_eq!(
            PersonName::parse(&"ñ".repeat(101)),
            Err(TextError::TooLong { max: 100 })
        );
        assert!(PersonName::parse(&"ñ".repeat(100)).is_ok());
        assert_eq!(PersonName::parse("a\0"), Err(TextError::ControlCharacter));
    }

    #[test]
    fn a_full_name_joins_what_is_there() {
        let ana = PersonName::parse("Ana").unwrap();
        let ruiz = PersonName::parse("Ruiz").unwrap();
        assert_eq!(full_name(Some(&ana), Some(&ruiz)), "Ana Ruiz");
        assert_eq!(full_name(Some(&ana), None), "Ana");
        assert_eq!(full_name(None, Some(&ruiz)), "Ruiz");
        assert_eq!(full_name(None, None), "");
    }
}
