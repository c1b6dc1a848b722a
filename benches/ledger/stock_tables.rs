//! Our server's read tables, kept by a stock program: a `cqrs-es` query that writes row by row after each commit, as the
//! framework's dispatch has it. The tables and their indexes are made by the same migration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aggregates::lead::{Lead, LeadEvent};
use async_trait::async_trait;
use cqrs_es::{EventEnvelope, Query};
use sqlx::PgPool;

/// The same tables and indexes as ours.
pub const SCHEMA: &str = include_str!("../../migrations/0002_leads.sql");

/// See the module's text.
pub struct ReadTables {
    pool: PgPool,
    errors: Arc<AtomicU64>,
}

impl ReadTables {
    /// Counts what fails in `errors`.
    pub fn new(pool: PgPool, errors: Arc<AtomicU64>) -> Self {
        Self { pool, errors }
    }

    async fn apply(&self, id: i64, event: &EventEnvelope<Lead>) -> Result<(), sqlx::Error> {
        let LeadEvent::LeadCreated {
            company_id,
            contact,
            stage_id,
            ..
        } = &event.payload
        else {
            return Ok(());
        };
        let contact = contact.plain().cloned().unwrap_or_default();
        let first = contact.first_name.map(|name| name.as_str().to_owned());
        let last = contact.last_name.map(|name| name.as_str().to_owned());
        let email = contact.email.map(|email| email.to_string());
        let phone = contact.phone.map(|phone| phone.to_string());
        let full_name = [first.as_deref(), last.as_deref()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        let parts = [Some(full_name.as_str()), email.as_deref(), phone.as_deref()];
        let search = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        sqlx::query(
            "INSERT INTO leads (id, company_id, first_name, last_name, full_name, email, phone, search, stage_id, \
             answers, extra, version, position, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '[]', '{}', $10, 0, now(), now())",
        )
        .bind(id)
        .bind(company_id.get())
        .bind(first)
        .bind(last)
        .bind(full_name)
        .bind(&email)
        .bind(&phone)
        .bind(search.to_lowercase())
        .bind(stage_id.id())
        .bind(i64::try_from(event.sequence).unwrap_or(i64::MAX))
        .execute(&self.pool)
        .await?;
        let others: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM leads WHERE company_id = $1 AND email = $2 AND id <> $4 UNION \
             SELECT id FROM leads WHERE company_id = $1 AND split_part(phone, ';', 1) = $3 AND id <> $4",
        )
        .bind(company_id.get())
        .bind(&email)
        .bind(&phone)
        .bind(id)
        .fetch_all(&self.pool)
        .await?;
        if let Some(oldest) = others.into_iter().min() {
            sqlx::query(
                "INSERT INTO duplicates VALUES ($1, $3, $1, '{}'), ($2, $3, $1, '{}') ON CONFLICT DO NOTHING",
            )
            .bind(oldest)
            .bind(id)
            .bind(company_id.get())
            .execute(&self.pool)
            .await?;
        }
        sqlx::query(
            "INSERT INTO stage_counts AS t VALUES ($1, $2, 0, 0, 0, 0, 0, 1) \
             ON CONFLICT (company_id, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id) \
             DO UPDATE SET count = t.count + 1",
        )
        .bind(company_id.get())
        .bind(stage_id.id())
        .execute(&self.pool)
        .await?;
        sqlx::query(
            "INSERT INTO stage_counts_daily AS t VALUES ($1, current_date, $2, 0, 0, 0, 0, 0, 1) \
             ON CONFLICT (company_id, created_on, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id) \
             DO UPDATE SET count = t.count + 1",
        )
        .bind(company_id.get())
        .bind(stage_id.id())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

#[async_trait]
impl Query<Lead> for ReadTables {
    async fn dispatch(&self, aggregate_id: &str, events: &[EventEnvelope<Lead>]) {
        for event in events {
            let applied = match aggregate_id.parse() {
                Ok(id) => self.apply(id, event).await.is_ok(),
                Err(_) => false,
            };
            if !applied {
                self.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
