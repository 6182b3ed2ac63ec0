//! One call to a service: a message there, a message back, within a time.

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use service_kit::reason::Reason;
use tokio::time::{Instant, timeout};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status, TimeoutExpired};

use super::channel::Upstream;
use super::codec::Encoded;

/// Larger answers are refused. A page of a thousand rows stays far below.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// What is called, with what, and for how long.
#[derive(Debug)]
pub struct Call {
    pub path: PathAndQuery,
    pub message: Bytes,
    pub metadata: MetadataMap,
    /// Goes out as `grpc-timeout` too, so that the service stops working when nobody waits any more.
    pub budget: Duration,
}

/// Calls and waits for the answer.
///
/// # Errors
/// The service's own status, or one of ours where it cannot be reached or takes too long.
pub async fn unary(upstream: &Upstream, call: Call) -> Result<Response<Bytes>, Status> {
    let started = Instant::now();
    let result = match timeout(call.budget, send(upstream, call)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(status)) => Err(explain(upstream.name(), status)),
        Err(_) => Err(too_late()),
    };
    let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
    let labels = [("upstream", upstream.name().to_owned()), ("code", format!("{code:?}"))];
    metrics::histogram!("voltgate_gateway_upstream_seconds", &labels).record(started.elapsed());
    result
}

async fn send(upstream: &Upstream, call: Call) -> Result<Response<Bytes>, Status> {
    let mut client = tonic::client::Grpc::new(upstream.for_calls()).max_decoding_message_size(LARGEST_ANSWER);
    let mut request = Request::from_parts(call.metadata, tonic::Extensions::new(), call.message);
    request.set_timeout(call.budget);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    client.unary(request, call.path, Encoded).await
}

/// Tells a service's own failure from a failure to reach it.
pub fn explain(upstream: &str, status: Status) -> Status {
    // A status with a cause was made on this side of the wire.
    let Some(cause) = std::error::Error::source(&status) else {
        return match status.code() {
            // We cancel nothing that we wait for, so this is a deadline that passed over there; tonic says it so.
            Code::Cancelled => too_late(),
            _ => status,
        };
    };
    let mut chain = std::iter::successors(Some(cause), |error| error.source());
    if chain.any(|error| error.is::<TimeoutExpired>()) {
        return too_late();
    }
    tracing::warn!(
        upstream,
        error = &status as &dyn std::error::Error,
        "A service cannot be reached"
    );
    Reason::Unavailable.status("The service behind this endpoint cannot be reached just now")
}

/// The time was over before the answer was there.
pub fn too_late() -> Status {
    Reason::DeadlineExceeded.status("The service behind this endpoint did not answer in time")
}
