//! How events of users' streams become rows of `user_profiles` and `user_memberships`.
//!
//! A batch reads the rows that it changes and the paths of the companies they name, applies its events in their order, and
//! writes the rows as they are then: the same however the ledger is cut.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::company::CompanyEvent;
use aggregates::user::UserEvent;
use aggregates::user::account_settings::AccountKind;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::membership::{Held, seen_from};
use super::profile::{PROFILE_COLUMNS, ProfileRow, accesses, applied};
use crate::companies::moves;
use crate::projection::{LookUp, Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::search;
use crate::statement::Statement;

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
    /// Where the batch puts the companies that are new or moved.
    parents: BTreeMap<i64, Option<i64>>,
    /// Those that are in the table already and move: whoever is seen from them is seen from elsewhere after it.
    moved: BTreeSet<i64>,
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
                self.parents.insert(recorded.aggregate_id, parent);
            }
            DomainEvent::Company(CompanyEvent::CompanyMoved {
                to_parent_company_id,
                ..
            }) => {
                let parent = to_parent_company_id.map(aggregates::ids::CompanyId::get);
                let known = self.parents.insert(recorded.aggregate_id, parent);
                if known.is_none() {
                    self.moved.insert(recorded.aggregate_id);
                }
            }
            _ => {}
        }
    }

    fn can_assume(&self) -> bool {
        self.events.is_empty() && self.moved.is_empty()
    }

    fn look_up<'a>(&'a mut self, connection: &'a mut PgConnection) -> LookUp<'a> {
        Box::pin(async move {
            let events = std::mem::take(&mut self.events);
            let parents = std::mem::take(&mut self.parents);
            let moved = std::mem::take(&mut self.moved);
            if events.is_empty() && moved.is_empty() {
                return Ok(());
            }
            let carried = seen_from_any(connection, &moved).await?;
            let mut before = rows(connection, &events, &carried).await?;
            let mut changed = Vec::with_capacity(events.len() + carried.len());
            for (user, events) in &events {
                let old = before.remove(user);
                if let Some(row) = applied(old.clone(), events) {
                    changed.push((old, row, true));
                }
            }
            let carried = before.into_values();
            changed.extend(carried.map(|row| (Some(row.clone()), row, false)));
            let named = changed
                .iter()
                .flat_map(|(old, new, _)| [old.as_ref(), Some(new)]);
            let named = named.flatten().flat_map(|row| accesses(&row.accesses));
            let named: BTreeSet<i64> = named.map(|access| access.company_id.get()).collect();
            let (was, now) = if moved.is_empty() {
                let paths = paths(connection, &named, &parents).await?;
                (paths.clone(), paths)
            } else {
                let was = paths(connection, &named, &BTreeMap::new()).await?;
                let mut now = was.clone();
                now.extend(moves::paths(connection, &moved, &parents).await?);
                (was, now)
            };
            for (old, new, has_events) in changed {
                self.place(old.as_ref().map(|old| (old, &was)), &new, &now);
                if has_events {
                    self.profiles.push(new);
                }
            }
            Ok(())
        })
    }

    fn write(&mut self, statement: &mut Statement) {
        self.parents.clear();
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
    /// The memberships that follow from a row, and those that followed from it before, on the paths of then.
    fn place(
        &mut self,
        old: Option<(&ProfileRow, &BTreeMap<i64, Vec<i64>>)>,
        new: &ProfileRow,
        paths: &BTreeMap<i64, Vec<i64>>,
    ) {
        let views = |row: &ProfileRow, paths: &BTreeMap<i64, Vec<i64>>| {
            let held = accesses(&row.accesses).into_iter().map(|access| Held {
                company_id: access.company_id.get(),
                role: access.role,
                path: paths[&access.company_id.get()].clone(),
            });
            let held: Vec<_> = held.collect();
            let kind = row.settings["kind"].as_str();
            seen_from(&held, kind.and_then(AccountKind::from_code))
        };
        let now = views(new, paths);
        if let Some((old, was)) = old {
            let before = views(old, was).into_keys();
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
    carried: &[i64],
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
    let known = known.map(|(user, _)| user).chain(carried);
    let known: Vec<i64> = known.copied().collect();
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

/// Whoever has a role at or below one of these companies, before the batch.
async fn seen_from_any(
    connection: &mut PgConnection,
    companies: &BTreeSet<i64>,
) -> Result<Vec<i64>, sqlx::Error> {
    if companies.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("SELECT DISTINCT user_id FROM user_memberships WHERE company_id = ANY($1)")
        .bind(companies.iter().copied().collect::<Vec<_>>())
        .fetch_all(connection)
        .await
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
