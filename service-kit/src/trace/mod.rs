//! Traces: how one request is followed through every process that works for it, down to its statements in the database.
//!
//! A request's place in its trace ([`Context`]) is carried along whether traces are exported or not: it names the request in log
//! lines, and costs no more than writing it into the next call's metadata. A [`Span`] that is recorded exists only where this
//! trace is exported, which is decided once, where the trace begins (docs/adr/0014-what-is-traced.md). So where export is off, or the dice fell
//! otherwise, nothing is measured, formatted or queued.
//!
//! What a span says stands in other people's systems, so it never holds a secret, nor what a request or a statement was given.

mod context;
mod export;
mod layer;
mod span;
mod statements;
mod tracer;

pub use context::{Context, TRACEPARENT, TRACESTATE};
pub use export::{TraceSettings, flush, start};
pub use layer::TraceLayer;
pub use opentelemetry::trace::SpanKind;
pub(crate) use span::with_current;
pub use span::{Place, Span, child, current, is_recorded, say, within};
pub use statements::Statements;
pub use tracer::{Parent, Share, Tracer};
