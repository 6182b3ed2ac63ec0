//! One call to a service: a message there, a message back, within a time. Where that is safe, a call that failed on the
//! way is made again, at another replica.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::uri::PathAndQuery;
use service_kit::backoff::Backoff;
use service_kit::reason::Reason;
use service_kit::trace::{self, SpanKind};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;

use super::codec::{Encoded, Piece, Pieces};
use super::connection::Lost;
use super::replica::{Line, Purpose};
use super::service::{Upstream, unreachable};

/// Answers may be this large, in bytes, where a call does not say less.
pub const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// How tonic begins to say that a message is larger than it may be. There is nothing else to tell it by from a service that uses the
/// code for something of its own; tests of lists with large rows would miss it.
const TOO_LARGE: &str = "Error, decoded message length too large";

/// Larger messages of a stream break it off. There may be hundreds of them at once.
const LARGEST_STREAMED: usize = 4 * 1024 * 1024;

/// The waits between.
const BETWEEN_ATTEMPTS: Backoff = Backoff {
    first: Duration::from_millis(20),
    longest: Duration::from_millis(200),
};

/// What is called, with what, and for how long.
#[derive(Debug)]
pub struct Call {
    pub path: PathAndQuery,
    pub message: Bytes,
    pub metadata: MetadataMap,
    /// Goes out as `grpc-timeout` too, so that the service stops working when nobody waits any more.
    pub budget: Duration,
    /// Making it twice has the effect of making it once, and the same answer.
    pub idempotent: bool,
    /// A larger answer is refused, in bytes.
    pub largest: usize,
}

/// An answer has more bytes than the call has room for. This is neither the client's fault nor that of the connection.
#[derive(Debug, thiserror::Error)]
#[error("the answer of a service is too large")]
struct TooLarge;

/// Why an attempt failed.
enum Failed {
    /// Nothing was asked of anybody.
    NotSent(Status),
    /// It may have had its effect.
    Broken(Status),
    /// The service says that it cannot serve it, but another replica may.
    TurnedAway(Status),
    /// The answer is an error, and would be elsewhere.
    Refused(Status),
}

impl Failed {
    fn status(&self) -> &Status {
        match self {
            Self::NotSent(status) | Self::Broken(status) | Self::TurnedAway(status) | Self::Refused(status) => status,
        }
    }
}

/// Calls and waits for the answer.
///
/// # Errors
/// The service's own status, or one of ours where it cannot be reached, has too much to do or takes too long.
pub async fn unary(upstream: &Upstream, call: Call) -> Result<Response<Bytes>, Status> {
    let _permit = upstream.admit()?;
    let started = Instant::now();
    let deadline = started + call.budget;
    let result = match timeout_at(deadline, call_until(deadline, upstream, &call)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(status)) => Err(explain(upstream.name(), status)),
        Err(_) => Err(too_late()),
    };
    let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
    let labels = [("upstream", upstream.name().to_owned()), ("code", format!("{code:?}"))];
    metrics::histogram!("voltgate_gateway_upstream_seconds", &labels).record(started.elapsed());
    result
}

async fn call_until(deadline: Instant, upstream: &Upstream, call: &Call) -> Result<Response<Bytes>, Status> {
    upstream.retries.deposit();
    let mut tried = Vec::new();
    let mut attempt = 1;
    loop {
        let line = upstream.line(Purpose::Call, &mut tried).await?;
        let (may_retry, status) = match send_traced(&line, deadline, call, attempt).await {
            Ok(response) => return Ok(response),
            Err(Failed::NotSent(status)) => (true, status),
            Err(Failed::Broken(status) | Failed::TurnedAway(status)) => (call.idempotent, status),
            Err(Failed::Refused(status)) => (false, status),
        };
        if !may_retry || attempt >= upstream.attempts || !upstream.retries.withdraw() {
            return Err(status);
        }
        metrics::counter!("voltgate_gateway_retries_total", "upstream" => upstream.name().to_owned()).increment(1);
        sleep(BETWEEN_ATTEMPTS.after(attempt)).await;
        attempt += 1;
    }
}

/// The same as a span, where the trace is recorded.
async fn send_traced(line: &Line, deadline: Instant, call: &Call, attempt: u32) -> Result<Response<Bytes>, Failed> {
    let mut span = trace::child(SpanKind::Client, || {
        call.path.as_str().trim_start_matches('/').to_owned().into()
    });
    span.set("rpc.system.name", || "grpc");
    span.set("server.address", || line.address().to_string());
    if attempt > 1 {
        span.set("rpc.request.resend_count", || i64::from(attempt - 1));
    }
    let result = span.scope(send(line, deadline, call)).await;
    let code = match &result {
        Ok(_) => Code::Ok,
        Err(failed) => failed.status().code(),
    };
    span.set("rpc.response.status_code", || format!("{code:?}"));
    if code != Code::Ok {
        span.fail(format!("{code:?}"));
    }
    result
}

