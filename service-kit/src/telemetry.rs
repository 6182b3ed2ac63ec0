//! Logs, metrics and traces of a process.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::Subscriber;
use tracing_subscriber::filter::{Directive, ParseError};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, registry};

use crate::log::{self, Json, LastLines, Lines, Redacting};
use crate::settings::{LogFormat, ProcessSettings};
use crate::start::StartError;
use crate::trace::{self, Statements};

/// Upper bounds of the buckets of every histogram, in seconds.
const LATENCY_BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];

/// What is never logged, whatever the filter says: lapin shows returned messages with their bodies, which can hold mail
/// addresses, and PostgreSQL's notices only repeat what a migration does.
const QUIET: [&str; 2] = ["lapin::returned_messages=off", "sqlx::postgres::notice=warn"];

/// Starts logging and collecting metrics, and exporting traces where that is set up. To be called once, first thing in a process,
/// inside the runtime. What is returned beside the metrics is held until the process ends.
///
/// # Errors
/// A setting cannot be used, or it was called twice.
pub fn init(settings: &ProcessSettings) -> Result<(PrometheusHandle, LastLines), StartError> {
    let filter = QUIET.iter().try_fold(
        EnvFilter::try_new(&settings.log_filter)
            .map_err(|error| StartError::setting("LOG_FILTER", error.to_string()))?,
        |filter, directive| Ok::<_, StartError>(filter.add_directive(parse(directive)?)),
    )?;
    let (format, out) = (settings.log_format, Lines::of_process()?);
    // A filter of its own costs each line a little, so lines have one only where statements are looked at as well.
    if trace::start(&settings.trace)? {
        let lines = lines(format, out).with_filter(filter);
        registry().with(lines).with(Statements::layer()).try_init()
    } else {
        registry().with(filter).with(lines(format, out)).try_init()
    }
    .map_err(|error| StartError::other("cannot start logging", error))?;
    let last_lines = LastLines;
    let metrics = PrometheusBuilder::new()
        .set_buckets(&LATENCY_BUCKETS)
        .map_err(|error| StartError::other("cannot set histogram buckets", error))?
        .install_recorder()
        .map_err(|error| StartError::other("cannot start collecting metrics", error))?;
    log::announce();
    Ok((metrics, last_lines))
}

/// Log lines on standard error.
fn lines<S>(format: LogFormat, out: Lines) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(Redacting(out));
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.fmt_fields(JsonFields::new()).event_format(Json).boxed(),
    }
}

fn parse(directive: &str) -> Result<Directive, StartError> {
    directive
        .parse()
        .map_err(|error: ParseError| StartError::other("cannot read a log directive", error))
}
