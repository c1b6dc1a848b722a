//! The appointments on leads, by whose they are.
//!
//! The words about those on a blocked lead are kept and not shown; of those on an erased one they are gone. That somebody was
//! booked at that time stays.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::Personal;
use aggregates::ids::{AppointmentId, CompanyId, UserId};
use aggregates::lead::LeadEvent;
use aggregates::lead::appointments::{Appointment, AppointmentStatus, MAX_DAYS};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{FromRow, PgConnection, QueryBuilder};

use crate::companies::Visible;
use crate::page::{Page, PageRequest, Total};
use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;
use crate::total;

struct Row {
    lead_id: i64,
    company_id: Option<i64>,
    /// `None` when the batch only calls it off.
    appointment: Option<Appointment>,
    cancelled: bool,
    /// The lead was erased after that.
    erased: bool,
    position: i64,
    /// Set when the batch makes it.
    created_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
}

/// Owns `appointments`.
#[derive(Default)]
pub struct Appointments {
    rows: BTreeMap<i64, Row>,
    erased_leads: BTreeSet<i64>,
    /// Leads that are taken away with all their appointments.
    removed_leads: Vec<i64>,
}

impl Projection for Appointments {
    fn name(&self) -> &'static str {
        "appointments"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "appointments",
            key: &["id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let DomainEvent::Lead(event) = &recorded.event else {
            return;
        };
        let (id, to, is_new) = match event {
            LeadEvent::LeadAppointmentScheduled {
                appointment_id,
                appointment,
            } => (appointment_id, Some(appointment), true),
            LeadEvent::LeadAppointmentChanged {
                appointment_id, to, ..
            } => (appointment_id, Some(to), false),
            LeadEvent::LeadAppointmentCancelled { appointment_id, .. } => {
                (appointment_id, None, false)
            }
            LeadEvent::LeadErased { .. } => return self.erase(recorded.aggregate_id),
            LeadEvent::LeadRemoved { .. } => {
                let lead_id = recorded.aggregate_id;
                self.rows.retain(|_, row| row.lead_id != lead_id);
                self.removed_leads.push(lead_id);
                return;
            }
            _ => return,
        };
        let row = self.rows.entry(id.get()).or_insert_with(|| Row {
            lead_id: recorded.aggregate_id,
            company_id: recorded.company_id.map(CompanyId::get),
            appointment: None,
            cancelled: false,
            erased: false,
            position: 0,
            created_at: None,
            updated_at: recorded.recorded_at,
        });
        row.position = recorded.position;
        row.updated_at = recorded.recorded_at;
        if let Some(to) = to {
            row.appointment = Some(to.clone());
            row.cancelled = false;
        } else {
            row.cancelled = true;
        }
        if is_new {
            row.created_at = Some(recorded.recorded_at);
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let erased_leads = std::mem::take(&mut self.erased_leads);
        // One statement changes a row once: those of the batch bring the erasure along.
        let in_batch: Vec<i64> = self.rows.keys().copied().collect();
        if !erased_leads.is_empty() {
            statement.part("erased_appointments", |s| {
                s.sql("UPDATE appointments SET title = '', description = NULL, location = NULL FROM head WHERE lead_id = ANY(")
                    .bind(erased_leads.into_iter().collect::<Vec<_>>())
                    .sql(") AND id <> ALL(")
                    .bind(in_batch)
                    .sql(")");
            });
        }
        let removed_leads = std::mem::take(&mut self.removed_leads);
        if !removed_leads.is_empty() {
            statement.part("removed_leads_appointments", |s| {
                s.sql("DELETE FROM appointments USING head WHERE lead_id = ANY(")
                    .bind(removed_leads)
                    .sql(")");
            });
        }
        let mut columns: [Columns; 3] = Default::default();
        for (id, mut row) in std::mem::take(&mut self.rows) {
            let [new, changed, cancelled] = &mut columns;
            match row.appointment.take() {
                Some(appointment) if row.created_at.is_some() => new.push(id, &row, appointment),
                Some(appointment) => changed.push(id, &row, appointment),
                None => cancelled.push_cancelled(id, &row),
            }
        }
        let [new, changed, cancelled] = columns;
        if !new.ids.is_empty() {
            statement.part("new_appointments", |s| {
                s.sql(
                    "INSERT INTO appointments (id, lead_id, company_id, user_id, title, description, location, \
                     starts_at, ends_at, status, position, created_at, updated_at) SELECT r.* FROM head, ",
                );
                new.unnest(s);
            });
        }
        if !changed.ids.is_empty() {
            statement.part("changed_appointments", |s| {
                s.sql(
                    "UPDATE appointments a SET user_id = r.user_id, title = r.title, description = r.description, \
                     location = r.location, starts_at = r.starts_at, ends_at = r.ends_at, status = r.status, \
                     position = r.position, updated_at = r.updated_at FROM head, ",
                );
                changed.unnest(s);
                s.sql(" WHERE a.id = r.id");
            });
        }
        if !cancelled.ids.is_empty() {
            statement.part("cancelled_appointments", |s| {
                s.sql("UPDATE appointments a SET status = ")
                    .bind(AppointmentStatus::Cancelled.code())
                    .sql(
                        ", position = r.position, updated_at = r.updated_at, \
                         title = CASE WHEN r.erased THEN '' ELSE a.title END, \
                         description = CASE WHEN r.erased THEN NULL ELSE a.description END, \
                         location = CASE WHEN r.erased THEN NULL ELSE a.location END FROM head, unnest(",
                    )
                    .bind(cancelled.ids)
                    .also(cancelled.positions)
                    .also(cancelled.updated)
                    .also(cancelled.erased)
                    .sql(") AS r(id, position, updated_at, erased) WHERE a.id = r.id");
            });
        }
    }
}

