//! A call with any number of messages. Each frame goes on when the other side has room for it. It may stay for long: like a charge
//! point's, it is on a connection of its own kind, it has one of the places of streams, and it ends where its client does not read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use hyper::body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use super::{Call, in_time, send};
use crate::gateway::Gateway;
use crate::stream::Place;
use crate::upstream::{Line, Upstream, explain, too_late};
use crate::watchdog;

/// Passes it on, and its answer back.
///
/// # Errors
/// The service cannot be reached, or its answer does not begin in time.
pub async fn pass(
    gateway: &Gateway,
    upstream: &Upstream,
    call: Call,
    (place, deadline): (Place, Option<Instant>),
) -> Result<Response, Status> {
    let open = async {
        // One that its client does not read must not stand in the way of other calls.
        let line = upstream.for_socket().await?;
        let (head, body) = send(upstream, &line, call).await?;
        Ok((head, body, line))
    };
    let (head, body, line) = in_time(deadline, open).await?;
    let relay = Relay {
        upstream: upstream.name().to_owned(),
        _held: (line, place),
        body,
        deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
    };
    let mut response = Response::new(watchdog::guard(Body::new(relay), gateway.stall, &gateway.tasks));
    *response.headers_mut() = head.headers;
    Ok(response)
}

/// The messages of an answer and its trailers, with a status where they break off.
struct Relay {
    upstream: String,
    /// Its place at the replica, and among the streams.
    _held: (Line, Place),
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
