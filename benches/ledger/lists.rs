//! The four lists of a company with few leads and of one with many: a page must not care how long its list is.

use anyhow::{Context as _, Result, ensure};
use leadledger::embedded::EmbeddedPostgres;

use crate::http::{self, Call, Load};
use crate::plan::{FEW_LEADS, Plan};
use crate::report::{Bound, Report, Unit};
use crate::seed;
use crate::server::Server;

const PER_PAGE: u64 = 25;
const LISTS: [&str; 5] = ["page", "last page", "unassigned", "duplicates", "metrics"];

/// One size: its server, and where each list is found.
struct Company {
    name: String,
    server: Server,
    paths: [String; LISTS.len()],
}

/// Fills two ledgers, then asks them in turn.
pub async fn measure(plan: &Plan, postgres: &EmbeddedPostgres, report: &mut Report) -> Result<()> {
    let few = prepare(plan, postgres, FEW_LEADS, report).await?;
    let many = prepare(plan, postgres, plan.many_leads, report).await?;
    for list in LISTS {
        let name = format!("{list}, time: {} / {}", many.name, few.name);
        report.compare(
            &name,
            &figure(list, &many),
            &figure(list, &few),
            Bound::AtMost(1.3),
        );
    }
    for round in 0..plan.rounds {
        for (index, list) in LISTS.iter().enumerate() {
            let companies = if round.is_multiple_of(2) {
                [&few, &many]
            } else {
                [&many, &few]
            };
            for company in companies {
                let outcome = ask(company, index, plan).await;
                report.attempt(&figure(list, company), Unit::Milliseconds, round, outcome);
            }
        }
    }
    few.server.stop().await?;
    many.server.stop().await
}

async fn prepare(
    plan: &Plan,
    postgres: &EmbeddedPostgres,
    leads: u64,
    report: &mut Report,
) -> Result<Company> {
    let name = size(leads);
    let database = format!("leads_{name}").to_lowercase();
    // Makes the tables and the company.
    let server = Server::start(postgres, &database, &plan.dir).await?;
    let company = server.company;
    server.stop().await?;
    let imported = seed::import(postgres, &database, company, leads, &plan.dir).await;
    let server = Server::start(postgres, &database, &plan.dir).await?;
    match imported {
        Ok(took) => {
            let rate = per_second(leads, took)?;
            report.add(&format!("import {name}"), Unit::PerSecond, 0, rate);
        }
        Err(error) => {
            report.remark(format!(
                "import {name}: {error:#}; created over HTTP instead"
            ));
            let took = seed::create(postgres, &database, &server, leads).await?;
            let rate = per_second(leads, took)?;
            report.add(&format!("fill {name} over HTTP"), Unit::PerSecond, 0, rate);
        }
    }
    let leads_path = format!("/api/v1/companies/{company}/leads");
    let (status, page) = server
        .get(&format!("{leads_path}?per_page={PER_PAGE}"))
        .await?;
    let rows = page["leads"].as_array().map_or(0, Vec::len);
    ensure!(
        status == 200 && rows > 0,
        "{leads_path}: {status} with {rows} rows"
    );
    let last_page = last_page(&server, &leads_path, leads).await?;
    Ok(Company {
        name,
        server,
        paths: [
            format!("{leads_path}?per_page={PER_PAGE}"),
            last_page,
            format!("{leads_path}/unassigned?per_page={PER_PAGE}"),
            format!("{leads_path}/duplicates?per_page={PER_PAGE}"),
            format!("{leads_path}/metrics"),
        ],
    })
}

/// The last page by the cursor that the page before it gives.
async fn last_page(server: &Server, leads_path: &str, leads: u64) -> Result<String> {
    let before_last = leads.div_ceil(PER_PAGE).saturating_sub(1).max(1);
    let path = format!("{leads_path}?per_page={PER_PAGE}&page={before_last}");
    let (status, page) = server.get(&path).await?;
    let cursor = page["meta"]["next_cursor"].as_str();
    let cursor = cursor.with_context(|| format!("{path}: {status} {}", page["meta"]))?;
    let path = format!("{leads_path}?per_page={PER_PAGE}&cursor={cursor}");
    let (status, page) = server.get(&path).await?;
    ensure!(status == 200, "{path}: {status} {page}");
    ensure!(
        page["meta"]["next_cursor"].is_null(),
        "{path} is not the last page: {}",
        page["meta"]
    );
    Ok(path)
}

/// The median of one request at a time.
async fn ask(company: &Company, list: usize, plan: &Plan) -> Result<f64> {
    let path = company.paths[list].clone();
    let load = Load {
        clients: 1,
        time: plan.list_time(),
        wanted: 200,
        keep_ids: false,
    };
    let outcome = http::run(&company.server.target, load, move |_, _| {
        Some(Call::get(path.clone()))
    });
    outcome.await?.whole()?.p50()
}

fn figure(list: &str, company: &Company) -> String {
    format!("{list} {}", company.name)
}

fn per_second(leads: u64, took: std::time::Duration) -> Result<f64> {
    Ok(f64::from(u32::try_from(leads)?) / took.as_secs_f64())
}

/// `10k`, `1M`.
fn size(leads: u64) -> String {
    match leads {
        leads if leads.is_multiple_of(1_000_000) => format!("{}M", leads / 1_000_000),
        leads if leads.is_multiple_of(1_000) => format!("{}k", leads / 1_000),
        leads => leads.to_string(),
    }
}
