//! Leads counted by stage and by every dimension that a list or the metrics filter by.
//!
//! Two tables: `stage_counts` answers what is asked without dates, `stage_counts_daily` what is asked with them. In both, an
//! absent source, campaign, cycle, territory or assignee is 0, so that the key is never null.

use aggregates::ids::CompanyId;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::statement::Statement;

/// The columns of a counter's key, without its day.
pub(crate) const DIMENSIONS: &[&str] = &[
    "company_id",
    "stage_id",
    "source_id",
    "campaign_id",
    "cycle_id",
    "territory_id",
    "user_access_id",
];
const KEY: &str =
    "company_id, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id";

/// Adds what the new, changed and removed rows of this batch do to the counts.
pub(super) fn write(
    statement: &mut Statement,
    any_new: bool,
    any_changed: bool,
    any_removed: bool,
) {
    let mut moves = Vec::new();
    if any_new {
        moves.push(
            "SELECT company_id, (created_at AT TIME ZONE 'UTC')::date AS created_on, stage_id, source_id, \
             campaign_id, cycle_id, territory_id, user_access_id, 1 AS delta FROM new_leads",
        );
    }
    if any_changed {
        moves.push(
            "SELECT company_id, (created_at AT TIME ZONE 'UTC')::date AS created_on, stage_id, source_id, \
             campaign_id, cycle_id, territory_id, user_access_id, 1 AS delta FROM changed_leads",
        );
        moves.push(
            "SELECT company_id, (created_at AT TIME ZONE 'UTC')::date AS created_on, old_stage_id, old_source_id, \
             old_campaign_id, cycle_id, old_territory_id, old_user_access_id, -1 AS delta FROM changed_leads",
        );
    }
    if any_removed {
        moves.push(
            "SELECT company_id, (created_at AT TIME ZONE 'UTC')::date AS created_on, stage_id, source_id, \
             campaign_id, cycle_id, territory_id, user_access_id, -1 AS delta FROM removed_leads",
        );
    }
    if moves.is_empty() {
        return;
    }
    statement.part("moves", |s| {
        s.sql(
            "SELECT company_id, created_on, stage_id, coalesce(source_id, 0) AS source_id, \
             coalesce(campaign_id, 0) AS campaign_id, coalesce(cycle_id, 0) AS cycle_id, \
             coalesce(territory_id, 0) AS territory_id, coalesce(user_access_id, 0) AS user_access_id, \
             sum(delta) AS delta FROM (",
        )
        .sql(&moves.join(" UNION ALL "))
        .sql(") AS m GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 HAVING sum(delta) <> 0");
    });
    statement.part("sums", |s| {
        s.sql(&format!(
            "SELECT {KEY}, sum(delta) AS delta FROM moves GROUP BY {KEY} HAVING sum(delta) <> 0"
        ));
    });
    if let Some(position) = statement.is_visible_from() {
        keep(statement, position);
    }
    let since = statement.is_visible_from().unwrap_or_default();
    statement.part("daily_counts", |s| {
        s.sql(&format!(
            "INSERT INTO stage_counts_daily AS t (created_on, {KEY}, count, since) \
             SELECT created_on, {KEY}, delta, "
        ))
        .bind(since)
        .sql(
            " FROM moves \
             ON CONFLICT (company_id, created_on, stage_id, source_id, campaign_id, cycle_id, territory_id, \
             user_access_id) DO UPDATE SET count = t.count + EXCLUDED.count, since = EXCLUDED.since",
        );
    });
    statement.part("counts", |s| {
        s.sql(&format!(
            "INSERT INTO stage_counts AS t ({KEY}, count, since) SELECT {KEY}, delta, "
        ))
        .bind(since)
        .sql(&format!(
            " FROM sums ON CONFLICT ({KEY}) DO UPDATE SET count = t.count + EXCLUDED.count, since = EXCLUDED.since"
        ));
    });
}

/// Keeps the counters that are about to change as they were. Done here and not by a trigger, because every new lead
/// changes two: this costs it a look-up and a narrow row each.
fn keep(statement: &mut Statement, position: i64) {
    for (part, table, moved) in [
        ("past_daily_counts", "stage_counts_daily", "moves"),
        ("past_counts", "stage_counts", "sums"),
    ] {
        let created_on = if moved == "moves" { "created_on, " } else { "" };
        statement.part(part, |s| {
            s.sql(&format!("INSERT INTO past.{table} SELECT c.since, "))
                .bind(position)
                .sql(&format!(
                    ", c.* FROM {moved} m JOIN {table} c USING ({created_on}{KEY}) WHERE c.since < "
                ))
                .bind(position);
        });
    }
}

