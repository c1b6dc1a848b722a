//! How events of users' streams become rows of `user_profiles` and `user_memberships`.
//!
//! A batch reads the rows that it changes and the paths of the companies they name, applies its events in their order, and
//! writes the rows as they are then: the same however the ledger is cut.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::company::CompanyEvent;
use aggregates::person_name::{PersonName, full_name};
use aggregates::phone::Phone;
use aggregates::user::account_settings::{AccountKind, AccountSettings};
use aggregates::user::{Access, Profile, UserEvent};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{FromRow, PgConnection};

use super::membership::{Held, seen_from};
use crate::batch::{LookUp, Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::search;
use crate::statement::Statement;

/// A row of `user_profiles`.
#[derive(Debug, Clone, Serialize, FromRow)]
struct ProfileRow {
    user_id: i64,
    first_name: Option<String>,
    last_name: Option<String>,
    name: String,
    email: Option<String>,
    phone: Option<String>,
    extension: Option<String>,
    lang: Option<String>,
    platform_owner: bool,
    settings: Value,
    photo_url: Option<String>,
    phone_numbers: Value,
    accesses: Value,
    version: i64,
    position: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

const PROFILE_COLUMNS: [&str; 18] = [
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

/// A row of `user_memberships`.
#[derive(Debug, Serialize)]
struct MembershipRow {
    company_id: i64,
    user_id: i64,
    account_type: &'static str,
    role: &'static str,
    location_ids: Vec<i64>,
    is_deleted: bool,
    sort_name: String,
    sort_last_name: String,
    email: Option<String>,
    search: String,
    position: i64,
    created_at: DateTime<Utc>,
}

const MEMBERSHIP_COLUMNS: [&str; 12] = [
    "company_id",
    "user_id",
    "account_type",
    "role",
    "location_ids",
    "is_deleted",
    "sort_name",
    "sort_last_name",
    "email",
    "search",
    "position",
    "created_at",
];

/// Owns `user_profiles` and `user_memberships`.
#[derive(Default)]
pub struct UserProfiles {
    /// The batch's events by user, in their order.
    events: BTreeMap<i64, Vec<Recorded>>,
    /// The parents of the batch's new companies.
    new_companies: BTreeMap<i64, Option<i64>>,
    /// The rows after the batch.
    profiles: Vec<ProfileRow>,
    memberships: Vec<MembershipRow>,
    /// Company and user of those that are no more.
    gone: Vec<(i64, i64)>,
}

impl Projection for UserProfiles {
    fn name(&self) -> &'static str {
        "user_profiles"
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "user_profiles",
                key: &["user_id"],
                counts_when: "true",
                looked_up_by: &[],
            },
            Table {
                name: "user_memberships",
                key: &["company_id", "user_id"],
                counts_when: "true",
                looked_up_by: &[],
            },
        ]
    }

    fn reads(&self) -> &'static [&'static str] {
        &["companies"]
    }

    fn fold(&mut self, recorded: &Recorded) {
        match &recorded.event {
            DomainEvent::User(_) => self
                .events
                .entry(recorded.aggregate_id)
                .or_default()
                .push(recorded.clone()),
            DomainEvent::Company(CompanyEvent::CompanyCreated {
                parent_company_id, ..
            }) => {
                let parent = parent_company_id.map(aggregates::ids::CompanyId::get);
                self.new_companies.insert(recorded.aggregate_id, parent);
            }
            _ => {}
        }
    }

    fn look_up<'a>(&'a mut self, connection: &'a mut PgConnection) -> LookUp<'a> {
        Box::pin(async move {
            let events = std::mem::take(&mut self.events);
            let new_companies = std::mem::take(&mut self.new_companies);
            if events.is_empty() {
                return Ok(());
            }
            let mut before = rows(connection, &events).await?;
            let mut changed = Vec::with_capacity(events.len());
            for (user, events) in &events {
                let old = before.remove(user);
                if let Some(row) = applied(old.clone(), events) {
                    changed.push((old, row));
                }
            }
            let named = changed
                .iter()
                .flat_map(|(old, new)| [old.as_ref(), Some(new)]);
            let named = named.flatten().flat_map(|row| accesses(&row.accesses));
            let named: BTreeSet<i64> = named.map(|access| access.company_id.get()).collect();
            let paths = paths(connection, &named, &new_companies).await?;
            for (old, new) in changed {
                self.place(old.as_ref(), new, &paths);
            }
            Ok(())
        })
    }

    fn write(&mut self, statement: &mut Statement) {
        let gone = std::mem::take(&mut self.gone);
        if !gone.is_empty() {
            let (companies, users): (Vec<i64>, Vec<i64>) = gone.into_iter().unzip();
            statement.part("gone_memberships", |s| {
                s.sql("DELETE FROM user_memberships m USING head, unnest(")
                    .bind(companies)
                    .also(users)
                    .sql(") AS r(c, u) WHERE m.company_id = r.c AND m.user_id = r.u");
            });
        }
        upsert(
            statement,
            "user_profiles",
            &PROFILE_COLUMNS,
            &["user_id"],
            &std::mem::take(&mut self.profiles),
        );
        upsert(
            statement,
            "user_memberships",
            &MEMBERSHIP_COLUMNS,
            &["company_id", "user_id"],
            &std::mem::take(&mut self.memberships),
        );
    }
}

