//! What can be seen of every request from outside: one log line, the usual three metrics (rate, errors, duration), and its span.
//!
//! All name the route, not the path: labels stay few, and what stands in a path can be personal. Headers, queries and bodies are
//! told of by their size at the most.

mod body;
mod codes;
mod exchange;
mod meters;
mod notes;
mod route;
mod traces;

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::response::Response;
use http::header;

use crate::gateway::Gateway;
use crate::upstream::Upstreams;

pub use codes::{code, code_name};
pub use meters::Meters;
pub use notes::{account, answered, found, replica};
pub use route::Route;
pub use traces::TraceParents;

use body::{Answer, Counted};
use exchange::Exchange;

/// Of an answer that is here and as small as this, in bytes, the line is written as soon as it is: it goes out at once.
const SMALL: u64 = 16 * 1024;

/// Logs, measures and traces what `answer` makes of a request.
pub async fn observe<A: Future<Output = Response>>(
    gateway: &Gateway,
    request: Request,
    answer: impl FnOnce(Request) -> A,
) -> Response {
    let own = Route::own(request.uri().path());
    let span = traces::begin(gateway, &request, own.is_some());
    let mut exchange = Exchange::begin(gateway, &request, own.unwrap_or_default(), span);
    let request = match request.headers().contains_key(header::CONTENT_LENGTH) || request.body().is_end_stream() {
        true => request,
        // How much comes in is known when it is in.
        false => request.map(|body| Counted::around(body, exchange.notes())),
    };
    let response = exchange.work(answer(request)).await;
    exchange.begins_answer(&response);
    match response.body().size_hint().exact() {
        Some(bytes) if bytes <= SMALL => {
            exchange.ends_answer(bytes);
            response
        }
        // The line is written when the last of it has gone.
        _ => response.map(|body| Answer::around(body, exchange)),
    }
}

/// Has counters begin with 0, so that their first rise is seen as one.
pub fn announce(upstreams: &Upstreams) {
    metrics::gauge!("voltgate_gateway_requests_in_flight").increment(0.0);
    metrics::gauge!("voltgate_gateway_sockets_open").increment(0.0);
    metrics::gauge!("voltgate_gateway_streams_open").increment(0.0);
    metrics::counter!("voltgate_gateway_sessions_resumed_total").increment(0);
    metrics::counter!("voltgate_gateway_rate_limit_without_redis_total").increment(0);
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
