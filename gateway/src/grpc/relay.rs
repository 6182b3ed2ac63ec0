//! One call, passed on. Neither side's messages are read; each frame goes on when the other side has room for it, and a
//! caller that goes away takes the call with it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version};
use hyper::body::Frame;
use service_kit::reason::Reason;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tonic::Status;
use tower::Service as _;

use super::deadline;
use crate::admission::Party;
use crate::client::Client;
use crate::gateway::Gateway;
use crate::headers;
use crate::request_id::{self, RequestId};
use crate::routes::Rpc;
use crate::stream::Place;
use crate::upstream::{Line, Upstream, explain, too_late};

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
    let mut call = http::Request::new(tonic::body::Body::new(body));
    *call.method_mut() = Method::POST;
    *call.uri_mut() = rpc.path.clone().into();
    *call.version_mut() = Version::HTTP_2;
    *call.headers_mut() = parts.headers;

    let held = if rpc.streaming {
        Held::Stream(gateway.streams.enter(party)?)
    } else {
        Held::Call(upstream.admit()?)
    };
    let answer = send(upstream, call);
    let (response, line) = match deadline {
        Some(deadline) => timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(too_late())),
        None => answer.await,
    }?;
    let (mut parts, body) = response.into_parts();
    if parts.status != StatusCode::OK {
        tracing::warn!(upstream = upstream.name(), status = %parts.status, "A service answered without gRPC");
        return Err(Reason::Unavailable.status("The service behind this endpoint cannot be reached just now"));
    }
    headers::clean_call(&mut parts.headers);
    let relay = Relay {
        upstream: upstream.name().to_owned(),
        _held: (line, held),
        body,
        deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
    };
    let mut response = Response::new(Body::new(relay));
    *response.headers_mut() = parts.headers;
    Ok(response)
}

async fn send(
    upstream: &Upstream,
    call: http::Request<tonic::body::Body>,
) -> Result<(http::Response<tonic::body::Body>, Line), Status> {
    let line = upstream.for_call().await?;
    match line.channel().call(call).await {
        Ok(response) => {
            line.answered();
            Ok((response, line))
        }
        Err(lost) => {
            let status = Status::from_error(lost.into());
            line.judge(&status);
            Err(explain(upstream.name(), status))
        }
    }
}

/// The place of a call among those that are like it.
enum Held {
    /// It ends soon.
    Call(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit),
    /// It may stay for long, and is one of the streams, as by REST.
    Stream(#[expect(dead_code, reason = "it is held")] Place),
}

/// The messages of an answer and its trailers, with a status where they break off.
struct Relay {
    upstream: String,
    /// Its place at the replica, and among the calls under way.
    _held: (Line, Held),
    body: tonic::body::Body,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Relay {
    /// Ends the answer. The service hears of it, since nobody reads on.
    fn end(&mut self, status: &Status) -> Frame<Bytes> {
        self.body = tonic::body::Body::empty();
        let mut trailers = HeaderMap::new();
        // Only metadata that the status does not have could be refused.
        if status.add_header(&mut trailers).is_err() {
            trailers.insert(Status::GRPC_STATUS, HeaderValue::from(status.code() as i32));
        }
        Frame::trailers(trailers)
    }
}

impl hyper::body::Body for Relay {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let relay = self.get_mut();
        match Pin::new(&mut relay.body).poll_frame(context) {
            Poll::Ready(Some(Err(status))) => {
                let status = explain(&relay.upstream, status);
                Poll::Ready(Some(Ok(relay.end(&status))))
            }
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending => {
                let Some(deadline) = &mut relay.deadline else {
                    return Poll::Pending;
                };
                ready!(deadline.as_mut().poll(context));
                Poll::Ready(Some(Ok(relay.end(&too_late()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
