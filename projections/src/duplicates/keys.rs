//! The vocabulary of duplicates: what makes two leads alike, and what is known of a lead.

use aggregates::Personal;
use aggregates::lead::Contact;

/// The two kinds of key, in the order in which `matched_on` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Email,
    Phone,
}

/// What two leads of one company have in common when they are duplicates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) company_id: i64,
    pub(super) kind: Kind,
    pub(super) value: String,
}

/// The keys of one lead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Keys {
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
}

impl Keys {
    /// Erased data reads as no keys: nobody can be found to be like a person who is gone.
    pub(super) fn of(contact: &Personal<Contact>) -> Self {
        let contact = contact.plain();
        Self {
            email: contact
                .and_then(|contact| contact.email.as_ref())
                .map(ToString::to_string),
            phone: contact
                .and_then(|contact| contact.phone.as_ref())
                .map(|phone| without_extension(&phone.to_string())),
        }
    }

    pub(super) fn get(&self, kind: Kind) -> Option<&str> {
        match kind {
            Kind::Email => self.email.as_deref(),
            Kind::Phone => self.phone.as_deref(),
        }
    }

    pub(super) fn in_company(&self, company_id: i64) -> impl Iterator<Item = Key> {
        [Kind::Email, Kind::Phone]
            .into_iter()
            .filter_map(move |kind| {
                self.get(kind).map(|value| Key {
                    company_id,
                    kind,
                    value: value.to_owned(),
                })
            })
    }
}

/// The same as `split_part(phone, ';', 1)`, the expression of the index `leads_phone`.
fn without_extension(phone: &str) -> String {
    phone.split(';').next().unwrap_or_default().to_owned()
}

/// The kinds of key that a lead shares with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct MatchedOn {
    pub(super) email: bool,
    pub(super) phone: bool,
}

impl MatchedOn {
    pub(super) fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Email => self.email,
            Kind::Phone => self.phone,
        }
    }

    pub(super) fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Email => self.email = true,
            Kind::Phone => self.phone = true,
        }
    }

    pub(super) fn any(self) -> bool {
        self.email || self.phone
    }
}

/// What `duplicates` says of one lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) group: i64,
    pub(super) matched_on: MatchedOn,
}

/// A lead as the tables have it before the batch.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) lead_id: i64,
    pub(super) company_id: i64,
    pub(super) keys: Keys,
    pub(super) row: Option<Row>,
}

/// A lead that had a key before the batch.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) key: Key,
    pub(super) lead_id: i64,
    pub(super) row: Option<Row>,
}
