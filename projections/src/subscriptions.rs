//! Subscriptions: the last one of each company, what is due, and how much of what a plan limits there is.
//!
//! A subscription governs its company and all below it that have none of their own, running or ended.

use std::collections::BTreeMap;

use aggregates::Change;
use aggregates::ids::CompanyId;
use aggregates::plan::{Limits, Terms};
use aggregates::subscription::{Phase, SubscriptionEvent};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use crate::facts::FactKind;
use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

/// What the batch does to a company's row. `None` leaves a column as it is.
#[derive(Default)]
struct Row {
    started: Option<Started>,
    terms: Option<Terms>,
    /// What holds now: the terms' limits, until the end.
    limits: Option<Limits>,
    phase: Option<Phase>,
    period_ends_at: Option<DateTime<Utc>>,
    /// Cancelled when, and ends when.
    cancelled: Change<(DateTime<Utc>, DateTime<Utc>)>,
    /// An end that nobody had cancelled before counts as cancelled then.
    ended_at: Option<DateTime<Utc>>,
    version: i64,
    position: i64,
}

#[derive(Clone, Copy)]
struct Started {
    id: i64,
    at: DateTime<Utc>,
    trial_ends_at: Option<DateTime<Utc>>,
}

/// Owns `subscriptions`.
#[derive(Default)]
pub struct Subscriptions {
    rows: BTreeMap<i64, Row>,
}

impl Projection for Subscriptions {
    fn name(&self) -> &'static str {
        "subscriptions"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "subscriptions",
            key: &["company_id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let DomainEvent::Subscription(event) = &recorded.event else {
            return;
        };
        let row = self.rows.entry(recorded.aggregate_id).or_default();
        row.version = recorded.sequence;
        row.position = recorded.position;
        match event {
            SubscriptionEvent::SubscriptionStarted {
                subscription_id,
                company_id: _,
                terms,
                phase,
                started_at,
                period_ends_at,
            } => {
                // Whatever the row was before belongs to another subscription.
                row.started = Some(Started {
                    id: subscription_id.get(),
                    at: *started_at,
                    trial_ends_at: (*phase == Phase::Trialing).then_some(*period_ends_at),
                });
                row.terms = Some(*terms);
                row.limits = Some(terms.limits);
                row.phase = Some(*phase);
                row.period_ends_at = Some(*period_ends_at);
                row.cancelled = Change::Clear;
                row.ended_at = None;
            }
            SubscriptionEvent::SubscriptionActivated { period_ends_at, .. } => {
                row.phase = Some(Phase::Active);
                row.period_ends_at = Some(*period_ends_at);
            }
            SubscriptionEvent::SubscriptionRenewed { period_ends_at, .. } => {
                row.period_ends_at = Some(*period_ends_at);
            }
            SubscriptionEvent::SubscriptionChanged { to, .. } => {
                row.terms = Some(*to);
                row.limits = Some(to.limits);
            }
            SubscriptionEvent::SubscriptionCancelled {
                cancelled_at,
                ends_at,
                ..
            } => {
                row.phase = Some(Phase::Cancelling);
                row.cancelled = Change::Set((*cancelled_at, *ends_at));
            }
            SubscriptionEvent::SubscriptionResumed { phase, .. } => {
                row.phase = Some(*phase);
                row.cancelled = Change::Clear;
            }
            SubscriptionEvent::SubscriptionEnded {
                ended_at, limits, ..
            } => {
                row.phase = Some(Phase::Ended);
                row.limits = Some(*limits);
                row.ended_at = Some(*ended_at);
            }
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let rows = std::mem::take(&mut self.rows);
        let (new, changed): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|(_, row)| row.started.is_some());
        if !new.is_empty() {
            statement.part("new_subscriptions", |s| {
                s.sql(
                    "INSERT INTO subscriptions (company_id, id, plan, price, currency, period, max_users, lead_limit, phase, \
                     started_at, trial_ends_at, period_ends_at, cancelled_at, ends_at, version, position) \
                     SELECT r.company_id, r.id, r.plan, r.price, r.currency, r.period, r.max_users, r.lead_limit, r.phase, \
                     r.started_at, r.trial_ends_at, r.period_ends_at, coalesce(r.cancelled_at, r.ended_at), \
                     coalesce(r.ended_at, r.ends_at), r.version, r.position FROM head, ",
                );
                Columns::from(new).unnest(s);
                s.sql(" ON CONFLICT (company_id) DO UPDATE SET ");
                for (n, column) in [
                    "id", "plan", "price", "currency", "period", "max_users", "lead_limit", "phase", "started_at",
                    "trial_ends_at", "period_ends_at", "cancelled_at", "ends_at", "version", "position",
                ]
                .into_iter()
                .enumerate()
                {
                    let comma = if n == 0 { "" } else { ", " };
                    s.sql(&format!("{comma}{column} = EXCLUDED.{column}"));
                }
            });
        }
        if !changed.is_empty() {
            statement.part("changed_subscriptions", |s| {
                s.sql(
                    "UPDATE subscriptions s SET plan = coalesce(r.plan, s.plan), price = coalesce(r.price, s.price), \
                     currency = coalesce(r.currency, s.currency), period = coalesce(r.period, s.period), \
                     max_users = CASE WHEN r.plan IS NULL THEN s.max_users ELSE r.max_users END, \
                     lead_limit = CASE WHEN r.has_lead_limit THEN r.lead_limit ELSE s.lead_limit END, \
                     phase = coalesce(r.phase, s.phase), period_ends_at = coalesce(r.period_ends_at, s.period_ends_at), \
                     cancelled_at = coalesce(CASE WHEN r.has_cancelled THEN r.cancelled_at ELSE s.cancelled_at END, r.ended_at), \
                     ends_at = coalesce(r.ended_at, CASE WHEN r.has_cancelled THEN r.ends_at ELSE s.ends_at END), \
                     version = r.version, position = r.position FROM head, ",
                );
                Columns::from(changed).unnest(s);
                s.sql(" WHERE s.company_id = r.company_id");
            });
        }
    }
}

