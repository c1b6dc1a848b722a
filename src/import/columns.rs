//! Which column of a file is what: everyday headers are recognised, all others are kept as extra fields by their name.

use std::collections::BTreeMap;

use aggregates::email::Email;
use aggregates::lead::Contact;
use aggregates::person_name::PersonName;
use aggregates::phone::{Phone, Region};
use aggregates::text;

use super::{NewLead, Row};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    FirstName,
    LastName,
    Email,
    Phone,
    Extra,
}

/// The header of a file, understood.
#[derive(Debug, Clone)]
pub struct Columns {
    header: Vec<String>,
    meanings: Vec<Meaning>,
}

impl Columns {
    /// Understands a header. The first column of each meaning takes it; a later one is kept as an extra field.
    ///
    /// # Errors
    /// When no column tells a lead from nothing.
    pub fn of(header: Vec<String>) -> anyhow::Result<Self> {
        let mut meanings = Vec::with_capacity(header.len());
        for name in &header {
            let meaning = meaning(name);
            let taken = meanings.contains(&meaning);
            meanings.push(if taken { Meaning::Extra } else { meaning });
        }
        anyhow::ensure!(
            meanings.iter().any(|meaning| *meaning != Meaning::Extra),
            "no column is a name, an e-mail or a phone number; the header has: {}",
            header.join(", ")
        );
        Ok(Self { header, meanings })
    }

    /// The column names.
    #[must_use]
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Reads one row.
    ///
    /// # Errors
    /// The reason for which the row is refused, naming the column.
    pub fn lead(&self, row: &Row, region: Region) -> Result<NewLead, String> {
        let mut contact = Contact::default();
        let mut extra = BTreeMap::new();
        for (n, field) in row.fields.iter().enumerate() {
            let value = field.trim();
            if value.is_empty() {
                continue;
            }
            let Some(name) = self.header.get(n) else {
                return Err(format!(
                    "has more fields than the header's {}",
                    self.header.len()
                ));
            };
            let refused = |error: &dyn std::fmt::Display| format!("{name} {error}");
            match self.meanings[n] {
                Meaning::FirstName => {
                    contact.first_name = Some(PersonName::parse(value).map_err(|e| refused(&e))?);
                }
                Meaning::LastName => {
                    contact.last_name = Some(PersonName::parse(value).map_err(|e| refused(&e))?);
                }
                Meaning::Email => {
                    contact.email = Some(Email::parse(value).map_err(|e| refused(&e))?);
                }
                Meaning::Phone => {
                    contact.phone = Some(Phone::parse(value, region).map_err(|e| refused(&e))?);
                }
                Meaning::Extra => {
                    let value = text::block(value, 10_000).map_err(|e| refused(&e))?;
                    let name = text::line(name, 100).map_err(|e| format!("header {e}"))?;
                    extra.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        Ok(NewLead { contact, extra })
    }
}

/// The usual spellings in English, Spanish and Portuguese.
fn meaning(name: &str) -> Meaning {
    let plain: String = projections::search::fold(name)
        .chars()
        .filter(|c| c.is_alphanumeric())
        .collect();
    match plain.as_str() {
        "firstname" | "givenname" | "forename" | "name" | "nombre" | "nombres" | "nome" => {
            Meaning::FirstName
        }
        "lastname" | "surname" | "familyname" | "apellido" | "apellidos" | "sobrenome" => {
            Meaning::LastName
        }
        "email" | "emailaddress" | "mail" | "correo" | "correoelectronico" => Meaning::Email,
        "phone" | "phone1" | "phonenumber" | "telephone" | "mobile" | "cell" | "cellphone"
        | "telefono" | "celular" | "movil" | "telefone" => Meaning::Phone,
        _ => Meaning::Extra,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[&str]) -> Row {
        Row {
            number: 1,
            fields: fields.iter().map(|&field| field.to_owned()).collect(),
        }
    }

    fn columns(names: &[&str]) -> Columns {
        Columns::of(names.iter().map(|&name| name.to_owned()).collect()).unwrap()
    }

    #[test]
    fn everyday_headers_are_understood_and_the_rest_is_kept() {
        let columns = columns(&[
            "First Name",
            "Apellidos",
            "company_name",
            "phone1",
            "phone2",
            "E-mail",
        ]);
        let fields = [
            "Ana",
            "Gómez",
            "Acme",
            "504-621-8927",
            "504-845-1427",
            "ANA@example.com",
        ];
        let lead = columns.lead(&row(&fields), Region::default()).unwrap();
        assert_eq!(lead.contact.first_name.unwrap().as_str(), "Ana");
        assert_eq!(lead.contact.email.unwrap().as_str(), "ana@example.com");
        assert_eq!(lead.contact.phone.unwrap().e164(), "+15046218927");
        assert_eq!(lead.extra["company_name"], "Acme");
        assert_eq!(lead.extra["phone2"], "504-845-1427");
    }

    #[test]
    fn a_refused_row_names_its_column() {
        let columns = columns(&["email"]);
        let reason = columns
            .lead(&row(&["nobody"]), Region::default())
            .unwrap_err();
        assert!(reason.starts_with("email "), "{reason}");
        let reason = columns
            .lead(&row(&["a@b.cc", "x"]), Region::default())
            .unwrap_err();
        assert!(reason.contains("more fields"), "{reason}");
    }

    #[test]
    fn a_file_without_any_contact_column_is_refused() {
        assert!(Columns::of(vec!["city".into()]).is_err());
    }
}