impl Appointments {
    fn erase(&mut self, lead: i64) {
        self.erased_leads.insert(lead);
        for row in self.rows.values_mut().filter(|row| row.lead_id == lead) {
            row.erased = true;
            if let Some(appointment) = &mut row.appointment {
                appointment.text = Personal::Erased;
            }
        }
    }
}

#[derive(Default)]
struct Columns {
    ids: Vec<i64>,
    leads: Vec<i64>,
    companies: Vec<Option<i64>>,
    users: Vec<i64>,
    titles: Vec<String>,
    descriptions: Vec<Option<String>>,
    locations: Vec<Option<String>>,
    starts: Vec<DateTime<Utc>>,
    ends: Vec<DateTime<Utc>>,
    statuses: Vec<&'static str>,
    positions: Vec<i64>,
    created: Vec<Option<DateTime<Utc>>>,
    updated: Vec<DateTime<Utc>>,
    erased: Vec<bool>,
}

impl Columns {
    fn push(&mut self, id: i64, row: &Row, appointment: Appointment) {
        self.push_cancelled(id, row);
        // Erased data reads as absent: the row stays, the words are gone.
        let text = appointment.text.into_plain().unwrap_or_default();
        self.leads.push(row.lead_id);
        self.companies.push(row.company_id);
        self.users.push(appointment.user_id.get());
        self.titles.push(text.title);
        self.descriptions.push(text.description);
        self.locations.push(text.location);
        self.starts.push(appointment.starts_at);
        self.ends.push(appointment.ends_at);
        self.statuses.push(if row.cancelled {
            AppointmentStatus::Cancelled.code()
        } else {
            appointment.status.code()
        });
        self.created.push(row.created_at);
    }

    fn push_cancelled(&mut self, id: i64, row: &Row) {
        self.ids.push(id);
        self.positions.push(row.position);
        self.updated.push(row.updated_at);
        self.erased.push(row.erased);
    }

    fn unnest(self, s: &mut Statement) {
        s.sql("unnest(")
            .bind(self.ids)
            .also(self.leads)
            .also(self.companies)
            .also(self.users)
            .also(self.titles)
            .also(self.descriptions)
            .also(self.locations)
            .also(self.starts)
            .also(self.ends)
            .also(self.statuses)
            .also(self.positions)
            .also(self.created)
            .also(self.updated)
            .sql(
                ") AS r(id, lead_id, company_id, user_id, title, description, location, starts_at, ends_at, status, \
                 position, created_at, updated_at)",
            );
    }
}

/// An appointment as it is read, with what it refers to as it is called today.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `appointments` and of the rows it refers to, by the same names"
)]
pub struct AppointmentRow {
    pub id: i64,
    pub lead_id: i64,
    pub user_id: i64,
    pub title: String,
    pub description: Option<String>,
    pub location: Option<String>,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub status: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub lead_full_name: String,
    pub lead_user_access_id: Option<i64>,
    pub lead_version: i64,
    pub company_id: i64,
    pub company_name: String,
    pub company_default: bool,
    pub company_parent_id: Option<i64>,
    pub user_full_name: String,
    pub user_email: Option<String>,
    /// Of their avatar.
    pub user_avatar: Option<String>,
}

const SELECT: &str = "SELECT a.id, a.lead_id, a.user_id, CASE WHEN e.lead_id IS NULL THEN a.title ELSE '' END AS title, \
     CASE WHEN e.lead_id IS NULL THEN a.description END AS description, \
     CASE WHEN e.lead_id IS NULL THEN a.location END AS location, a.starts_at, a.ends_at, \
     a.status, a.created_at, a.updated_at, CASE WHEN e.lead_id IS NULL THEN l.full_name ELSE '' END AS lead_full_name, l.user_access_id AS lead_user_access_id, \
     l.version AS lead_version, c.id AS company_id, c.name AS company_name, c.is_default AS company_default, \
     c.parent_company_id AS company_parent_id, coalesce(u.full_name, '') AS user_full_name, u.email AS user_email, \
     (SELECT v.file FROM user_avatars v WHERE v.user_id = u.id) AS user_avatar";
