//! One log line and the usual three metrics (rate, errors, duration) for every request.
//!
//! Both name the route, not the path: labels stay few, and what stands in a path can be personal. Headers, queries and
//! bodies are never logged.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::client::Client;
use crate::gateway::Gateway;
use crate::problem::Failed;
use crate::request_id::RequestId;
use crate::routes::{Endpoint, Rpc};

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

/// Logs and measures.
pub async fn observe(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let in_flight = metrics::gauge!("voltgate_gateway_requests_in_flight");
    let method = method_label(request.method());
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let client = request
        .extensions()
        .get::<Client>()
        .map(|client| client.address.to_string());
    let own_path = own_path(request.uri().path());
    in_flight.increment(1.0);
    let response = next.run(request).await;
    in_flight.decrement(1.0);

    let endpoint = response.extensions().get::<Route>().map(Route::label);
    let route = endpoint.or(own_path).unwrap_or("none").to_owned();
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    let labels = [("route", route.clone()), ("method", method.to_owned())];
    metrics::histogram!("voltgate_gateway_request_seconds", &labels).record(elapsed);
    metrics::counter!("voltgate_gateway_requests_total", "route" => route.clone(), "method" => method,
        "status" => status.to_string())
    .increment(1);

    let reason = response.extensions().get::<Failed>().map(|failed| failed.0.as_str());
    let milliseconds = elapsed.as_secs_f64() * 1000.0;
    let request_id = id.as_str();
    let open_sockets = gateway.sockets.open();
    if status >= 500 {
        warn!(
            method,
            route, status, reason, milliseconds, request_id, client, open_sockets, "A request failed"
        );
    } else {
        info!(
            method,
            route, status, reason, milliseconds, request_id, client, "A request was answered"
        );
    }
    response
}

/// Methods are free text; a label is not.
fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
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
