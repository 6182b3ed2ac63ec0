//! What can be seen of every request from outside: one log line, the usual three metrics (rate, errors, duration), and its span.
//!
//! All name the route, not the path: labels stay few, and what stands in a path can be personal. Headers, queries and bodies are
//! told of by their size at the most.

mod body;
mod exchange;
mod notes;
mod traces;

use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header;

use crate::gateway::Gateway;
use crate::problem::Failed;
use crate::routes::{Endpoint, Rpc};
use crate::upstream::Upstreams;

pub use notes::{account, answered, replica};
pub use traces::TraceParents;

use body::{Answer, Counted};
use exchange::Exchange;

/// Left in the extensions of a response: what was asked for.
#[derive(Clone, Debug)]
pub enum Route {
    Rest(Arc<Endpoint>),
    Grpc(Arc<Rpc>),
}

impl Route {
    fn label(&self) -> &str {
        match self {
            Self::Rest(endpoint) => &endpoint.label,
            Self::Grpc(rpc) => rpc.path.as_str(),
        }
    }
}

/// Logs, measures and traces.
pub async fn observe(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let own_path = own_path(request.uri().path());
    let mut span = traces::begin(&gateway, &request, own_path);
    let mut exchange = Exchange::begin(&gateway, &request, &span);
    let notes = exchange.notes();
    let request = match request.headers().contains_key(header::CONTENT_LENGTH) || request.body().is_end_stream() {
        true => request,
        // How much comes in is known when it is in.
        false => request.map(|body| Counted::around(body, Arc::clone(&notes))),
    };
    let response = span.scope(notes::keep(notes, next.run(request))).await;

    let route = response.extensions().get::<Route>().map(Route::label);
    let route = route.or(own_path).unwrap_or("none");
    let reason = response.extensions().get::<Failed>().map(|failed| failed.0.as_str());
    exchange.begins_answer(route, response.status(), reason, response.headers());
    traces::end(&mut span, &exchange, reason);
    match response.body().size_hint().exact() {
        Some(bytes) => {
            exchange.ends_answer(bytes);
            response
        }
        // The line is written when the last of it has gone.
        None => response.map(|body| Answer::around(body, exchange)),
    }
}

/// Has counters begin with 0, so that their first rise is seen as one.
pub fn announce(upstreams: &Upstreams) {
    metrics::gauge!("voltgate_gateway_requests_in_flight").increment(0.0);
    metrics::gauge!("voltgate_gateway_sockets_open").increment(0.0);
    metrics::gauge!("voltgate_gateway_streams_open").increment(0.0);
    metrics::counter!("voltgate_gateway_sessions_resumed_total").increment(0);
    for direction in ["from_station", "to_station"] {
        metrics::counter!("voltgate_gateway_frames_total", "direction" => direction).increment(0);
    }
    for upstream in upstreams.iter() {
        for name in [
            "voltgate_gateway_retries_total",
            "voltgate_gateway_shed_total",
            "voltgate_gateway_ejections_total",
        ] {
            metrics::counter!(name, "upstream" => upstream.name().to_owned()).increment(0);
        }
    }
}

/// The label of the gateway's own paths.
fn own_path(path: &str) -> Option<&'static str> {
    match path {
        "/health" => Some("/health"),
        "/livez" => Some("/livez"),
        "/readyz" => Some("/readyz"),
        "/openapi.json" => Some("/openapi.json"),
        _ if path == "/docs" || path.starts_with("/docs/") => Some("/docs"),
        _ => None,
    }
}
