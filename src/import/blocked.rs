//! Which rows of a file are of blocked leads: the read tables do not tell, for they hold nothing of them.

use std::collections::BTreeSet;

use aggregates::ids::CompanyId;
use aggregates::lead::Contact;
use projections::lead_erasures;
use sqlx::PgConnection;

use crate::ledger;

/// So many digits at the end of a telephone number tell whose it is, whatever stands before them.
const TELLING_DIGITS: usize = 8;

/// How blocked leads are reached, each with its id.
#[derive(Debug, Clone, Default)]
pub struct BlockedLeads {
    emails: Vec<(String, i64)>,
    /// The last digits of each.
    phones: Vec<(String, i64)>,
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
        let contacts = leads
            .iter()
            .filter_map(|(id, lead)| Some((*id, lead.contact().plain()?)));
        Ok(Self::reached_by(contacts))
    }

    /// Those with these contacts, each with the lead's id, whether they are blocked or not.
    pub fn reached_by<'c>(contacts: impl IntoIterator<Item = (i64, &'c Contact)>) -> Self {
        let mut found = Self::default();
        for (id, Contact { email, phone, .. }) in contacts {
            let email = email.as_ref().map(|email| email.to_string().to_lowercase());
            found.emails.extend(email.map(|email| (email, id)));
            // Without an extension.
            let phone = phone.as_ref().map(ToString::to_string);
            let digits = phone.and_then(|phone| last_digits(phone.split(';').next()?));
            found.phones.extend(digits.map(|digits| (digits, id)));
        }
        found
    }

    /// Whether no row can be of one of them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.emails.is_empty() && self.phones.is_empty()
    }

    /// Those whose address or number a cell of the row holds, however it is written.
    #[must_use]
    pub fn named_in<'c>(&self, cells: impl IntoIterator<Item = &'c str>) -> BTreeSet<i64> {
        let mut named = BTreeSet::new();
        if self.is_empty() {
            return named;
        }
        for cell in cells {
            let small = cell.to_lowercase();
            let digits: String = cell.chars().filter(char::is_ascii_digit).collect();
            let emails = self
                .emails
                .iter()
                .filter(|(email, _)| small.contains(email));
            let phones = self
                .phones
                .iter()
                .filter(|(phone, _)| digits.contains(phone));
            named.extend(emails.chain(phones).map(|(_, id)| *id));
        }
        named
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
        let blocked = BlockedLeads::reached_by([(7, &zoe), (8, &Contact::default())]);
        for cell in [
            "Zoe@Example.com",
            "Zoe <zoe@example.com>",
            "55 1234-5678",
            "(55) 1234 5678 ext. 9",
        ] {
            assert_eq!(blocked.named_in(["x", cell]), [7].into(), "{cell}");
        }
        let others = ["zoe", "bo@example.com", "5512345679", "5678"];
        assert!(blocked.named_in(others).is_empty());
        assert!(BlockedLeads::default().named_in([""]).is_empty());
    }
}
