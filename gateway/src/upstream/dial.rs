//! The way to one replica: an address, and a transport to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Uri;
use service_kit::tls::{self, ServiceTls};
use tokio::net::TcpStream;

/// What HTTP/2 is spoken over.
pub type Transport = tls::Connection;

/// One replica, as it is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Destination {
    /// As the setting has it. Its host is what a certificate must be for.
    pub origin: Arc<Uri>,
    /// Mutual TLS, where it is set up.
    pub tls: Option<ServiceTls>,
    /// One of the addresses that its host stands for.
    pub address: SocketAddr,
}

/// Opens a transport. The caller bounds the time it takes.
///
/// # Errors
/// Nobody listens there, the network is in the way, or the two sides do not take each other's certificates.
pub async fn dial(destination: &Destination) -> io::Result<Transport> {
    let transport = TcpStream::connect(destination.address).await?;
    transport.set_nodelay(true)?;
    match &destination.tls {
        None => Ok(transport.into()),
        Some(tls) => tls.secure(transport, host(&destination.origin)).await,
    }
}

/// Without the brackets of an IPv6 address.
pub fn host(origin: &Uri) -> &str {
    let host = origin.host().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}
