//! The order of a run: creating and reading one lead beside the yardstick and the stock program, then updates, then
//! lists, then imports. What cannot be measured becomes a remark, and the rest goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use leadledger::embedded::EmbeddedPostgres;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::http::{self, Call, Load};
use crate::imports;
use crate::lists;
use crate::past;
use crate::people::create_body;
use crate::plan::{CREATE_AT, GET_AT, Plan};
use crate::report::{Bound, Report, Unit};
use crate::server::Server;
use crate::stock::{Reads, Stock};
use crate::updates;
use crate::yardstick::Yardstick;

/// The database of every phase but the lists.
pub const DATABASE: &str = "ledger";
/// The stock program that keeps no table that could be listed, searched or counted.
const VIEW_ONLY: &str = "stock, view only";
/// Unmeasured, so that connections and caches are there.
pub const WARM_UP: Duration = Duration::from_millis(300);

/// Measures everything.
pub async fn measure(plan: &Plan, postgres: &EmbeddedPostgres, report: &mut Report) -> Result<()> {
    match plan.only.as_deref() {
        None => {}
        Some("imports") => return imports::measure(plan, postgres, report).await,
        Some("past") => return past::measure(plan, postgres, report).await,
        Some(other) => anyhow::bail!("BENCH_ONLY is imports or past, not {other:?}"),
    }
    declare(report);
    let yardstick = Yardstick::prepare(postgres, plan.dir.clone()).await?;
    let stock = Stock::prepare(postgres, Reads::Tables).await?;
    let view_only = Stock::prepare(postgres, Reads::View).await?;
    let mut ours = match Server::start(postgres, DATABASE, &plan.dir).await {
        Ok(server) => Some(Ours::new(server)),
        Err(error) => {
            report.remark(format!("our server: {error:#}"));
            None
        }
    };
    if let Some(ours) = &ours {
        report.attempt("memory, idle", Unit::Megabytes, 0, ours.server.memory());
    }
    for round in 0..plan.rounds {
        checkpoint(postgres).await?;
        for clients in CREATE_AT {
            // Whoever comes first in one round comes later in the next.
            for contestant in (0..4).map(|nth| (nth + round) % 4) {
                match (contestant, &mut ours) {
                    (0, _) => {
                        let outcome = yardstick.create(clients, plan.time).await;
                        report.attempt(&create("P", clients), Unit::PerSecond, round, outcome);
                    }
                    (1, _) => {
                        let outcome = stock.create(clients, plan.time).await;
                        report.attempt(&create("stock", clients), Unit::PerSecond, round, outcome);
                    }
                    (2, _) => {
                        let outcome = view_only.create(clients, plan.time).await;
                        report.attempt(
                            &create(VIEW_ONLY, clients),
                            Unit::PerSecond,
                            round,
                            outcome,
                        );
                    }
                    (_, Some(ours)) => {
                        let outcome = ours.create(clients, plan.time).await;
                        report.attempt(&create("ours", clients), Unit::PerSecond, round, outcome);
                    }
                    (_, None) => {}
                }
            }
        }
    }
    let Some(ours) = ours else { return Ok(()) };

    yardstick.prepare_select(postgres).await?;
    for round in 0..plan.rounds {
        for clients in GET_AT {
            for contestant in (0..2).map(|nth| (nth + round) % 2) {
                if contestant == 0 {
                    let outcome = yardstick.select(clients, plan.time).await;
                    report.attempt(&get("pgbench -S", clients), Unit::PerSecond, round, outcome);
                } else {
                    let outcome = ours.get(clients, plan.time).await;
                    report.attempt(&get("ours", clients), Unit::PerSecond, round, outcome);
                }
            }
        }
    }
    report.attempt(
        "memory, after creates and reads",
        Unit::Megabytes,
        0,
        ours.server.memory(),
    );

    let ids = ours.ids;
    if let Err(error) = updates::measure(plan, postgres, ours.server, ids, report).await {
        report.remark(format!("updates: {error:#}"));
    }
    if plan.many_leads > 0
        && let Err(error) = lists::measure(plan, postgres, report).await
    {
        report.remark(format!("lists: {error:#}"));
    }
    if let Err(error) = past::measure(plan, postgres, report).await {
        report.remark(format!("the past: {error:#}"));
    }
    if plan.import_rows > 0
        && let Err(error) = imports::measure(plan, postgres, report).await
    {
        report.remark(format!("imports: {error:#}"));
    }
    Ok(())
}

