//! What to measure and for how long: fixed, but for a few variables that shorten a run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Requests in flight when creating leads.
pub const CREATE_AT: [usize; 4] = [1, 8, 64, 256];
/// Requests in flight when reading one lead.
pub const GET_AT: [usize; 3] = [1, 8, 64];
/// Requests in flight when updating.
pub const UPDATE_AT: [usize; 2] = [8, 64];
/// Leads with a long stream, and the events in each.
pub const LONG_STREAMS: usize = 64;
pub const LONG_STREAM_EVENTS: usize = 1_000;
/// The small list, and the large one unless `BENCH_LEADS` says otherwise.
pub const FEW_LEADS: u64 = 10_000;
const MANY_LEADS: u64 = 1_000_000;
const IMPORT_ROWS: u64 = 100_000;

/// One run.
pub struct Plan {
    /// `BENCH_ROUNDS`.
    pub rounds: usize,
    /// `BENCH_SECONDS`: the length of one measurement.
    pub time: Duration,
    /// `BENCH_LEADS`: leads of the large list; 0 leaves the lists out.
    pub many_leads: u64,
    /// `BENCH_IMPORT_ROWS`: rows of an imported file; 0 leaves imports out.
    pub import_rows: u64,
    /// `BENCH_ONLY`, `imports` or `past`: nothing else.
    pub only: Option<String>,
    /// `target/bench`.
    pub dir: PathBuf,
}

impl Plan {
    /// Reads the variables.
    pub fn from_environment() -> Result<Self> {
        let target = Path::new(env!("CARGO_BIN_EXE_leadledger"))
            .ancestors()
            .nth(2)
            .context("the program lies in no target directory")?;
        Ok(Self {
            rounds: usize::try_from(variable("BENCH_ROUNDS", 3)?)?.max(1),
            time: Duration::from_secs(variable("BENCH_SECONDS", 4)?.max(1)),
            many_leads: variable("BENCH_LEADS", MANY_LEADS)?,
            import_rows: variable("BENCH_IMPORT_ROWS", IMPORT_ROWS)?,
            only: std::env::var("BENCH_ONLY").ok(),
            dir: target.join("bench"),
        })
    }

    /// A list is asked one request at a time, which gives a steady median sooner.
    pub fn list_time(&self) -> Duration {
        self.time.min(Duration::from_millis(1_500))
    }
}

fn variable(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text
            .replace('_', "")
            .parse()
            .with_context(|| format!("{name}={text} is not a number")),
        Err(_) => Ok(default),
    }
}
