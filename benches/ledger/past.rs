//! Lists and metrics of a past moment beside those of today: looking back must not cost more than three times as much.

use anyhow::{Context as _, Result, ensure};
use leadledger::embedded::EmbeddedPostgres;

use crate::http::{self, Call, Load};
use crate::plan::{FEW_LEADS, Plan};
use crate::report::{Bound, Report, Unit};
use crate::seed;
use crate::server::Server;

/// One in so many leads changes after the moment.
const CHANGED: u64 = 5;
/// Requests in flight that change them.
const CLIENTS: usize = 16;
const LISTS: [(&str, &str); 6] = [
    ("page", ""),
    ("by name", "?sort=full_name"),
    ("in a stage", "?stage_id=1"),
    ("unassigned", "/unassigned"),
    ("duplicates", "/duplicates"),
    ("metrics", "/metrics"),
];

/// Fills a ledger, changes a part of it, and asks for half of its life ago and for today in turn.
pub async fn measure(plan: &Plan, postgres: &EmbeddedPostgres, report: &mut Report) -> Result<()> {
    let server = Server::start(postgres, "past", &plan.dir).await?;
    let company = server.company;
    server.stop().await?;
    seed::import(postgres, "past", company, FEW_LEADS, &plan.dir).await?;
    let server = Server::start(postgres, "past", &plan.dir).await?;
    change(&server, plan).await?;
    let leads = format!("/api/v1/companies/{company}/leads");
    let moment = middle(&server, &leads).await?;
    for (list, _) in LISTS {
        let name = format!("{list}, time: half its life ago / today");
        report.compare(
            &name,
            &figure(list, true),
            &figure(list, false),
            Bound::AtMost(3.0),
        );
    }
    for round in 0..plan.rounds {
        for (list, query) in LISTS {
            let today = format!("{leads}{query}");
            let joined = if query.contains('?') { '&' } else { '?' };
            let past = format!("{today}{joined}as_of={moment}");
            for (path, is_past) in [(today, false), (past, true)] {
                let outcome = ask(&server, plan, path).await;
                report.attempt(&figure(list, is_past), Unit::Milliseconds, round, outcome);
            }
        }
    }
    server.stop().await
}

/// Moves every fifth lead to another stage, one request a lead.
async fn change(server: &Server, plan: &Plan) -> Result<()> {
    let pace = Load {
        clients: CLIENTS,
        time: plan.time,
        wanted: 200,
        keep_ids: false,
    };
    let changed = http::run(&server.target, pace, |client, turn| {
        let lead = u64::try_from(client + turn * CLIENTS).ok()? * CHANGED + 1;
        (lead <= FEW_LEADS).then(|| Call {
            method: "PUT",
            path: format!("/api/v1/leads/{lead}"),
            body: serde_json::json!({"stage_id": 2 + lead % 4}).to_string(),
        })
    });
    changed.await?.whole()?;
    Ok(())
}

/// The instant at which the lead in the middle of the list came.
async fn middle(server: &Server, leads: &str) -> Result<String> {
    let path = format!("{leads}?sort=created_at&per_page=1&page={}", FEW_LEADS / 2);
    let (status, page) = server.get(&path).await?;
    ensure!(status == 200, "{path}: {status} {page}");
    let instant = page["leads"][0]["created_at"].as_str();
    Ok(instant
        .with_context(|| format!("{path}: {page}"))?
        .to_owned())
}

/// The median of one request at a time.
async fn ask(server: &Server, plan: &Plan, path: String) -> Result<f64> {
    let load = Load {
        clients: 1,
        time: plan.list_time(),
        wanted: 200,
        keep_ids: false,
    };
    let outcome = http::run(&server.target, load, move |_, _| {
        Some(Call::get(path.clone()))
    });
    outcome.await?.whole()?.p50()
}

fn figure(list: &str, is_past: bool) -> String {
    let when = if is_past {
        "half its life ago"
    } else {
        "today"
    };
    format!("{list} {when}")
}
