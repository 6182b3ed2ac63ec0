//! Connections to what is called: looked up once, checked, and connected to as it was checked.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tower::Service;

use super::Reach;

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    #[error("no address of it may be called")]
    Forbidden,
    #[error("it cannot be reached")]
    Unreachable(#[from] io::Error),
}

#[derive(Clone)]
pub(super) struct Connect {
    reach: Reach,
    /// Read from the machine's certificates when it is first needed.
    tls: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl Connect {
    pub(super) fn new(reach: Reach) -> Self {
        Self {
            reach,
            tls: Arc::default(),
        }
    }

    async fn connect(self, address: Uri) -> Result<Pipe, ConnectError> {
        let host = address.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_secure = address.scheme_str() == Some("https");
        let port = address.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let addresses: Vec<SocketAddr> = lookup_host((host, port))
            .await?
            .filter(|address| self.reach.includes(address.ip()))
            .collect();
        if addresses.is_empty() {
            return Err(ConnectError::Forbidden);
        }
        // One after the other, and to nothing that was not looked at.
        let stream = TcpStream::connect(addresses.as_slice()).await?;
        stream.set_nodelay(true)?;
        if !is_secure {
            return Ok(Pipe::of(stream));
        }
        let tls = self.tls.get_or_try_init(configuration).await?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
        Ok(Pipe::of(stream))
    }
}

/// Trusts whom the machine trusts.
async fn configuration() -> io::Result<Arc<ClientConfig>> {
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
        .await
        .map_err(io::Error::other)?;
    for error in &found.errors {
        tracing::warn!(%error, "A certificate of an authority that this machine trusts cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let configuration = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(configuration))
}

impl Service<Uri> for Connect {
    type Response = Pipe;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Pipe, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        Box::pin(self.clone().connect(address))
    }
}

/// A stream of bytes, both ways.
trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A connection, plain or by TLS.
pub(super) struct Pipe(TokioIo<Box<dyn Bytes>>);

impl Pipe {
    fn of(stream: impl Bytes + 'static) -> Self {
        Self(TokioIo::new(Box::new(stream)))
    }

    fn inner(self: Pin<&mut Self>) -> Pin<&mut TokioIo<Box<dyn Bytes>>> {
        Pin::new(&mut self.get_mut().0)
    }
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pipe {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_read(context, buffer)
    }
}

impl Write for Pipe {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(context)
    }
}
