//! A charge point's session with its service, which outlives each stream that carries it.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::uri::PathAndQuery;
use rand::RngExt as _;
use service_kit::access::CALLER;
use service_kit::reason::{Reason, internal};
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tonic::metadata::MetadataMap;
use voltgate_proto::ocpp::v1::Resumption;

use super::frames::{self, Closing};
use super::service_stream::{self, Opening, ServiceStream};
use crate::client::Client;
use crate::gateway::Gateway;
use crate::request_id::{self, RequestId};
use crate::upstream::Upstream;

/// Between attempts to resume a session: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What it takes to open another stream.
#[derive(Clone)]
pub struct Session {
    pub gateway: Gateway,
    pub upstream: Arc<Upstream>,
    pub path: PathAndQuery,
    pub identity: String,
    /// Given by the service when the session began.
    pub token: String,
    pub client: Option<Client>,
    pub request_id: RequestId,
}

impl Session {
    /// Opens another stream, and tries again for as long as the settings say. `received` and `sent`: the numbers of the last
    /// frames from the service and to it.
    ///
    /// # Errors
    /// How the socket is to be closed instead.
    pub fn resume(
        &self,
        received: u64,
        sent: u64,
    ) -> impl Future<Output = Result<ServiceStream, Closing>> + Send + use<> {
        let session = self.clone();
        async move {
            let began = Instant::now();
            let mut wait = FIRST_WAIT;
            loop {
                let status = match session.try_resume(received, sent).await {
                    Ok(stream) => {
                        tracing::info!(after = ?began.elapsed(), "A session is resumed");
                        return Ok(stream);
                    }
                    Err(status) => status,
                };
                if let Some(closing) = verdict(&status) {
                    return Err(closing);
                }
                let next = Instant::now() + wait.mul_f64(rand::rng().random_range(0.5..1.0));
                if next > began + session.gateway.sockets.patience() {
                    tracing::warn!(
                        code = ?status.code(),
                        message = status.message(),
                        "A session could not be resumed in time"
                    );
                    return Err(Closing::new(frames::RESTART, "The service restarts"));
                }
                sleep_until(next).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }

    async fn try_resume(&self, received: u64, sent: u64) -> Result<ServiceStream, Status> {
        // A replica that died leaves all its sockets at once; those that follow need not be buried under them.
        let _turn = self.gateway.sockets.turn_to_resume().await;
        let mut told = HeaderMap::new();
        if let Some(client) = &self.client {
            self.gateway.reporter.tell(client, &mut told)?;
        }
        let mut metadata = MetadataMap::from_headers(told);
        let bearer = self.gateway.service_tokens.bearer().map_err(|error| internal(&error))?;
        service_stream::put(&mut metadata, "authorization", bearer.as_bytes());
        service_stream::put(&mut metadata, CALLER, crate::NAME.as_bytes());
        service_stream::put(&mut metadata, request_id::NAME, self.request_id.as_str().as_bytes());
        let opening = Opening {
            path: self.path.clone(),
            identity: self.identity.clone(),
            resumption: Some(Resumption {
                token: self.token.clone(),
                received,
                sent,
            }),
            metadata,
            budget: self.gateway.request_timeout,
        };
        ServiceStream::open(&self.upstream, opening)
            .await
            .map(|(stream, _)| stream)
    }
}

/// How the socket is to be closed, where to try again would not help.
fn verdict(status: &Status) -> Option<Closing> {
    match Reason::of(status) {
        Reason::SessionOver => Some(Closing::new(frames::POLICY, status.message())),
        Reason::NotFound => Some(Closing::new(frames::POLICY, "This charge point is not known any more")),
        _ => None,
    }
}
