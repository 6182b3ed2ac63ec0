//! The way to one replica: an address, and a transport to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Uri;
use tokio::net::TcpStream;

/// What HTTP/2 is spoken over.
pub type Transport = TcpStream;

/// One replica, as it is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Destination {
    /// As the setting has it. Its host is what a certificate would be for.
    pub origin: Arc<Uri>,
    /// One of the addresses that its host stands for.
    pub address: SocketAddr,
}

/// Opens a transport. The caller bounds the time it takes.
///
/// # Errors
/// Nobody listens there, or the network is in the way.
pub async fn dial(destination: &Destination) -> io::Result<Transport> {
    let transport = TcpStream::connect(destination.address).await?;
    transport.set_nodelay(true)?;
    Ok(transport)
}