/// What leads are counted or listed by. An empty filter means every lead of the company.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LeadFilter {
    /// Stage id.
    pub stage_id: Option<i64>,
    /// Source id.
    pub source_id: Option<i64>,
    /// Campaign id.
    pub campaign_id: Option<i64>,
    /// Cycle id.
    pub cycle_id: Option<i64>,
    /// Territory id.
    pub territory_id: Option<i64>,
    /// Any of these assignees; see `or_unassigned`. `None` means anybody or nobody.
    pub user_access_ids: Option<Vec<i64>>,
    /// With `user_access_ids`: leads of nobody too. An empty list with this set means exactly the unassigned leads.
    pub or_unassigned: bool,
    /// Created on this day (UTC) or later.
    pub created_from: Option<NaiveDate>,
    /// Created on this day (UTC) or earlier.
    pub created_to: Option<NaiveDate>,
}

impl LeadFilter {
    /// Only the leads that nobody works on.
    #[must_use]
    pub fn unassigned() -> Self {
        Self {
            user_access_ids: Some(Vec::new()),
            or_unassigned: true,
            ..Self::default()
        }
    }

    /// Each of the conditions that an index of the leads begins with, by itself.
    pub(super) fn each(&self) -> impl Iterator<Item = Self> {
        let only = |one: fn(&Self, &mut Self)| {
            let mut filter = Self::default();
            one(self, &mut filter);
            filter
        };
        let each = [
            only(|all, one| one.stage_id = all.stage_id),
            only(|all, one| one.source_id = all.source_id),
            only(|all, one| one.campaign_id = all.campaign_id),
            only(|all, one| one.cycle_id = all.cycle_id),
            only(|all, one| one.territory_id = all.territory_id),
            only(|all, one| {
                one.user_access_ids.clone_from(&all.user_access_ids);
                one.or_unassigned = all.or_unassigned;
            }),
        ];
        each.into_iter().filter(|one| *one != Self::default())
    }

    /// The times between which the leads were created: not before the first, and before the second.
    pub(super) fn created(&self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let begins = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        let next_day = self.created_to.and_then(|to| to.succ_opt());
        (self.created_from.map(begins), next_day.map(begins))
    }

    pub(crate) const fn is_dated(&self) -> bool {
        self.created_from.is_some() || self.created_to.is_some()
    }
}

/// The number of leads per stage id, for the stages that have any.
///
/// # Errors
/// What the database answers.
pub async fn by_stage(
    connection: &mut PgConnection,
    company: CompanyId,
    filter: &LeadFilter,
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT stage_id, sum(count)::bigint FROM ");
    push_filtered(&mut query, company, filter);
    query.push(" GROUP BY stage_id HAVING sum(count) <> 0");
    query.build_query_as().fetch_all(connection).await
}

/// The exact number of leads that the filter meets.
///
/// # Errors
/// What the database answers.
pub async fn total(
    connection: &mut PgConnection,
    company: CompanyId,
    filter: &LeadFilter,
) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT coalesce(sum(count), 0)::bigint FROM ");
    push_filtered(&mut query, company, filter);
    query.build_query_scalar().fetch_one(connection).await
}

fn push_filtered(query: &mut QueryBuilder<'_, Postgres>, company: CompanyId, filter: &LeadFilter) {
    query.push(if filter.is_dated() {
        "stage_counts_daily"
    } else {
        "stage_counts"
    });
    query.push(" WHERE company_id = ").push_bind(company.get());
    push_conditions(query, filter);
}

/// The columns with one value each, of the filter.
const fn valued(filter: &LeadFilter) -> [(&'static str, Option<i64>); 5] {
    [
        ("stage_id", filter.stage_id),
        ("source_id", filter.source_id),
        ("campaign_id", filter.campaign_id),
        ("cycle_id", filter.cycle_id),
        ("territory_id", filter.territory_id),
    ]
}

/// The columns that [`push_conditions`] names.
pub(crate) fn conditioned(filter: &LeadFilter) -> impl Iterator<Item = &'static str> {
    let valued = valued(filter).into_iter();
    let valued = valued.filter_map(|(column, value)| value.map(|_| column));
    let of_people = filter.user_access_ids.is_some();
    valued
        .chain(of_people.then_some("user_access_id"))
        .chain(filter.is_dated().then_some("created_on"))
}

/// Appends what the filter asks of counters.
pub(crate) fn push_conditions(query: &mut QueryBuilder<'_, Postgres>, filter: &LeadFilter) {
    for (column, value) in valued(filter) {
        if let Some(value) = value {
            query.push(format!(" AND {column} = ")).push_bind(value);
        }
    }
    if let Some(ids) = &filter.user_access_ids {
        let mut ids = ids.clone();
        if filter.or_unassigned {
            ids.push(0);
        }
        query
            .push(" AND user_access_id = ANY(")
            .push_bind(ids)
            .push(")");
    }
    if let Some(from) = filter.created_from {
        query.push(" AND created_on >= ").push_bind(from);
    }
    if let Some(to) = filter.created_to {
        query.push(" AND created_on <= ").push_bind(to);
    }
}
