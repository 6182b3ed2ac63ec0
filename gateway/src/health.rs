//! Whether the gateway lives, wants work, and has healthy services behind it.
//!
//! Readiness tells how the services are, and does not depend on it unless a setting says so: one that fails must not take every
//! gateway out of the load balancer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;
use http::StatusCode;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
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

/// How long a load balancer waits for a word about the services. It gives up on a gateway that takes longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Services without which the gateway wants no work. None, unless they are named.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReadyNeeds(Vec<String>);

impl FromStr for ReadyNeeds {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        Ok(Self(names.map(str::to_owned).collect()))
    }
}

impl ReadyNeeds {
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

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

/// `GET /readyz`: the process wants new work, and which services do not serve meanwhile.
pub async fn readyz(State(gateway): State<Gateway>) -> (StatusCode, String) {
    if gateway.draining.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    // By a task of its own: whoever asks may go away, and what comes of it is good for the next.
    let asked = gateway.clone();
    let asking = gateway
        .tasks
        .spawn(async move { asked.last_report.or(report(&asked)).await });
    match timeout(PATIENCE, asking).await {
        Ok(Ok(report)) => readiness(&report, &gateway.ready_needs),
        Ok(Err(_)) | Err(_) if gateway.ready_needs.0.is_empty() => {
            (StatusCode::OK, "ready; the services take long to answer\n".to_owned())
        }
        Ok(Err(_)) | Err(_) => {
            let word = "not ready; the services take long to answer\n";
            (StatusCode::SERVICE_UNAVAILABLE, word.to_owned())
        }
    }
}

fn readiness(report: &Report, needs: &ReadyNeeds) -> (StatusCode, String) {
    let missing: Vec<_> = report
        .services
        .iter()
        .filter(|(_, health)| **health != Health::Serving)
        .map(|(name, health)| match health {
            Health::Unreachable => format!("{name} (unreachable)"),
            Health::NotServing | Health::Serving => format!("{name} (not serving)"),
        })
        .collect();
    let needed = needs
        .iter()
        .any(|name| report.services.get(name) != Some(&Health::Serving));
    let (code, word) = match needed {
        true => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        false => (StatusCode::OK, "ready"),
    };
    if missing.is_empty() {
        return (code, format!("{word}\n"));
    }
    (code, format!("{word}, without {}\n", missing.join(", ")))
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

    #[test]
    fn readiness_says_what_is_missing_and_depends_on_what_it_was_told_to() {
        let services = [
            ("auth", Health::Serving),
            ("email", Health::NotServing),
            ("ocpp", Health::Unreachable),
        ];
        let report = Report {
            status: Health::Unreachable,
            services: services.map(|(name, health)| (name.to_owned(), health)).into(),
        };
        let said = |needs: &str| {
            let Ok(needs) = needs.parse();
            let (code, word) = readiness(&report, &needs);
            (code.as_u16(), word)
        };
        let without = "without email (not serving), ocpp (unreachable)\n";
        assert_eq!(said(""), (200, format!("ready, {without}")));
        assert_eq!(said("auth"), (200, format!("ready, {without}")));
        assert_eq!(said("auth, ocpp"), (503, format!("not ready, {without}")));
    }

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
