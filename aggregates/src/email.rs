//! E-mail addresses in the one form in which they are compared.
//!
//! Invariants: a parsed address is trimmed and lower case (contract decision "Duplicates"), so equality of two
//! [`Email`]s is the product's notion of "the same e-mail", for uniqueness as for duplicates; it is at most 254
//! bytes long. Deliverability is not judged here: that is proved by a link.

use serde::{Deserialize, Serialize};

/// The longest address that fits an SMTP path (RFC 5321, 4.5.3.1.3).
const MAX_BYTES: usize = 254;
/// The longest part before the `@` (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;
/// The longest part of a domain between two dots (RFC 1035, 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// A normalised e-mail address.
///
/// Input comes in by [`Email::parse`]. Deserialising is for stored values and takes any string, so that a rule made
/// stricter later never makes history unreadable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

/// Why a text is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// Nothing is left after trimming.
    #[error("can't be blank")]
    Blank,
    /// Longer than 254 bytes.
    #[error("is too long (maximum is {MAX_BYTES} bytes)")]
    TooLong,
    /// No `@`, or more than one.
    #[error("must contain exactly one @")]
    NotOneAt,
    /// The part before the `@` is empty, too long or has a character that needs quoting.
    #[error("is invalid before the @")]
    InvalidLocalPart,
    /// The part after the `@` is no domain name with a dot.
    #[error("has an invalid domain after the @")]
    InvalidDomain,
}

impl Email {
    /// Normalises and checks an address as a person or a file gives it.
    ///
    /// The syntax is what browsers accept for `<input type="email">` (HTML standard, "valid e-mail address"), with a
    /// domain of at least two labels, and letters and digits of any script (RFC 6531).
    ///
    /// # Errors
    /// The first broken rule.
    pub fn parse(raw: &str) -> Result<Self, EmailError> {
        let raw = raw.trim();
        if raw.is_empty() {
            return Err(EmailError::Blank);
        }
        // Lower-casing can lengthen a text, so the limits are checked on the result; the first look saves the work.
        if raw.len() > 4 * MAX_BYTES {
            return Err(EmailError::TooLong);
        }
        let address = raw.to_lowercase();
        if address.len() > MAX_BYTES {
            return Err(EmailError::TooLong);
        }
        let (local, domain) = address.split_once('@').ok_or(EmailError::NotOneAt)?;
        if domain.contains('@') {
            return Err(EmailError::NotOneAt);
        }
        if local.is_empty() || local.len() > MAX_LOCAL_BYTES || !local.chars().all(is_local) {
            return Err(EmailError::InvalidLocalPart);
        }
        if !is_domain(domain) {
            return Err(EmailError::InvalidDomain);
        }
        Ok(Self(address))
    }

    /// The normalised address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address with all but its first character and the domain hidden: `j***@example.com`.
    #[must_use]
    pub fn masked(&self) -> String {
        let (local, domain) = self.0.split_once('@').unwrap_or((&self.0, ""));
        let first: String = local.chars().take(1).collect();
        format!("{first}***@{domain}")
    }
}

impl std::fmt::Display for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Email {
    type Err = EmailError;

    fn from_str(raw: &str) -> Result<Self, EmailError> {
        Self::parse(raw)
    }
}

/// Letters and digits of any script (with the combining marks that alphabets need), and the signs that need no quotes.
fn is_local(c: char) -> bool {
    c.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c)
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= MAX_LABEL_BYTES
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let Some((_, top)) = domain.rsplit_once('.') else {
        return false;
    };
    domain.split('.').all(is_label) && !top.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_trimmed_and_lower_cased() {
        let email = Email::parse("  Ana.Lopez+CRM@Example.COM \n").unwrap();
        assert_eq!(email.as_str(), "ana.lopez+crm@example.com");
        assert_eq!(email, Email::parse("ana.lopez+crm@example.com").unwrap());
    }

    #[test]
    fn ordinary_and_international_addresses_are_accepted() {
        for raw in [
            "a@b.co",
            "o'brien@mail.example.ie",
            "josephine_darakjy@darakjy.org",
            "用户@例子.广告",
            "j..d@docomo.ne.jp",
            "x@xn--bcher-kva.example",
        ] {
            assert!(Email::parse(raw).is_ok(), "{raw}");
        }
    }

    #[test]
    fn each_broken_rule_is_named() {
        use EmailError::{Blank, InvalidDomain, InvalidLocalPart, NotOneAt, TooLong};
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long_label = format!("a@{}.com", "b".repeat(64));
        let long = format!("a@{}com", "bcdefghi.".repeat(29));
        for (raw, error) in [
            ("  ", Blank),
            ("nobody", NotOneAt),
            ("a@b@c.com", NotOneAt),
            ("@example.com", InvalidLocalPart),
            ("a b@example.com", InvalidLocalPart),
            ("a\0b@example.com", InvalidLocalPart),
            ("a,b@example.com", InvalidLocalPart),
            ("a\r\nbcc:x@example.com", InvalidLocalPart),
            (long_local.as_str(), InvalidLocalPart),
            ("a@localhost", InvalidDomain),
            ("a@example..com", InvalidDomain),
            ("a@-example.com", InvalidDomain),
            ("a@example.com.", InvalidDomain),
            ("a@127.0.0.1", InvalidDomain),
            ("a@exam ple.com", InvalidDomain),
            (long_label.as_str(), InvalidDomain),
            (long.as_str(), TooLong),
        ] {
            assert_eq!(Email::parse(raw), Err(error), "{raw}");
        }
    }

    #[test]
    fn masking_keeps_the_first_character_and_the_domain() {
        let masked = |raw| Email::parse(raw).unwrap().masked();
        assert_eq!(masked("jane@example.com"), "j***@example.com");
        assert_eq!(masked("ñ@example.com"), "ñ***@example.com");
    }

    #[test]
    fn stored_text_is_read_as_it_stands() {
        let email: Email = serde_json::from_str(r#""kept from older rules""#).unwrap();
        assert_eq!(email.as_str(), "kept from older rules");
        assert_eq!(email.masked(), "k***@");
        assert_eq!(
            serde_json::to_string(&email).unwrap(),
            r#""kept from older rules""#
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_idempotent(raw in "\\PC{0,20}@\\PC{0,20}\\.\\PC{0,5}|\\PC{0,40}") {
            if let Ok(email) = Email::parse(&raw) {
                prop_assert_eq!(Email::parse(email.as_str()), Ok(email));
            }
        }

        #[test]
        fn ordinary_addresses_parse(raw in "[a-z0-9.+_-]{1,30}@[a-z0-9]{1,20}(\\.[a-z]{2,10}){1,3}") {
            prop_assert!(Email::parse(&raw).is_ok());
        }
    }
}
