//! What a row says of a lead: read from its cells, and then what it names found in the company's catalogues. Whether the catalogues
//! still have it, and all that depends on other leads, is decided in the commit.

use std::collections::BTreeMap;

use aggregates::email::Email;
use aggregates::ids::{
    CampaignId, CompanyId, LeadId, QuestionId, SourceId, TerritoryId, UserAccessId,
};
use aggregates::import::{FIRST_ROW, ImportOptions};
use aggregates::lead::{Answer, Classification, Contact, CreateLead, ExtraFields};
use aggregates::money::{Currency, Money};
use aggregates::person_name::PersonName;
use aggregates::phone::{Phone, Region};
use aggregates::stage::Stage;
use aggregates::text;
use projections::imports::catalogue::{Catalogue, Found, Named};
use projections::imports::holders::ContactKeys;
use projections::search;

use super::columns::{Columns, Field};
use crate::tabular;

/// Why a row is refused. Never says what stands in the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// A stable code.
    pub code: &'static str,
    /// The header of the column that is to blame.
    pub column: Option<String>,
}

impl RowFault {
    fn of(code: &'static str, column: &str) -> Self {
        Self {
            code,
            column: Some(column.to_owned()),
        }
    }
}

/// What stands in a row, checked as far as it can be by itself.
#[derive(Debug, Clone, Default)]
pub struct ReadRow {
    contact: Contact,
    stage: Option<Stage>,
    estimated_value: Option<Money>,
    extra: ExtraFields,
    /// Column, what it is, and what it says.
    names: Vec<(usize, Field, String)>,
}

impl ReadRow {
    /// By what it is like other rows and leads.
    #[must_use]
    pub fn keys(&self) -> ContactKeys {
        ContactKeys::of(&self.contact)
    }
}

/// A row that is ready to be decided.
#[derive(Debug, Clone)]
pub struct ReadyRow {
    /// The header is 1; rows in which nothing stands are not counted.
    pub row: i64,
    /// What it says, or why it is refused.
    pub lead: Result<Box<RowLead>, RowFault>,
}

/// What a row says of a lead.
#[derive(Debug, Clone)]
pub struct RowLead {
    /// The lead that comes of it; its id is still to be given.
    pub create: CreateLead,
    /// The stage, if the row names one.
    pub stage: Option<Stage>,
    /// The source and campaign that the row itself names.
    pub named: Classification,
    /// By what it is like other leads.
    pub keys: ContactKeys,
    /// Whose the access in `create` is.
    pub assignee: Option<i64>,
    /// The source that it will have, or its campaign's: whose turn it is depends on it.
    pub likely_source: Option<SourceId>,
    /// The headers of the columns with the answers, in their order.
    pub answer_columns: Vec<String>,
}

