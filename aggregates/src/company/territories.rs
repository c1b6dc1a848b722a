//! A company's territories: areas with a rule that says which leads belong to them.
//!
//! A rule matches a lead when every field that it gives equals the lead's, without regard to case and accents; of the
//! postal codes one must be the lead's, or its beginning when the code ends in `*`. The first territory that matches wins,
//! in order of creation. A territory that gives no field matches nobody: leads are put there by hand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::CompanyEvent;
use crate::ids::TerritoryId;
use crate::text;

/// The most territories that one company can have.
pub const MAX_TERRITORIES: usize = 10_000;

/// The area of a territory, as it was written. Texts are checked by the caller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// Country.
    pub country: Option<String>,
    /// State or province.
    pub state: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Any of these; one that ends in `*` stands for all that begin like it.
    pub postal_codes: Vec<String>,
}

/// A territory to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTerritory {
    /// Its id.
    pub territory_id: TerritoryId,
    /// What it is called, 1 to 200 characters; checked by the caller.
    pub name: String,
    /// The company's own code for it.
    pub code: Option<String>,
    /// Which leads belong to it.
    pub area: Area,
}

/// What a rule looks at in a lead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    country: Option<String>,
    state: Option<String>,
    city: Option<String>,
    postal_code: Option<String>,
}

/// The everyday names of the four parts in English, Spanish and Portuguese, the better one first; without accents, case,
/// and whatever separates their words.
const COUNTRY: &[&str] = &["country", "pais", "countryname", "countrycode"];
const STATE: &[&str] = &[
    "state",
    "estado",
    "province",
    "provincia",
    "region",
    "entidadfederativa",
    "departamento",
    "county",
];
const CITY: &[&str] = &[
    "city",
    "ciudad",
    "cidade",
    "town",
    "municipio",
    "localidad",
    "poblacion",
];
const POSTAL_CODE: &[&str] = &[
    "postalcode",
    "codigopostal",
    "zip",
    "zipcode",
    "postcode",
    "cp",
    "cep",
    "codpostal",
    "postal",
];

impl Address {
    /// Reads the address from fields that are named as people name them: `City`, `código postal`, `ZIP`.
    #[must_use]
    pub fn of(fields: &BTreeMap<String, String>) -> Self {
        if fields.is_empty() {
            return Self::default();
        }
        let plain: Vec<(String, &String)> = fields
            .iter()
            .map(|(name, value)| {
                let name = text::fold(name);
                let name = name.chars().filter(|c| c.is_alphanumeric()).collect();
                (name, value)
            })
            .collect();
        let part = |names: &[&str]| {
            let mut found = names.iter().filter_map(|name| {
                let (_, value) = plain.iter().find(|(plain, _)| plain == name)?;
                Some(text::fold(value)).filter(|value| !value.is_empty())
            });
            found.next()
        };
        Self {
            country: part(COUNTRY),
            state: part(STATE),
            city: part(CITY),
            postal_code: part(POSTAL_CODE),
        }
    }
}

/// A territory as the matching sees it: every text folded once, not once a lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Territory {
    id: TerritoryId,
    rule_version: u32,
    country: Option<String>,
    state: Option<String>,
    city: Option<String>,
    postal_codes: Vec<String>,
}

impl Territory {
    fn matches(&self, address: &Address) -> bool {
        let gives = self.country.is_some()
            || self.state.is_some()
            || self.city.is_some()
            || !self.postal_codes.is_empty();
        let equal =
            |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        gives
            && equal(&self.country, &address.country)
            && equal(&self.state, &address.state)
            && equal(&self.city, &address.city)
            && (self.postal_codes.is_empty()
                || address
                    .postal_code
                    .as_deref()
                    .is_some_and(|code| self.covers(code)))
    }

    fn covers(&self, code: &str) -> bool {
        self.postal_codes
            .iter()
            .any(|wanted| match wanted.strip_suffix('*') {
                Some(beginning) => code.starts_with(beginning),
                None => wanted == code,
            })
    }
}

/// A company's territories, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Territories(Vec<Territory>);

/// A rule of territories that a command would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TerritoryError {
    /// More than [`MAX_TERRITORIES`].
    #[error("a company has at most {MAX_TERRITORIES} territories")]
    TooMany,
}

impl Territories {
    /// Whether the company has it.
    #[must_use]
    pub fn has(&self, territory_id: TerritoryId) -> bool {
        self.0.iter().any(|territory| territory.id == territory_id)
    }

    /// The first whose rule matches, and the version of that rule.
    #[must_use]
    pub fn matching(&self, address: &Address) -> Option<(TerritoryId, u32)> {
        if *address == Address::default() {
            return None;
        }
        let first = self.0.iter().find(|known| known.matches(address))?;
        Some((first.id, first.rule_version))
    }

    pub(super) fn add(&self, new: Vec<NewTerritory>) -> Result<Vec<CompanyEvent>, TerritoryError> {
        if self.0.len() + new.len() > MAX_TERRITORIES {
            return Err(TerritoryError::TooMany);
        }
        let added = new.into_iter().map(|new| CompanyEvent::TerritoryAdded {
            territory_id: new.territory_id,
            name: new.name,
            code: new.code,
            area: new.area,
            rule_version: 1,
        });
        Ok(added.collect())
    }

    pub(super) fn evolve(&mut self, event: &CompanyEvent) {
        let CompanyEvent::TerritoryAdded {
            territory_id,
            area,
            rule_version,
            ..
        } = event
        else {
            return;
        };
        let folded = |text: &Option<String>| text.as_deref().map(text::fold);
        self.0.push(Territory {
            id: *territory_id,
            rule_version: *rule_version,
            country: folded(&area.country),
            state: folded(&area.state),
            city: folded(&area.city),
            postal_codes: area.postal_codes.iter().map(|c| text::fold(c)).collect(),
        });
    }
}

#[cfg(test)]
mod tests;
