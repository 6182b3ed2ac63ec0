//! Answers that come one after the other, as long as there are any: server-sent events, lines of JSON, or raw chunks.
//!
//! Nothing is kept here: the next message is asked for when the client has taken the one before, so a slow client slows its
//! service down and fills no memory. When the client goes, the call ends; when the gateway goes, the client is told.

mod answers;
mod form;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use http::header::{self, HeaderName, HeaderValue};
use service_kit::reason::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::gateway::Gateway;
use crate::headers::BODY_LENGTH;
use crate::media_type::Accept;
use crate::request_id::RequestId;
use crate::rest;
use crate::routes::Endpoint;
use crate::upstream;
use answers::{Answers, First};
use form::Form;

pub use form::line;

/// Streams that may be open at once. One that its client does not read holds back its share of the connection to its service,
/// and all of them together must leave room there.
const MOST: usize = 800;

/// nginx and others hold answers back until they have a page of them, unless they are told.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The streams of a gateway.
#[derive(Clone, Debug)]
pub struct Streams {
    /// A stream of events with nothing to say says so this often.
    heartbeat: Duration,
    places: Arc<Semaphore>,
    leaving: CancellationToken,
}

impl Streams {
    pub fn new(heartbeat: Duration) -> Self {
        Self {
            heartbeat,
            places: Arc::new(Semaphore::new(MOST)),
            leaving: CancellationToken::new(),
        }
    }

    /// Ends every stream of messages with a word about why. Raw ones go on: half a file is no file.
    pub fn end(&self) {
        self.leaving.cancel();
    }

    /// # Errors
    /// Too many are open.
    pub fn enter(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| Reason::Overloaded.retry_after(Duration::from_secs(5), "Too many streams are open"))
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
) -> Result<Response, Status> {
    let form = Form::choose(endpoint, &Accept::of(request.headers()))?;
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let asked = rest::ask(gateway, endpoint, variables, request).await?;
    // Only now: whoever sends a body that never ends holds no place.
    let place = gateway.streams.enter()?;
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
