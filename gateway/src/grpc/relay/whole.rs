//! A call with one message each way. Its answer is read to the end before its client is sent any of it: what the call holds, its place
//! at the replica and among the calls under way, is free by then, and no client can keep it by reading slowly, or not at all.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http::response::Parts;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Frame;
use service_kit::reason::Reason;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::{Call, in_time, send};
use crate::gateway::Gateway;
use crate::observe::{code, code_name};
use crate::upstream::{LARGEST_ANSWER, Upstream, explain};
use crate::watchdog;

/// gRPC puts a flag and a length before a message, in bytes.
const PREFIX: usize = 5;

/// Passes it on, and its answer back.
///
/// # Errors
/// The service cannot be reached, or does not answer in time.
pub async fn pass(
    gateway: &Gateway,
    upstream: &Upstream,
    call: Call,
    deadline: Option<Instant>,
) -> Result<Response, Status> {
    let permit = upstream.admit()?;
    let started = Instant::now();
    let answer = in_time(deadline, ask(upstream, call)).await;
    drop(permit);
    let code = answer
        .as_ref()
        .map_or_else(Status::code, |(head, whole)| whole.code(head));
    metrics::histogram!("voltgate_gateway_upstream_seconds", "upstream" => upstream.label(), "code" => code_name(code))
        .record(started.elapsed());
    let (head, whole) = answer?;
    let size = whole.message.len();
    let body = watchdog::guard_large(Body::new(whole), size, gateway.stall, &gateway.tasks);
    let mut response = Response::new(body);
    *response.headers_mut() = head.headers;
    Ok(response)
}

async fn ask(upstream: &Upstream, call: Call) -> Result<(Parts, Whole), Status> {
    let line = upstream.for_call().await?;
    let (head, body) = send(upstream, &line, call).await?;
    let collected = Limited::new(body, PREFIX + LARGEST_ANSWER).collect().await;
    let collected = collected.map_err(|error| match error.downcast::<Status>() {
        Ok(broken) => explain(upstream.name(), *broken),
        Err(_too_large) => Reason::Internal.status("The service's answer is too large to be passed on"),
    })?;
    let trailers = collected.trailers().cloned();
    let message = collected.to_bytes();
    Ok((head, Whole { message, trailers }))
}

/// An answer that is here.
///
/// As a body it does not say how large it is: it is over with its trailers only.
struct Whole {
    message: Bytes,
    trailers: Option<HeaderMap>,
}

impl Whole {
    /// How the call ended. Where nothing was to be said but that, it is in the head.
    fn code(&self, head: &Parts) -> Code {
        let said = self.trailers.as_ref().and_then(code);
        said.or_else(|| code(&head.headers)).unwrap_or(Code::Unknown)
    }
}

impl hyper::body::Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.message.is_empty() {
            let message = std::mem::take(&mut self.message);
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_empty() && self.trailers.is_none()
    }
}
