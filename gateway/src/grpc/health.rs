//! How the gateway and the services behind it are, for those that ask by gRPC (`grpc.health.v1`).
//!
//! The empty name means the gateway, which wants work unless it drains: a service that fails must not take every gateway
//! out of the load balancer, and whoever asks that is not counted. A service's name means that service, of which it is known what it last
//! said; questions about services are counted like others.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use service_kit::reason::Reason;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::admission;
use crate::gateway::Gateway;
use crate::health::Health;
use crate::rate_limit::{Class, Who};

pub const SERVICE: &str = "grpc.health.v1.Health";

/// How often it is looked how a service is that somebody watches.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Those who watch may be this many at once. A load balancer watches once, and need not wait for strangers who do for long: it may ask
/// again and again in place of that.
const MOST_WATCHES: usize = 200;

pub fn server(gateway: Gateway) -> HealthServer<impl HealthService> {
    HealthServer::new(Speaker {
        gateway,
        watches: Arc::new(Semaphore::new(MOST_WATCHES)),
    })
}

/// Speaks for the gateway and what is behind it.
#[derive(Clone)]
struct Speaker {
    gateway: Gateway,
    /// Places for those who watch.
    watches: Arc<Semaphore>,
}

impl Speaker {
    /// Counts a question, unless it is about the gateway itself.
    async fn count(&self, class: Class, request: &Request<HealthCheckRequest>) -> Result<(), Status> {
        if request.get_ref().service.is_empty() {
            return Ok(());
        }
        let address = admission::address(request.extensions());
        let counted = self.gateway.limits.count(class, Who::Stranger, address).await;
        counted.map(|_| ())
    }

    async fn status(&self, service: &str) -> ServingStatus {
        let gateway = &self.gateway;
        if gateway.draining.is_cancelled() {
            return ServingStatus::NotServing;
        }
        if service.is_empty() {
            return ServingStatus::Serving;
        }
        match gateway.last_words.of_public(&gateway.tasks, service).await {
            Some(Health::Serving) => ServingStatus::Serving,
            Some(Health::NotServing | Health::Unreachable) => ServingStatus::NotServing,
            None => ServingStatus::ServiceUnknown,
        }
    }

    /// The status once it is another than `last`. Nothing more once it was told that the gateway drains: a stream that
    /// stayed would hold that up.
    async fn change(&self, service: &str, last: Option<ServingStatus>) -> Option<ServingStatus> {
        loop {
            let draining = self.gateway.draining.is_cancelled();
            let status = self.status(service).await;
            if last != Some(status) {
                return Some(status);
            }
            if draining {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(WATCH_INTERVAL) => {}
                () = self.gateway.draining.cancelled() => {}
            }
        }
    }
}

#[tonic::async_trait]
impl HealthService for Speaker {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.count(Class::Read, &request).await?;
        match self.status(&request.into_inner().service).await {
            ServingStatus::ServiceUnknown => Err(Reason::NotFound.status("There is no such service")),
            status => Ok(Response::new(answer(status))),
        }
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.count(Class::Stream, &request).await?;
        let place = Arc::clone(&self.watches).try_acquire_owned();
        let place = place.map_err(|_| Reason::Overloaded.retry_after(WATCH_INTERVAL, "Too many watch already"))?;
        let (speaker, service) = (self.clone(), request.into_inner().service);
        let changes = stream::unfold(
            (speaker, service, None, place),
            |(speaker, service, last, place)| async move {
                let status = speaker.change(&service, last).await?;
                Some((Ok(answer(status)), (speaker, service, Some(status), place)))
            },
        );
        Ok(Response::new(Box::pin(changes)))
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
