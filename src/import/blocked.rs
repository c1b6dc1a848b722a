//! Which rows of a file are of blocked leads: who may not see such a lead does not find it among the rows that failed either.

use aggregates::ids::CompanyId;
use aggregates::lead::Contact;
use projections::lead_erasures;
use sqlx::PgConnection;

use crate::ledger;

/// So many digits at the end of a telephone number tell whose it is, whatever stands before them.
const TELLING_DIGITS: usize = 8;

/// How blocked leads are reached.
#[derive(Debug, Clone, Default)]
pub struct BlockedLeads {
    emails: Vec<String>,
    /// The last digits of each.
    phones: Vec<String>,
}

impl BlockedLeads {
    /// Those of the company: as the ledger has them, for the read tables do not hold them while they are blocked.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn of(
        connection: &mut PgConnection,
        company: CompanyId,
    ) -> Result<Self, sqlx::Error> {
        let blocked = lead_erasures::blocked(&mut *connection, company).await?;
        let as_of_now: Vec<_> = blocked.into_iter().map(|lead| (lead, i64::MAX)).collect();
        let leads = ledger::leads_at(connection, &as_of_now).await?;
        let contacts = leads.values().filter_map(|lead| lead.contact().plain());
        Ok(Self::reached_by(contacts))
    }

    /// Those with these contacts, whether they are blocked or not.
    pub fn reached_by<'c>(contacts: impl IntoIterator<Item = &'c Contact>) -> Self {
        let mut found = Self::default();
        for Contact { email, phone, .. } in contacts {
            let email = email.as_ref().map(|email| email.to_string().to_lowercase());
            found.emails.extend(email);
            // Without an extension.
            let phone = phone.as_ref().map(ToString::to_string);
            let digits = phone.and_then(|phone| last_digits(phone.split(';').next()?));
            found.phones.extend(digits);
        }
        found
    }

    /// Whether no row can be of one of them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.emails.is_empty() && self.phones.is_empty()
    }

    /// Whether a cell of the row holds the address or the number of one of them, however it is written.
    #[must_use]
    pub fn hide<'c>(&self, cells: impl IntoIterator<Item = &'c str>) -> bool {
        if self.is_empty() {
            return false;
        }
        cells.into_iter().any(|cell| {
            let small = cell.to_lowercase();
            let digits: String = cell.chars().filter(char::is_ascii_digit).collect();
            self.emails.iter().any(|email| small.contains(email))
                || self.phones.iter().any(|phone| digits.contains(phone))
        })
    }
}

fn last_digits(phone: &str) -> Option<String> {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    let start = digits.len().checked_sub(TELLING_DIGITS)?;
    Some(digits[start..].to_owned())
}

#[cfg(test)]
mod tests {
    use aggregates::phone::{Phone, Region};

    use super::{BlockedLeads, Contact};

    #[test]
    fn a_row_is_told_by_address_and_number_however_they_are_written() {
        let zoe = Contact {
            email: Some("zoe@example.com".parse().unwrap()),
            phone: Some(Phone::parse("+525512345678", Region::US).unwrap()),
            ..Contact::default()
        };
        let blocked = BlockedLeads::reached_by([&zoe, &Contact::default()]);
        for cell in [
            "Zoe@Example.com",
            "Zoe <zoe@example.com>",
            "55 1234-5678",
            "(55) 1234 5678 ext. 9",
        ] {
            assert!(blocked.hide(["x", cell]), "{cell}");
        }
        assert!(!blocked.hide(["zoe", "bo@example.com", "5512345679", "5678"]));
        assert!(!BlockedLeads::default().hide([""]));
    }
}
