//! Connections between processes, at either end: plain, or after a TLS handshake.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsStream};
use tonic::transport::server::Connected;

use super::certificate::Certificate;
use super::services::ServiceTls;

/// How long a handshake may take, and how many may be under way.
const HANDSHAKE: Duration = Duration::from_secs(10);
const HANDSHAKES: usize = 256;

/// After a failure to accept, the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection that is ready for requests.
#[derive(Debug)]
pub enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// In the extensions of every request: the other side of its connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    pub address: Option<IpAddr>,
    /// What it showed, and the handshake verified.
    pub certificate: Option<Arc<Certificate>>,
}

/// The connections that come in. A handshake that fails is the other side's affair.
pub fn incoming(listener: TcpListener, tls: Option<ServiceTls>) -> impl Stream<Item = io::Result<Connection>> {
    accepted(listener)
        .map(move |stream| {
            let tls = tls.clone();
            async move {
                // Without it a small frame waits for the acknowledgement of the one before.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "Nagle's algorithm stays on");
                }
                match tls {
                    None => Some(Ok(stream.into())),
                    Some(tls) => shake_hands(stream, &tls).await.map(Ok),
                }
            }
        })
        .buffer_unordered(HANDSHAKES)
        .filter_map(std::future::ready)
}

/// Without end. Where there is no file descriptor left, to try again at once would only take the processor too.
fn accepted(listener: TcpListener) -> impl Stream<Item = TcpStream> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, listener)),
                Err(error) => {
                    tracing::warn!(%error, "A connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

async fn shake_hands(stream: TcpStream, tls: &ServiceTls) -> Option<Connection> {
    let peer = stream.peer_addr().ok();
    match timeout(HANDSHAKE, TlsAcceptor::from(tls.server()).accept(stream)).await {
        Ok(Ok(stream)) => return Some(TlsStream::from(stream).into()),
        Ok(Err(error)) => tracing::warn!(?peer, %error, "Another process did not prove itself"),
        Err(_) => tracing::warn!(?peer, "Another process took too long to prove itself"),
    }
    None
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        Self::Plain(stream)
    }
}

impl From<TlsStream<TcpStream>> for Connection {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(stream))
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        let (stream, certificates) = match self {
            Self::Plain(stream) => (stream, None),
            Self::Tls(stream) => {
                let (stream, session) = stream.get_ref();
                (stream, session.peer_certificates())
            }
        };
        let leaf = certificates.and_then(|chain| chain.first());
        Peer {
            address: stream.peer_addr().ok().map(|address| address.ip()),
            certificate: leaf.and_then(|der| Certificate::parse(der).ok()).map(Arc::new),
        }
    }
}

/// A stream of bytes, both ways.
trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

impl Connection {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut dyn Bytes> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}