#[derive(Default)]
struct Columns {
    company_id: Vec<i64>,
    id: Vec<Option<i64>>,
    plan: Vec<Option<String>>,
    price: Vec<Option<i64>>,
    currency: Vec<Option<String>>,
    period: Vec<Option<String>>,
    max_users: Vec<Option<i64>>,
    has_lead_limit: Vec<bool>,
    lead_limit: Vec<Option<i64>>,
    phase: Vec<Option<String>>,
    started_at: Vec<Option<DateTime<Utc>>>,
    trial_ends_at: Vec<Option<DateTime<Utc>>>,
    period_ends_at: Vec<Option<DateTime<Utc>>>,
    has_cancelled: Vec<bool>,
    cancelled_at: Vec<Option<DateTime<Utc>>>,
    ends_at: Vec<Option<DateTime<Utc>>>,
    ended_at: Vec<Option<DateTime<Utc>>>,
    version: Vec<i64>,
    position: Vec<i64>,
}

impl From<Vec<(i64, Row)>> for Columns {
    fn from(rows: Vec<(i64, Row)>) -> Self {
        let mut c = Self::default();
        for (company_id, row) in rows {
            c.company_id.push(company_id);
            c.id.push(row.started.map(|started| started.id));
            c.started_at.push(row.started.map(|started| started.at));
            c.trial_ends_at
                .push(row.started.and_then(|started| started.trial_ends_at));
            let terms = row.terms;
            c.plan.push(terms.map(|t| t.plan.code().to_owned()));
            c.price.push(terms.map(|t| t.price.amount));
            c.currency.push(terms.map(|t| t.price.currency.to_string()));
            c.period.push(terms.map(|t| t.period.code().to_owned()));
            c.max_users.push(terms.and_then(|t| t.limits.users));
            c.has_lead_limit.push(row.limits.is_some());
            c.lead_limit
                .push(row.limits.and_then(|limits| limits.leads));
            c.phase.push(row.phase.map(|phase| phase.code().to_owned()));
            c.period_ends_at.push(row.period_ends_at);
            c.has_cancelled.push(row.cancelled != Change::Keep);
            let cancelled = row.cancelled.apply(None);
            c.cancelled_at.push(cancelled.map(|(at, _)| at));
            c.ends_at.push(cancelled.map(|(_, ends)| ends));
            c.ended_at.push(row.ended_at);
            c.version.push(row.version);
            c.position.push(row.position);
        }
        c
    }
}

