//! Which column of a file is what: everyday headers in English, Spanish and Portuguese are recognised, a mapping says the rest, and
//! all other columns are kept as extra fields by their name.

use std::collections::BTreeMap;

use aggregates::import::ImportColumn;
use aggregates::text;
use projections::imports::catalogue::Catalogue;
use projections::search;

use crate::lead_files::read_only_places;

/// What a column is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Given name.
    FirstName,
    /// Family name.
    LastName,
    /// Both names: the first word is the given name.
    FullName,
    /// E-mail.
    Email,
    /// Phone number.
    Phone,
    /// Stage, by name, code or id.
    Stage,
    /// Source, by name or id.
    Source,
    /// Campaign, by name or id.
    Campaign,
    /// Territory, by name or id.
    Territory,
    /// Who works on it, by name, e-mail or id of the access.
    Assignee,
    /// What it may be worth, with its currency unless a column of its own says that.
    EstimatedValue,
    /// The currency of the value.
    Currency,
    /// The answer to this question.
    Question(i64),
    /// A field of the company's own, named as the column.
    Extra,
    /// Nothing.
    Ignore,
}

impl Field {
    const NAMED: [(&'static str, Self); 14] = [
        ("first_name", Self::FirstName),
        ("last_name", Self::LastName),
        ("full_name", Self::FullName),
        ("email", Self::Email),
        ("phone_number", Self::Phone),
        ("stage", Self::Stage),
        ("source", Self::Source),
        ("campaign", Self::Campaign),
        ("territory", Self::Territory),
        ("assignee", Self::Assignee),
        ("estimated_value", Self::EstimatedValue),
        ("currency", Self::Currency),
        ("extra", Self::Extra),
        ("ignore", Self::Ignore),
    ];

    /// As it is written in a mapping and shown in an answer.
    #[must_use]
    pub fn name(self) -> String {
        if let Self::Question(id) = self {
            return format!("question:{id}");
        }
        let named = Self::NAMED.iter().find(|(_, field)| *field == self);
        named.map_or_else(String::new, |(name, _)| (*name).to_owned())
    }

    /// What a mapping says: one of the names, or `question:` with the question's id or text.
    #[must_use]
    pub fn parse(text: &str, catalogue: &Catalogue) -> Option<Self> {
        if let Some(question) = text.strip_prefix("question:") {
            return catalogue.questions.find(question).map(Self::Question);
        }
        let named = Self::NAMED.iter().find(|(name, _)| *name == text);
        named.map(|(_, field)| *field)
    }

    /// Whether it tells a person from nobody.
    const fn is_contact(self) -> bool {
        matches!(
            self,
            Self::FirstName | Self::LastName | Self::FullName | Self::Email | Self::Phone
        )
    }

    const fn may_repeat(self) -> bool {
        matches!(self, Self::Extra | Self::Ignore)
    }
}

/// Why a header cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// No column tells a lead from nothing.
    #[error(
        "no column is a name, an e-mail or a phone number; map one of: {}",
        .0.join(", ")
    )]
    NoContact(Vec<String>),
    /// The mapping names a column that is not there.
    #[error("the file has no column {0:?}")]
    NoSuchColumn(String),
    /// The mapping names a field that is not there.
    #[error("{0:?} is no field of a lead")]
    NoSuchField(String),
    /// The mapping gives two columns to one field.
    #[error("two columns are mapped to {0}")]
    Twice(String),
    /// The name of a column cannot be that of an extra field.
    #[error(
        "the header of column {0} is empty, too long or has control characters; name it, or map it to ignore"
    )]
    BadName(usize),
}

/// The header of a file, understood.
#[derive(Debug, Clone)]
pub struct Columns {
    header: Vec<String>,
    fields: Vec<Field>,
}

