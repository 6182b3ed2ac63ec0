//! Logs and metrics of a process.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, ParseError};

use crate::settings::{LogFormat, ProcessSettings};
use crate::start::StartError;

/// Upper bounds of the buckets of every histogram, in seconds.
const LATENCY_BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];

/// What is never logged, whatever the filter says: lapin shows returned messages with their bodies, which can hold mail
/// addresses, and PostgreSQL's notices only repeat what a migration does.
const QUIET: [&str; 2] = ["lapin::returned_messages=off", "sqlx::postgres::notice=warn"];

/// Starts logging and collecting metrics. To be called once, first thing in a process.
///
/// # Errors
/// `LOG_FILTER` cannot be read, or it was called twice.
pub fn init(settings: &ProcessSettings) -> Result<PrometheusHandle, StartError> {
    let filter = QUIET.iter().try_fold(
        EnvFilter::try_new(&settings.log_filter)
            .map_err(|error| StartError::setting("LOG_FILTER", error.to_string()))?,
        |filter, directive| Ok::<_, StartError>(filter.add_directive(parse(directive)?)),
    )?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|error| StartError::other("cannot start logging", error))?;
    PrometheusBuilder::new()
        .set_buckets(&LATENCY_BUCKETS)
        .map_err(|error| StartError::other("cannot set histogram buckets", error))?
        .install_recorder()
        .map_err(|error| StartError::other("cannot start collecting metrics", error))
}

fn parse(directive: &str) -> Result<Directive, StartError> {
    directive
        .parse()
        .map_err(|error: ParseError| StartError::other("cannot read a log directive", error))
}
