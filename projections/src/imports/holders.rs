//! Which leads of a company have an e-mail or a phone number that rows of a file have too.

use std::collections::HashMap;

use aggregates::lead::Contact;
use sqlx::PgConnection;

/// The keys by which a row is like a lead. As duplicates are told: e-mails as normalised, phones without their extension.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContactKeys {
    /// The e-mail.
    pub email: Option<String>,
    /// The phone number.
    pub phone: Option<String>,
}

impl ContactKeys {
    /// Of this contact.
    #[must_use]
    pub fn of(contact: &Contact) -> Self {
        let phone = contact.phone.as_ref().map(ToString::to_string);
        Self {
            email: contact.email.as_ref().map(ToString::to_string),
            phone: phone.map(|phone| phone.split(';').next().unwrap_or_default().to_owned()),
        }
    }
}

/// Leads by what they can be recognised by; of several with one key, the oldest.
#[derive(Debug, Clone, Default)]
pub struct Holders {
    emails: HashMap<String, i64>,
    phones: HashMap<String, i64>,
}

impl Holders {
    /// The lead that has the e-mail, else the one that has the phone number.
    #[must_use]
    pub fn like(&self, keys: &ContactKeys) -> Option<i64> {
        let by_email = keys.email.as_ref().and_then(|email| self.emails.get(email));
        let by_phone = keys.phone.as_ref().and_then(|phone| self.phones.get(phone));
        by_email.or(by_phone).copied()
    }

    /// The lead has these keys; where another had one before, that one stays the one that is found.
    pub fn add(&mut self, keys: &ContactKeys, lead: i64) {
        if let Some(email) = &keys.email {
            self.emails.entry(email.clone()).or_insert(lead);
        }
        if let Some(phone) = &keys.phone {
            self.phones.entry(phone.clone()).or_insert(lead);
        }
    }

    /// Every lead.
    pub fn leads(&self) -> impl Iterator<Item = i64> {
        self.emails.values().chain(self.phones.values()).copied()
    }
}

/// The oldest lead of the company that has each key, for the keys that some lead has.
///
/// `BETWEEN` instead of `=` for the same reason as in `duplicates`: the planner shall walk the key's index whatever its
/// statistics say.
///
/// # Errors
/// What the database answers.
pub async fn of_keys(
    connection: &mut PgConnection,
    company: i64,
    keys: &[ContactKeys],
) -> Result<Holders, sqlx::Error> {
    let distinct = |of: fn(&ContactKeys) -> Option<&String>| {
        let mut values: Vec<&String> = keys.iter().filter_map(of).collect();
        values.sort_unstable();
        values.dedup();
        values.into_iter().cloned().collect::<Vec<String>>()
    };
    let found: Vec<(bool, String, i64)> = sqlx::query_as(
        "SELECT true, k.value, h.id FROM unnest($2::text[]) AS k(value) \
         CROSS JOIN LATERAL (SELECT min(l.id) AS id FROM leads l \
             WHERE l.company_id = $1 AND l.email IS NOT NULL AND l.email BETWEEN k.value AND k.value OFFSET 0) h \
         WHERE h.id IS NOT NULL \
         UNION ALL \
         SELECT false, k.value, h.id FROM unnest($3::text[]) AS k(value) \
         CROSS JOIN LATERAL (SELECT min(l.id) AS id FROM leads l \
             WHERE l.company_id = $1 AND l.phone IS NOT NULL \
             AND split_part(l.phone, ';', 1) BETWEEN k.value AND k.value OFFSET 0) h \
         WHERE h.id IS NOT NULL",
    )
    .bind(company)
    .bind(distinct(|keys| keys.email.as_ref()))
    .bind(distinct(|keys| keys.phone.as_ref()))
    .fetch_all(connection)
    .await?;
    let mut holders = Holders::default();
    for (by_email, value, lead) in found {
        if by_email {
            holders.emails.insert(value, lead);
        } else {
            holders.phones.insert(value, lead);
        }
    }
    Ok(holders)
}
