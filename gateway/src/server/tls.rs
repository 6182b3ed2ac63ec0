//! TLS on the public port, from files that may change while it runs.
//!
//! Charge points need not show a certificate. One that does must have it from a known authority, or there is no
//! connection; what it then means is charger-service's to say.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use service_kit::clock::SharedClock;
use service_kit::start::StartError;
use service_kit::tls::{self, FileError, Files, Reloaded};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{ProtocolVersion, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::certificates::{CertificateFiles, Certificates};
use super::client_certificates;
use super::station_authorities::StationAuthorities;

/// A handshake that takes longer is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is spoken inside, for clients that ask; those that do not speak HTTP/1.1.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The public port's part in every handshake, by the newest usable files.
#[derive(Clone)]
pub struct PublicTls(Reloaded<Arc<ServerConfig>>);

/// What a handshake told of the client.
#[derive(Clone, Debug)]
pub struct TlsSession {
    /// `1.2` or `1.3`, or `proxy` where the handshake was that of a proxy.
    pub version: &'static str,
    /// The client's own certificate in DER, verified.
    pub certificate: Option<Bytes>,
}

impl PublicTls {
    /// # Errors
    /// A file cannot be used; the error names its setting.
    pub fn load(
        certificates: CertificateFiles,
        client_ca: Option<PathBuf>,
        stations: StationAuthorities,
        clock: SharedClock,
    ) -> Result<Self, StartError> {
        let paths = certificates.paths().chain(client_ca.clone()).collect();
        let ca = client_ca.clone();
        let configuration = Reloaded::load(paths, clock, move |files| {
            configure(files, &certificates, client_ca.as_deref(), stations.all()).map(Arc::new)
        });
        configuration.map(Self).map_err(|error| {
            let setting = match ca {
                Some(ca) if ca == error.path => "GATEWAY_TLS_CLIENT_CA",
                _ => "GATEWAY_TLS_CERTIFICATES",
            };
            StartError::setting(setting, error.to_string())
        })
    }

    /// Station authorities have changed.
    pub fn renew(&self) {
        self.0.renew();
    }

    /// Nothing where the client and we do not come together.
    pub async fn shake_hands(&self, stream: TcpStream, peer: SocketAddr) -> Option<(TlsStream<TcpStream>, TlsSession)> {
        let acceptor = TlsAcceptor::from(self.0.current().as_ref().clone());
        let result = match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                count("ok");
                let session = TlsSession::of(&stream);
                return Some((stream, session));
            }
            Ok(Err(error)) => {
                // For whoever wonders why a charge point does not come in.
                tracing::info!(%peer, %error, "A TLS handshake failed");
                failure(&error)
            }
            Err(_) => "timeout",
        };
        count(result);
        None
    }
}

impl TlsSession {
    fn of(stream: &TlsStream<TcpStream>) -> Self {
        let (_, connection) = stream.get_ref();
        let leaf = connection.peer_certificates().and_then(|chain| chain.first());
        Self {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "1.3",
                _ => "1.2",
            },
            certificate: leaf.map(|der| Bytes::copy_from_slice(der)),
        }
    }
}

fn configure(
    files: &Files,
    certificates: &CertificateFiles,
    client_ca: Option<&Path>,
    stations: Vec<CertificateDer<'static>>,
) -> Result<ServerConfig, FileError> {
    let certificates = Arc::new(Certificates::read(files, certificates)?);
    let mut configuration = match client_certificates::verifier(files, client_ca, stations)? {
        None => tls::server()?.with_no_client_auth().with_cert_resolver(certificates),
        Some(verifier) => {
            let mut configuration = tls::server()?
                .with_client_cert_verifier(verifier)
                .with_cert_resolver(certificates);
            // A resumed connection is not verified again, and would outlive the certificate that it began with.
            configuration.session_storage = Arc::new(NoServerSessionStorage {});
            configuration.send_tls13_tickets = 0;
            configuration
        }
    };
    configuration.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(configuration)
}

fn failure(error: &io::Error) -> &'static str {
    match error.kind() {
        // What rustls found wrong with what came.
        io::ErrorKind::InvalidData => "refused",
        _ => "broken_off",
    }
}

fn count(result: &'static str) {
    metrics::counter!("voltgate_gateway_tls_handshakes_total", "result" => result).increment(1);
}