/// Reads the cells of a row.
///
/// # Errors
/// The first cell that cannot be read.
pub fn read(columns: &Columns, row: &tabular::Row, region: Region) -> Result<ReadRow, RowFault> {
    let mut read = ReadRow::default();
    let mut value = None;
    let mut currency = None;
    let mut second_last_name = None;
    for (place, cell) in row.fields.iter().enumerate() {
        let cell = cell.trim();
        if cell.is_empty() {
            continue;
        }
        let Some((column, field)) = columns.at(place) else {
            return Err(RowFault {
                code: "too_many_fields",
                column: None,
            });
        };
        let fault = |code| RowFault::of(code, column);
        if !matches!(field, Field::Extra | Field::Ignore) && is_formula_error(cell) {
            return Err(fault("formula_error"));
        }
        match field {
            Field::FirstName => read.contact.first_name = Some(name(cell, column)?),
            Field::LastName => read.contact.last_name = Some(name(cell, column)?),
            Field::SecondLastName => second_last_name = Some((name(cell, column)?, column)),
            Field::FullName => {
                let (first, last) = family_name_first(cell)
                    .or_else(|| cell.split_once(char::is_whitespace))
                    .unwrap_or((cell, ""));
                let contact = &mut read.contact;
                contact.first_name.get_or_insert(name(first, column)?);
                if !last.trim().is_empty() {
                    contact.last_name.get_or_insert(name(last.trim(), column)?);
                }
            }
            Field::Email => {
                let email = Email::parse(cell).map_err(|_| fault("invalid_email"))?;
                read.contact.email = Some(email);
            }
            Field::Phone => {
                let phone =
                    Phone::parse(cell, region).map_err(|_| fault("invalid_phone_number"))?;
                read.contact.phone = Some(phone);
            }
            Field::Stage => {
                read.stage = Some(stage(cell).ok_or_else(|| fault("unknown_stage"))?);
            }
            Field::EstimatedValue => value = Some((column, cell)),
            Field::Currency => currency = Some((column, cell)),
            Field::Extra => {
                let text = text::block(cell, 10_000).map_err(|_| fault("invalid_text"))?;
                let name = text::line(column, 100).map_err(|_| fault("invalid_text"))?;
                read.extra.insert(name.to_owned(), text.to_owned());
            }
            Field::Source
            | Field::Campaign
            | Field::Territory
            | Field::Assignee
            | Field::Question(_) => {
                let text = text::block(cell, 10_000).map_err(|_| fault("invalid_text"))?;
                read.names.push((place, field, text.to_owned()));
            }
            Field::Ignore => {}
        }
    }
    if let Some((second, column)) = second_last_name {
        let last = &mut read.contact.last_name;
        *last = Some(match last.take() {
            Some(first) => name(&format!("{} {}", first.as_str(), second.as_str()), column)?,
            None => second,
        });
    }
    if let Some((column, cell)) = value {
        let money = money(cell, currency.map(|(_, code)| code));
        let money = money.ok_or_else(|| RowFault::of("invalid_estimated_value", column))?;
        read.estimated_value = Some(money);
    }
    Ok(read)
}

/// What spreadsheet programs show, and write to a CSV, where a formula came to nothing: no name, no stage and no amount of anybody.
fn is_formula_error(cell: &str) -> bool {
    const ERRORS: [&str; 9] = [
        "#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!",
    ];
    cell.starts_with('#') && ERRORS.contains(&cell)
}

/// `Pérez López, Ana`: given name and family name, unless what follows the comma belongs to a company's name or is a title.
fn family_name_first(cell: &str) -> Option<(&str, &str)> {
    const TITLES: [&str; 14] = [
        "jr", "sr", "ii", "iii", "iv", "md", "phd", "esq", "inc", "llc", "ltd", "ltda", "sa",
        "corp",
    ];
    let (last, first) = cell.split_once(',')?;
    let (last, first) = (last.trim(), first.trim());
    let is_of_a_name = |c: char| c.is_alphabetic() || c.is_whitespace() || "-'’".contains(c);
    let is_name = !first.is_empty() && first.chars().all(is_of_a_name);
    let is_title = TITLES.contains(&search::fold(first).as_str());
    (is_name && !is_title && !last.is_empty()).then_some((first, last))
}

fn name(cell: &str, column: &str) -> Result<PersonName, RowFault> {
    PersonName::parse(cell).map_err(|_| RowFault::of("invalid_name", column))
}

fn stage(cell: &str) -> Option<Stage> {
    let wanted = search::fold(cell);
    let by_name = Stage::ALL
        .into_iter()
        .find(|stage| search::fold(stage.code()) == wanted || search::fold(stage.name()) == wanted);
    by_name
        .or_else(|| {
            Some(match wanted.as_str() {
                "nuevo" | "nueva" | "novo" | "nova" => Stage::New,
                "contactado" | "contactada" | "contatado" | "contatada" => Stage::Contacted,
                "calificado" | "calificada" | "cualificado" | "qualificado" | "qualificada" => {
                    Stage::Qualified
                }
                "propuesta" | "proposta" => Stage::Proposal,
                "ganado" | "ganada" | "ganho" | "ganha" => Stage::Won,
                "perdido" | "perdida" => Stage::Lost,
                _ => return None,
            })
        })
        .or_else(|| Stage::from_id(wanted.parse().ok()?))
}

/// `1200.50 MXN`, `MXN 1200.50`, or the amount alone where another column names the currency.
fn money(cell: &str, currency: Option<&str>) -> Option<Money> {
    let letters = |part: &&str| part.chars().all(char::is_alphabetic);
    let own = cell.split_whitespace().find(letters);
    let amount = cell.split_whitespace().find(|part| !letters(part))?;
    let currency = Currency::parse(&own.or(currency)?.trim().to_uppercase()).ok()?;
    Money::parse(amount, currency).ok()
}