async fn send(line: &Line, deadline: Instant, call: &Call) -> Result<Response<Bytes>, Failed> {
    let mut client = tonic::client::Grpc::new(line.channel()).max_decoding_message_size(call.largest);
    let mut request = Request::from_parts(call.metadata.clone(), tonic::Extensions::new(), call.message.clone());
    request.set_timeout(deadline - Instant::now());
    // A channel is always ready; this is what tonic wants to hear before a call.
    client
        .ready()
        .await
        .map_err(|lost| Failed::NotSent(Status::from_error(lost.into())))?;
    let result = client.unary(request, call.path.clone(), Encoded).await;
    result
        .inspect(|_| line.answered())
        .map_err(|status| failed(line, status))
}

fn failed(line: &Line, status: Status) -> Failed {
    line.judge(&status);
    // A status with a cause was made on this side of the wire.
    let Some(cause) = status.source() else {
        let elsewhere = status.code() == Code::Unavailable && status.get_details_retry_info().is_none();
        return if elsewhere {
            Failed::TurnedAway(status)
        } else {
            Failed::Refused(status)
        };
    };
    let mut chain = std::iter::successors(Some(cause), |&error| error.source());
    let not_sent = chain.any(|error| matches!(error.downcast_ref(), Some(Lost::NotSent(_))));
    if not_sent {
        Failed::NotSent(status)
    } else {
        Failed::Broken(status)
    }
}

/// Opens a stream of answers, which lasts as long as both sides want it to; the budget is for its beginning. The line is to
/// be held until its end.
///
/// # Errors
/// The service refuses it, cannot be reached or takes too long.
pub async fn stream(upstream: &Upstream, call: Call) -> Result<(Response<Streaming<Bytes>>, Line), Status> {
    let open = async {
        // One that its client does not read must not stand in the way of calls.
        let line = upstream.for_socket().await?;
        let mut client = tonic::client::Grpc::new(line.channel()).max_decoding_message_size(LARGEST_STREAMED);
        // Without `grpc-timeout`, which would end the stream too.
        let request = Request::from_parts(call.metadata, tonic::Extensions::new(), call.message);
        client.ready().await.map_err(|lost| Status::from_error(lost.into()))?;
        let opened = client.server_streaming(request, call.path, Encoded).await;
        match opened {
            Ok(response) => {
                line.answered();
                Ok((response, line))
            }
            Err(status) => {
                line.judge(&status);
                Err(status)
            }
        }
    };
    match timeout(call.budget, open).await {
        Ok(opened) => opened.map_err(|status| explain(upstream.name(), status)),
        Err(_) => Err(too_late()),
    }
}

/// Makes a call whose request is a stream: the call's message, then those that come through `pieces`. It has no time of its own:
/// whoever waits for it knows how long.
///
/// # Errors
/// The service's own status, which may come before the last piece, or one of ours where it cannot be reached.
pub async fn upload(upstream: &Upstream, call: Call, pieces: mpsc::Receiver<Piece>) -> Result<Response<Bytes>, Status> {
    let line = upstream.for_socket().await?;
    let mut client = tonic::client::Grpc::new(line.channel()).max_decoding_message_size(call.largest);
    // Without `grpc-timeout`: how long it takes is up to the client's line.
    let messages = unfold((Some(call.message), Some(pieces)), |(first, pieces)| async {
        let mut pieces = pieces?;
        if let Some(first) = first {
            return Some((Ok(first), (None, Some(pieces))));
        }
        match pieces.recv().await {
            Some(Piece::Message(message)) => Some((Ok(message), (None, Some(pieces)))),
            Some(Piece::End) => None,
            None => Some((Err(Status::cancelled("The client broke off")), (None, None))),
        }
    });
    let request = Request::from_parts(call.metadata, tonic::Extensions::new(), messages);
    client.ready().await.map_err(|lost| Status::from_error(lost.into()))?;
    match client.client_streaming(request, call.path, Pieces).await {
        Ok(response) => {
            line.answered();
            Ok(response)
        }
        Err(status) => {
            line.judge(&status);
            Err(explain(upstream.name(), status))
        }
    }
}

/// Tells a service's own failure from a failure to reach it.
pub fn explain(upstream: &str, status: Status) -> Status {
    match status.source() {
        Some(cause) => unreachable(upstream, Some(cause)),
        // We cancel nothing that we wait for, so this is a deadline that passed over there; tonic says it so.
        None if status.code() == Code::Cancelled => too_late(),
        None if status.code() == Code::OutOfRange && status.message().starts_with(TOO_LARGE) => too_large(),
        None => status,
    }
}

fn too_large() -> Status {
    let mut status =
        Reason::Internal.status("The service's answer is too large to be passed on; ask for less at a time");
    status.set_source(Arc::new(TooLarge));
    status
}

/// Whether a call failed only because its answer had more bytes than it has room for.
pub fn is_too_large(status: &Status) -> bool {
    status.source().is_some_and(|cause| cause.is::<TooLarge>())
}

/// The time was over before the answer was there.
pub fn too_late() -> Status {
    Reason::DeadlineExceeded.status("The service behind this endpoint did not answer in time")
}
