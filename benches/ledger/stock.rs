//! The competitor: a program as the documentation of `cqrs-es` and `postgres-es` has one written, on the same
//! aggregate and command as ours. No HTTP, no authentication, no sealing, no order across streams.
//!
//! In two forms: *stock* keeps the same read tables current as our server does (`stock_tables`); *stock, view only* keeps
//! nothing but one JSON view by lead id, which cannot be listed, searched or counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aggregates::email::Email;
use aggregates::ids::{CompanyId, LeadId};
use aggregates::lead::{Classification, Contact, CreateLead, Lead, LeadCommand, LeadEvent};
use aggregates::person_name::PersonName;
use aggregates::phone::{Phone, Region};
use aggregates::stage::Stage;
use anyhow::{Context as _, Result, bail};
use cqrs_es::persist::{GenericQuery, PersistedEventStore};
use cqrs_es::{CqrsFramework, EventEnvelope, Query, View};
use leadledger::embedded::EmbeddedPostgres;
use postgres_es::{PostgresEventRepository, PostgresViewRepository};
use serde::{Deserialize, Serialize};
use sqlx::Executor as _;
use sqlx::postgres::PgPoolOptions;

use crate::people::{Person, person};
use crate::stock_tables::{self, ReadTables};

const CONNECTIONS: u32 = 64;

/// From the crate's own `init.sql`.
const SCHEMA: &str = "
CREATE TABLE events (
    aggregate_type text NOT NULL,
    aggregate_id   text NOT NULL,
    sequence       bigint CHECK (sequence >= 0) NOT NULL,
    event_type     text NOT NULL,
    event_version  text NOT NULL,
    payload        json NOT NULL,
    metadata       json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
);
CREATE TABLE snapshots (
    aggregate_type   text NOT NULL,
    aggregate_id     text NOT NULL,
    last_sequence    bigint CHECK (last_sequence >= 0) NOT NULL,
    current_snapshot bigint CHECK (current_snapshot >= 0) NOT NULL,
    payload          json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, last_sequence)
);
CREATE TABLE lead_view (
    view_id text NOT NULL,
    version bigint CHECK (version >= 0) NOT NULL,
    payload json NOT NULL,
    PRIMARY KEY (view_id)
);
";

/// What a reader of leads would want to see.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct LeadView {
    lead_id: Option<LeadId>,
    company_id: Option<CompanyId>,
    contact: Contact,
    stage_id: Stage,
    classification: Classification,
    version: usize,
}

impl View<Lead> for LeadView {
    fn update(&mut self, envelope: &EventEnvelope<Lead>) {
        self.version = envelope.sequence;
        match &envelope.payload {
            LeadEvent::LeadCreated {
                lead_id,
                company_id,
                contact,
                stage_id,
                source_id,
                campaign_id,
                territory_id,
                ..
            } => {
                self.lead_id = Some(*lead_id);
                self.company_id = Some(*company_id);
                self.contact = contact.plain().cloned().unwrap_or_default();
                self.stage_id = *stage_id;
                self.classification = Classification {
                    source_id: *source_id,
                    campaign_id: *campaign_id,
                    territory_id: *territory_id,
                };
            }
            LeadEvent::LeadStageChanged { to_stage_id, .. } => self.stage_id = *to_stage_id,
            _ => {}
        }
    }
}

type Store = PersistedEventStore<PostgresEventRepository, Lead>;

/// What the program keeps current besides the events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// The tables that our server keeps.
    Tables,
    /// One JSON view.
    View,
}

impl Reads {
    /// Of this program.
    pub const fn database(self) -> &'static str {
        match self {
            Self::Tables => "stock",
            Self::View => "stock_view",
        }
    }
}

/// The program, ready to take commands.
pub struct Stock {
    framework: Arc<CqrsFramework<Lead, Store>>,
    last_id: Arc<AtomicI64>,
    view_errors: Arc<AtomicU64>,
    region: Region,
}

