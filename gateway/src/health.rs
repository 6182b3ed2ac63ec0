//! Whether the gateway lives, wants work, and has healthy services behind it.
//!
//! Readiness does not ask the services: one that fails must not take every gateway out of the load balancer.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;
use http::StatusCode;
use serde::Serialize;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::gateway::Gateway;
use crate::upstream::Upstream;

/// How one service, or all together, are.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Health {
    Serving,
    /// It answers, and says that it does not serve; when it drains, for instance.
    NotServing,
    Unreachable,
}

/// The body of `GET /health`.
#[derive(Debug, Serialize)]
pub struct Report {
    status: Health,
    services: BTreeMap<String, Health>,
}

/// `GET /health`: 200 where every service serves, 503 otherwise.
pub async fn health(State(gateway): State<Gateway>) -> (StatusCode, Json<Report>) {
    let checks = gateway.upstreams.iter().map(|upstream| async {
        let services = grpc_services(&gateway, upstream);
        (upstream.name().to_owned(), of_upstream(upstream, services).await)
    });
    let services: BTreeMap<_, _> = join_all(checks).await.into_iter().collect();
    let status = services.values().copied().max().unwrap_or(Health::Serving);
    let code = if status == Health::Serving {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(Report { status, services }))
}

/// `GET /livez`: the process answers.
pub async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the process wants new work.
pub async fn readyz(State(gateway): State<Gateway>) -> (StatusCode, &'static str) {
    if gateway.draining.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

/// The gRPC services that an upstream should serve, by the protos.
fn grpc_services(gateway: &Gateway, upstream: &Upstream) -> Vec<String> {
    let endpoints = gateway
        .routes
        .endpoints()
        .filter(|endpoint| endpoint.upstream == upstream.name());
    let mut services: Vec<_> = endpoints
        .map(|endpoint| endpoint.rpc.parent_service().full_name().to_owned())
        .collect();
    services.sort_unstable();
    services.dedup();
    services
}

/// The worst of its gRPC services.
async fn of_upstream(upstream: &Upstream, services: Vec<String>) -> Health {
    let checks = services.into_iter().map(|service| check(upstream, service));
    join_all(checks).await.into_iter().max().unwrap_or(Health::Serving)
}

/// How one gRPC service is, by its full name: as its best replica.
pub async fn check(upstream: &Upstream, service: String) -> Health {
    let replicas = upstream.replicas();
    let answers = join_all(replicas.iter().map(|replica| replica.health(service.clone()))).await;
    let health = answers.into_iter().map(|answer| match answer {
        Some(ServingStatus::Serving) => Health::Serving,
        Some(_) => Health::NotServing,
        None => Health::Unreachable,
    });
    health.min().unwrap_or(Health::Unreachable)
}
