//! Importing straight into the ledger, beside whatever servers run on it.

use std::sync::Arc;

use aggregates::company::Company;
use aggregates::ids::{CompanyId, LeadId};
use aggregates::lead::{Classification, CreateLead, Lead, LeadCommand};
use aggregates::phone::Region;
use aggregates::stage::Stage;
use anyhow::Context;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use indicatif::ProgressBar;
use projections::{companies, duplicates};
use sqlx::PgPool;
use tokio::sync::mpsc;

use super::columns::Columns;
use super::{Fate, NewLead, Report, Row};
use crate::clock::Clock;
use crate::config::Settings;
use crate::database::Database;
use crate::ledger::{
    CommitError, IdKind, Ledger, Provenance, Secrets, StreamKey, StreamKind, Work,
};
use crate::plan_limits::PlanLimits;

/// How many rows are decided together.
const AT_ONCE: usize = 1_000;

/// Opens the database, imports, and closes it again.
pub async fn run(
    settings: &Settings,
    company: i64,
    columns: Columns,
    rows: mpsc::Receiver<Row>,
    bar: &ProgressBar,
) -> anyhow::Result<Report> {
    let database = Database::open(settings).await?;
    let clock = Clock::system();
    let secrets = Secrets::load(&mut *database.pool.acquire().await?).await?;
    let (ledger, tasks) = Ledger::open(&database.pool, &database.options, &secrets, clock).await?;
    let report = import(
        &ledger,
        &database.pool,
        CompanyId(company),
        columns,
        rows,
        bar,
    )
    .await;
    drop(ledger);
    tasks.finished().await;
    database.close().await;
    report
}

async fn import(
    ledger: &Ledger,
    pool: &PgPool,
    company: CompanyId,
    columns: Columns,
    mut rows: mpsc::Receiver<Row>,
    bar: &ProgressBar,
) -> anyhow::Result<Report> {
    let row = companies::by_id(&mut *pool.acquire().await?, company).await?;
    let row = row.with_context(|| format!("there is no company {company}"))?;
    let limits = PlanLimits::of(&row);
    let region = Region::parse(&row.region).unwrap_or_default();
    let code: Arc<str> = ledger.clock().new_id().to_string().into();
    let mut report = Report::default();
    let mut under_way = FuturesUnordered::new();
    let mut created = Vec::with_capacity(AT_ONCE);
    loop {
        let wanted = AT_ONCE - under_way.len();
        tokio::select! {
            row = rows.recv(), if wanted > 0 => {
                let Some(row) = row else { break };
                report.total += 1;
                match columns.lead(&row, region) {
                    Ok(lead) => {
                        let source = format!("import {code} row {}", row.number);
                        under_way.push(commit(ledger, (company, limits), lead, source, row));
                    }
                    Err(reason) => report.rejected.push((row.number, row.fields, reason)),
                }
            }
            Some(done) = under_way.next(), if !under_way.is_empty() => {
                settle(&mut report, &mut created, done?, bar);
                count_duplicates(pool, &mut created, &mut report, AT_ONCE).await?;
            }
        }
    }
    while let Some(done) = under_way.next().await {
        settle(&mut report, &mut created, done?, bar);
    }
    count_duplicates(pool, &mut created, &mut report, 1).await?;
    Ok(report)
}

async fn commit(
    ledger: &Ledger,
    (company_id, limits): (CompanyId, PlanLimits),
    lead: NewLead,
    source: String,
    row: Row,
) -> anyhow::Result<(Row, Fate)> {
    let work = Work::new(Provenance::system(&source), move |unit| {
        limits.add_lead(unit)?;
        let lead_id = LeadId(unit.next_id(IdKind::Lead));
        let today = unit.now().date_naive();
        let open = |company: &Company| company.cycles().open_on(today);
        let cycle_id = unit.read(company_id.get(), open);
        let create = CreateLead {
            lead_id,
            company_id,
            contact: lead.contact.clone(),
            stage: Stage::default(),
            classification: Classification::default(),
            cycle_id,
            user_access_id: None,
            answers: Vec::new(),
            extra: lead.extra.clone(),
            estimated_value: None,
        };
        unit.execute::<Lead>(lead_id.get(), LeadCommand::Create(Box::new(create)))?;
        Ok(lead_id.get())
    });
    let work = work.on(StreamKey::new(StreamKind::Company, company_id.get()));
    match ledger.commit(limits.watch_leads(work)).await {
        Ok(committed) => Ok((
            row,
            Fate::Created {
                lead_id: committed.resource_id,
            },
        )),
        Err(CommitError::Refused(refusal)) => Ok((row, Fate::Rejected(refusal.to_string()))),
        Err(error) => Err(error).with_context(|| format!("row {} is left open", row.number)),
    }
}

fn settle(
    report: &mut Report,
    created: &mut Vec<i64>,
    (row, fate): (Row, Fate),
    bar: &ProgressBar,
) {
    match fate {
        Fate::Created { lead_id } => {
            report.created += 1;
            created.push(lead_id);
        }
        Fate::Rejected(reason) => report.rejected.push((row.number, row.fields, reason)),
    }
    bar.inc(1);
}

/// Asks of the leads created so far which are duplicates of an older one, once there are `enough`.
async fn count_duplicates(
    pool: &PgPool,
    created: &mut Vec<i64>,
    report: &mut Report,
    enough: usize,
) -> Result<(), sqlx::Error> {
    if created.len() < enough {
        return Ok(());
    }
    let found = duplicates::list::duplicates_among(&mut *pool.acquire().await?, created).await?;
    report.duplicates += u64::try_from(found).unwrap_or_default();
    created.clear();
    Ok(())
}
