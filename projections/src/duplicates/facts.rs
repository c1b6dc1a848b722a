//! The three questions to the tables as they are before the batch. A question about nothing is not asked.

use std::collections::BTreeSet;

use sqlx::{FromRow, PgConnection};

use crate::statement::Statement;

use super::keys::{Holder, Key, Keys, Kind, Known, MatchedOn, Row};
use super::regroup::Group;

/// The leads with these ids.
pub(super) async fn leads(
    connection: &mut PgConnection,
    ids: Vec<i64>,
) -> Result<Vec<Known>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let leads: Vec<StoredLead> = sqlx::query_as(
        "SELECT l.id, l.company_id, l.email, split_part(l.phone, ';', 1) AS phone, d.duplicate_group, d.matched_on \
         FROM leads l LEFT JOIN duplicates d ON d.lead_id = l.id WHERE l.id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    Ok(leads.into_iter().map(Known::from).collect())
}

/// Any two of the leads that have each key, or all if fewer.
///
/// With `= … LIMIT 2` alone, the planner would read the whole table in search of a new key once its statistics say that
/// few keys are shared by many leads. `BETWEEN` and `ORDER BY` the same key mean the same, but only the key's index gives
/// that order. The inner `LIMIT 1` keeps the look at `duplicates` from becoming a join with all of it.
pub(super) async fn holders(
    connection: &mut PgConnection,
    keys: BTreeSet<Key>,
) -> Result<Vec<Holder>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let (emails, phones): (Vec<_>, Vec<_>) =
        keys.into_iter().partition(|key| key.kind == Kind::Email);
    let (email_companies, email_values) = columns(&emails);
    let (phone_companies, phone_values) = columns(&phones);
    let found: Vec<StoredHolder> = sqlx::query_as(
        "SELECT k.n, true AS by_email, h.id, d.duplicate_group, d.matched_on \
         FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS k(company_id, value, n) \
         CROSS JOIN LATERAL (SELECT l.id FROM leads l \
             WHERE l.company_id = k.company_id AND l.email IS NOT NULL AND l.email BETWEEN k.value AND k.value \
             ORDER BY l.email LIMIT 2) h \
         LEFT JOIN LATERAL (SELECT duplicate_group, matched_on FROM duplicates \
             WHERE lead_id = h.id LIMIT 1) d ON true \
         UNION ALL \
         SELECT k.n, false, h.id, d.duplicate_group, d.matched_on \
         FROM unnest($3::bigint[], $4::text[]) WITH ORDINALITY AS k(company_id, value, n) \
         CROSS JOIN LATERAL (SELECT l.id FROM leads l \
             WHERE l.company_id = k.company_id AND l.phone IS NOT NULL \
             AND split_part(l.phone, ';', 1) BETWEEN k.value AND k.value \
             ORDER BY split_part(l.phone, ';', 1) LIMIT 2) h \
         LEFT JOIN LATERAL (SELECT duplicate_group, matched_on FROM duplicates \
             WHERE lead_id = h.id LIMIT 1) d ON true",
    )
    .bind(email_companies)
    .bind(email_values)
    .bind(phone_companies)
    .bind(phone_values)
    .fetch_all(connection)
    .await?;
    let holders = found.into_iter().filter_map(|found| {
        let keys = if found.by_email { &emails } else { &phones };
        let n = usize::try_from(found.n).ok()?.checked_sub(1)?;
        Some(Holder {
            key: keys.get(n)?.clone(),
            lead_id: found.id,
            row: row(found.duplicate_group, found.matched_on.as_deref()),
        })
    });
    Ok(holders.collect())
}

/// Adds to a guard the condition that no lead has any of these keys. The `BETWEEN` and `ORDER BY` are as in [`holders`].
pub(super) fn nobody_has(guard: &mut Statement, keys: impl Iterator<Item = Key>) {
    let (emails, phones): (Vec<_>, Vec<_>) = keys.partition(|key| key.kind == Kind::Email);
    for (keys, present, column) in [
        (emails, "l.email", "l.email"),
        (phones, "l.phone", "split_part(l.phone, ';', 1)"),
    ] {
        if keys.is_empty() {
            continue;
        }
        let (companies, values) = columns(&keys);
        guard
            .sql(" AND NOT EXISTS (SELECT 1 FROM unnest(")
            .bind(companies)
            .also(values)
            .sql(&format!(
                ") AS k(company_id, value) CROSS JOIN LATERAL (SELECT 1 FROM leads l \
                 WHERE l.company_id = k.company_id AND {present} IS NOT NULL \
                 AND {column} BETWEEN k.value AND k.value ORDER BY {column} LIMIT 1) h)"
            ));
    }
}

/// All leads of these groups.
pub(super) async fn members(
    connection: &mut PgConnection,
    groups: BTreeSet<Group>,
) -> Result<Vec<Known>, sqlx::Error> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let (companies, groups): (Vec<i64>, Vec<i64>) = groups.into_iter().unzip();
    let leads: Vec<StoredLead> = sqlx::query_as(
        "SELECT l.id, l.company_id, l.email, split_part(l.phone, ';', 1) AS phone, d.duplicate_group, d.matched_on \
         FROM unnest($1::bigint[], $2::bigint[]) AS g(company_id, duplicate_group) \
         JOIN duplicates d ON d.company_id = g.company_id AND d.duplicate_group = g.duplicate_group \
         JOIN leads l ON l.id = d.lead_id",
    )
    .bind(companies)
    .bind(groups)
    .fetch_all(connection)
    .await?;
    Ok(leads.into_iter().map(Known::from).collect())
}

#[derive(FromRow)]
struct StoredLead {
    id: i64,
    company_id: i64,
    email: Option<String>,
    phone: Option<String>,
    duplicate_group: Option<i64>,
    matched_on: Option<Vec<String>>,
}

#[derive(FromRow)]
struct StoredHolder {
    /// The key's place in its array, from 1.
    n: i64,
    by_email: bool,
    id: i64,
    duplicate_group: Option<i64>,
    matched_on: Option<Vec<String>>,
}

impl From<StoredLead> for Known {
    fn from(stored: StoredLead) -> Self {
        Self {
            lead_id: stored.id,
            company_id: stored.company_id,
            keys: Keys {
                email: stored.email,
                phone: stored.phone,
            },
            row: row(stored.duplicate_group, stored.matched_on.as_deref()),
        }
    }
}

fn row(group: Option<i64>, matched_on: Option<&[String]>) -> Option<Row> {
    let (group, matched_on) = group.zip(matched_on)?;
    Some(Row {
        group,
        matched_on: MatchedOn {
            email: matched_on.iter().any(|kind| kind == "email"),
            phone: matched_on.iter().any(|kind| kind == "phone"),
        },
    })
}

fn columns(keys: &[Key]) -> (Vec<i64>, Vec<String>) {
    let columns = keys.iter().map(|key| (key.company_id, key.value.clone()));
    columns.unzip()
}
