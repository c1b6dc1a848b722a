//! Logs to standard error, and metrics in memory for `/metrics`. Standard output is for results and the banner. No
//! personal data goes into either, ever.

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Settings};

/// Starts logging as the settings say, panics included.
///
/// # Errors
/// When the filter cannot be read.
pub fn start_logging(settings: &Settings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match settings.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging could not start: {error}"))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Records metrics from now on; the handle renders them. No listener is opened.
///
/// # Errors
/// When a recorder runs already.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    Ok(handle)
}

/// A recorder of its own, for a test that reads what it counted.
///
/// # Errors
/// None in practice: the buckets are a constant.
pub fn recorder() -> anyhow::Result<PrometheusRecorder> {
    let buckets = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ];
    Ok(PrometheusBuilder::new()
        .set_buckets(&buckets)?
        .build_recorder())
}

/// The place of a panic always; its message only if it is a literal, since a formatted one may quote personal data.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let literal = info.payload().downcast_ref::<&'static str>().copied();
    let message = literal.unwrap_or("(a formatted message, withheld)");
    tracing::error!(target: "leadledger::fault", place, message, "panic");
}
