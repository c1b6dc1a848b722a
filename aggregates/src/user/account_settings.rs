//! What a user's account in a client of the GoHighLevel dialect is set to: permissions, in-product scopes, language, photo,
//! numbers by location.
//!
//! These settings are kept and served for such clients; what a user may do here is decided by roles alone
//! ([`crate::access`]). The catalogues are those of that API's documentation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::CompanyId;
use crate::text::{self, TextError};
use crate::{Change, Personal};

mod catalogues;

pub use catalogues::{LANGUAGES, PERMISSIONS, USER_SCOPES};

/// Whether an account is the agency's own or belongs to some of its locations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountKind {
    /// Of some locations.
    Account,
    /// Of the company that the locations belong to.
    Agency,
}

impl AccountKind {
    /// `account` or `agency`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Agency => "agency",
        }
    }

    /// The kind with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Account, Self::Agency]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// The flags that were set; all others have their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(BTreeMap<String, bool>);

impl Permissions {
    /// Sets a flag.
    ///
    /// # Errors
    /// When there is no such flag.
    pub fn set(&mut self, flag: &str, value: bool) -> Result<(), UnknownValue> {
        if !PERMISSIONS.iter().any(|(known, _)| *known == flag) {
            return Err(UnknownValue);
        }
        self.0.insert(flag.to_owned(), value);
        Ok(())
    }

    /// The flags that were set.
    #[must_use]
    pub fn set_flags(&self) -> &BTreeMap<String, bool> {
        &self.0
    }

    fn merged(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

/// A text is not in its catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a known value")]
pub struct UnknownValue;

/// Something that a user may do inside a client's product.
///
/// Input comes in by [`UserScope::parse`]; deserialising is for stored values and takes any string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserScope(String);

impl UserScope {
    /// Checks a scope.
    ///
    /// # Errors
    /// When it is none of [`USER_SCOPES`].
    pub fn parse(raw: &str) -> Result<Self, UnknownValue> {
        let known = USER_SCOPES.contains(&raw);
        known.then(|| Self(raw.to_owned())).ok_or(UnknownValue)
    }

    /// The scope's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One of [`LANGUAGES`].
///
/// Input comes in by [`PlatformLanguage::parse`]; deserialising is for stored values and takes any string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlatformLanguage(String);

impl PlatformLanguage {
    /// Checks a language.
    ///
    /// # Errors
    /// When it is none of [`LANGUAGES`].
    pub fn parse(raw: &str) -> Result<Self, UnknownValue> {
        let known = LANGUAGES.contains(&raw);
        known.then(|| Self(raw.to_owned())).ok_or(UnknownValue)
    }

    /// The language's code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The address of a picture: `http` or `https`, up to 2,000 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhotoUrl(String);

/// Why a text is no address of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhotoUrlError {
    /// Empty, too long, or with control characters.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Not an absolute address of the web.
    #[error("must be a URL address")]
    NotWeb,
}

impl PhotoUrl {
    /// Checks and trims. Whether anything is there is not judged.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn parse(raw: &str) -> Result<Self, PhotoUrlError> {
        let url = text::line(raw, 2_000)?;
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"))
            .ok_or(PhotoUrlError::NotWeb)?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty() || url.contains([' ', '"', '<', '>', '\\']) {
            return Err(PhotoUrlError::NotWeb);
        }
        Ok(Self(url.to_owned()))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Everything that an account is set to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccountSettings {
    /// What the account was said to be; without it, its roles tell.
    pub kind: Option<AccountKind>,
    /// The flags that were set.
    pub permissions: Permissions,
    /// Exactly the scopes that are enabled.
    pub scopes: Vec<UserScope>,
    /// Of these, only data that is assigned to the user.
    pub scopes_assigned_to_only: Vec<UserScope>,
    /// The language of their screens.
    pub language: Option<PlatformLanguage>,
    /// A picture of them.
    pub photo_url: Personal<Option<PhotoUrl>>,
    /// Their number at each location.
    pub phone_numbers: Personal<BTreeMap<CompanyId, String>>,
}

/// A partial change of the settings.
#[derive(Debug, Clone, Default)]
pub struct AccountSettingsChange {
    /// What the account is said to be.
    pub kind: Option<AccountKind>,
    /// Flags to set; the others stay.
    pub permissions: Permissions,
    /// The scopes that are enabled from now on.
    pub scopes: Option<Vec<UserScope>>,
    /// The same for data that is assigned to the user.
    pub scopes_assigned_to_only: Option<Vec<UserScope>>,
    /// The language of their screens.
    pub language: Option<PlatformLanguage>,
    /// A picture of them.
    pub photo_url: Change<PhotoUrl>,
    /// All their numbers from now on.
    pub phone_numbers: Option<BTreeMap<CompanyId, String>>,
}

impl AccountSettings {
    /// The settings after the change. What is erased stays so unless it is set anew.
    #[must_use]
    pub fn changed(&self, change: AccountSettingsChange) -> Self {
        let old = self.clone();
        Self {
            kind: change.kind.or(old.kind),
            permissions: old.permissions.merged(change.permissions),
            scopes: change.scopes.unwrap_or(old.scopes),
            scopes_assigned_to_only: change
                .scopes_assigned_to_only
                .unwrap_or(old.scopes_assigned_to_only),
            language: change.language.or(old.language),
            photo_url: match change.photo_url {
                Change::Keep => old.photo_url,
                Change::Clear => None.into(),
                Change::Set(url) => Some(url).into(),
            },
            phone_numbers: change
                .phone_numbers
                .map_or(old.phone_numbers, Personal::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_flags_and_scopes_of_the_catalogues_are_taken() {
        let mut permissions = Permissions::default();
        assert_eq!(permissions.set("contactsEnabled", false), Ok(()));
        assert_eq!(permissions.set("moonEnabled", true), Err(UnknownValue));
        assert_eq!(permissions.set_flags().len(), 1);
        assert!(
            USER_SCOPES
                .iter()
                .all(|scope| UserScope::parse(scope).is_ok())
        );
        assert_eq!(UserScope::parse("users.readonly"), Err(UnknownValue));
        assert_eq!(PlatformLanguage::parse("en"), Err(UnknownValue));
    }

    #[test]
    fn a_photo_is_an_address_of_the_web() {
        assert!(PhotoUrl::parse(" https://img.example/a.png ").is_ok());
        for wrong in [
            "",
            "img.example/a.png",
            "javascript:alert(1)",
            "https://",
            "http://a b",
        ] {
            assert!(PhotoUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn permissions_are_merged_and_lists_replaced() {
        let mut flags = Permissions::default();
        flags.set("tagsEnabled", false).unwrap();
        let scope = |name| UserScope::parse(name).unwrap();
        let first = AccountSettings::default().changed(AccountSettingsChange {
            permissions: flags,
            scopes: Some(vec![scope("blogs.write"), scope("payments.write")]),
            phone_numbers: Some(BTreeMap::from([(CompanyId(2), "+15046218927".to_owned())])),
            ..AccountSettingsChange::default()
        });
        let mut flags = Permissions::default();
        flags.set("botService", true).unwrap();
        let second = first.changed(AccountSettingsChange {
            permissions: flags,
            scopes: Some(vec![scope("blogs.write")]),
            ..AccountSettingsChange::default()
        });
        assert_eq!(second.permissions.set_flags().len(), 2);
        assert_eq!(second.scopes, [scope("blogs.write")]);
        assert_eq!(second.phone_numbers, first.phone_numbers);
    }
}
