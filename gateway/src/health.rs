//! Whether the gateway lives, wants work, and has healthy services behind it.
//!
//! Readiness tells how the services are, and does not depend on it unless a setting says so: one that fails must not take every
//! gateway out of the load balancer.

mod last_word;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use tokio::time::timeout;

use crate::gateway::Gateway;

pub use last_word::LastWords;

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
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    status: Health,
    services: BTreeMap<String, Health>,
}

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
    let report = report(&gateway).await;
    let code = if report.status == Health::Serving {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(report))
}

async fn report(gateway: &Gateway) -> Report {
    let services = gateway.last_words.of_upstreams(&gateway.tasks).await;
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
    match timeout(PATIENCE, report(&gateway)).await {
        Ok(report) => readiness(&report, &gateway.ready_needs),
        Err(_) if gateway.ready_needs.0.is_empty() => {
            (StatusCode::OK, "ready; the services take long to answer\n".to_owned())
        }
        Err(_) => {
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

#[cfg(test)]
mod tests {
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
}
