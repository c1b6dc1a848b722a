//! What the process tells its operator: the log, on standard error so that standard output stays for results, and the
//! metrics. No personal data goes into either, ever.

use std::any::Any;
use std::panic::PanicHookInfo;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Seconds, from a cached read to a request that gives up.
const DURATION_BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Starts the log, and makes panics part of it. `filter` is as of `tracing_subscriber::EnvFilter`, for example
/// `info,leadledger::access=off`.
///
/// # Errors
/// The filter is not one, or the process has a log already.
pub fn install_log(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("log filter `{filter}`"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Installs the process's Prometheus recorder. It opens no listener; render its handle at `/metrics`, and let
/// [`keep_metrics_small`] run beside.
///
/// # Errors
/// The process has a recorder already.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).context("cannot install the metrics recorder")?;
    Ok(handle)
}

/// A recorder of its own, for a test that reads what it counted.
///
/// # Errors
/// None in practice: the buckets are a constant.
pub fn recorder() -> anyhow::Result<PrometheusRecorder> {
    let durations = Matcher::Suffix("_duration_seconds".to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(durations, &DURATION_BUCKETS)
        .context("duration buckets")?;
    Ok(builder.build_recorder())
}

/// Folds recorded durations into their buckets every five seconds, for ever. Without it, a server whose metrics
/// nobody reads would keep every single duration in memory.
pub async fn keep_metrics_small(handle: PrometheusHandle) {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    loop {
        tick.tick().await;
        handle.run_upkeep();
    }
}

/// The place of a panic always; its message only if it is a literal, since a formatted one may quote personal data.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let message = literal(info.payload());
    tracing::error!(target: "leadledger::fault", place, message, "panic");
}

fn literal(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(a formatted message, withheld)")
}
