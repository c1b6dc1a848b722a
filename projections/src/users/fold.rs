//! How events of a user's stream become rows of `users`, `user_credentials` and `user_accesses`.

use std::collections::BTreeMap;

use aggregates::Personal;
use aggregates::person_name::{PersonName, full_name};
use aggregates::user::{Profile, UserEvent};
use chrono::{DateTime, NaiveDate, Utc};

use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::search;
use crate::statement::Statement;

/// What the batch does to one user's rows. `None` leaves a group of columns as it is.
#[derive(Default)]
struct Row {
    registered: Option<Registered>,
    profile: Option<Profile>,
    status: Option<&'static str>,
    /// Hash (if any), epoch, and the position of the event that set them: later events of the user do not move it.
    credentials: Option<(Option<String>, i64, i64)>,
    /// Whether they were deleted: their e-mail is free and nobody signs in with it.
    deleted: bool,
    version: i64,
    position: i64,
    at: DateTime<Utc>,
}

struct Registered {
    email: Option<String>,
    platform_owner: bool,
    at: DateTime<Utc>,
}

/// Owns `users` and `user_credentials`.
#[derive(Default)]
pub struct Users {
    rows: BTreeMap<i64, Row>,
}

impl Projection for Users {
    fn name(&self) -> &'static str {
        "users"
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "users",
                key: &["id"],
                counts_when: "true",
                looked_up_by: &[],
            },
            Table {
                name: "user_credentials",
                key: &["user_id"],
                counts_when: "true",
                looked_up_by: &[],
            },
        ]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let DomainEvent::User(event) = &recorded.event else {
            return;
        };
        let row = self.rows.entry(recorded.aggregate_id).or_default();
        row.version = recorded.sequence;
        row.position = recorded.position;
        row.at = recorded.recorded_at;
        match event {
            UserEvent::UserRegistered {
                user_id: _,
                email,
                profile,
                password_hash,
                status,
                platform_owner,
            } => {
                row.registered = Some(Registered {
                    email: email.plain().map(ToString::to_string),
                    platform_owner: *platform_owner,
                    at: recorded.recorded_at,
                });
                row.profile = Some(profile.plain().cloned().unwrap_or_default());
                row.status = Some(status.code());
                let hash = password_hash.as_ref().and_then(Personal::plain).cloned();
                row.credentials = Some((hash, 0, recorded.position));
            }
            UserEvent::ProfileChanged { to, .. } => {
                row.profile = Some(to.plain().cloned().unwrap_or_default());
            }
            UserEvent::PasswordChanged {
                password_hash,
                session_epoch,
            } => {
                let hash = password_hash.plain().cloned();
                row.credentials = Some((hash, *session_epoch, recorded.position));
            }
            UserEvent::EmailProved {} => row.status = Some("active"),
            UserEvent::UserDeleted { .. } => {
                row.deleted = true;
                row.status = Some("deleted");
                row.credentials = None;
                if let Some(registered) = &mut row.registered {
                    registered.email = None;
                }
            }
            UserEvent::AccessGranted { .. }
            | UserEvent::AccessChanged { .. }
            | UserEvent::AccessRevoked { .. }
            | UserEvent::PrimaryAccessChanged { .. }
            | UserEvent::PasswordResetRequested { .. }
            | UserEvent::EmailProofRequested { .. }
            | UserEvent::UserAvatarChanged { .. }
            | UserEvent::OnboardingCompleted { .. }
            | UserEvent::LegalTermsApproved { .. }
            | UserEvent::ProviderLinked { .. }
            | UserEvent::ProviderUnlinked { .. }
            | UserEvent::AccountSettingsChanged { .. } => {}
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return;
        }
        write_credentials(statement, &rows);
        let (new, changed): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|(_, row)| row.registered.is_some());
        if !new.is_empty() {
            let columns = Columns::from(new);
            statement.part("new_users", |s| {
                s.sql(
                    "INSERT INTO users (id, first_name, last_name, full_name, email, status, birthdate, theme, lang, \
                     currency, phone_number, platform_owner, search, version, position, created_at, updated_at) \
                     SELECT r.id, r.first_name, r.last_name, r.full_name, r.email, r.status, r.birthdate, r.theme, \
                     r.lang, r.currency, r.phone_number, r.platform_owner, \
                     CASE WHEN r.deleted THEN '' ELSE trim(r.name_search || ' ' || coalesce(r.email, '')) END, r.version, r.position, r.created_at, r.at \
                     FROM head, ",
                );
                columns.unnest(s);
            });
        }
        if !changed.is_empty() {
            let columns = Columns::from(changed);
            statement.part("changed_users", |s| {
                s.sql("UPDATE users u SET ");
                for column in [
                    "first_name",
                    "last_name",
                    "full_name",
                    "birthdate",
                    "theme",
                    "lang",
                    "currency",
                    "phone_number",
                ] {
                    s.sql(&format!(
                        "{column} = CASE WHEN r.has_profile THEN r.{column} ELSE u.{column} END, "
                    ));
                }
                s.sql(
                    "search = CASE WHEN r.deleted THEN '' WHEN r.has_profile \
                     THEN trim(r.name_search || ' ' || coalesce(u.email, '')) \
                     ELSE u.search END, email = CASE WHEN r.deleted THEN NULL ELSE u.email END, status = coalesce(r.status, u.status), version = r.version, \
                     position = r.position, updated_at = r.at FROM head, ",
                );
                columns.unnest(s);
                s.sql(" WHERE u.id = r.id");
            });
        }
    }
}