impl Columns {
    /// Understands a header. The first column of each meaning takes it; a later one is kept as an extra field.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn understand(
        header: &[String],
        mapping: &BTreeMap<String, String>,
        catalogue: &Catalogue,
    ) -> Result<Self, HeaderError> {
        let mut fields: Vec<Option<Field>> = vec![None; header.len()];
        for (column, field) in mapping {
            let place = header
                .iter()
                .position(|name| name == column)
                .or_else(|| header.iter().position(|name| plain(name) == plain(column)))
                .ok_or_else(|| HeaderError::NoSuchColumn(shown(column)))?;
            let field = Field::parse(field.trim(), catalogue)
                .ok_or_else(|| HeaderError::NoSuchField(shown(field)))?;
            if !field.may_repeat() && fields.contains(&Some(field)) {
                return Err(HeaderError::Twice(field.name()));
            }
            fields[place] = Some(field);
        }
        for place in read_only_places(header) {
            fields[place].get_or_insert(Field::Ignore);
        }
        for (n, name) in header.iter().enumerate() {
            if fields[n].is_none() {
                let meaning = meaning(name, catalogue);
                let taken = !meaning.may_repeat() && fields.contains(&Some(meaning));
                fields[n] = Some(if taken { Field::Extra } else { meaning });
            }
        }
        let fields: Vec<Field> = fields.into_iter().flatten().collect();
        for (n, field) in fields.iter().enumerate() {
            if *field == Field::Extra && text::line(&header[n], 100).is_err() {
                return Err(HeaderError::BadName(n + 1));
            }
        }
        if !fields.iter().any(|field| field.is_contact()) {
            let names = header.iter().take(50).map(|name| shown(name));
            return Err(HeaderError::NoContact(names.collect()));
        }
        Ok(Self {
            header: header.to_vec(),
            fields,
        })
    }

    /// The columns' names, and what each is taken for.
    #[must_use]
    pub fn understood(&self) -> Vec<ImportColumn> {
        let columns = self.header.iter().zip(&self.fields);
        let column = |(header, field): (&String, &Field)| ImportColumn {
            header: header.clone(),
            field: field.name(),
        };
        columns.map(column).collect()
    }

    /// Name and meaning of the column at this place, from 0.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<(&str, Field)> {
        let field = self.fields.get(place)?;
        Some((self.header.get(place)?, *field))
    }

    /// Whether rows may name things of the company.
    #[must_use]
    pub fn is_used(&self, field: Field) -> bool {
        self.fields.contains(&field)
    }
}

/// Whether some column is a contact's by its usual spelling: tells a sheet of leads from a cover sheet.
#[must_use]
pub fn looks_usable(header: &[String]) -> bool {
    let mut usual = header.iter().filter_map(|name| usual(&plain(name)));
    usual.any(Field::is_contact)
}

/// So much of a text that is repeated to whoever sent it.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Letters and digits without case and accents.
fn plain(name: &str) -> String {
    let folded = search::fold(name);
    folded.chars().filter(|c| c.is_alphanumeric()).collect()
}

fn meaning(name: &str, catalogue: &Catalogue) -> Field {
    let plain = plain(name);
    if let Some(field) = usual(&plain) {
        return field;
    }
    // A number alone is no question, though it could be one's id.
    if plain.bytes().all(|b| b.is_ascii_digit()) {
        return Field::Extra;
    }
    catalogue
        .questions
        .find(name)
        .map_or(Field::Extra, Field::Question)
}

/// The usual spellings in English, Spanish and Portuguese.
fn usual(plain: &str) -> Option<Field> {
    Some(match plain {
        "firstname" | "givenname" | "forename" | "name" | "fname" | "nombre" | "nombres"
        | "primernombre" | "nombredepila" | "nome" | "primeironome" | "prenome" => Field::FirstName,
        "lastname" | "surname" | "familyname" | "lname" | "apellido" | "apellidos"
        | "primerapellido" | "apellidopaterno" | "sobrenome" | "ultimonome" | "apelido" => {
            Field::LastName
        }
        "fullname" | "contactname" | "leadname" | "nombrecompleto" | "nombreyapellido"
        | "nombreyapellidos" | "nombresyapellidos" | "nombreapellido" | "nomecompleto"
        | "nomeesobrenome" => Field::FullName,
        "email"
        | "emailaddress"
        | "emailid"
        | "mail"
        | "workemail"
        | "correo"
        | "correoelectronico"
        | "direcciondecorreo"
        | "direcciondecorreoelectronico"
        | "correoe"
        | "enderecodeemail"
        | "correioeletronico" => Field::Email,
        "phone" | "phone1" | "phonenumber" | "telephone" | "telephonenumber" | "tel" | "mobile"
        | "mobilephone" | "mobilenumber" | "cell" | "cellphone" | "cellphonenumber"
        | "whatsapp" | "whatsappnumber" | "telefono" | "telefono1" | "numerodetelefono"
        | "celular" | "movil" | "telefonomovil" | "telefonocelular" | "numerodecelular"
        | "telefone" | "telefone1" | "numerodetelefone" | "telemovel" => Field::Phone,
        "stage" | "stageid" | "leadstage" | "leadstatus" | "etapa" | "fase" | "estagio" => {
            Field::Stage
        }
        "source" | "sourceid" | "leadsource" | "fuente" | "origen" | "fonte" | "origem" => {
            Field::Source
        }
        "campaign" | "campaignid" | "campaignname" | "campana" | "campanha" => Field::Campaign,
        "territory" | "territoryid" | "territorio" => Field::Territory,
        "assignee" | "assignedto" | "useraccess" | "useraccessid" | "leadowner" | "asignado"
        | "asignadoa" | "responsable" | "responsavel" | "atribuidoa" => Field::Assignee,
        "estimatedvalue" | "dealvalue" | "valorestimado" | "montoestimado" => Field::EstimatedValue,
        "currency" | "currencycode" | "moneda" | "moeda" => Field::Currency,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod tests;
