//! The port for those who run the process: `/metrics`, `/livez` and `/readyz`. Nothing on it needs a credential, so it
//! belongs on an address that only they reach.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::settings::ProcessSettings;
use crate::start::{StartError, listen};

/// How often recorded histogram values are folded into their buckets, so that they do not pile up between scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Whether the process wants new work. Off until it has started, and again as soon as it drains.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The port, bound and not yet served.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    metrics: PrometheusHandle,
    readiness: Readiness,
}

impl Admin {
    /// # Errors
    /// The port is in use.
    pub async fn bind(
        settings: &ProcessSettings,
        metrics: PrometheusHandle,
        readiness: Readiness,
    ) -> Result<Self, StartError> {
        let listener = listen(settings.admin_listen, "ADMIN_LISTEN").await?;
        let address = listener
            .local_addr()
            .map_err(|error| StartError::other("cannot read the address of ADMIN_LISTEN", error))?;
        Ok(Self {
            listener,
            address,
            metrics,
            readiness,
        })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop.
    ///
    /// # Errors
    /// The listener broke.
    pub async fn run(self, shutdown: CancellationToken) -> std::io::Result<()> {
        let routes = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready).with_state(self.readiness))
            .route("/metrics", get(metrics).with_state(self.metrics.clone()));
        let serve = axum::serve(self.listener, routes).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        tokio::select! {
            result = serve => result,
            () = fold_histograms(self.metrics) => Ok(()),
        }
    }
}

async fn fold_histograms(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    if readiness.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(metrics): State<PrometheusHandle>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        metrics.render(),
    )
}