impl UserProfiles {
    /// Takes a row over, with the memberships that follow from it.
    fn place(
        &mut self,
        old: Option<&ProfileRow>,
        new: ProfileRow,
        paths: &BTreeMap<i64, Vec<i64>>,
    ) {
        let views = |row: &ProfileRow| {
            let held = accesses(&row.accesses).into_iter().map(|access| Held {
                company_id: access.company_id.get(),
                role: access.role,
                path: paths[&access.company_id.get()].clone(),
            });
            let held: Vec<_> = held.collect();
            let kind = row.settings["kind"].as_str();
            seen_from(&held, kind.and_then(AccountKind::from_code))
        };
        let now = views(&new);
        if let Some(old) = old {
            let before = views(old).into_keys();
            let gone = before.filter(|company| !now.contains_key(company));
            self.gone.extend(gone.map(|company| (company, new.user_id)));
        }
        let searched = [
            Some(new.name.as_str()),
            new.email.as_deref(),
            new.phone.as_deref(),
        ];
        let searched: Vec<_> = searched.into_iter().flatten().collect();
        let search = search::fold(&searched.join(" "));
        for (company_id, seen) in now {
            self.memberships.push(MembershipRow {
                company_id,
                user_id: new.user_id,
                account_type: seen.kind.code(),
                role: seen.role,
                location_ids: seen.location_ids,
                is_deleted: new.deleted_at.is_some(),
                sort_name: search::fold(&new.name),
                sort_last_name: search::fold(new.last_name.as_deref().unwrap_or_default()),
                email: new.email.clone(),
                search: search.clone(),
                position: new.position,
                created_at: new.created_at,
            });
        }
        self.profiles.push(new);
    }
}

/// One bind carries all rows: their columns are named and typed by the table itself.
fn upsert<R: Serialize>(
    statement: &mut Statement,
    table: &str,
    columns: &[&str],
    key: &[&str],
    rows: &[R],
) {
    if rows.is_empty() {
        return;
    }
    let rows = serde_json::to_string(rows).expect("rows of texts, numbers and times serialise");
    let set: Vec<String> = columns
        .iter()
        .filter(|column| !key.contains(column))
        .map(|column| format!("{column} = EXCLUDED.{column}"))
        .collect();
    let (columns, key, set) = (columns.join(", "), key.join(", "), set.join(", "));
    statement.part(&format!("changed_{table}"), |s| {
        s.sql(&format!(
            "INSERT INTO {table} ({columns}) SELECT {} FROM head, json_populate_recordset(NULL::{table}, ",
            columns
                .split(", ")
                .map(|column| format!("r.{column}"))
                .collect::<Vec<_>>()
                .join(", ")
        ))
        .bind(rows)
        .sql(&format!(
            "::json) AS r ON CONFLICT ({key}) DO UPDATE SET {set}"
        ));
    });
}

/// The rows as they were before the batch.
async fn rows(
    connection: &mut PgConnection,
    events: &BTreeMap<i64, Vec<Recorded>>,
) -> Result<BTreeMap<i64, ProfileRow>, sqlx::Error> {
    // Whoever is registered in this batch has no row yet.
    let registered = |event: &Recorded| {
        matches!(
            event.event,
            DomainEvent::User(UserEvent::UserRegistered { .. })
        )
    };
    let known = events
        .iter()
        .filter(|(_, events)| !events.first().is_some_and(registered));
    let known: Vec<i64> = known.map(|(user, _)| *user).collect();
    if known.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<ProfileRow> = sqlx::query_as(&format!(
        "SELECT {} FROM user_profiles WHERE user_id = ANY($1)",
        PROFILE_COLUMNS.join(", ")
    ))
    .bind(known)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row)).collect())
}

/// The way to each of these companies from its root; one that nobody knows is its own root.
async fn paths(
    connection: &mut PgConnection,
    named: &BTreeSet<i64>,
    new: &BTreeMap<i64, Option<i64>>,
) -> Result<BTreeMap<i64, Vec<i64>>, sqlx::Error> {
    let climbed = named.iter().map(|company| {
        // A company made in this batch is not in the table yet.
        let (mut tail, mut above) = (Vec::new(), Some(*company));
        while let Some(company) = above.filter(|company| new.contains_key(company)) {
            tail.insert(0, company);
            above = new[&company].filter(|parent| !tail.contains(parent));
        }
        (*company, above, tail)
    });
    let climbed: Vec<_> = climbed.collect();
    let wanted: Vec<i64> = climbed.iter().filter_map(|(_, above, _)| *above).collect();
    let known: Vec<(i64, Vec<i64>)> = if wanted.is_empty() {
        Vec::new()
    } else {
        sqlx::query_as("SELECT id, path FROM companies WHERE id = ANY($1)")
            .bind(wanted)
            .fetch_all(connection)
            .await?
    };
    let known: BTreeMap<_, _> = known.into_iter().collect();
    let whole = climbed.into_iter().map(|(company, above, tail)| {
        let head = above.map(|id| known.get(&id).cloned().unwrap_or_else(|| vec![id]));
        (company, [head.unwrap_or_default(), tail].concat())
    });
    Ok(whole.collect())
}

fn accesses(stored: &Value) -> Vec<Access> {
    // Written below, by the same type.
    serde_json::from_value(stored.clone()).unwrap_or_default()
}

/// The row after the events; `None` for a user who was never registered.
fn applied(row: Option<ProfileRow>, events: &[Recorded]) -> Option<ProfileRow> {
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