const FROM: &str = " FROM appointments a JOIN leads l ON l.id = a.lead_id JOIN companies c ON c.id = l.company_id \
     LEFT JOIN users u ON u.id = a.user_id \
     LEFT JOIN lead_erasures e ON e.lead_id = a.lead_id AND e.status <> 'in_use'";

/// One appointment.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    appointment: AppointmentId,
) -> Result<Option<AppointmentRow>, sqlx::Error> {
    sqlx::query_as(&format!("{SELECT}{FROM} WHERE a.id = $1"))
        .bind(appointment.get())
        .fetch_optional(connection)
        .await
}

/// What a list of one user's appointments is narrowed to.
#[derive(Debug, Clone, Copy, Default)]
pub struct AppointmentFilter {
    /// Starting at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Starting before this time.
    pub to: Option<DateTime<Utc>>,
    /// In this status.
    pub status: Option<AppointmentStatus>,
    /// On this lead.
    pub lead_id: Option<i64>,
}

/// A page of a user's appointments in companies that the reader sees, the earliest first.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    user: UserId,
    visible: &Visible,
    filter: &AppointmentFilter,
    request: &PageRequest<(DateTime<Utc>, i64)>,
) -> Result<(Page<AppointmentRow>, Total), sqlx::Error> {
    let conditions = |query: &mut QueryBuilder<'_, sqlx::Postgres>| {
        query
            .push(FROM)
            .push(" WHERE a.user_id = ")
            .push_bind(user.get());
        push_visible(query, visible);
        if let Some(from) = filter.from {
            query.push(" AND a.starts_at >= ").push_bind(from);
        }
        if let Some(to) = filter.to {
            query.push(" AND a.starts_at < ").push_bind(to);
        }
        if let Some(status) = filter.status {
            query.push(" AND a.status = ").push_bind(status.code());
        }
        if let Some(lead) = filter.lead_id {
            query.push(" AND a.lead_id = ").push_bind(lead);
        }
    };
    let total = total::counted(connection, |query| {
        query.push("SELECT 1");
        conditions(query);
    })
    .await?;
    let mut query = QueryBuilder::new(SELECT);
    conditions(&mut query);
    if let Some((starts_at, id)) = request.after() {
        query
            .push(" AND (a.starts_at, a.id) > (")
            .push_bind(*starts_at)
            .push(", ")
            .push_bind(*id)
            .push(")");
    }
    query
        .push(" ORDER BY a.starts_at, a.id LIMIT ")
        .push_bind(request.per_page + 1)
        .push(" OFFSET ")
        .push_bind(request.offset());
    let rows = query.build_query_as().fetch_all(connection).await?;
    Ok((Page::from_overfetch(rows, request.per_page), total))
}

fn push_visible(query: &mut QueryBuilder<'_, sqlx::Postgres>, visible: &Visible) {
    if let Visible::Under(roots) = visible {
        query.push(" AND c.path && ").push_bind(roots.clone());
    }
}

/// How many overlaps are named.
const OVERLAPS: i64 = 100;

/// The user's other scheduled appointments that share time with this one, in companies that the reader sees.
///
/// # Errors
/// What the database answers.
pub async fn overlapping(
    connection: &mut PgConnection,
    row: &AppointmentRow,
    visible: &Visible,
) -> Result<Vec<i64>, sqlx::Error> {
    if row.status != AppointmentStatus::Scheduled.code() {
        return Ok(Vec::new());
    }
    let mut query = QueryBuilder::new(
        "SELECT a.id FROM appointments a JOIN leads l ON l.id = a.lead_id JOIN companies c ON c.id = l.company_id \
         WHERE a.status = 'scheduled' AND a.user_id = ",
    );
    query
        .push_bind(row.user_id)
        .push(" AND a.id <> ")
        .push_bind(row.id)
        .push(" AND a.starts_at < ")
        .push_bind(row.ends_at)
        .push(" AND a.ends_at > ")
        .push_bind(row.starts_at)
        // None lasts longer: so much of the index is read, however many appointments there are.
        .push(" AND a.starts_at > ")
        .push_bind(row.starts_at - TimeDelta::days(MAX_DAYS));
    push_visible(&mut query, visible);
    query
        .push(" ORDER BY a.starts_at, a.id LIMIT ")
        .push_bind(OVERLAPS);
    query.build_query_scalar().fetch_all(connection).await
}
