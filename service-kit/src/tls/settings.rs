//! The settings of mutual TLS between processes.

use std::path::PathBuf;

use clap::Args;

use super::services::{ServiceFiles, ServiceTls};
use crate::clock::SharedClock;
use crate::start::StartError;

/// Mutual TLS between Voltgate's own processes; all of the first three, or none.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct TlsSettings {
    /// Certificate that this process shows to others, with its chain, in PEM; with it gRPC is mutual TLS only
    #[arg(long, env)]
    pub service_tls_certificate: Option<PathBuf>,
    /// Private key of SERVICE_TLS_CERTIFICATE, in PEM
    #[arg(long, env)]
    pub service_tls_key: Option<PathBuf>,
    /// Authorities whose certificates the processes, and people with a gRPC client, show to each other, in PEM
    #[arg(long, env)]
    pub service_tls_ca: Option<PathBuf>,
    /// Name that every service's certificate has, where it is not the host in the service's address
    #[arg(long, env)]
    pub service_tls_name: Option<String>,
}

impl TlsSettings {
    /// # Errors
    /// Some are set and others are not, or a file cannot be used.
    pub fn load(&self, clock: SharedClock) -> Result<Option<ServiceTls>, StartError> {
        // A variable that is set to nothing counts as not set: compose files do that.
        let set = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        let certificate = set(&self.service_tls_certificate);
        let key = set(&self.service_tls_key);
        let ca = set(&self.service_tls_ca);
        let name = self.service_tls_name.as_deref().filter(|name| !name.is_empty());
        match (certificate, key, ca) {
            (None, None, None) => Ok(None),
            (Some(certificate), Some(key), Some(ca)) => {
                ServiceTls::load(ServiceFiles { certificate, key, ca }, name, clock).map(Some)
            }
            (certificate, key, _) => {
                let missing = if certificate.is_none() {
                    "SERVICE_TLS_CERTIFICATE"
                } else if key.is_none() {
                    "SERVICE_TLS_KEY"
                } else {
                    "SERVICE_TLS_CA"
                };
                Err(StartError::setting(
                    missing,
                    "is not set, though another of SERVICE_TLS_CERTIFICATE, SERVICE_TLS_KEY and SERVICE_TLS_CA is",
                ))
            }
        }
    }
}
