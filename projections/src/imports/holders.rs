//! Which leads of a company have an e-mail or a phone number that rows of a file have too, and which e-mails and phone numbers its leads
//! have.

use std::collections::HashMap;

use aggregates::lead::Contact;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sqlx::{PgConnection, Row};

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
    /// The lead that has the e-mail, else the one that has the phone number, here or in `more`.
    #[must_use]
    pub fn like(&self, more: &Self, keys: &ContactKeys) -> Option<i64> {
        let oldest = |of: fn(&Self) -> &HashMap<String, i64>, key: Option<&String>| {
            let found = [self, more].map(|holders| of(holders).get(key?).copied());
            found.into_iter().flatten().min()
        };
        oldest(|h| &h.emails, keys.email.as_ref())
            .or_else(|| oldest(|h| &h.phones, keys.phone.as_ref()))
    }

    /// The lead has these keys.
    pub fn add(&mut self, keys: &ContactKeys, lead: i64) {
        let add = |of: &mut HashMap<String, i64>, key: Option<&String>| {
            if let Some(key) = key {
                let holder = of.entry(key.clone()).or_insert(lead);
                *holder = (*holder).min(lead);
            }
        };
        add(&mut self.emails, keys.email.as_ref());
        add(&mut self.phones, keys.phone.as_ref());
    }

    /// The lead has other keys now.
    pub fn forget(&mut self, lead: i64) {
        self.emails.retain(|_, holder| *holder != lead);
        self.phones.retain(|_, holder| *holder != lead);
    }

    /// Forgets the keys that nobody asks for any more.
    pub fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.emails.retain(|key, _| wanted(key));
        self.phones.retain(|key, _| wanted(key));
    }

    /// Every lead.
    pub fn leads(&self) -> impl Iterator<Item = i64> {
        self.emails.values().chain(self.phones.values()).copied()
    }
}

/// A place in the ledger, and its time.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// The position.
    pub position: i64,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// The ledger's end.
///
/// # Errors
/// What the database answers.
pub async fn end(connection: &mut PgConnection) -> Result<Mark, sqlx::Error> {
    let row = sqlx::query("SELECT position, greatest(recorded_at, 'epoch') FROM ledger_head")
        .fetch_one(connection)
        .await?;
    Ok(Mark {
        position: row.try_get(0)?,
        recorded_at: row.try_get(1)?,
    })
}

/// How many leads the company has.
///
/// # Errors
/// What the database answers.
pub async fn leads_of(connection: &mut PgConnection, company: i64) -> Result<i64, sqlx::Error> {
    let leads = sqlx::query_scalar("SELECT leads FROM company_totals WHERE company_id = $1")
        .bind(company)
        .fetch_optional(connection)
        .await?;
    Ok(leads.unwrap_or_default())
}

/// Hands over each key of the company's leads; with two marks only of those that were touched after the first and up to the second.
///
/// Then the values stand in the statement, and as many rows are asked for as there were events: the planner shall walk the index of
/// the latest changes whatever its statistics say, for this is asked while everybody waits.
///
/// # Errors
/// What the database answers.
pub async fn each_key(
    connection: &mut PgConnection,
    company: i64,
    between: Option<(Mark, Mark)>,
    mut take: impl FnMut(&str) + Send,
) -> Result<(), sqlx::Error> {
    const KEYS: &str = "SELECT email, split_part(phone, ';', 1) FROM leads WHERE company_id = $1";
    let sql = match between {
        None => KEYS.to_owned(),
        Some((since, until)) => format!(
            "{KEYS} AND updated_at >= '{}' AND position > {} ORDER BY company_id DESC, updated_at DESC LIMIT {}",
            since.recorded_at.to_rfc3339(),
            since.position,
            until.position - since.position
        ),
    };
    let query = sqlx::query(&sql)
        .bind(company)
        .persistent(between.is_none());
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await? {
        for column in 0..2 {
            if let Some(key) = row.try_get::<Option<&str>, _>(column)? {
                take(key);
            }
        }
    }
    Ok(())
}

/// Every lead of the company that has one of these e-mails or phone numbers (as keys have them), with `BETWEEN` as [`of_keys`].
///
/// # Errors
/// What the database answers.
pub async fn all_of(
    connection: &mut PgConnection,
    company: i64,
    emails: &[String],
    phones: &[String],
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT l.id FROM unnest($2::text[]) AS k(value) CROSS JOIN LATERAL (SELECT l.id FROM leads l \
             WHERE l.company_id = $1 AND l.email IS NOT NULL AND l.email BETWEEN k.value AND k.value OFFSET 0) l \
         UNION SELECT l.id FROM unnest($3::text[]) AS k(value) CROSS JOIN LATERAL (SELECT l.id FROM leads l \
             WHERE l.company_id = $1 AND l.phone IS NOT NULL \
             AND split_part(l.phone, ';', 1) BETWEEN k.value AND k.value OFFSET 0) l",
    )
    .bind(company)
    .bind(emails)
    .bind(phones)
    .fetch_all(connection)
    .await
}

/// The oldest lead of the company that has each key, for the keys that some lead has.
///
/// `BETWEEN` instead of `=` for the same reason as in `duplicates`: the planner shall walk the key's index whatever its
/// statistics say. `min(l.id + 0)` likewise: for `min(l.id)` it would walk the primary key from its beginning, past every lead
/// there is, in search of one that has the key.
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
         CROSS JOIN LATERAL (SELECT min(l.id + 0) AS id FROM leads l \
             WHERE l.company_id = $1 AND l.email IS NOT NULL AND l.email BETWEEN k.value AND k.value OFFSET 0) h \
         WHERE h.id IS NOT NULL \
         UNION ALL \
         SELECT false, k.value, h.id FROM unnest($3::text[]) AS k(value) \
         CROSS JOIN LATERAL (SELECT min(l.id + 0) AS id FROM leads l \
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
