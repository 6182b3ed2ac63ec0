//! TLS from files: read, watched and read again, so that a renewed certificate needs no restart; and mutual TLS between
//! Voltgate's own processes.

mod certificate;
mod connection;
mod expiry;
mod files;
mod reloaded;
mod services;
mod settings;

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::{ClientCertVerifierBuilder, WebPkiClientVerifier};
use tokio_rustls::rustls::{ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};

pub use certificate::{Certificate, Unreadable};
pub use connection::{Connection, Peer, incoming};
pub use files::{FileError, Files};
pub use reloaded::Reloaded;
pub use services::{ServiceFiles, ServiceTls, channel, check_scheme};
pub use settings::TlsSettings;

/// Suites with forward secrecy that *ring* has: AES-GCM and ChaCha20-Poly1305.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A server of TLS 1.2 and 1.3 that knows nobody.
///
/// # Errors
/// None, as long as *ring* has suites for both versions.
pub fn server() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, FileError> {
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| FileError::new(Path::new("TLS"), error))
}

/// Verifies that what a client shows is from one of the `authorities`, and within its time.
pub fn client_verifier(authorities: Arc<RootCertStore>) -> ClientCertVerifierBuilder {
    WebPkiClientVerifier::builder_with_provider(authorities, provider())
}