impl Columns {
    fn unnest(self, s: &mut Statement) {
        s.sql("unnest(")
            .bind(self.company_id)
            .also(self.id)
            .also(self.plan)
            .also(self.price)
            .also(self.currency)
            .also(self.period)
            .also(self.max_users)
            .also(self.has_lead_limit)
            .also(self.lead_limit)
            .also(self.phase)
            .also(self.started_at)
            .also(self.trial_ends_at)
            .also(self.period_ends_at)
            .also(self.has_cancelled)
            .also(self.cancelled_at)
            .also(self.ends_at)
            .also(self.ended_at)
            .also(self.version)
            .also(self.position)
            .sql(
                ") AS r(company_id, id, plan, price, currency, period, max_users, has_lead_limit, lead_limit, phase, \
                 started_at, trial_ends_at, period_ends_at, has_cancelled, cancelled_at, ends_at, ended_at, version, position)",
            );
    }
}

/// How many leads a subscription governs, by the id of its company.
pub const GOVERNED_LEADS: FactKind = FactKind {
    name: "governed_leads",
    sql: "SELECT w.id, 0::bigint, coalesce(sum(t.leads), 0)::bigint FROM unnest($1::bigint[]) AS w(id) \
          JOIN companies c ON c.path @> ARRAY[w.id] LEFT JOIN company_totals t ON t.company_id = c.id \
          WHERE (SELECT p.id FROM unnest(c.path) WITH ORDINALITY AS p(id, n) JOIN subscriptions s ON s.company_id = p.id \
          ORDER BY p.n DESC LIMIT 1) = w.id GROUP BY w.id",
};

/// How many companies a subscription governs, its own included.
pub const GOVERNED_COMPANIES: FactKind = FactKind {
    name: "governed_companies",
    sql: "SELECT w.id, 0::bigint, count(*)::bigint FROM unnest($1::bigint[]) AS w(id) \
          JOIN companies c ON c.path @> ARRAY[w.id] \
          WHERE (SELECT p.id FROM unnest(c.path) WITH ORDINALITY AS p(id, n) JOIN subscriptions s ON s.company_id = p.id \
          ORDER BY p.n DESC LIMIT 1) = w.id GROUP BY w.id",
};

/// Whom a subscription governs: the users who hold an access, each as a key, with how many they hold.
pub const GOVERNED_USERS: FactKind = FactKind {
    name: "governed_users",
    sql: "SELECT w.id, a.user_id, count(*)::bigint FROM unnest($1::bigint[]) AS w(id) \
          JOIN companies c ON c.path @> ARRAY[w.id] JOIN user_accesses a ON a.company_id = c.id \
          WHERE (SELECT p.id FROM unnest(c.path) WITH ORDINALITY AS p(id, n) JOIN subscriptions s ON s.company_id = p.id \
          ORDER BY p.n DESC LIMIT 1) = w.id GROUP BY w.id, a.user_id",
};

/// A company's last subscription as it is read.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `subscriptions`, by the same names"
)]
pub struct SubscriptionRow {
    pub company_id: i64,
    pub id: i64,
    pub plan: String,
    pub price: i64,
    pub currency: String,
    pub period: String,
    pub max_users: Option<i64>,
    pub phase: String,
    pub started_at: DateTime<Utc>,
    pub trial_ends_at: Option<DateTime<Utc>>,
    pub period_ends_at: DateTime<Utc>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub version: i64,
}

/// The company's last subscription.
///
/// # Errors
/// What the database answers.
pub async fn of_company(
    connection: &mut PgConnection,
    company: CompanyId,
) -> Result<Option<SubscriptionRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT company_id, id, plan, price, currency, period, max_users, phase, started_at, trial_ends_at, \
         period_ends_at, cancelled_at, ends_at, version FROM subscriptions WHERE company_id = $1",
    )
    .bind(company.get())
    .fetch_optional(connection)
    .await
}

/// The companies whose subscription has something due that nobody has noted yet, the oldest first.
///
/// # Errors
/// What the database answers.
pub async fn due(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    at_most: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT company_id FROM subscriptions WHERE phase <> 'ended' AND period_ends_at <= $1 \
         ORDER BY period_ends_at LIMIT $2",
    )
    .bind(now)
    .bind(at_most)
    .fetch_all(connection)
    .await
}
