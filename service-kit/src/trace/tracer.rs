//! Who records: one tracer for each service, so that a process with several says whose each span is.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanKind, TraceContextExt as _, TraceFlags, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry_sdk::trace::{self as sdk, SdkTracer, SdkTracerProvider};
use rand::RngExt as _;

use super::context::Context;
use super::export;
use super::span::Span;

/// Begins spans of one service. Off where traces are not exported.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Recorder>);

#[derive(Clone)]
pub(super) struct Recorder(Arc<Recording>);

struct Recording {
    tracer: SdkTracer,
    share: Share,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Recorder")
    }
}

/// The part of traces that is recorded, of those that begin here: from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Share {
    pub const ALL: Self = Self(1.0);

    fn falls(self) -> bool {
        // Neither end is left to chance.
        self.0 >= 1.0 || (self.0 > 0.0 && rand::rng().random::<f64>() < self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 0 to 1")]
pub struct NoShare;

impl FromStr for Share {
    type Err = NoShare;

    fn from_str(text: &str) -> Result<Self, NoShare> {
        let share = text.parse().map_err(|_| NoShare)?;
        (0.0..=1.0).contains(&share).then_some(Self(share)).ok_or(NoShare)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of the trace that a request may belong to.
#[derive(Clone, Debug)]
pub enum Parent {
    /// A trace begins.
    None,
    /// One of ours, or a proxy of ours, says so, and whether it is recorded.
    Ours(Context),
    /// Somebody says so. The trace is gone on with, but whether it is recorded is for us to decide: it costs us.
    Stranger(Context),
}

impl Parent {
    /// A caller's word that is believed.
    pub fn believed(context: Option<Context>) -> Self {
        context.map_or(Self::None, Self::Ours)
    }
}

impl Tracer {
    /// The tracer of `service`, as the settings of the process have it.
    pub fn of(service: &'static str) -> Self {
        Self(export::provider(service).map(|(provider, share)| Recorder::new(&provider, share)))
    }

    /// One that records where `provider` says.
    pub fn recording(provider: &SdkTracerProvider, share: Share) -> Self {
        Self(Some(Recorder::new(provider, share)))
    }

    /// Begins work for a request, or for something that happens of itself. Decides whether it is recorded.
    pub fn begin(&self, parent: Parent, kind: SpanKind, name: impl FnOnce() -> Cow<'static, str>) -> Span {
        let recorder = self.0.as_ref();
        let (parent, is_recorded) = match parent {
            Parent::None => (None, recorder.is_some_and(|recorder| recorder.0.share.falls())),
            Parent::Ours(context) => {
                let is_recorded = context.sampled && recorder.is_some();
                (Some(context), is_recorded)
            }
            Parent::Stranger(context) => {
                let is_recorded = recorder.is_some_and(|recorder| recorder.0.share.falls());
                let context = Context {
                    sampled: is_recorded,
                    ..context
                };
                (Some(context), is_recorded)
            }
        };
        match recorder {
            Some(recorder) if is_recorded => {
                let builder = SpanBuilder::from_name(name()).with_kind(kind);
                Span::recorded(recorder, builder, parent.as_ref())
            }
            // Who is called next is the child of whoever called us: there is nothing of ours between that could be found.
            _ => Span::unrecorded(parent.unwrap_or_else(Context::begin)),
        }
    }

    /// The same for what nobody looks at, such as the questions of a load balancer: it is never recorded.
    pub fn pass(parent: Parent) -> Span {
        Self::default().begin(parent, SpanKind::Server, || Cow::Borrowed(""))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }
}

impl Recorder {
    fn new(provider: &SdkTracerProvider, share: Share) -> Self {
        Self(Arc::new(Recording {
            tracer: provider.tracer("voltgate"),
            share,
        }))
    }

    pub(super) fn start(&self, builder: SpanBuilder, parent: Option<&Context>) -> sdk::Span {
        let around = match parent {
            None => opentelemetry::Context::new(),
            Some(parent) => {
                let state = parent.state.as_ref().and_then(|state| state.to_str().ok());
                let state = state.and_then(|state| TraceState::from_str(state).ok());
                opentelemetry::Context::new().with_remote_span_context(SpanContext::new(
                    parent.trace_id,
                    parent.span_id,
                    TraceFlags::SAMPLED,
                    true,
                    state.unwrap_or_default(),
                ))
            }
        };
        self.0.tracer.build_with_context(builder, &around)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tracer(share: Share) -> Tracer {
        Tracer::recording(&SdkTracerProvider::builder().build(), share)
    }

    fn begun(tracer: &Tracer, parent: Parent) -> Span {
        tracer.begin(parent, SpanKind::Server, || "test".into())
    }

    fn said(sampled: bool) -> Context {
        Context {
            sampled,
            ..Context::begin()
        }
    }

    #[test]
    fn a_stranger_names_the_trace_and_does_not_decide_that_it_is_recorded() {
        let context = said(true);
        let span = begun(&tracer(Share(0.0)), Parent::Stranger(context.clone()));
        assert!(!span.is_recorded());
        let passed_on = span.context().unwrap();
        assert_eq!(passed_on.trace_id, context.trace_id);
        assert!(!passed_on.sampled);

        let span = begun(&tracer(Share::ALL), Parent::Stranger(said(false)));
        assert!(span.is_recorded() && span.context().unwrap().sampled);
    }

    #[test]
    fn one_of_ours_decides_for_all_that_come_after() {
        for (share, sampled) in [(Share(0.0), true), (Share::ALL, false)] {
            let context = said(sampled);
            let span = begun(&tracer(share), Parent::Ours(context.clone()));
            assert_eq!(span.is_recorded(), sampled);
            assert_eq!(span.context().unwrap().trace_id, context.trace_id);
            assert_eq!(span.context().unwrap().span_id == context.span_id, !sampled);
        }
    }

    #[test]
    fn where_nothing_is_exported_what_comes_in_goes_on_as_it_is() {
        let context = said(true);
        let span = begun(&Tracer::default(), Parent::Ours(context.clone()));
        assert_eq!((span.is_recorded(), span.context()), (false, Some(&context)));
        let begun = begun(&Tracer::default(), Parent::None);
        assert!(!begun.is_recorded() && !begun.context().unwrap().sampled);
    }

    #[test]
    fn about_as_many_traces_are_recorded_as_the_share_says() {
        let tracer = tracer("0.25".parse().unwrap());
        let recorded = (0..4000).filter(|_| begun(&tracer, Parent::None).is_recorded()).count();
        assert!((850..1150).contains(&recorded), "{recorded}");
    }

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        assert_eq!("1".parse(), Ok(Share::ALL));
        for wrong in ["", "-0.1", "1.01", "NaN", "half", "inf"] {
            assert_eq!(wrong.parse::<Share>(), Err(NoShare), "{wrong}");
        }
    }
}
