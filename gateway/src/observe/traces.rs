//! The span of a request at the door, and whose word about traces counts.

use axum::extract::Request;
use clap::ValueEnum;
use service_kit::trace::{Context, Parent, Span, SpanKind, Tracer};
use tonic::Code;

use super::codes::code_name;
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
pub fn begin(gateway: &Gateway, request: &Request, is_own_path: bool) -> Span {
    let parent = parent(gateway, request);
    if is_own_path {
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

/// How a request went, for its span.
pub struct Outcome<'a> {
    pub method: &'static str,
    pub route: &'a str,
    pub status: u16,
    pub reason: Option<&'static str>,
    /// Of a call.
    pub code: Option<Code>,
    /// This side is at fault.
    pub is_failure: bool,
}

/// Ends it. What it says is by OpenTelemetry's names: neither the path nor the query, nor who asked.
pub fn end(mut span: Span, outcome: &Outcome<'_>) {
    if !span.is_recorded() {
        return;
    }
    let &Outcome {
        method,
        route,
        status,
        reason,
        code,
        is_failure,
    } = outcome;
    span.rename(|| format!("{method} {route}").into());
    span.set("http.request.method", || method);
    span.set("http.route", || route.to_owned());
    span.set("http.response.status_code", || i64::from(status));
    if let Some(code) = code {
        span.set("rpc.response.status_code", || code_name(code));
    }
    let kind = reason.or(code.filter(|code| *code != Code::Ok).map(code_name));
    if is_failure {
        span.fail(kind.unwrap_or("error"));
    } else if let Some(kind) = kind {
        span.set("error.type", || kind);
    }
}
