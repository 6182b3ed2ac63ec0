//! Whose certificates charge points may show, in a handshake of ours or in one of a proxy that ends TLS before us.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use service_kit::clock::SharedClock;
use service_kit::start::StartError;
use service_kit::tls::{self, FileError, Files, Reloaded};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;

use super::station_authorities::StationAuthorities;

type Verifier = Arc<dyn ClientCertVerifier>;

/// What verifies a certificate, for whoever shows one; nothing where no authority is known.
///
/// # Errors
/// The file with authorities cannot be used.
pub fn verifier(
    files: &Files,
    client_ca: Option<&Path>,
    stations: Vec<CertificateDer<'static>>,
) -> Result<Option<Verifier>, FileError> {
    let mut authorities = match client_ca {
        Some(ca) => files.authorities(ca)?.as_ref().clone(),
        None => RootCertStore::empty(),
    };
    let (_, unusable) = authorities.add_parsable_certificates(stations);
    if unusable > 0 {
        tracing::error!(unusable, "Authorities that charger-service issues from cannot be used");
    }
    if authorities.is_empty() {
        return Ok(None);
    }
    tls::client_verifier(Arc::new(authorities))
        .allow_unauthenticated()
        .build()
        .map(Some)
        .map_err(|error| FileError::new(client_ca.unwrap_or(Path::new("TLS")), error))
}

/// Verifies what was shown in the handshake of a proxy, by the newest authorities: those of our own handshakes.
#[derive(Clone)]
pub struct ClientCertificates {
    verifier: Reloaded<Option<Verifier>>,
    clock: SharedClock,
}

/// A certificate that is not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    #[error("no authority of charge points' certificates is known")]
    NoAuthority,
    #[error("there is no certificate")]
    Nothing,
    #[error("{0}")]
    Refused(tokio_rustls::rustls::Error),
}

impl ClientCertificates {
    /// # Errors
    /// The file with authorities cannot be used; the error names its setting.
    pub fn load(
        client_ca: Option<PathBuf>,
        stations: StationAuthorities,
        clock: SharedClock,
    ) -> Result<Self, StartError> {
        let paths = client_ca.iter().cloned().collect();
        let verifier = Reloaded::load(paths, Arc::clone(&clock), move |files| {
            verifier(files, client_ca.as_deref(), stations.all())
        });
        let verifier = verifier.map_err(|error| StartError::setting("GATEWAY_TLS_CLIENT_CA", error.to_string()))?;
        Ok(Self { verifier, clock })
    }

    /// Station authorities have changed.
    pub fn renew(&self) {
        self.verifier.renew();
    }

    /// A certificate, with those that lead to its authority behind it.
    ///
    /// # Errors
    /// It is from nobody we know, or not within its time.
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), Unproven> {
        let (own, intermediates) = chain.split_first().ok_or(Unproven::Nothing)?;
        let verifier = self.verifier.current();
        let verifier = verifier.as_ref().as_ref().ok_or(Unproven::NoAuthority)?;
        let seconds = u64::try_from(self.clock.now().timestamp()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        verifier
            .verify_client_cert(own, intermediates, now)
            .map(|_| ())
            .map_err(Unproven::Refused)
    }
}
