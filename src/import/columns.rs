//! Which column of a file is what: everyday headers in English, Spanish and Portuguese are recognised, a mapping says the rest, and
//! all other columns are kept as extra fields by their name.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::import::ImportColumn;
use aggregates::text;
use projections::imports::catalogue::{Catalogue, Found};
use projections::search;

use super::errors_file::earlier_reason;
use crate::lead_files::{own_places, read_only_places};

/// What a column is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Given name.
    FirstName,
    /// Family name.
    LastName,
    /// The second family name, which follows the first.
    SecondLastName,
    /// Both names: the first word is the given name, or what follows a comma.
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
    const NAMED: [(&'static str, Self); 15] = [
        ("first_name", Self::FirstName),
        ("last_name", Self::LastName),
        ("second_last_name", Self::SecondLastName),
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
            let named = catalogue.questions.by_name(question).first().copied();
            let found = named.or_else(|| match catalogue.questions.find(question) {
                Found::One(id) => Some(id),
                _ => None,
            });
            return found.map(Self::Question);
        }
        let named = Self::NAMED.iter().find(|(name, _)| *name == text);
        named.map(|(_, field)| *field)
    }

    /// Whether it tells a person from nobody.
    const fn is_contact(self) -> bool {
        matches!(
            self,
            Self::FirstName
                | Self::LastName
                | Self::SecondLastName
                | Self::FullName
                | Self::Email
                | Self::Phone
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
    /// The mapping says two things of one column, named in two spellings.
    #[error("the mapping takes the column {0:?} for two things")]
    Contradiction(String),
    /// The name of a column is too long for an extra field.
    #[error(
        "the header of column {0} has more than {MOST_NAME} characters; shorten it, or map it to ignore"
    )]
    NameTooLong(usize),
    /// The name of a column cannot be stored.
    #[error("the header of column {0} has a control character; write it anew")]
    ControlCharacter(usize),
}

/// The most characters of the name of an extra field.
const MOST_NAME: usize = 100;

