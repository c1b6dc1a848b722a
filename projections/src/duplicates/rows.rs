//! The parts of a batch's statement that write `duplicates` and `duplicate_counts`.

use super::regroup::{Changes, Written};
use crate::statement::Statement;

/// Adds the parts that are needed. All of them see the rows of before the batch and each row is written by one of them.
pub(super) fn write(statement: &mut Statement, changes: Changes) {
    let replaced = changes.written.iter().filter(|written| !written.is_new);
    let replaced: Vec<i64> = replaced.map(|written| written.lead_id).collect();
    if !changes.written.is_empty() {
        write_rows(statement, &changes.written);
    }
    if !changes.merges.is_empty() {
        let (mut companies, mut from, mut into) = (Vec::new(), Vec::new(), Vec::new());
        for merge in changes.merges {
            companies.push(merge.company_id);
            from.push(merge.from);
            into.push(merge.into);
        }
        statement.part("duplicates_merged", |s| {
            s.sql("UPDATE duplicates d SET duplicate_group = m.into_group FROM head, unnest(")
                .bind(companies)
                .also(from)
                .also(into)
                .sql(
                    ") AS m(company_id, from_group, into_group) \
                     WHERE d.company_id = m.company_id AND d.duplicate_group = m.from_group \
                     AND NOT EXISTS (SELECT 1 FROM unnest(",
                )
                .bind(replaced)
                .sql(") AS w(lead_id) WHERE w.lead_id = d.lead_id)");
        });
    }
    if !changes.removed.is_empty() {
        statement.part("duplicates_removed", |s| {
            s.sql("DELETE FROM duplicates d USING head, unnest(")
                .bind(changes.removed)
                .sql(") AS r(lead_id) WHERE d.lead_id = r.lead_id");
        });
    }
    if !changes.counts.is_empty() {
        let (companies, deltas): (Vec<i64>, Vec<i64>) = changes.counts.into_iter().unzip();
        statement.part("duplicates_counted", |s| {
            s.sql(
                "INSERT INTO duplicate_counts AS t (company_id, count) \
                 SELECT r.company_id, r.delta FROM head, unnest(",
            )
            .bind(companies)
            .also(deltas)
            .sql(
                ") AS r(company_id, delta) \
                 ON CONFLICT (company_id) DO UPDATE SET count = t.count + EXCLUDED.count",
            );
        });
    }
}

fn write_rows(statement: &mut Statement, written: &[Written]) {
    let column = |of: fn(&Written) -> i64| written.iter().map(of).collect::<Vec<_>>();
    let flag = |of: fn(&Written) -> bool| written.iter().map(of).collect::<Vec<_>>();
    statement.part("duplicates_written", |s| {
        s.sql(
            "INSERT INTO duplicates (lead_id, company_id, duplicate_group, matched_on) \
             SELECT r.lead_id, r.company_id, r.duplicate_group, \
             array_remove(ARRAY[CASE WHEN r.by_email THEN 'email' END, CASE WHEN r.by_phone THEN 'phone' END], NULL) \
             FROM head, unnest(",
        )
        .bind(column(|written| written.lead_id))
        .also(column(|written| written.company_id))
        .also(column(|written| written.row.group))
        .also(flag(|written| written.row.matched_on.email))
        .also(flag(|written| written.row.matched_on.phone))
        .sql(
            ") AS r(lead_id, company_id, duplicate_group, by_email, by_phone) \
             ON CONFLICT (lead_id) DO UPDATE SET duplicate_group = EXCLUDED.duplicate_group, \
             matched_on = EXCLUDED.matched_on",
        );
    });
}
