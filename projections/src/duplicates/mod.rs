//! Leads of one company that share a normalised e-mail or phone (contract decision "Duplicates"), grouped.
//!
//! The rows are a pure function of the leads' present keys: whatever order or batches the events came in, a group is a
//! connected component of leads joined by shared keys, named by its oldest lead.

mod keys;
pub mod list;
mod regroup;

use std::collections::BTreeMap;

use aggregates::lead::LeadEvent;
use sqlx::{PgConnection, Row as _};

use crate::batch::{LookUp, Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;
use keys::{Holder, Key, Keys, Kind, Known, MatchedOn, Row};
pub use list::{page, total};
use regroup::{Changes, Folded, Regroup};

/// Owns `duplicates` and `duplicate_counts`.
#[derive(Default)]
pub struct Duplicates {
    folded: BTreeMap<i64, Folded>,
    changes: Changes,
}

impl Projection for Duplicates {
    fn name(&self) -> &'static str {
        "duplicates"
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "duplicates",
                key: &["lead_id"],
                counts_when: "true",
            },
            Table {
                name: "duplicate_counts",
                key: &["company_id"],
                counts_when: "count <> 0",
            },
        ]
    }

    fn fold(&mut self, recorded: &Recorded) {
        match &recorded.event {
            DomainEvent::Lead(LeadEvent::LeadCreated {
                company_id,
                contact,
                ..
            }) => {
                let folded = self.folded.entry(recorded.aggregate_id).or_default();
                folded.created_in = Some(company_id.get());
                folded.keys = Keys::of(contact);
            }
            DomainEvent::Lead(LeadEvent::LeadContactChanged { to, .. }) => {
                self.folded.entry(recorded.aggregate_id).or_default().keys = Keys::of(to);
            }
            _ => {}
        }
    }

    fn look_up<'a>(&'a mut self, connection: &'a mut PgConnection) -> LookUp<'a> {
        Box::pin(async move {
            let folded = std::mem::take(&mut self.folded);
            if folded.is_empty() {
                return Ok(());
            }
            let changed: Vec<i64> = folded
                .iter()
                .filter(|(_, folded)| folded.created_in.is_none())
                .map(|(id, _)| *id)
                .collect();
            let known = known_leads(connection, &changed).await?;
            let regroup = Regroup::new(folded, known);
            let gained: Vec<Key> = regroup.gained_keys().into_iter().collect();
            let holders = holders_of(connection, &gained).await?;
            let opened: Vec<_> = regroup.opened_groups().into_iter().collect();
            let members = members_of(connection, &opened).await?;
            self.changes = regroup.changes(holders, members);
            Ok(())
        })
    }

    fn write(&mut self, statement: &mut Statement) {
        let Changes {
            written,
            merges,
            removed,
            counts,
        } = std::mem::take(&mut self.changes);
        write_merges(statement, &merges, &written, &removed);
        if !removed.is_empty() {
            statement.part("removed_duplicates", |s| {
                s.sql("DELETE FROM duplicates USING head WHERE lead_id = ANY(")
                    .bind(removed)
                    .sql(")");
            });
        }
        if !written.is_empty() {
            let column = |of: fn(&regroup::Written) -> i64| written.iter().map(of).collect();
            let (ids, companies): (Vec<i64>, Vec<i64>) =
                (column(|w| w.lead_id), column(|w| w.company_id));
            let groups: Vec<i64> = column(|w| w.row.group);
            let emails: Vec<bool> = written.iter().map(|w| w.row.matched_on.email).collect();
            let phones: Vec<bool> = written.iter().map(|w| w.row.matched_on.phone).collect();
            statement.part("written_duplicates", |s| {
                s.sql(
                    "INSERT INTO duplicates (lead_id, company_id, duplicate_group, matched_on) \
                     SELECT r.id, r.company_id, r.g, \
                     CASE WHEN r.e AND r.p THEN ARRAY['email','phone'] WHEN r.e THEN ARRAY['email'] \
                     ELSE ARRAY['phone'] END FROM head, unnest(",
                )
                .bind(ids)
                .also(companies)
                .also(groups)
                .also(emails)
                .also(phones)
                .sql(
                    ") AS r(id, company_id, g, e, p) ON CONFLICT (lead_id) DO UPDATE SET \
                     duplicate_group = EXCLUDED.duplicate_group, matched_on = EXCLUDED.matched_on",
                );
            });
        }
        if !counts.is_empty() {
            let companies: Vec<i64> = counts.keys().copied().collect();
            let deltas: Vec<i64> = counts.values().copied().collect();
            statement.part("counted_duplicates", |s| {
                s.sql("INSERT INTO duplicate_counts AS t (company_id, count) SELECT r.* FROM head, unnest(")
                    .bind(companies)
                    .also(deltas)
                    .sql(") AS r ON CONFLICT (company_id) DO UPDATE SET count = t.count + EXCLUDED.count");
            });
        }
    }
}