/// The header of a file, understood.
#[derive(Debug, Clone)]
pub struct Columns {
    /// Those of the header, but that each extra field has one of its own.
    names: Vec<String>,
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
        if let Some(bad) = header
            .iter()
            .position(|name| name.contains(char::is_control))
        {
            return Err(HeaderError::ControlCharacter(bad + 1));
        }
        let numbered = numbered(header);
        let mut fields: Vec<Option<Field>> = vec![None; header.len()];
        for (column, field) in mapping {
            let place = place_of(column, header, &numbered)
                .ok_or_else(|| HeaderError::NoSuchColumn(shown(column)))?;
            let field = Field::parse(field.trim(), catalogue)
                .ok_or_else(|| HeaderError::NoSuchField(shown(field)))?;
            if fields[place].is_some_and(|earlier| earlier != field) {
                return Err(HeaderError::Contradiction(shown(column)));
            }
            if !field.may_repeat() && fields[place].is_none() && fields.contains(&Some(field)) {
                return Err(HeaderError::Twice(field.name()));
            }
            fields[place] = Some(field);
        }
        let passed_over = read_only_places(header).into_iter();
        for place in passed_over.chain(earlier_reason(header)) {
            fields[place].get_or_insert(Field::Ignore);
        }
        let is_mapped = fields.contains(&Some(Field::Currency));
        recognise(header, &mut fields, catalogue);
        pair_value_and_currency(header, &mut fields, is_mapped);
        let fields: Vec<Field> = fields
            .into_iter()
            .map(|field| field.unwrap_or(Field::Extra))
            .collect();
        let names = names(header, numbered, &fields);
        for (n, field) in fields.iter().enumerate() {
            if *field == Field::Extra && text::line(&names[n], MOST_NAME).is_err() {
                return Err(HeaderError::NameTooLong(n + 1));
            }
        }
        if !fields.iter().any(|field| field.is_contact()) {
            let names = names.iter().take(50).map(|name| shown(name));
            return Err(HeaderError::NoContact(names.collect()));
        }
        Ok(Self { names, fields })
    }

    /// The columns' names, and what each is taken for.
    #[must_use]
    pub fn understood(&self) -> Vec<ImportColumn> {
        let columns = self.names.iter().zip(&self.fields);
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
        Some((self.names.get(place)?, *field))
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

/// A name of its own for each column: one that has none is `column 3`, the second of a name `name (2)`.
fn numbered(header: &[String]) -> Vec<String> {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let there: BTreeSet<&str> = header.iter().map(String::as_str).collect();
    let mut own = Vec::with_capacity(header.len());
    for (n, name) in header.iter().enumerate() {
        let name = match name.as_str() {
            "" => format!("column {}", n + 1),
            name => name.to_owned(),
        };
        let is_free = |wanted: &str| {
            !taken.contains(wanted) && (wanted == header[n] || !there.contains(wanted))
        };
        let free = if is_free(&name) {
            name
        } else {
            let mut others = (2..).map(|k: usize| format!("{name} ({k})"));
            others.find(|other| is_free(other)).unwrap_or_default()
        };
        taken.insert(free.clone());
        own.push(free);
    }
    own
}

/// The names of the columns. An extra field needs one that no other has; what a later column of another meaning is called, nobody minds.
fn names(header: &[String], numbered: Vec<String>, fields: &[Field]) -> Vec<String> {
    let mut extra = BTreeSet::new();
    let mut names = Vec::with_capacity(header.len());
    for ((name, own), field) in header.iter().zip(numbered).zip(fields) {
        let repeated = *field == Field::Extra && !extra.insert(name);
        let bare = !name.is_empty() && !repeated;
        names.push(if bare { name.clone() } else { own });
    }
    names
}

/// The column that a mapping means.
fn place_of(column: &str, header: &[String], numbered: &[String]) -> Option<usize> {
    let place =
        |names: &[String], same: &dyn Fn(&str) -> bool| names.iter().position(|name| same(name));
    place(header, &|name| name == column)
        .or_else(|| place(numbered, &|name| name == column))
        .or_else(|| {
            let wanted = plain(column);
            place(numbered, &|name| plain(name) == wanted)
        })
}

/// Gives a meaning to the columns that have none yet, as far as they have one.
///
/// A header that is the text of a question takes its answers where that is no doubt: it means nothing else, or another column
/// means that, or the file is one of ours, whose columns for what a lead is are known.
fn recognise(header: &[String], fields: &mut [Option<Field>], catalogue: &Catalogue) {
    let own = own_places(header);
    let usual: Vec<Option<Field>> = header.iter().map(|name| usual(&plain(name))).collect();
    let asks = |n: usize| !catalogue.questions.by_name(&header[n]).is_empty();
    let plain_first = (0..header.len()).filter(|n| own.contains(n) || !asks(*n));
    for n in plain_first {
        if let Some(field) = usual[n] {
            take(fields, n, field);
        }
    }
    for n in (0..header.len()).filter(|n| asks(*n) && !own.contains(n)) {
        let doubtful = usual[n].filter(|field| own.is_empty() && !fields.contains(&Some(*field)));
        if let Some(field) = doubtful {
            take(fields, n, field);
        }
        for id in catalogue.questions.by_name(&header[n]) {
            take(fields, n, Field::Question(*id));
        }
    }
}

/// Whether an amount may be called so: it is one where another column says of which currency.
fn is_amount(plain: &str) -> bool {
    matches!(
        plain,
        "value" | "amount" | "dealamount" | "valor" | "importe" | "monto" | "montante"
    )
}

/// A column of amounts is the lead's value only beside one of currencies; and a column of currencies means nothing by itself, so that it is
/// kept as it is.
fn pair_value_and_currency(header: &[String], fields: &mut [Option<Field>], is_mapped: bool) {
    let place = |fields: &[Option<Field>], wanted| fields.iter().position(|f| *f == Some(wanted));
    let Some(currency) = place(fields, Field::Currency) else {
        return;
    };
    if place(fields, Field::EstimatedValue).is_some() {
        return;
    }
    let mut amounts = (0..header.len()).filter(|n| is_amount(&plain(&header[*n])));
    if let Some(amount) = amounts.find(|n| fields[*n].is_none()) {
        fields[amount] = Some(Field::EstimatedValue);
    } else if !is_mapped {
        fields[currency] = None;
    }
}

/// Gives the column at this place the meaning, unless it has one or another column has that.
fn take(fields: &mut [Option<Field>], place: usize, field: Field) {
    if fields[place].is_none() && !fields.contains(&Some(field)) {
        fields[place] = Some(field);
    }
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
        "apellidomaterno" | "segundoapellido" | "secondlastname" | "secondsurname"
        | "segundosobrenome" => Field::SecondLastName,
        "fullname" | "contactname" | "leadname" | "nombrecompleto" | "nombreyapellido"
        | "nombreyapellidos" | "nombresyapellidos" | "nombreapellido" | "nomecompleto"
        | "nomeesobrenome" | "nombredelcontacto" | "nombredecontacto" | "nomedocontato"
        | "nomedecontato" => Field::FullName,
        "email"
        | "emailaddress"
        | "emailid"
        | "email1"
        | "mail"
        | "workemail"
        | "correo"
        | "correoelectronico"
        | "direcciondecorreo"
        | "direcciondecorreoelectronico"
        | "correoe"
        | "enderecodeemail"
        | "correioeletronico" => Field::Email,
        "phone" | "phone1" | "phonenumber" | "workphone" | "contactnumber" | "contactphone"
        | "telephone" | "telephonenumber" | "tel" | "mobile" | "mobilephone" | "mobilenumber"
        | "cell" | "cellphone" | "cellphonenumber" | "whatsapp" | "whatsappnumber" | "telefono"
        | "telefono1" | "telefonodecontacto" | "telefonedecontato" | "fone"
        | "numerodetelefono" | "celular" | "movil" | "telefonomovil" | "telefonocelular"
        | "numerodecelular" | "telefone" | "telefone1" | "numerodetelefone" | "telemovel" => {
            Field::Phone
        }
        "stage" | "stageid" | "leadstage" | "leadstatus" | "pipelinestage" | "etapa" | "fase"
        | "estagio" | "etapadelembudo" | "etapadeventa" | "etapadofunil" => Field::Stage,
        "source" | "sourceid" | "leadsource" | "fuente" | "origen" | "fonte" | "origem" => {
            Field::Source
        }
        "campaign" | "campaignid" | "campaignname" | "campana" | "campanha" => Field::Campaign,
        "territory" | "territoryid" | "territorio" => Field::Territory,
        "assignee" | "assignedto" | "useraccess" | "useraccessid" | "leadowner" | "owner"
        | "salesrep" | "salesperson" | "asignado" | "asignadoa" | "responsable" | "vendedor"
        | "vendedora" | "asesor" | "asesora" | "propietario" | "responsavel" | "atribuidoa"
        | "proprietario" => Field::Assignee,
        "estimatedvalue" | "dealvalue" | "opportunityvalue" | "valorestimado" | "montoestimado"
        | "importeestimado" => Field::EstimatedValue,
        "currency" | "currencycode" | "moneda" | "moeda" => Field::Currency,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod tests;
