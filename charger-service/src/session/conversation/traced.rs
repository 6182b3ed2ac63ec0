//! CALLs as spans, one for each, whichever side it comes from.

use ocpp::v1_6::Action;
use service_kit::trace::{self, Parent, Span, SpanKind};
use uuid::Uuid;

use super::Conversation;

impl Conversation {
    /// Of a CALL that came in. It begins a trace.
    pub(super) fn span_of_theirs(&self, action: &str) -> Span {
        // Names come from our own list, since a charge point can name an action anything.
        let action = Action::parse(action).map_or("unknown", Action::as_str);
        let name = || format!("CALL {action}").into();
        let span = self.state.tracer.begin(Parent::None, SpanKind::Server, name);
        self.told(span, action, "from_station")
    }

    /// Of a CALL of ours. It belongs to the trace of the request that asked for it, where that is known here.
    pub(super) fn span_of_ours(&self, command: Uuid, action: &str) -> Span {
        let name = || format!("CALL {action}").into();
        let span = match self.state.traced.take(command) {
            Some(place) => place.child(SpanKind::Client, name),
            None => self.state.tracer.begin(Parent::None, SpanKind::Client, name),
        };
        let mut span = self.told(span, action, "to_station");
        span.set("voltgate.command.id", || command.to_string());
        span
    }

    fn told(&self, mut span: Span, action: &str, direction: &'static str) -> Span {
        span.set("ocpp.action", || action.to_owned());
        span.set("ocpp.version", || self.station.version.to_string());
        span.set("ocpp.direction", || direction);
        span.set("voltgate.charge_point.identity", || self.station.identity.to_string());
        span
    }
}

/// Notes how the CALL that is being answered fares.
pub(super) fn answered(span: &mut Span, outcome: &'static str) {
    span.set("ocpp.outcome", || outcome);
}

/// For what goes on elsewhere, in a task of its own.
pub(super) fn going_on<F: Future>(work: F) -> impl Future<Output = F::Output> {
    trace::within(trace::current(), work)
}