fn write_merges(
    statement: &mut Statement,
    merges: &[regroup::Merge],
    written: &[regroup::Written],
    removed: &[i64],
) {
    if merges.is_empty() {
        return;
    }
    let companies: Vec<i64> = merges.iter().map(|m| m.company_id).collect();
    let from: Vec<i64> = merges.iter().map(|m| m.from).collect();
    let into: Vec<i64> = merges.iter().map(|m| m.into).collect();
    // A row may be touched by one part only: these have a part of their own.
    let except: Vec<i64> = written
        .iter()
        .map(|w| w.lead_id)
        .chain(removed.iter().copied())
        .collect();
    statement.part("merged_duplicates", |s| {
        s.sql("UPDATE duplicates d SET duplicate_group = r.t FROM head, unnest(")
            .bind(companies)
            .also(from)
            .also(into)
            .sql(
                ") AS r(c, f, t) WHERE d.company_id = r.c AND d.duplicate_group = r.f \
                 AND d.lead_id <> ALL(",
            )
            .bind(except)
            .sql(")");
    });
}

const KNOWN: &str = "SELECT l.id, l.company_id, l.email, split_part(l.phone, ';', 1), d.duplicate_group, d.matched_on";

async fn known_leads(
    connection: &mut PgConnection,
    ids: &[i64],
) -> Result<Vec<Known>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(&format!(
        "{KNOWN} FROM leads l LEFT JOIN duplicates d ON d.lead_id = l.id WHERE l.id = ANY($1)"
    ))
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.iter().map(known).collect()
}

async fn members_of(
    connection: &mut PgConnection,
    groups: &[regroup::Group],
) -> Result<Vec<Known>, sqlx::Error> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(&format!(
        "{KNOWN} FROM unnest($1::bigint[], $2::bigint[]) AS w(c, g) \
         JOIN duplicates d ON d.company_id = w.c AND d.duplicate_group = w.g JOIN leads l ON l.id = d.lead_id"
    ))
    .bind(groups.iter().map(|(company, _)| *company).collect::<Vec<_>>())
    .bind(groups.iter().map(|(_, group)| *group).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter().map(known).collect()
}

/// Two holders of each key, or all if there are fewer.
async fn holders_of(
    connection: &mut PgConnection,
    keys: &[Key],
) -> Result<Vec<Holder>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let of_kind = |kind: Kind| -> (Vec<i64>, Vec<i64>, Vec<String>) {
        let of_kind = keys
            .iter()
            .enumerate()
            .filter(move |(_, key)| key.kind == kind);
        let mut columns = (Vec::new(), Vec::new(), Vec::new());
        for (n, key) in of_kind {
            columns
                .0
                .push(i64::try_from(n).expect("a batch has thousands of keys, not 2^63"));
            columns.1.push(key.company_id);
            columns.2.push(key.value.clone());
        }
        columns
    };
    let (emails, phones) = (of_kind(Kind::Email), of_kind(Kind::Phone));
    let rows = sqlx::query(
        "SELECT w.n, h.id, d.duplicate_group, d.matched_on \
         FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS w(n, c, v) \
         CROSS JOIN LATERAL (SELECT l.id FROM leads l WHERE l.company_id = w.c AND l.email = w.v LIMIT 2) h \
         LEFT JOIN duplicates d ON d.lead_id = h.id \
         UNION ALL \
         SELECT w.n, h.id, d.duplicate_group, d.matched_on \
         FROM unnest($4::bigint[], $5::bigint[], $6::text[]) AS w(n, c, v) \
         CROSS JOIN LATERAL (SELECT l.id FROM leads l WHERE l.company_id = w.c \
             AND split_part(l.phone, ';', 1) = w.v AND l.phone IS NOT NULL LIMIT 2) h \
         LEFT JOIN duplicates d ON d.lead_id = h.id",
    )
    .bind(emails.0)
    .bind(emails.1)
    .bind(emails.2)
    .bind(phones.0)
    .bind(phones.1)
    .bind(phones.2)
    .fetch_all(connection)
    .await?;
    let mut holders = Vec::with_capacity(rows.len());
    for row in &rows {
        let n: i64 = row.try_get(0)?;
        if let Some(key) = usize::try_from(n).ok().and_then(|n| keys.get(n)) {
            holders.push(Holder {
                key: key.clone(),
                lead_id: row.try_get(1)?,
                row: group_row(row, 2)?,
            });
        }
    }
    Ok(holders)
}

fn known(row: &sqlx::postgres::PgRow) -> Result<Known, sqlx::Error> {
    Ok(Known {
        lead_id: row.try_get(0)?,
        company_id: row.try_get(1)?,
        keys: Keys {
            email: row.try_get(2)?,
            phone: row.try_get(3)?,
        },
        row: group_row(row, 4)?,
    })
}

fn group_row(row: &sqlx::postgres::PgRow, at: usize) -> Result<Option<Row>, sqlx::Error> {
    let group: Option<i64> = row.try_get(at)?;
    let matched_on: Option<Vec<String>> = row.try_get(at + 1)?;
    Ok(group.zip(matched_on).map(|(group, kinds)| Row {
        group,
        matched_on: MatchedOn {
            email: kinds.iter().any(|kind| kind == "email"),
            phone: kinds.iter().any(|kind| kind == "phone"),
        },
    }))
}
