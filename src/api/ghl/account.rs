//! What a request says of an account: names, phone, settings. Shared by create and update.

use std::collections::BTreeMap;

use aggregates::Change;
use aggregates::ids::CompanyId;
use aggregates::password;
use aggregates::person_name::PersonName;
use aggregates::phone::{Phone, Region};
use aggregates::user::account_settings::{
    AccountKind, AccountSettingsChange, LANGUAGES, Permissions, PhotoUrl, PlatformLanguage,
    UserScope,
};
use projections::companies::CompanyRow;
use serde_json::Value;

use super::client::Client;
use super::error::GhlError;
use super::fields::{Fields, shown};
use crate::app::App;

/// `admin` or `user`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountRole {
    /// Administers.
    Admin,
    /// Works.
    User,
}

impl AccountRole {
    /// The role with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "admin" => Some(Self::Admin),
            "user" => Some(Self::User),
            _ => None,
        }
    }
}

/// What both requests may say.
#[derive(Debug)]
pub struct Account {
    pub first_name: Option<PersonName>,
    pub last_name: Option<PersonName>,
    pub phone: Change<Phone>,
    pub password: Option<String>,
    pub kind: Option<AccountKind>,
    pub role: Option<AccountRole>,
    pub location_ids: Option<Vec<String>>,
    pub settings: AccountSettingsChange,
    /// Number by location, as sent.
    phone_numbers: Option<BTreeMap<String, String>>,
}

impl Account {
    /// Reads and checks the fields; what is wrong is noted in them.
    pub fn read(fields: &mut Fields, region: Region) -> Self {
        let kind = fields.word("type", &["account", "agency"], AccountKind::from_code);
        let role = fields.word("role", &["admin", "user"], AccountRole::from_word);
        Self {
            first_name: name(fields, "firstName"),
            last_name: name(fields, "lastName"),
            phone: phone(fields, region),
            password: checked_password(fields),
            location_ids: fields.texts("locationIds"),
            phone_numbers: phone_numbers(fields, region),
            settings: AccountSettingsChange {
                kind,
                permissions: permissions(fields),
                scopes: scopes(fields, "scopes"),
                scopes_assigned_to_only: scopes(fields, "scopesAssignedToOnly"),
                language: fields.word("platformLanguage", &LANGUAGES, |word| {
                    PlatformLanguage::parse(word).ok()
                }),
                photo_url: photo(fields),
                phone_numbers: None,
            },
            kind,
            role,
        }
    }

    /// Resolves the locations of the numbers, which must be the company itself or below it.
    pub async fn resolve_numbers(
        &mut self,
        app: &App,
        client: &Client,
        company: &CompanyRow,
    ) -> Result<(), GhlError> {
        let Some(numbers) = self.phone_numbers.take() else {
            return Ok(());
        };
        let locations: Vec<String> = numbers.keys().cloned().collect();
        let locations = resolve(app, client, company, &locations, "twilioPhone").await?;
        let numbers = locations.into_iter().zip(numbers.into_values());
        // An empty number clears that location's.
        let numbers = numbers.filter(|(_, number)| !number.is_empty());
        self.settings.phone_numbers = Some(numbers.collect());
        Ok(())
    }
}

/// The companies with these ids, each of which must be the company itself or below it.
pub async fn resolve(
    app: &App,
    client: &Client,
    company: &CompanyRow,
    ids: &[String],
    field: &str,
) -> Result<Vec<CompanyId>, GhlError> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let location = client.location(app, id).await?;
        if !location.path.contains(&company.id) {
            return Err(GhlError::invalid(vec![format!(
                "{field} {} is not a location of the company",
                shown(id)
            )]));
        }
        found.push(CompanyId(location.id));
    }
    Ok(found)
}

fn name(fields: &mut Fields, field: &str) -> Option<PersonName> {
    let text = fields.text(field)?;
    if text.trim().is_empty() {
        fields.refuse(format!("{field} should not be empty"));
        return None;
    }
    fields.checked(field, &text, PersonName::parse)
}

/// Phone and extension are one value here; an empty phone is none.
fn phone(fields: &mut Fields, region: Region) -> Change<Phone> {
    let extension = fields.text("extension").unwrap_or_default();
    let Some(text) = fields.text("phone") else {
        if !extension.trim().is_empty() {
            fields.refuse("extension must be sent together with phone");
        }
        return Change::Keep;
    };
    if text.trim().is_empty() {
        return Change::Clear;
    }
    let number = fields.checked("phone", &text, |text| Phone::parse(text, region));
    let extension = extension.trim();
    let number = match number {
        Some(number) if !extension.is_empty() => {
            let digits = extension.len() <= 9 && extension.bytes().all(|b| b.is_ascii_digit());
            let whole = format!("{} ext {extension}", number.e164());
            let whole = Phone::parse(&whole, region).ok().filter(|_| digits);
            if whole.is_none() {
                fields.refuse("extension must be at most 9 digits");
            }
            whole
        }
        number => number,
    };
    number.map_or(Change::Keep, Change::Set)
}

fn checked_password(fields: &mut Fields) -> Option<String> {
    let password = fields.text("password")?;
    match password::check(&password) {
        Ok(()) => Some(password),
        Err(broken) => {
            for rule in broken {
                fields.refuse(format!("password {rule}"));
            }
            None
        }
    }
}

fn permissions(fields: &mut Fields) -> Permissions {
    let mut permissions = Permissions::default();
    let sent = fields.map("permissions", "a boolean value", |value| value.as_bool());
    for (flag, value) in sent.unwrap_or_default() {
        if permissions.set(&flag, value).is_err() {
            fields.refuse(format!(
                "permissions.property {} should not exist",
                shown(&flag)
            ));
        }
    }
    permissions
}

fn scopes(fields: &mut Fields, field: &str) -> Option<Vec<UserScope>> {
    let sent = fields.texts(field)?;
    let mut scopes = Vec::with_capacity(sent.len());
    for text in &sent {
        match UserScope::parse(text) {
            Ok(scope) if scopes.contains(&scope) => {}
            Ok(scope) => scopes.push(scope),
            Err(_) => fields.refuse(format!(
                "each value in {field} must be a known scope: {} is none",
                shown(text)
            )),
        }
    }
    Some(scopes)
}

fn photo(fields: &mut Fields) -> Change<PhotoUrl> {
    let Some(text) = fields.text("profilePhoto") else {
        return Change::Keep;
    };
    if text.trim().is_empty() {
        return Change::Clear;
    }
    let url = fields.checked("profilePhoto", &text, PhotoUrl::parse);
    url.map_or(Change::Keep, Change::Set)
}

fn phone_numbers(fields: &mut Fields, region: Region) -> Option<BTreeMap<String, String>> {
    let text = |value: Value| value.as_str().map(str::to_owned);
    let sent = fields.map("twilioPhone", "a string", text)?;
    let mut numbers = BTreeMap::new();
    for (location, number) in sent {
        let number = if number.trim().is_empty() {
            Some(String::new())
        } else {
            let field = format!("twilioPhone.{}", shown(&location));
            let number = fields.checked(&field, &number, |text| Phone::parse(text, region));
            number.map(|number| number.e164().to_owned())
        };
        numbers.extend(number.map(|number| (location, number)));
    }
    Some(numbers)
}