fn write_credentials(statement: &mut Statement, rows: &BTreeMap<i64, Row>) {
    let (mut ids, mut hashes, mut epochs, mut positions) = (vec![], vec![], vec![], vec![]);
    let deleted: Vec<i64> = rows
        .iter()
        .filter_map(|(id, row)| row.deleted.then_some(*id))
        .collect();
    if !deleted.is_empty() {
        statement.part("ended_credentials", |s| {
            s.sql("DELETE FROM user_credentials USING head WHERE user_id = ANY(")
                .bind(deleted)
                .sql(")");
        });
    }
    for (id, row) in rows {
        if let Some((hash, epoch, position)) = &row.credentials {
            ids.push(*id);
            hashes.push(hash.clone());
            epochs.push(*epoch);
            positions.push(*position);
        }
    }
    if ids.is_empty() {
        return;
    }
    statement.part("credentials", |s| {
        s.sql(
            "INSERT INTO user_credentials (user_id, password_hash, session_epoch, position) \
             SELECT r.* FROM head, unnest(",
        )
        .bind(ids)
        .also(hashes)
        .also(epochs)
        .also(positions)
        .sql(
            ") AS r ON CONFLICT (user_id) DO UPDATE SET password_hash = EXCLUDED.password_hash, \
             session_epoch = EXCLUDED.session_epoch, position = EXCLUDED.position",
        );
    });
}

#[derive(Default)]
struct Columns {
    id: Vec<i64>,
    has_profile: Vec<bool>,
    deleted: Vec<bool>,
    first_name: Vec<Option<String>>,
    last_name: Vec<Option<String>>,
    full_name: Vec<String>,
    name_search: Vec<String>,
    email: Vec<Option<String>>,
    status: Vec<Option<String>>,
    birthdate: Vec<Option<NaiveDate>>,
    theme: Vec<Option<String>>,
    lang: Vec<Option<String>>,
    currency: Vec<Option<String>>,
    phone_number: Vec<Option<String>>,
    platform_owner: Vec<bool>,
    version: Vec<i64>,
    position: Vec<i64>,
    at: Vec<DateTime<Utc>>,
    created_at: Vec<Option<DateTime<Utc>>>,
}

impl From<Vec<(i64, Row)>> for Columns {
    fn from(rows: Vec<(i64, Row)>) -> Self {
        let mut c = Self::default();
        for (id, row) in rows {
            c.id.push(id);
            c.has_profile.push(row.profile.is_some());
            c.deleted.push(row.deleted);
            let profile = row.profile.unwrap_or_default();
            let name = full_name(profile.first_name.as_ref(), profile.last_name.as_ref());
            let text = |name: Option<PersonName>| name.map(|name| name.to_string());
            c.first_name.push(text(profile.first_name));
            c.last_name.push(text(profile.last_name));
            c.name_search.push(search::fold(&name));
            c.full_name.push(name);
            c.birthdate.push(profile.birthdate);
            c.theme.push(profile.theme);
            c.lang.push(profile.lang);
            c.currency
                .push(profile.currency.map(|code| code.to_string()));
            c.phone_number
                .push(profile.phone_number.map(|phone| phone.to_string()));
            c.status.push(row.status.map(str::to_owned));
            c.created_at.push(row.registered.as_ref().map(|r| r.at));
            c.platform_owner
                .push(row.registered.as_ref().is_some_and(|r| r.platform_owner));
            c.email.push(row.registered.and_then(|r| r.email));
            c.version.push(row.version);
            c.position.push(row.position);
            c.at.push(row.at);
        }
        c
    }
}

