//! One user's row of `user_profiles`, and what each event does to it.

use aggregates::person_name::{PersonName, full_name};
use aggregates::phone::Phone;
use aggregates::user::account_settings::AccountSettings;
use aggregates::user::{Access, Profile, UserEvent};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::FromRow;

use crate::recorded::{DomainEvent, Recorded};

/// A row of `user_profiles`.
#[derive(Debug, Clone, Serialize, FromRow)]
pub struct ProfileRow {
    pub user_id: i64,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub name: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub extension: Option<String>,
    pub lang: Option<String>,
    pub platform_owner: bool,
    pub settings: Value,
    pub photo_url: Option<String>,
    pub phone_numbers: Value,
    pub accesses: Value,
    pub version: i64,
    pub position: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

/// The columns, as the table has them.
pub const PROFILE_COLUMNS: [&str; 18] = [
    "user_id",
    "first_name",
    "last_name",
    "name",
    "email",
    "phone",
    "extension",
    "lang",
    "platform_owner",
    "settings",
    "photo_url",
    "phone_numbers",
    "accesses",
    "version",
    "position",
    "created_at",
    "updated_at",
    "deleted_at",
];

/// The accesses as they are stored.
pub fn accesses(stored: &Value) -> Vec<Access> {
    // Written below, by the same type.
    serde_json::from_value(stored.clone()).unwrap_or_default()
}

/// The row after the events; `None` for a user who was never registered.
pub fn applied(row: Option<ProfileRow>, events: &[Recorded]) -> Option<ProfileRow> {
    let mut row = row;
    for recorded in events {
        let DomainEvent::User(event) = &recorded.event else {
            continue;
        };
        if let UserEvent::UserRegistered {
            user_id: _,
            email,
            profile,
            platform_owner,
            ..
        } = event
        {
            let mut new = ProfileRow::registered(recorded, *platform_owner);
            new.email = email.plain().map(ToString::to_string);
            new.set_profile(profile.plain());
            row = Some(new);
        }
        if let Some(row) = &mut row {
            row.apply(event, recorded);
        }
    }
    row
}

impl ProfileRow {
    fn registered(recorded: &Recorded, platform_owner: bool) -> Self {
        let mut row = Self {
            user_id: recorded.aggregate_id,
            first_name: None,
            last_name: None,
            name: String::new(),
            email: None,
            phone: None,
            extension: None,
            lang: None,
            platform_owner,
            settings: Value::Null,
            photo_url: None,
            phone_numbers: json!({}),
            accesses: json!([]),
            version: 0,
            position: 0,
            created_at: recorded.recorded_at,
            updated_at: recorded.recorded_at,
            deleted_at: None,
        };
        row.set_settings(&AccountSettings::default());
        row
    }

    fn apply(&mut self, event: &UserEvent, recorded: &Recorded) {
        self.version = recorded.sequence;
        self.position = recorded.position;
        self.updated_at = recorded.recorded_at;
        match event {
            UserEvent::ProfileChanged { to, .. } => self.set_profile(to.plain()),
            UserEvent::AccountSettingsChanged { to, .. } => self.set_settings(to),
            UserEvent::AccessGranted {
                user_access_id,
                company_id,
                role,
            } => self.change_accesses(|all| {
                all.push(Access {
                    id: *user_access_id,
                    company_id: *company_id,
                    role: *role,
                });
            }),
            UserEvent::AccessChanged {
                user_access_id,
                to_company_id,
                to_role,
                ..
            } => self.change_accesses(|all| {
                for access in all.iter_mut().filter(|a| a.id == *user_access_id) {
                    access.company_id = *to_company_id;
                    access.role = *to_role;
                }
            }),
            UserEvent::AccessRevoked { user_access_id, .. } => {
                self.change_accesses(|all| all.retain(|a| a.id != *user_access_id));
            }
            UserEvent::UserDeleted { accesses } => {
                self.change_accesses(|all| all.clone_from(accesses));
                self.deleted_at = Some(recorded.recorded_at);
            }
            _ => {}
        }
    }

    fn set_profile(&mut self, profile: Option<&Profile>) {
        let profile = profile.cloned().unwrap_or_default();
        self.name = full_name(profile.first_name.as_ref(), profile.last_name.as_ref());
        let text = |name: Option<PersonName>| name.map(|name| name.to_string());
        self.first_name = text(profile.first_name);
        self.last_name = text(profile.last_name);
        self.lang = profile.lang;
        let phone = profile.phone_number;
        self.phone = phone.as_ref().map(|phone| phone.e164().to_owned());
        self.extension = phone.as_ref().and_then(Phone::extension).map(str::to_owned);
    }

    fn set_settings(&mut self, settings: &AccountSettings) {
        self.settings = json!({
            "kind": settings.kind,
            "permissions": settings.permissions,
            "scopes": settings.scopes,
            "scopes_assigned_to_only": settings.scopes_assigned_to_only,
            "language": settings.language,
        });
        let photo = settings.photo_url.plain().and_then(Option::as_ref);
        self.photo_url = photo.map(|url| url.as_str().to_owned());
        self.phone_numbers = json!(settings.phone_numbers.plain().cloned().unwrap_or_default());
    }

    fn change_accesses(&mut self, change: impl FnOnce(&mut Vec<Access>)) {
        let mut all = accesses(&self.accesses);
        change(&mut all);
        self.accesses = json!(all);
    }
}
