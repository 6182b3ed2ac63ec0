//! The span of a request at the door, and whose word about traces counts.

use axum::extract::Request;
use clap::ValueEnum;
use service_kit::trace::{Context, Parent, Span, SpanKind, Tracer};

use super::exchange::Exchange;
use crate::gateway::Gateway;
use crate::request_id::RequestId;
use crate::server::Peer;

/// Whose traces are gone on with. A trace's name is harmless, whoever invents it; that it is recorded costs something, and there a
/// stranger's word never counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum TraceParents {
    Anyone,
    /// Trusted proxies.
    Proxies,
    Nobody,
}

/// Begins the span of a request. What the gateway answers about itself is asked all day by load balancers, and never recorded.
pub fn begin(gateway: &Gateway, request: &Request, own_path: Option<&str>) -> Span {
    let parent = parent(gateway, request);
    if own_path.is_some() {
        return Tracer::pass(parent);
    }
    let mut span = gateway.tracer.begin(parent, SpanKind::Server, || "HTTP".into());
    span.set("url.scheme", || {
        let is_tls = request
            .extensions()
            .get::<Peer>()
            .is_some_and(|peer| peer.tls.is_some());
        if is_tls { "https" } else { "http" }
    });
    span.of_request(request.extensions().get::<RequestId>().map(RequestId::header))
}

fn parent(gateway: &Gateway, request: &Request) -> Parent {
    let Some(context) = Context::read(request.headers()) else {
        return Parent::None;
    };
    let peer = request.extensions().get::<Peer>();
    let from_proxy = peer.is_some_and(|peer| gateway.trusted_proxies.contains(peer.address.ip().to_canonical()));
    match gateway.trace_parents {
        TraceParents::Anyone | TraceParents::Proxies if from_proxy => Parent::Ours(context),
        TraceParents::Anyone => Parent::Stranger(context),
        TraceParents::Proxies | TraceParents::Nobody => Parent::None,
    }
}

/// What the span says, by OpenTelemetry's names. Neither the path nor the query, nor who asked.
pub fn end(span: &mut Span, exchange: &Exchange, reason: Option<&'static str>) {
    if !span.is_recorded() {
        return;
    }
    let (method, route, status) = (exchange.method(), exchange.route(), exchange.status());
    span.rename(|| format!("{method} {route}").into());
    span.set("http.request.method", || method);
    span.set("http.route", || route.to_owned());
    span.set("http.response.status_code", || i64::from(status));
    if status >= 500 {
        span.fail(reason.unwrap_or("error"));
    } else if let Some(reason) = reason {
        span.set("error.type", || reason);
    }
}
