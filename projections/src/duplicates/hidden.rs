//! Duplicates of the past without whoever is blocked or erased today.
//!
//! Who was like a person in a group tells that person's e-mail or telephone. So those who are hidden today are in no group as of any
//! moment, and the others of their groups are grouped as if these had never been: by the keys that they had then. Few groups have
//! anybody to hide; all others are read as they are kept.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::ids::CompanyId;
use sqlx::PgConnection;

use super::keys::{Kind, Known, Row};
use super::{facts, regroup};
use crate::leads::list::LeadRow;

/// The groups of a company with somebody to hide, as of the moment that the connection's tables are of. Today there are none.
#[derive(Debug, Default)]
pub struct Hidden {
    groups: BTreeSet<i64>,
    /// How many leads are in these groups.
    members: i64,
    /// What is left of them.
    rows: BTreeMap<i64, Row>,
}

impl Hidden {
    /// Of the company; only among these groups, if they are named.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn of(
        connection: &mut PgConnection,
        company: CompanyId,
        among: Option<&[i64]>,
    ) -> Result<Self, sqlx::Error> {
        // Hardly a company has any, and the next question takes PostgreSQL some milliseconds to plan.
        let any: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM public.lead_erasures WHERE status <> 'in_use' AND company_id = $1) \
             OR EXISTS (SELECT 1 FROM public.lead_erasures WHERE status <> 'in_use' AND company_id IS NULL)",
        )
        .bind(company.get())
        .fetch_one(&mut *connection)
        .await?;
        if !any {
            return Ok(Self::default());
        }
        // Of today, whatever the moment: `public` is said because the schema `as_of` has a view of the same name.
        let hidden: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT d.duplicate_group, d.lead_id FROM public.lead_erasures e JOIN duplicates d ON d.lead_id = e.lead_id \
             WHERE e.status <> 'in_use' AND (e.company_id = $1 OR e.company_id IS NULL) AND d.company_id = $1 \
             AND ($2::bigint[] IS NULL OR d.duplicate_group = ANY($2))",
        )
        .bind(company.get())
        .bind(among)
        .fetch_all(&mut *connection)
        .await?;
        if hidden.is_empty() {
            return Ok(Self::default());
        }
        let (groups, leads): (BTreeSet<i64>, BTreeSet<i64>) = hidden.into_iter().unzip();
        let opened = groups.iter().map(|group| (company.get(), *group)).collect();
        let members = facts::members(connection, opened).await?;
        let count = i64::try_from(members.len()).unwrap_or(i64::MAX);
        let left = members.into_iter();
        let left: Vec<Known> = left
            .filter(|member| !leads.contains(&member.lead_id))
            .collect();
        Ok(Self {
            groups,
            members: count,
            rows: regroup::among(left),
        })
    }

    /// Whether nobody is to be hidden.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The groups that are not as they are kept.
    pub(super) fn groups(&self) -> Vec<i64> {
        self.groups.iter().copied().collect()
    }

    /// How many leads these groups have more than what is left of them.
    pub(super) fn fewer(&self) -> i64 {
        self.members - i64::try_from(self.rows.len()).unwrap_or(i64::MAX)
    }

    /// The leads that are left, with their groups.
    pub(super) fn left(&self) -> impl Iterator<Item = (i64, i64)> {
        self.rows.iter().map(|(lead, row)| (row.group, *lead))
    }

    /// Makes the row say what is left of its group.
    pub(crate) fn settle(&self, lead: &mut LeadRow) {
        if !lead
            .duplicate_group
            .is_some_and(|group| self.groups.contains(&group))
        {
            return;
        }
        let row = self.rows.get(&lead.id);
        lead.duplicate_group = row.map(|row| row.group);
        lead.matched_on = row.map(|row| {
            let kinds = [(Kind::Email, "email"), (Kind::Phone, "phone")];
            let kinds = kinds
                .into_iter()
                .filter(|(kind, _)| row.matched_on.has(*kind));
            kinds.map(|(_, name)| name.to_owned()).collect()
        });
    }
}

/// Makes rows of the past say what is left of their groups; rows of today are as they are.
pub(crate) async fn settle(
    connection: &mut PgConnection,
    leads: impl Iterator<Item = &mut LeadRow>,
) -> Result<(), sqlx::Error> {
    let leads: Vec<&mut LeadRow> = leads.filter(|lead| lead.as_of.is_some()).collect();
    let mut groups: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for lead in &leads {
        if let Some(group) = lead.duplicate_group {
            groups.entry(lead.company_id).or_default().push(group);
        }
    }
    let mut hidden = BTreeMap::new();
    for (company, groups) in groups {
        let found = Hidden::of(connection, CompanyId(company), Some(&groups)).await?;
        hidden.insert(company, found);
    }
    for lead in leads {
        if let Some(hidden) = hidden.get(&lead.company_id) {
            hidden.settle(lead);
        }
    }
    Ok(())
}
