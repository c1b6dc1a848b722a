//! Updating leads with one event against leads with a thousand, also at first touch, when no cache can know the stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use leadledger::embedded::EmbeddedPostgres;

use crate::http::{self, Call, Load};
use crate::phases::{DATABASE, warm_up};
use crate::plan::{LONG_STREAM_EVENTS, LONG_STREAMS, Plan, UPDATE_AT};
use crate::report::{Bound, Report, Unit};
use crate::server::Server;

/// Requests in flight at first touch.
const FIRST_TOUCH_AT: usize = 8;
const PATIENCE: Duration = Duration::from_secs(90);
const NO_LIMIT: Duration = Duration::from_secs(600);

/// Leads, and how often each was updated: the next update goes to the other stage, so that each makes an event.
#[derive(Clone)]
struct Herd {
    ids: Arc<Vec<i64>>,
    turns: Arc<Vec<AtomicUsize>>,
    /// For leads that are taken one after the other by whoever comes.
    next: Arc<AtomicUsize>,
}

impl Herd {
    fn new(ids: &[i64]) -> Self {
        Self {
            ids: Arc::new(ids.to_vec()),
            turns: Arc::new(ids.iter().map(|_| AtomicUsize::new(0)).collect()),
            next: Arc::default(),
        }
    }

    fn update(&self, index: usize) -> Option<Call> {
        let turn = self.turns.get(index)?.fetch_add(1, Ordering::Relaxed);
        // A lead begins in stage 1.
        let stage = if turn % 2 == 0 { 2 } else { 1 };
        Some(Call {
            method: "PUT",
            path: format!("/api/v1/leads/{}", self.ids[index]),
            body: format!(r#"{{"stage_id":{stage}}}"#),
        })
    }

    fn update_next(&self) -> Option<Call> {
        let taken = self.next.fetch_add(1, Ordering::Relaxed);
        self.update(taken % self.ids.len())
    }
}

/// Takes the leads made so far; the server is started anew in each round.
pub async fn measure(
    plan: &Plan,
    postgres: &EmbeddedPostgres,
    mut server: Server,
    ids: Vec<i64>,
    report: &mut Report,
) -> Result<()> {
    declare(report);
    ensure!(ids.len() > 4 * LONG_STREAMS, "too few leads were created");
    let (long_ids, short_ids) = ids.split_at(LONG_STREAMS);
    let (long, short) = (Herd::new(long_ids), Herd::new(short_ids));
    // Anew, whatever became of it before.
    server.stop().await?;
    server = Server::start(postgres, DATABASE, &plan.dir).await?;
    lengthen(&server, &long).await?;

    for round in 0..plan.rounds {
        server.stop().await?;
        server = Server::start(postgres, DATABASE, &plan.dir).await?;
        warm_up(&server, short_ids, FIRST_TOUCH_AT).await?;
        for (name, herd) in in_turn(round, &short, &long) {
            let outcome = first_touch(&server, herd).await;
            report.attempt(&touch(name), Unit::Milliseconds, round, outcome);
        }
        for clients in UPDATE_AT {
            for (name, herd) in in_turn(round, &short, &long) {
                let outcome = steady(&server, herd, clients, plan.time, name == LONG).await;
                report.attempt(&update(name, clients), Unit::PerSecond, round, outcome);
            }
        }
    }
    server.stop().await
}

const SHORT: &str = "1 event";
const LONG: &str = "1000 events";

fn in_turn<'a>(round: usize, short: &'a Herd, long: &'a Herd) -> [(&'static str, &'a Herd); 2] {
    if round.is_multiple_of(2) {
        [(SHORT, short), (LONG, long)]
    } else {
        [(LONG, long), (SHORT, short)]
    }
}

/// Gives each lead its many events.
async fn lengthen(server: &Server, long: &Herd) -> Result<()> {
    let herd = long.clone();
    let load = load(LONG_STREAMS, PATIENCE);
    let outcome = http::run(&server.target, load, move |client, turn| {
        (turn + 1 < LONG_STREAM_EVENTS).then(|| herd.update(client))?
    });
    let made = outcome.await?.whole()?.latencies.len();
    let wanted = LONG_STREAMS * (LONG_STREAM_EVENTS - 1);
    ensure!(
        made == wanted,
        "of {wanted} events for long streams only {made} were made in {PATIENCE:?}"
    );
    Ok(())
}

/// The median time of an update of as many leads as there are long ones, each once.
async fn first_touch(server: &Server, herd: &Herd) -> Result<f64> {
    let herd = herd.clone();
    let load = load(FIRST_TOUCH_AT, NO_LIMIT);
    let outcome = http::run(&server.target, load, move |_, turn| {
        (turn < LONG_STREAMS / FIRST_TOUCH_AT).then(|| herd.update_next())?
    });
    outcome.await?.whole()?.p50()
}

/// Updates per second. Long streams are updated by one client each; short ones are taken once each, or they would not
/// stay short.
async fn steady(
    server: &Server,
    herd: &Herd,
    clients: usize,
    time: Duration,
    one_each: bool,
) -> Result<f64> {
    let herd = herd.clone();
    let outcome = http::run(&server.target, load(clients, time), move |client, turn| {
        if one_each {
            let share = herd.ids.len() / clients;
            herd.update(client * share + turn % share)
        } else {
            herd.update_next()
        }
    });
    Ok(outcome.await?.whole()?.rate)
}

fn load(clients: usize, time: Duration) -> Load {
    Load {
        clients,
        time,
        wanted: 200,
        keep_ids: false,
    }
}

fn declare(report: &mut Report) {
    for clients in UPDATE_AT {
        let name = format!("update c={clients}: {LONG} / {SHORT}");
        report.compare(
            &name,
            &update(LONG, clients),
            &update(SHORT, clients),
            Bound::AtLeast(0.9),
        );
    }
    let name = format!("update, first touch, time: {LONG} / {SHORT}");
    report.compare(&name, &touch(LONG), &touch(SHORT), Bound::AtMost(1.1));
}

fn update(what: &str, clients: usize) -> String {
    format!("update c={clients} {what}")
}

fn touch(what: &str) -> String {
    format!("update, first touch, {what}")
}
