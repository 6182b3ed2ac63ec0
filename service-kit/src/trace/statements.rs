//! Statements as spans. sqlx tells of each when it is done; here that becomes a span below the one that the task works for.
//!
//! The text of a statement is one of the program's own, with `$1` where a value goes; the values are not told. Nothing is told, and
//! sqlx formats nothing, where the trace at hand is not recorded.

use std::fmt;
use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanBuilder, SpanKind};
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, dynamic_filter_fn};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::span;

/// Where sqlx tells of statements.
const TARGET: &str = "sqlx::query";

/// Longer ones are cut: the first words tell which it is.
const LONGEST: usize = 2000;

/// Turns what sqlx tells into spans.
#[derive(Debug)]
pub struct Statements;

impl Statements {
    /// With the filter that keeps everything else away, and statements that nobody wants to see.
    pub fn layer<S>() -> impl Layer<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let is_wanted =
            |metadata: &Metadata<'_>, _: &Context<'_, S>| metadata.target() == TARGET && span::is_recorded();
        let filter = dynamic_filter_fn(is_wanted)
            .with_callsite_filter(|metadata: &'static Metadata<'static>| match metadata.target() {
                TARGET => Interest::sometimes(),
                _ => Interest::never(),
            })
            .with_max_level_hint(LevelFilter::DEBUG);
        Self.with_filter(filter)
    }
}

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut told = Told::default();
        event.record(&mut told);
        let ended = SystemTime::now();
        let began = ended.checked_sub(told.elapsed).unwrap_or(ended);
        let text = told.text();
        let mut attributes = vec![KeyValue::new("db.system.name", "postgresql")];
        if let Some(verb) = text.split_whitespace().next() {
            attributes.push(KeyValue::new("db.operation.name", verb.to_ascii_uppercase()));
        }
        attributes.push(KeyValue::new("db.response.returned_rows", told.returned));
        attributes.push(KeyValue::new("voltgate.db.affected_rows", told.affected));
        let name = told.summary.clone();
        attributes.push(KeyValue::new("db.query.text", text));
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Client)
            .with_start_time(began)
            .with_attributes(attributes);
        span::with_current(|place| place.past(builder, ended));
    }
}

#[derive(Debug, Default)]
struct Told {
    summary: String,
    /// Empty where the summary is all of it.
    statement: String,
    returned: i64,
    affected: i64,
    elapsed: Duration,
}

impl Told {
    fn text(&self) -> String {
        let whole = if self.statement.is_empty() {
            &self.summary
        } else {
            &self.statement
        };
        let words: Vec<_> = whole.split_whitespace().collect();
        words.join(" ").chars().take(LONGEST).collect()
    }
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.trim().clone_into(&mut self.statement),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        match field.name() {
            "rows_returned" => self.returned = value,
            "rows_affected" => self.affected = value,
            _ => {}
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.elapsed = Duration::try_from_secs_f64(value).unwrap_or_default();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
