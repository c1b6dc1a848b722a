//! How the person behind a lead is reached, and nothing else that is known of them.

use serde::{Deserialize, Serialize};

use super::Lead;
use crate::Personal;
use crate::email::Email;
use crate::person_name::PersonName;
use crate::phone::Phone;

/// How to reach the person. In events it is sealed as one value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contact {
    /// Given name.
    pub first_name: Option<PersonName>,
    /// Family name.
    pub last_name: Option<PersonName>,
    /// Normalised e-mail: one of the two duplicate keys.
    pub email: Option<Email>,
    /// E.164 phone number: the other duplicate key.
    pub phone: Option<Phone>,
}

impl Contact {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Lead {
    /// How to reach the person.
    #[must_use]
    pub fn contact(&self) -> &Personal<Contact> {
        &self.contact
    }
}
