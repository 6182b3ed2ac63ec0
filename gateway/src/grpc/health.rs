//! How the gateway and the services behind it are, for those that ask by gRPC (`grpc.health.v1`).
//!
//! The empty name means the gateway, which wants work unless it drains: a service that fails must not take every gateway
//! out of the load balancer. A service's name means that service, and is asked there.

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use service_kit::reason::Reason;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::gateway::Gateway;
use crate::health::{self, Health};

pub const SERVICE: &str = "grpc.health.v1.Health";

/// How often one that watches a service has it asked.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

pub fn server(gateway: Gateway) -> HealthServer<impl HealthService> {
    HealthServer::new(Speaker(gateway))
}

/// Speaks for the gateway and what is behind it.
#[derive(Clone)]
struct Speaker(Gateway);

impl Speaker {
    async fn status(&self, service: &str) -> ServingStatus {
        let gateway = &self.0;
        if gateway.draining.is_cancelled() {
            return ServingStatus::NotServing;
        }
        if service.is_empty() {
            return ServingStatus::Serving;
        }
        let upstream = gateway.rpcs.public_rpc_of(service);
        match upstream.and_then(|rpc| gateway.upstreams.get(&rpc.upstream)) {
            Some(upstream) => match health::check(upstream, service.to_owned()).await {
                Health::Serving => ServingStatus::Serving,
                Health::NotServing | Health::Unreachable => ServingStatus::NotServing,
            },
            None => ServingStatus::ServiceUnknown,
        }
    }

    /// The status once it is another than `last`. Nothing more once it was told that the gateway drains: a stream that
    /// stayed would hold that up.
    async fn change(&self, service: &str, last: Option<ServingStatus>) -> Option<ServingStatus> {
        loop {
            let draining = self.0.draining.is_cancelled();
            let status = self.status(service).await;
            if last != Some(status) {
                return Some(status);
            }
            if draining {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(WATCH_INTERVAL) => {}
                () = self.0.draining.cancelled() => {}
            }
        }
    }
}

#[tonic::async_trait]
impl HealthService for Speaker {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match self.status(&request.into_inner().service).await {
            ServingStatus::ServiceUnknown => Err(Reason::NotFound.status("There is no such service")),
            status => Ok(Response::new(answer(status))),
        }
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (speaker, service) = (self.clone(), request.into_inner().service);
        let changes = stream::unfold((speaker, service, None), |(speaker, service, last)| async move {
            let status = speaker.change(&service, last).await?;
            Some((Ok(answer(status)), (speaker, service, Some(status))))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