impl Columns {
    fn unnest(self, s: &mut Statement) {
        s.sql("unnest(")
            .bind(self.id)
            .also(self.has_profile)
            .also(self.deleted)
            .also(self.first_name)
            .also(self.last_name)
            .also(self.full_name)
            .also(self.name_search)
            .also(self.email)
            .also(self.status)
            .also(self.birthdate)
            .also(self.theme)
            .also(self.lang)
            .also(self.currency)
            .also(self.phone_number)
            .also(self.platform_owner)
            .also(self.version)
            .also(self.position)
            .also(self.at)
            .also(self.created_at)
            .sql(
                ") AS r(id, has_profile, deleted, first_name, last_name, full_name, name_search, email, status, birthdate, \
                 theme, lang, currency, phone_number, platform_owner, version, position, at, created_at)",
            );
    }
}

/// What the batch does to one access.
#[derive(Default)]
struct AccessRow {
    granted_at: Option<DateTime<Utc>>,
    user_id: i64,
    /// Company and role.
    held: Option<(i64, &'static str)>,
    is_primary: Option<bool>,
    position: i64,
}

/// Owns `user_accesses`.
#[derive(Default)]
pub struct UserAccesses {
    rows: BTreeMap<i64, AccessRow>,
    revoked: Vec<i64>,
}

impl UserAccesses {
    fn touch(&mut self, id: i64, position: i64) -> &mut AccessRow {
        let row = self.rows.entry(id).or_default();
        row.position = position;
        row
    }
}

impl Projection for UserAccesses {
    fn name(&self) -> &'static str {
        "user_accesses"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "user_accesses",
            key: &["id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let DomainEvent::User(event) = &recorded.event else {
            return;
        };
        match event {
            UserEvent::AccessGranted {
                user_access_id,
                company_id,
                role,
            } => {
                let row = self.touch(user_access_id.get(), recorded.position);
                row.granted_at = Some(recorded.recorded_at);
                row.user_id = recorded.aggregate_id;
                row.held = Some((company_id.get(), role.code()));
                row.is_primary = Some(false);
            }
            UserEvent::AccessChanged {
                user_access_id,
                to_company_id,
                to_role,
                ..
            } => {
                self.touch(user_access_id.get(), recorded.position).held =
                    Some((to_company_id.get(), to_role.code()));
            }
            UserEvent::AccessRevoked { user_access_id, .. } => {
                // Deleting a row that the same batch would have made does no harm: ids are never given twice.
                self.rows.remove(&user_access_id.get());
                self.revoked.push(user_access_id.get());
            }
            UserEvent::PrimaryAccessChanged { from, to } => {
                for (id, is_primary) in [(from, false), (to, true)] {
                    let Some(id) = id.map(aggregates::ids::UserAccessId::get) else {
                        continue;
                    };
                    // The former primary one may just have been revoked.
                    if !self.revoked.contains(&id) {
                        self.touch(id, recorded.position).is_primary = Some(is_primary);
                    }
                }
            }
            _ => {}
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let revoked = std::mem::take(&mut self.revoked);
        if !revoked.is_empty() {
            statement.part("revoked_accesses", |s| {
                s.sql("DELETE FROM user_accesses USING head WHERE id = ANY(")
                    .bind(revoked)
                    .sql(")");
            });
        }
        let rows = std::mem::take(&mut self.rows);
        let (new, changed): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|(_, row)| row.granted_at.is_some());
        if !new.is_empty() {
            statement.part("new_accesses", |s| {
                s.sql(
                    "INSERT INTO user_accesses (id, user_id, company_id, role, is_primary, position, created_at) \
                     SELECT r.id, r.user_id, r.company_id, r.role, r.is_primary, r.position, r.created_at FROM head, ",
                );
                unnest_accesses(s, new);
            });
        }
        if !changed.is_empty() {
            statement.part("changed_accesses", |s| {
                s.sql(
                    "UPDATE user_accesses a SET company_id = coalesce(r.company_id, a.company_id), \
                     role = coalesce(r.role, a.role), is_primary = coalesce(r.is_primary, a.is_primary), \
                     position = r.position FROM head, ",
                );
                unnest_accesses(s, changed);
                s.sql(" WHERE a.id = r.id");
            });
        }
    }
}

fn unnest_accesses(s: &mut Statement, rows: Vec<(i64, AccessRow)>) {
    let (mut ids, mut users, mut companies, mut roles) = (vec![], vec![], vec![], vec![]);
    let (mut primaries, mut positions, mut times) = (vec![], vec![], vec![]);
    for (id, row) in rows {
        ids.push(id);
        users.push(row.user_id);
        companies.push(row.held.map(|(company, _)| company));
        roles.push(row.held.map(|(_, role)| role.to_owned()));
        primaries.push(row.is_primary);
        positions.push(row.position);
        times.push(row.granted_at);
    }
    s.sql("unnest(")
        .bind(ids)
        .also(users)
        .also(companies)
        .also(roles)
        .also(primaries)
        .also(positions)
        .also(times)
        .sql(") AS r(id, user_id, company_id, role, is_primary, position, created_at)");
}