/// Finds what the row names, and makes of it the lead that it stands for.
///
/// # Errors
/// The first name that nothing has.
pub fn resolve(
    read: ReadRow,
    columns: &Columns,
    catalogue: &Catalogue,
    company: CompanyId,
    options: &ImportOptions,
) -> Result<Box<RowLead>, RowFault> {
    let mut named = Classification::default();
    let mut access = None;
    let mut answers = Vec::new();
    let mut answer_columns = Vec::new();
    for (place, field, text) in read.names {
        let column = columns.at(place).map_or("", |(name, _)| name);
        let find = |things: &Named, code| match things.find(&text) {
            Found::One(id) => Ok(id),
            Found::Nothing => Err(RowFault::of(code, column)),
            Found::Several if field == Field::Assignee => {
                Err(RowFault::of("ambiguous_assignee", column))
            }
            Found::Several => Err(RowFault::of("ambiguous_name", column)),
        };
        match field {
            Field::Source => {
                named.source_id = Some(SourceId(find(&catalogue.sources, "unknown_source")?));
            }
            Field::Campaign => {
                let id = find(&catalogue.campaigns, "unknown_campaign")?;
                named.campaign_id = Some(CampaignId(id));
            }
            Field::Territory => {
                let id = find(&catalogue.territories, "unknown_territory")?;
                named.territory_id = Some(TerritoryId(id));
            }
            Field::Assignee => access = Some(find(&catalogue.people, "unknown_assignee")?),
            Field::Question(id) => {
                answer_columns.push(column.to_owned());
                let question_type = catalogue.question_types.get(&id).map(String::as_str);
                answers.push(Answer {
                    question_id: QuestionId(id),
                    option_id: None,
                    option_ids: Vec::new(),
                    value: Some(answer(&text, question_type)),
                    question_text: None,
                });
            }
            _ => {}
        }
    }
    let classification = Classification {
        source_id: named.source_id.or(options.source_id),
        campaign_id: named.campaign_id.or(options.campaign_id),
        territory_id: named.territory_id,
    };
    let of_campaign = classification
        .campaign_id
        .and_then(|campaign| catalogue.campaign_sources.get(&campaign.get()));
    let likely_source = classification
        .source_id
        .or(of_campaign.copied().map(SourceId));
    Ok(Box::new(RowLead {
        keys: ContactKeys::of(&read.contact),
        stage: read.stage,
        named,
        assignee: access.and_then(|access| catalogue.users.get(&access).copied()),
        likely_source,
        answer_columns,
        create: CreateLead {
            lead_id: LeadId(0),
            company_id: company,
            contact: read.contact,
            stage: read.stage.unwrap_or_default(),
            classification,
            territory_match: None,
            routing: None,
            cycle_id: None,
            user_access_id: access.map(UserAccessId),
            answers,
            extra: read.extra,
            estimated_value: read.estimated_value,
        },
    }))
}

/// A yes in the words of three languages is `true`; everything else is left to the question.
fn answer(text: &str, question_type: Option<&str>) -> String {
    if question_type == Some("boolean") {
        match search::fold(text).as_str() {
            "true" | "yes" | "y" | "1" | "si" | "s" | "sim" | "x" | "verdadero" | "verdadeiro" => {
                return "true".to_owned();
            }
            "false" | "no" | "n" | "0" | "nao" | "falso" => return "false".to_owned(),
            _ => {}
        }
    }
    text.to_owned()
}

/// The row of the file that the reader numbers so.
#[must_use]
pub fn row_of(number: u64) -> i64 {
    i64::try_from(number)
        .unwrap_or(i64::MAX - FIRST_ROW)
        .saturating_add(FIRST_ROW - 1)
}

/// The extra fields as changes.
#[must_use]
pub fn extra_changes(extra: &ExtraFields) -> BTreeMap<String, Option<String>> {
    let set = |(name, value): (&String, &String)| (name.clone(), Some(value.clone()));
    extra.iter().map(set).collect()
}
