//! Answers that come one after the other, as long as there are any: server-sent events, lines of JSON, or raw chunks.
//!
//! Nothing is kept here: the next message is asked for when the client has taken the one before, so a slow client slows its
//! service down and fills no memory. When the client goes, the call ends; when the gateway goes, the client is told.

mod answers;
mod form;
mod places;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use http::header::{self, HeaderName, HeaderValue};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::admission::Party;
use crate::gateway::Gateway;
use crate::headers::BODY_LENGTH;
use crate::media_type::Accept;
use crate::request_id::RequestId;
use crate::rest;
use crate::routes::Endpoint;
use crate::upstream;
use answers::{Answers, First};
use form::Form;
use places::Places;

pub use form::line;
pub use places::Place;

/// nginx and others hold answers back until they have a page of them, unless they are told.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The streams of a gateway.
#[derive(Clone, Debug)]
pub struct Streams {
    /// A stream of events with nothing to say says so this often.
    heartbeat: Duration,
    places: Places,
    leaving: CancellationToken,
}

impl Streams {
    pub fn new(heartbeat: Duration) -> Self {
        Self {
            heartbeat,
            places: Places::default(),
            leaving: CancellationToken::new(),
        }
    }

    /// Ends every stream of messages with a word about why. Raw ones go on: half a file is no file.
    pub fn end(&self) {
        self.leaving.cancel();
    }

    /// # Errors
    /// Too many are open, or too many of this party.
    pub fn enter(&self, party: Party) -> Result<Place, Status> {
        self.places.take(party)
    }
}

/// Serves a request of an endpoint with many answers.
///
/// # Errors
/// The status that the client gets to see as problem+json: whatever goes wrong before the first byte of the answer.
pub async fn serve(
    gateway: &Gateway,
    endpoint: &Arc<Endpoint>,
    variables: &[String],
    request: Request,
    party: Party,
) -> Result<Response, Status> {
    let form = Form::choose(endpoint, &Accept::of(request.headers()))?;
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let asked = rest::ask(gateway, endpoint, variables, request).await?;
    // Only now: whoever sends a body that never ends holds no place.
    let place = gateway.streams.enter(party)?;
    let (opened, line) = upstream::stream(&asked.upstream, asked.call(gateway, endpoint)?).await?;
    let (metadata, messages, _) = opened.into_parts();
    let mut answers = Answers::new(gateway, endpoint, form, id, messages, (line, place));
    let First { content_type, chunk } = answers.first().await?;
    let metadata = metadata.into_headers();
    let length = metadata.get(BODY_LENGTH).filter(|_| form == Form::Raw);
    if let Some(length) = length.and_then(|length| length.to_str().ok()?.parse().ok()) {
        answers.announce(length);
    }
    let mut response = rest::success(endpoint, &metadata, &content_type, answers.into_body(chunk))?;
    let headers = response.headers_mut();
    // Where the stream falls short of it, the client sees the connection break off.
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.clone());
    }
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    Ok(response)
}
