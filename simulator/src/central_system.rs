//! Where charge points connect to.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::{TcpSocket, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::Url;

use crate::version::Version;
use crate::websocket::{Offer, Socket, SocketError, Stream};

/// What stands in a path as it is (RFC 3986, section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How to get there.
pub struct CentralSystem {
    /// With the port, where it is not that of the scheme.
    host: String,
    address: SocketAddr,
    /// Ends with a slash.
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    pub version: Version,
    /// Security profiles 1 and 2; none is profile 0.
    password: Option<String>,
    /// How long anything may take: a handshake, an answer.
    pub patience: Duration,
}

impl CentralSystem {
    /// Looks the address up. `ca` is whom to trust for TLS, in PEM; the system's authorities where it is left out.
    ///
    /// # Errors
    /// The URL is none of a WebSocket, there is no such host, or the file cannot be read.
    pub async fn find(url: &Url, ca: Option<&Path>) -> Result<Self> {
        let is_tls = match url.scheme() {
            "ws" => false,
            "wss" => true,
            other => bail!("`{other}` is no scheme of WebSockets: ws or wss"),
        };
        let name = url.host_str().context("the URL has no host")?;
        let port = url.port_or_known_default().context("the URL has no port")?;
        // An IPv6 address stands in brackets in a URL, and nowhere else.
        let bare = name.trim_matches(['[', ']']);
        let address = lookup_host((bare, port)).await?.next();
        let tls = if is_tls {
            let name = ServerName::try_from(bare.to_owned())?;
            Some((connector(ca)?, name))
        } else {
            None
        };
        Ok(Self {
            host: url
                .port()
                .map_or_else(|| name.to_owned(), |port| format!("{name}:{port}")),
            address: address.with_context(|| format!("{name} has no address"))?,
            path: format!("{}/", url.path().trim_end_matches('/')),
            tls,
            version: Version::default(),
            password: None,
            patience: Duration::from_secs(30),
        })
    }

    #[must_use]
    pub fn with_password(mut self, password: Option<String>) -> Self {
        self.password = password;
        self
    }

    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    #[must_use]
    pub fn speaking(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A socket of the charge point with this identity.
    ///
    /// # Errors
    /// There is none, for whatever reason, or it takes too long.
    pub async fn connect(&self, identity: &str, source: Option<IpAddr>) -> Result<Socket, SocketError> {
        match timeout(self.patience, self.shake_hands(identity, source)).await {
            Ok(socket) => socket,
            Err(_) => Err(SocketError::Handshake("there was no answer in time")),
        }
    }

    async fn shake_hands(&self, identity: &str, source: Option<IpAddr>) -> Result<Socket, SocketError> {
        let socket = if self.address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        };
        let socket = socket.map_err(SocketError::Connect)?;
        if let Some(source) = source {
            socket.bind((source, 0).into()).map_err(SocketError::Connect)?;
        }
        let tcp = socket.connect(self.address).await.map_err(SocketError::Connect)?;
        tcp.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Stream::Tcp(tcp),
            Some((connector, name)) => {
                let tls = connector.connect(name.clone(), tcp).await;
                Stream::Tls(Box::new(tls.map_err(SocketError::Connect)?))
            }
        };
        let authorization = self.password.as_ref().map(|password| basic(identity, password));
        let offer = Offer {
            host: &self.host,
            path: &format!("{}{}", self.path, utf8_percent_encode(identity, UNRESERVED)),
            subprotocol: self.version.subprotocol(),
            authorization: authorization.as_deref(),
        };
        Socket::open(stream, &offer).await
    }
}

fn basic(identity: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{identity}:{password}")))
}

fn connector(ca: Option<&Path>) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let certificates = CertificateDer::pem_file_iter(path);
        for certificate in certificates.with_context(|| format!("cannot read {}", path.display()))? {
            roots.add(certificate?)?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn find(url: &str) -> Result<CentralSystem> {
        CentralSystem::find(&url.parse().expect("a URL"), None).await
    }

    #[tokio::test]
    async fn the_url_says_where_and_below_which_path() {
        let central = find("ws://127.0.0.1:8080/ocpp").await.expect("it is there");
        assert_eq!(central.host, "127.0.0.1:8080");
        assert_eq!(central.address, SocketAddr::from(([127, 0, 0, 1], 8080)));
        assert_eq!(central.path, "/ocpp/");
        assert_eq!(find("ws://[::1]/a/b/").await.expect("it is there").path, "/a/b/");
    }

    #[tokio::test]
    async fn only_websockets_will_do() {
        assert!(find("http://127.0.0.1/ocpp").await.is_err());
    }

    #[test]
    fn an_identity_is_one_segment_of_the_path() {
        let encoded = utf8_percent_encode("Bay 1/é", UNRESERVED).to_string();
        assert_eq!(encoded, "Bay%201%2F%C3%A9");
    }
}
