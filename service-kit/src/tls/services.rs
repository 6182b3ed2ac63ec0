//! Mutual TLS between Voltgate's own processes: each shows a certificate of one authority, and takes nobody without.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;
use http::uri::Scheme;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsConnector, TlsStream};
use tonic::transport::{Channel, Endpoint};

use super::connection::Connection;
use super::files::{FileError, Files};
use super::reloaded::Reloaded;
use super::{client_verifier, provider, server};
use crate::clock::SharedClock;
use crate::start::StartError;

/// The protocol that gRPC speaks.
const HTTP2: &[u8] = b"h2";

/// Where the certificate, its key and the authorities are.
#[derive(Debug)]
pub struct ServiceFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

/// This process's part in mutual TLS, as the newest usable files have it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceTls {
    configurations: Reloaded<Configurations>,
    /// The name that a service's certificate must have, where it is not the host of its address.
    name: Option<ServerName<'static>>,
}

struct Configurations {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl ServiceTls {
    /// # Errors
    /// A file cannot be used, or `name` is not one.
    pub fn load(files: ServiceFiles, name: Option<&str>, clock: SharedClock) -> Result<Self, StartError> {
        let name = name.map(|name| ServerName::try_from(name.to_owned()));
        let name = name
            .transpose()
            .map_err(|_| StartError::setting("SERVICE_TLS_NAME", "is not a name that a certificate can have"))?;
        let paths = vec![files.certificate.clone(), files.key.clone(), files.ca.clone()];
        let named = paths.clone();
        let configurations =
            Reloaded::load(paths, clock, move |content| configure(&files, content)).map_err(|error| {
                let settings = ["SERVICE_TLS_CERTIFICATE", "SERVICE_TLS_KEY", "SERVICE_TLS_CA"];
                let setting = named.iter().position(|path| *path == error.path).unwrap_or_default();
                StartError::setting(settings[setting], error.to_string())
            })?;
        Ok(Self { configurations, name })
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.configurations.current().server)
    }

    /// Shakes hands with the process at the other end of `stream`, which must have a certificate for `host` or for the
    /// name that was set. The caller bounds the time it takes.
    ///
    /// # Errors
    /// It has none, or does not take ours.
    pub async fn secure(&self, stream: TcpStream, host: &str) -> io::Result<Connection> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        let connector = TlsConnector::from(Arc::clone(&self.configurations.current().client));
        let stream = connector.connect(name, stream).await?;
        Ok(TlsStream::from(stream).into())
    }

    async fn connect(&self, address: &Uri) -> io::Result<Connection> {
        let host = address.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, address.port_u16().unwrap_or(443))).await?;
        stream.set_nodelay(true)?;
        self.secure(stream, host).await
    }
}

/// What both ends use, of the same files.
fn configure(files: &ServiceFiles, content: &Files) -> Result<Configurations, FileError> {
    let own = Arc::new(content.certified_key(&files.certificate, &files.key)?);
    let authorities = content.authorities(&files.ca)?;
    let verifier = client_verifier(Arc::clone(&authorities)).build();
    let verifier = verifier.map_err(|error| FileError::new(&files.ca, error))?;
    let mut server = server()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&own))));
    server.alpn_protocols = vec![HTTP2.to_vec()];
    // A resumed connection is not verified again, and would outlive the certificate that it began with.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| FileError::new(&files.ca, error))?
        .with_root_certificates(authorities)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    client.alpn_protocols = vec![HTTP2.to_vec()];
    client.resumption = Resumption::disabled();
    Ok(Configurations {
        server: Arc::new(server),
        client: Arc::new(client),
    })
}

/// A channel to another process, which connects when it is first used: by mutual TLS where that is set up.
pub fn channel(tls: Option<&ServiceTls>, address: Uri, set_up: impl FnOnce(Endpoint) -> Endpoint) -> Channel {
    let Some(tls) = tls.cloned() else {
        return set_up(Endpoint::from(address)).connect_lazy();
    };
    // Where tonic reads `https`, it wants to do TLS itself, and by one set of files for ever.
    let mut parts = address.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    let plain = Uri::from_parts(parts).unwrap_or_else(|_| address.clone());
    let endpoint = set_up(Endpoint::from(plain)).origin(address.clone());
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let (tls, address) = (tls.clone(), address.clone());
        async move { tls.connect(&address).await.map(TokioIo::new) }
    }))
}

/// Holds an address against what it is reached by: `https` with mutual TLS, `http` without.
///
/// # Errors
/// It is the other way round; the error names the setting that the address is from.
pub fn check_scheme(tls: Option<&ServiceTls>, address: &Uri, setting: &'static str) -> Result<(), StartError> {
    match (tls, address.scheme_str()) {
        (Some(_), Some("https")) | (None, Some("http")) => Ok(()),
        (Some(_), _) => Err(StartError::setting(
            setting,
            format!("{address} must begin with https://, because SERVICE_TLS_CERTIFICATE is set"),
        )),
        (None, _) => Err(StartError::setting(
            setting,
            format!("{address} must begin with http://, because SERVICE_TLS_CERTIFICATE is not set"),
        )),
    }
}
