//! Whether the gateway lives, wants work, and has healthy services behind it.
//!
//! Readiness does not ask the services: one that fails must not take every gateway out of the load balancer.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;
use http::StatusCode;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
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

/// A report is good for so long. Anybody may ask for one, and each takes a question to every replica for each of its services.
const FRESH: Duration = Duration::from_secs(1);

/// The body of `GET /health`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    status: Health,
    services: BTreeMap<String, Health>,
}

/// The last report, and when it was made.
#[derive(Debug, Default)]
pub struct LastReport(Mutex<Option<(Instant, Report)>>);

/// `GET /health`: 200 where every service serves, 503 otherwise.
pub async fn health(State(gateway): State<Gateway>) -> (StatusCode, Json<Report>) {
    let report = gateway.last_report.or(report(&gateway)).await;
    let code = if report.status == Health::Serving {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(report))
}

impl LastReport {
    /// It, or what `make` makes where it is too old. One makes it at a time; whoever comes meanwhile gets the same.
    async fn or(&self, make: impl Future<Output = Report>) -> Report {
        let mut last = self.0.lock().await;
        match &*last {
            Some((made, report)) if made.elapsed() < FRESH => report.clone(),
            Some(_) | None => {
                let report = make.await;
                *last = Some((Instant::now(), report.clone()));
                report
            }
        }
    }
}

async fn report(gateway: &Gateway) -> Report {
    let checks = gateway.upstreams.iter().map(|upstream| async {
        let services = grpc_services(gateway, upstream);
        (upstream.name().to_owned(), of_upstream(upstream, services).await)
    });
    let services: BTreeMap<_, _> = join_all(checks).await.into_iter().collect();
    let status = services.values().copied().max().unwrap_or(Health::Serving);
    Report { status, services }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_how_the_services_are_these_are_asked_once_a_second() {
        let (last, made) = (LastReport::default(), AtomicU32::new(0));
        let make = async || {
            made.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(500)).await;
            Report {
                status: Health::Serving,
                services: BTreeMap::new(),
            }
        };
        for round in 1..=3 {
            join_all((0..50).map(|_| last.or(make()))).await;
            assert_eq!(made.load(Ordering::Relaxed), round);
            sleep(FRESH).await;
        }
    }
}
