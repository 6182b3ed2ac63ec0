//! One call, passed on. Neither side's messages are read, and a caller that goes away takes the call with it.

mod streamed;
mod whole;

use axum::extract::Request;
use axum::response::Response;
use http::header::{self, HeaderValue};
use http::response::Parts;
use http::{Method, StatusCode, Version};
use service_kit::reason::Reason;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tower::Service as _;

use super::deadline;
use crate::admission::Party;
use crate::client::Client;
use crate::gateway::Gateway;
use crate::headers;
use crate::request_id::{self, RequestId};
use crate::routes::Rpc;
use crate::upstream::{Line, Upstream, explain, too_late};

/// A call, as it goes out.
type Call = http::Request<tonic::body::Body>;

/// Passes a call on, and its answer back.
///
/// # Errors
/// The service cannot be reached, or its answer does not begin in time.
pub async fn pass(gateway: &Gateway, rpc: &Rpc, request: Request, party: Party) -> Result<Response, Status> {
    let upstream = gateway.upstreams.get(&rpc.upstream);
    let upstream = upstream.ok_or_else(|| Reason::Unavailable.status("The service is not set up here"))?;
    let (mut parts, body) = request.into_parts();
    let cap = (!rpc.streaming).then(|| rpc.timeout.unwrap_or(gateway.request_timeout));
    let time = deadline::settle(&mut parts.headers, cap)?;
    let deadline = time.and_then(|time| Instant::now().checked_add(time));
    headers::clean_call(&mut parts.headers);
    // Said to the next hop anew: this one reads trailers too.
    parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    if let Some(id) = parts.extensions.get::<RequestId>() {
        parts.headers.insert(request_id::HEADER, id.header());
    }
    if let Some(client) = parts.extensions.get::<Client>() {
        gateway.reporter.tell(client, &mut parts.headers)?;
    }
    let mut call = Call::new(tonic::body::Body::new(body));
    *call.method_mut() = Method::POST;
    *call.uri_mut() = rpc.path.clone().into();
    *call.version_mut() = Version::HTTP_2;
    *call.headers_mut() = parts.headers;
    if rpc.streaming {
        let place = gateway.streams.enter(party)?;
        streamed::pass(gateway, upstream, call, (place, deadline)).await
    } else {
        whole::pass(gateway, upstream, call, deadline).await
    }
}

/// What a service answers with: the head, and what is still to come.
async fn send(upstream: &Upstream, line: &Line, call: Call) -> Result<(Parts, tonic::body::Body), Status> {
    let response = line.channel().call(call).await.map_err(|lost| {
        let status = Status::from_error(lost.into());
        line.judge(&status);
        explain(upstream.name(), status)
    })?;
    line.answered();
    let (mut head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        tracing::warn!(upstream = upstream.name(), status = %head.status, "A service answered without gRPC");
        return Err(Reason::Unavailable.status("The service behind this endpoint cannot be reached just now"));
    }
    headers::clean_call(&mut head.headers);
    Ok((head, body))
}

/// Where there is a deadline, work is given up then.
async fn in_time<T>(deadline: Option<Instant>, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await.unwrap_or_else(|_| Err(too_late())),
        None => work.await,
    }
}