impl Stock {
    /// Makes the database and puts the program together.
    pub async fn prepare(postgres: &EmbeddedPostgres, reads: Reads) -> Result<Self> {
        let database = reads.database();
        postgres.ensure_database(database).await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_with(postgres.connect_options(database))
            .await?;
        pool.execute(SCHEMA).await?;

        let view_errors = Arc::new(AtomicU64::new(0));
        let errors = Arc::clone(&view_errors);
        let query: Box<dyn Query<Lead>> = match reads {
            Reads::Tables => {
                pool.execute(stock_tables::SCHEMA).await?;
                Box::new(ReadTables::new(pool.clone(), errors))
            }
            Reads::View => {
                let views =
                    PostgresViewRepository::<LeadView, Lead>::new("lead_view", pool.clone());
                let mut query = GenericQuery::new(Arc::new(views));
                query.use_error_handler(Box::new(move |_| {
                    errors.fetch_add(1, Ordering::Relaxed);
                }));
                Box::new(query)
            }
        };
        let store = PersistedEventStore::new_event_store(PostgresEventRepository::new(pool));
        Ok(Self {
            framework: Arc::new(CqrsFramework::new(store, vec![query], ())),
            last_id: Arc::new(AtomicI64::new(0)),
            view_errors,
            region: Region::parse("US")?,
        })
    }

    /// Leads created per second by so many tasks.
    pub async fn create(&self, clients: usize, time: Duration) -> Result<f64> {
        // Opens the connections.
        self.run(clients, Duration::from_millis(300)).await?;
        let rate = self.run(clients, time).await?;
        match self.view_errors.load(Ordering::Relaxed) {
            0 => Ok(rate),
            errors => bail!("{errors} view updates failed"),
        }
    }

    async fn run(&self, clients: usize, time: Duration) -> Result<f64> {
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let framework = Arc::clone(&self.framework);
            let last_id = Arc::clone(&self.last_id);
            let region = self.region;
            tasks.spawn(async move {
                let mut done = 0_u32;
                while began.elapsed() < time {
                    let id = last_id.fetch_add(1, Ordering::Relaxed) + 1;
                    framework
                        .execute_with_metadata(&id.to_string(), command(id, region)?, metadata(id))
                        .await
                        .map_err(|error| anyhow::anyhow!("creating a lead: {error}"))?;
                    done += 1;
                }
                anyhow::Ok(done)
            });
        }
        let mut done = 0;
        while let Some(task) = tasks.join_next().await {
            done += task.context("a client ended")??;
        }
        Ok(f64::from(done) / began.elapsed().as_secs_f64())
    }
}

fn command(id: i64, region: Region) -> Result<LeadCommand> {
    let Person {
        first_name,
        last_name,
        email,
        phone,
    } = person(u64::try_from(id)?);
    Ok(LeadCommand::Create(Box::new(CreateLead {
        lead_id: LeadId(id),
        company_id: CompanyId(1),
        contact: Contact {
            first_name: Some(PersonName::parse(first_name)?),
            last_name: Some(PersonName::parse(last_name)?),
            email: Some(Email::parse(&email)?),
            phone: Some(Phone::parse(&phone, region)?),
        },
        stage: Stage::New,
        classification: Classification::default(),
        cycle_id: None,
        user_access_id: None,
        answers: vec![],
        extra: aggregates::lead::ExtraFields::new(),
        estimated_value: None,
    })))
}

/// About 200 bytes, as the yardstick has them.
fn metadata(id: i64) -> HashMap<String, String> {
    [
        ("request_id", format!("0198f3a0-0000-7000-8000-{id:012}")),
        ("user_id", "1".to_owned()),
        ("company_id", "1".to_owned()),
        ("ip", "203.0.113.7".to_owned()),
        ("user_agent", "bench/1.0".to_owned()),
        ("source", "api".to_owned()),
        ("at", "2026-01-01T00:00:00.000000Z".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}