/// Our server, and what it has been given so far.
struct Ours {
    server: Server,
    people: Arc<AtomicU64>,
    ids: Vec<i64>,
}

impl Ours {
    fn new(server: Server) -> Self {
        Self {
            server,
            people: Arc::default(),
            ids: vec![],
        }
    }

    async fn create(&mut self, clients: usize, time: Duration) -> Result<f64> {
        for time in [WARM_UP, time] {
            let people = Arc::clone(&self.people);
            let path = format!("/api/v1/companies/{}/leads", self.server.company);
            let load = Load {
                clients,
                time,
                wanted: 201,
                keep_ids: true,
            };
            let outcome = http::run(&self.server.target, load, move |_, _| {
                let number = people.fetch_add(1, Ordering::Relaxed);
                Some(Call {
                    method: "POST",
                    path: path.clone(),
                    body: create_body(number, number),
                })
            });
            let outcome = outcome.await?.whole()?;
            self.ids.extend(outcome.ids);
            if time != WARM_UP {
                return Ok(outcome.rate);
            }
        }
        anyhow::bail!("nothing but a warm-up was asked for")
    }

    async fn get(&self, clients: usize, time: Duration) -> Result<f64> {
        warm_up(&self.server, &self.ids, clients).await?;
        Ok(read(&self.server, &self.ids, clients, time).await?.rate)
    }
}

/// Reads leads for a moment.
pub async fn warm_up(server: &Server, ids: &[i64], clients: usize) -> Result<()> {
    read(server, ids, clients, WARM_UP).await.map(drop)
}

async fn read(
    server: &Server,
    ids: &[i64],
    clients: usize,
    time: Duration,
) -> Result<http::Outcome> {
    anyhow::ensure!(!ids.is_empty(), "no lead was created");
    let ids = ids.to_vec();
    let load = Load {
        clients,
        time,
        wanted: 200,
        keep_ids: false,
    };
    let outcome = http::run(&server.target, load, move |client, turn| {
        // All over the table, and the same in every run.
        let step = (client * 1_000_003 + turn).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Some(Call::get(format!(
            "/api/v1/leads/{}",
            ids[(step >> 20) % ids.len()]
        )))
    });
    outcome.await?.whole()
}

/// The ratios of the phases here; those of the others are declared where they are measured.
fn declare(report: &mut Report) {
    for clients in CREATE_AT {
        let (ours, stock, p) = (
            create("ours", clients),
            create("stock", clients),
            create("P", clients),
        );
        let to_p = match clients {
            1 => 0.6,
            8 => 0.5,
            64 => 1.2,
            _ => 2.5,
        };
        let to_stock = match clients {
            1 | 8 => Bound::Must(1.0),
            64 => Bound::Must(3.0),
            _ => Bound::None,
        };
        report.compare(
            &format!("create c={clients}: ours / P"),
            &ours,
            &p,
            Bound::AtLeast(to_p),
        );
        report.compare(
            &format!("create c={clients}: ours / stock"),
            &ours,
            &stock,
            to_stock,
        );
        report.compare(
            &format!("create c={clients}: ours / {VIEW_ONLY}"),
            &ours,
            &create(VIEW_ONLY, clients),
            Bound::None,
        );
        report.compare(
            &format!("create c={clients}: stock / P"),
            &stock,
            &p,
            Bound::None,
        );
    }
    for clients in GET_AT {
        let bound = if clients == 64 {
            Bound::AtLeast(0.5)
        } else {
            Bound::None
        };
        let name = format!("get c={clients}: ours / pgbench -S");
        report.compare(
            &name,
            &get("ours", clients),
            &get("pgbench -S", clients),
            bound,
        );
    }
}

fn create(who: &str, clients: usize) -> String {
    format!("create c={clients} {who}")
}

fn get(who: &str, clients: usize) -> String {
    format!("get c={clients} {who}")
}

/// So that no contestant pays for the pages that another dirtied.
async fn checkpoint(postgres: &EmbeddedPostgres) -> Result<()> {
    let mut connection = PgConnection::connect_with(&postgres.connect_options("postgres")).await?;
    connection.execute("CHECKPOINT").await?;
    connection.close().await?;
    Ok(())
}
