//! One stream, from its first message to its end.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use prost_reflect::DynamicMessage;
use service_kit::reason::{Reason, internal};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tonic::{Status, Streaming};

use super::form::Form;
use super::places::Place;
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::request_id::RequestId;
use crate::routes::Endpoint;
use crate::upstream::{self, Line};
use crate::watchdog;

/// How long a service may take to come to its end when it has said everything.
const GOODBYE: Duration = Duration::from_secs(5);

/// The messages of a service on their way to a client.
pub struct Answers {
    gateway: Gateway,
    endpoint: Arc<Endpoint>,
    form: Form,
    id: RequestId,
    /// None once it has come to its end.
    source: Option<Source>,
    /// Bytes that were announced and have not gone out yet.
    left: Option<usize>,
    _open: Counted,
}

/// The service's side of it.
struct Source {
    messages: Streaming<Bytes>,
    _held: (Line, Place),
}

/// What the answer begins with.
pub struct First {
    pub content_type: String,
    /// Nothing where the stream ended without a message.
    pub chunk: Option<Bytes>,
}

/// What comes next.
enum Next {
    Message(DynamicMessage),
    /// Nothing came for as long as a heartbeat.
    Silence,
    End,
}

/// A raw stream failed after its first bytes. There is no way to say so but to break off.
#[derive(Debug, thiserror::Error)]
#[error("the service's stream failed: {0}")]
struct Broken(Status);

impl Answers {
    pub fn new(
        gateway: &Gateway,
        endpoint: &Arc<Endpoint>,
        form: Form,
        id: RequestId,
        messages: Streaming<Bytes>,
        held: (Line, Place),
    ) -> Self {
        Self {
            gateway: gateway.clone(),
            endpoint: Arc::clone(endpoint),
            form,
            id,
            source: Some(Source { messages, _held: held }),
            left: None,
            _open: Counted::new(),
        }
    }

    /// So many bytes will come.
    pub fn announce(&mut self, length: usize) {
        self.left = Some(length);
    }

    fn goes_out(&mut self, chunk: &Bytes) {
        self.left = self.left.map(|left| left.saturating_sub(chunk.len()));
    }

    /// Waits for what decides about the status: the first message, a failure or the end. A stream that is silent for longer
    /// than a heartbeat is taken for a success that has nothing to say yet.
    pub async fn first(&mut self) -> Result<First, Status> {
        let mut content_type = None;
        let chunk = match self.next().await? {
            Next::Message(message) => {
                let (chunk, own_type) = self.write(&message)?;
                content_type = own_type;
                Some(chunk)
            }
            Next::Silence => Some(self.form.heartbeat().unwrap_or_default()),
            Next::End => None,
        };
        Ok(First {
            content_type: content_type.unwrap_or_else(|| self.form.content_type().to_owned()),
            chunk,
        })
    }

    /// The body: what came first, then all that follows.
    pub fn into_body(self, first: Option<Bytes>) -> Body {
        let Some(first) = first else {
            return Body::empty();
        };
        // What it holds is somebody else's place, and who does not read is not told that they may hear no more.
        let (patience, tasks) = (self.gateway.stall, self.gateway.tasks.clone());
        let chunks = unfold((Some(first), Some(self)), |(first, answers)| async {
            match (first, answers) {
                (Some(first), mut answers) => {
                    if let Some(answers) = &mut answers {
                        answers.goes_out(&first);
                    }
                    Some((Ok(first), (None, answers)))
                }
                (None, Some(answers)) => answers.chunk().await.map(|(chunk, rest)| (chunk, (None, rest))),
                (None, None) => None,
            }
        });
        // Compression asks once more after the end.
        watchdog::guard(Body::from_stream(chunks.fuse()), patience, &tasks)
    }

    /// The next chunk with the rest of the stream; nothing at its end.
    async fn chunk(mut self) -> Option<(Result<Bytes, Broken>, Option<Self>)> {
        loop {
            let chunk = match self.next().await {
                Ok(Next::Message(message)) => self.write(&message).map(|(chunk, _)| chunk),
                Ok(Next::Silence) => match self.form.heartbeat() {
                    Some(heartbeat) => Ok(heartbeat),
                    None => continue,
                },
                Ok(Next::End) => return None,
                Err(status) => Err(status),
            };
            return Some(match chunk {
                Ok(chunk) => {
                    self.goes_out(&chunk);
                    (Ok(chunk), Some(self))
                }
                Err(status) => (self.last_words(status), None),
            });
        }
    }

    async fn next(&mut self) -> Result<Next, Status> {
        let Some(source) = &mut self.source else {
            return Ok(Next::End);
        };
        let streams = &self.gateway.streams;
        let message = tokio::select! {
            biased;
            () = streams.leaving.cancelled(), if self.form != Form::Raw => {
                return Err(Reason::Unavailable.status("The gateway is shutting down; please ask again"));
            }
            message = source.messages.message() => message,
            () = sleep(streams.heartbeat) => return Ok(Next::Silence),
        };
        match message.map_err(|status| upstream::explain(&self.endpoint.upstream, status))? {
            Some(encoded) => DynamicMessage::decode(self.endpoint.rpc.output(), encoded)
                .map(Next::Message)
                .map_err(|error| internal(&error)),
            None => {
                self.source = None;
                Ok(Next::End)
            }
        }
    }

    fn write(&self, message: &DynamicMessage) -> Result<(Bytes, Option<String>), Status> {
        let written = self.form.message(&self.endpoint, message, &self.gateway.raw_json);
        written.map_err(|error| internal(&error))
    }

    fn last_words(&self, status: Status) -> Result<Bytes, Broken> {
        tracing::info!(
            request_id = self.id.as_str(),
            route = self.endpoint.label,
            reason = Reason::of(&status).as_str(),
            "A stream failed"
        );
        let problem = Problem::from(status.clone()).at(&self.endpoint);
        self.form.failure(&problem.document(&self.id)).ok_or(Broken(status))
    }
}

impl Drop for Answers {
    /// Where all that was announced has gone out nobody asks for more, not even for the end. The service is to hear that this was no
    /// breaking off.
    fn drop(&mut self) {
        if self.left == Some(0)
            && let Some(source) = self.source.take()
            && let Ok(runtime) = Handle::try_current()
        {
            self.gateway
                .tasks
                .spawn_on(timeout(GOODBYE, source.hear_out()), &runtime);
        }
    }
}

impl Source {
    async fn hear_out(mut self) {
        while let Ok(Some(_)) = self.messages.message().await {}
    }
}

/// Keeps the gauge of open streams right, however one ends.
struct Counted(metrics::Gauge);

impl Counted {
    fn new() -> Self {
        let gauge = metrics::gauge!("voltgate_gateway_streams_open");
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
