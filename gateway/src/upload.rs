//! A body that is too large for one message: it goes to its service in chunks, as it comes in, and none of it is kept here.
//!
//! The first message of the stream has what the path and the query say and no bytes, so that the service can refuse before
//! anything is read; those that follow have bytes and nothing else. How much it takes is the service's to say.

use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};
use service_kit::reason::Reason;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Status;

use crate::admission::Party;
use crate::gateway::Gateway;
use crate::rest;
use crate::routes::{self, Endpoint};
use crate::upstream::{self, Call, Piece, Upstream};

/// A message has this many bytes of the body at most.
const LARGEST_CHUNK: usize = 64 * 1024;

/// A client may be silent for this long. Charge points send over mobile networks.
const SILENCE: Duration = Duration::from_secs(30);

/// A whole body may take this long.
const LONGEST: Duration = Duration::from_secs(3600);

/// A client that is refused may still be sending, and few look for an answer meanwhile: so what it sends is read for this long, and
/// dropped.
const LINGER: Duration = Duration::from_secs(5);

/// Of a client that was refused by its head alone no more than this is read: it is what may be under way before it can have heard.
const LINGERING_BYTES: usize = 256 * 1024;

/// A client that asks before it sends is told to go on when the service has had this long to refuse. It would send without being
/// told so before long (RFC 9110, section 10.1.1): curl after a second.
const HESITATION: Duration = Duration::from_millis(300);

/// What a client sends.
struct Sent {
    body: Body,
    /// It has asked whether to send, and is told so when the body is asked for its first frame.
    waits: bool,
}

/// Serves a request of an endpoint that takes its body in chunks.
///
/// # Errors
/// The status that the client gets to see as problem+json.
pub async fn serve(
    gateway: &Gateway,
    endpoint: &Endpoint,
    variables: &[String],
    request: Request,
    party: Party,
) -> Result<Response, Status> {
    let place = gateway.streams.enter(party)?;
    let (parts, body) = request.into_parts();
    let mut sent = Sent::new(&parts.headers, body);
    let result = async {
        rest::check_accept(endpoint, &parts.headers)?;
        let asked = rest::ask_with(gateway, endpoint, variables, parts, Bytes::new())?;
        let call = asked.call(gateway, endpoint)?;
        let (message, metadata) = carry(endpoint, &asked.upstream, call, &mut sent).await?;
        rest::respond(gateway, endpoint, asked.mask, &message, &metadata)
    };
    match result.await {
        Ok(response) => Ok(response),
        Err(status) => {
            drop(place);
            sent.drain(usize::MAX).await;
            Err(status)
        }
    }
}

/// Hears somebody out who was refused before any of the body was read, so that they see why. Whoever asks too often is not listened to:
/// that is what they were refused for.
pub async fn hear_out(request: Request, status: &Status) {
    if Reason::of(status) == Reason::TooManyRequests {
        return;
    }
    let (parts, body) = request.into_parts();
    Sent::new(&parts.headers, body).drain(LINGERING_BYTES).await;
}

/// The service's answer, which may come before it has all.
async fn carry(
    endpoint: &Endpoint,
    upstream: &Upstream,
    call: Call,
    sent: &mut Sent,
) -> Result<(Bytes, HeaderMap), Status> {
    let budget = call.budget;
    let (pieces, taken) = mpsc::channel(1);
    let mut answer = pin!(upstream::upload(upstream, call, taken));
    if sent.waits
        && let Ok(answered) = timeout(HESITATION, &mut answer).await
    {
        return answered.map(split);
    }
    let fed = tokio::select! {
        biased;
        answered = &mut answer => return answered.map(split),
        fed = timeout(LONGEST, feed(endpoint, sent, pieces, budget)) => fed,
    };
    fed.unwrap_or_else(|_| Err(Reason::RequestTimeout.status("The body did not arrive in time")))?;
    let answered = timeout(budget, answer).await;
    answered.unwrap_or_else(|_| Err(upstream::too_late())).map(split)
}

fn split(answer: tonic::Response<Bytes>) -> (Bytes, HeaderMap) {
    let (metadata, message, _) = answer.into_parts();
    (message, metadata.into_headers())
}

/// Hands the body over until its end, or until nobody takes any more. Where it breaks off, so does the call: half a body is none.
async fn feed(
    endpoint: &Endpoint,
    sent: &mut Sent,
    pieces: mpsc::Sender<Piece>,
    patience: Duration,
) -> Result<(), Status> {
    let hand_over = async |piece: Piece| match timeout(patience, pieces.send(piece)).await {
        Ok(handed) => Ok(handed.is_ok()),
        Err(_) => Err(upstream::too_late()),
    };
    loop {
        let frame = match timeout(SILENCE, sent.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(Reason::InvalidRequest.status("The body broke off")),
            Ok(None) => break,
            Err(_) => return Err(Reason::RequestTimeout.status("The body did not arrive in time")),
        };
        // Trailers say nothing here.
        let mut data = frame.into_data().unwrap_or_default();
        while !data.is_empty() {
            let part = data.split_to(data.len().min(LARGEST_CHUNK));
            if !hand_over(Piece::Message(chunk(endpoint, part))).await? {
                return Ok(());
            }
        }
    }
    hand_over(Piece::End).await.map(|_| ())
}

/// A message with these bytes and nothing else.
fn chunk(endpoint: &Endpoint, data: Bytes) -> Bytes {
    let mut message = DynamicMessage::new(endpoint.rpc.input());
    let http_body = match &endpoint.body {
        routes::Body::Raw(field) => message.get_field_mut(field).as_message_mut(),
        routes::Body::RawWhole | routes::Body::None | routes::Body::Whole | routes::Body::Json(_) => Some(&mut message),
    };
    if let Some(http_body) = http_body {
        http_body.set_field_by_name("data", Value::Bytes(data));
    }
    message.encode_to_vec().into()
}

impl Sent {
    fn new(headers: &HeaderMap, body: Body) -> Self {
        let expected = headers.get(header::EXPECT).map(HeaderValue::as_bytes);
        Self {
            body,
            waits: expected.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue")),
        }
    }

    async fn frame(&mut self) -> Option<Result<Frame<Bytes>, axum::Error>> {
        self.waits = false;
        self.body.frame().await
    }

    /// Reads on until the end, until there was `most`, or for a while. Whoever waits for our word sends nothing, and need not be heard
    /// out.
    async fn drain(&mut self, most: usize) {
        if self.waits {
            return;
        }
        let all = async {
            let mut left = most;
            while let Some(Ok(frame)) = self.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(length) {
                    Some(rest) => left = rest,
                    None => break,
                }
            }
        };
        if timeout(LINGER, all).await.is_err() {
            tracing::debug!("A client went on sending after it had been refused");
        }
    }
}
