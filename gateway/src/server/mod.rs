//! The public ports, with TLS and without: HTTP/1.1 and HTTP/2 on the same listener, bounded in every direction, and an
//! orderly end.

mod activity;
mod certificates;
mod client_certificates;
mod connection;
mod ports;
mod request_body;
mod station_authorities;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

pub use certificates::CertificateFiles;
pub use client_certificates::ClientCertificates;
pub use ports::{Listen, Ports, PublicAddresses};
pub use station_authorities::StationAuthorities;
pub use tls::{PublicTls, TlsSession};

use crate::edge::Edge;
use crate::gateway::Gateway;
use connection::Ending;

/// After a failure to accept, such as no file descriptor being left, the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// Where it came by TLS.
    pub tls: Option<TlsSession>,
    /// Its place among the connections that may be open; freed when the last clone goes.
    _place: Arc<OwnedSemaphorePermit>,
}

/// Bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_connections: u32,
    /// How long to serve on after being told to stop.
    pub pause: Duration,
    /// How long requests and sockets then have to end.
    pub drain: Duration,
}

/// Serves until told to stop and drained.
pub async fn serve(ports: Ports, edge: Arc<Edge>, gateway: Gateway, limits: Limits, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    let goodbye = CancellationToken::new();
    let ending = Ending {
        draining: gateway.draining.clone(),
        goodbye: goodbye.clone(),
    };
    let abandoned = CancellationToken::new();
    let accept = accept_all(&ports, limits.max_connections, |stream, tls, peer| {
        let carry = connection::serve(stream, tls, peer, Arc::clone(&edge), ending.clone());
        let abandoned = abandoned.clone();
        connections.spawn(async move {
            tokio::select! {
                () = carry => {}
                () = abandoned.cancelled() => {}
            }
        });
    });
    tokio::select! {
        () = accept => {}
        () = stopped(&shutdown, &gateway, limits.pause) => {}
    }
    drop(ports);

    info!(
        sockets = gateway.sockets.open(),
        connections = connections.len(),
        "The gateway drains"
    );
    goodbye.cancel();
    gateway.streams.end();
    connections.close();
    let requests = async {
        if timeout(limits.drain, connections.wait()).await.is_err() {
            warn!(
                connections = connections.len(),
                "Connections were still busy when the time to drain was over"
            );
            abandoned.cancel();
            connections.wait().await;
        }
    };
    tokio::join!(requests, gateway.sockets.close(limits.drain));
    // No request can begin another one now.
    gateway.tasks.close();
    if timeout(limits.drain, gateway.tasks.wait()).await.is_err() {
        warn!(tasks = gateway.tasks.len(), "Some work went on after the time to drain");
    }
}

/// Waits for the end, says so to whoever asks for readiness, and gives them time to look.
async fn stopped(shutdown: &CancellationToken, gateway: &Gateway, pause: Duration) {
    shutdown.cancelled().await;
    gateway.draining.cancel();
    sleep(pause).await;
}

/// Accepts for ever. When every place is taken, the next connection waits in the kernel's queue.
async fn accept_all(ports: &Ports, max_connections: u32, mut serve: impl FnMut(TcpStream, Option<PublicTls>, Peer)) {
    let places = Arc::new(Semaphore::new(
        usize::try_from(max_connections).unwrap_or(Semaphore::MAX_PERMITS),
    ));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match ports.accept().await {
            Ok((stream, address, tls)) => {
                let peer = Peer {
                    address,
                    tls: None,
                    _place: Arc::new(place),
                };
                serve(stream, tls, peer);
            }
            Err(error) => {
                warn!(%error, "A connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
