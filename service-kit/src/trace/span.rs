//! Spans, and the one that the task at hand works for.

use std::borrow::Cow;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace as sdk;

use super::context::{Context, TRACEPARENT, TRACESTATE};
use super::tracer::Recorder;

tokio::task_local! {
    static PLACE: Place;
}

/// What a task works for.
#[derive(Clone, Debug)]
pub struct Place {
    pub context: Context,
    /// The request's name, where it has one.
    pub request: Option<HeaderValue>,
    /// Only where this trace is recorded.
    recorder: Option<Recorder>,
}

impl Place {
    /// Says to whoever is called where in the trace the call is.
    pub fn write(&self, headers: &mut HeaderMap) {
        self.context.write(headers);
    }
}

/// Something that is done for a request. It ends when it is dropped.
///
/// One that is not recorded holds next to nothing, and whatever it is told is for nobody.
#[derive(Debug)]
#[must_use]
pub struct Span {
    /// Nothing where it is the same as around it.
    place: Option<Place>,
    recorded: Option<sdk::Span>,
}

impl Span {
    pub(super) fn unrecorded(context: Context) -> Self {
        let place = Place {
            context,
            request: None,
            recorder: None,
        };
        Self {
            place: Some(place),
            recorded: None,
        }
    }

    pub(super) fn recorded(recorder: &Recorder, builder: SpanBuilder, parent: Option<&Context>) -> Self {
        let span = recorder.start(builder, parent);
        let place = Place {
            context: Context {
                trace_id: span.span_context().trace_id(),
                span_id: span.span_context().span_id(),
                sampled: true,
                state: parent.and_then(|parent| parent.state.clone()),
            },
            request: None,
            recorder: Some(recorder.clone()),
        };
        Self {
            place: Some(place),
            recorded: Some(span),
        }
    }

    /// The same for the request of this name, which log lines and its calls tell.
    pub fn of_request(mut self, request: Option<HeaderValue>) -> Self {
        if let Some(request) = &request {
            self.set("voltgate.request.id", || {
                request.to_str().unwrap_or_default().to_owned()
            });
        }
        if let Some(place) = &mut self.place {
            place.request = request;
        }
        self
    }

    pub fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// What work for it works for; nothing where that is the same as around it.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// What it is known by; nothing where nobody asks, because it is not recorded and the same as around it.
    pub fn context(&self) -> Option<&Context> {
        self.place.as_ref().map(|place| &place.context)
    }

    /// `value` is asked for where it is recorded only.
    pub fn set<V: Into<Value>>(&mut self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(span) = &mut self.recorded {
            span.set_attribute(KeyValue::new(key, value()));
        }
    }

    /// For what is known late, as the route of a request.
    pub fn rename(&mut self, name: impl FnOnce() -> Cow<'static, str>) {
        if let Some(span) = &mut self.recorded {
            span.update_name(name());
        }
    }

    /// It failed, and this side is at fault.
    pub fn fail(&mut self, kind: impl Into<Cow<'static, str>>) {
        if let Some(span) = &mut self.recorded {
            let kind = kind.into();
            span.set_attribute(KeyValue::new("error.type", kind.clone()));
            span.set_status(Status::error(kind));
        }
    }

    /// Works for it.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        within(self.place.clone(), work)
    }
}

/// Works for a place that was left before, as [`current`] told it.
pub async fn within<F: Future>(place: Option<Place>, work: F) -> F::Output {
    match place {
        Some(place) => PLACE.scope(place, work).await,
        None => work.await,
    }
}

impl Place {
    /// For what is polled by somebody else's task, such as the body of an answer.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        PLACE.sync_scope(self.clone(), work)
    }

    /// A span below it.
    pub fn child(&self, kind: SpanKind, name: impl FnOnce() -> Cow<'static, str>) -> Span {
        let Some(recorder) = &self.recorder else {
            return Span {
                place: None,
                recorded: None,
            };
        };
        let builder = SpanBuilder::from_name(name()).with_kind(kind);
        let mut span = Span::recorded(recorder, builder, Some(&self.context));
        if let Some(place) = &mut span.place {
            place.request.clone_from(&self.request);
        }
        span
    }

    /// One that has ended already.
    pub(super) fn past(&self, builder: SpanBuilder, ended: SystemTime) {
        if let Some(recorder) = &self.recorder {
            let mut span = recorder.start(builder, Some(&self.context));
            span.end_with_timestamp(ended);
        }
    }

    pub fn is_recorded(&self) -> bool {
        self.recorder.is_some()
    }
}

/// What the task at hand works for, where that is known.
pub fn current() -> Option<Place> {
    PLACE.try_with(Clone::clone).ok()
}

/// Looks at it without taking it along.
pub(crate) fn with_current<T>(look: impl FnOnce(&Place) -> T) -> Option<T> {
    PLACE.try_with(look).ok()
}

/// Whether the task at hand works for a trace that is recorded.
pub fn is_recorded() -> bool {
    PLACE.try_with(Place::is_recorded).unwrap_or(false)
}

/// A span below the one that the task at hand works for; where that is not recorded, neither is this.
pub fn child(kind: SpanKind, name: impl FnOnce() -> Cow<'static, str>) -> Span {
    let nothing = Span {
        place: None,
        recorded: None,
    };
    with_current(|place| place.is_recorded().then(|| place.child(kind, name)))
        .flatten()
        .unwrap_or(nothing)
}

/// Says in the metadata of a call that goes out where in which trace it is. What stands there already is a stranger's.
pub fn say(headers: &mut HeaderMap) {
    let said = with_current(|place| {
        place.write(headers);
    });
    if said.is_none() {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
    }
}
