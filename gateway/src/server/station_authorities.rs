//! The authority from which charger-service issues charge points' certificates: asked for now and then, and trusted beside
//! those that are set by a file.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prost::Message as _;
use service_kit::access::CALLER;
use service_kit::reason::{Reason, internal};
use tokio::time::sleep;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};
use voltgate_proto::ocpp::v1::{ClientAuthorities, GetClientAuthoritiesRequest};

use crate::gateway::Gateway;
use crate::upstream::{self, Call, LARGEST_ANSWER};

/// Another authority takes effect at most this much later.
const EVERY: Duration = Duration::from_secs(60);

/// Between attempts while the service cannot be asked.
const RETRY: Duration = Duration::from_secs(2);

const SERVICE: &str = "ocpp";
const PATH: &str = "/voltgate.ocpp.v1.CertificateService/GetClientAuthorities";

/// What was heard last; nothing before the first answer.
#[derive(Clone, Debug, Default)]
pub struct StationAuthorities(Arc<RwLock<Vec<CertificateDer<'static>>>>);

impl StationAuthorities {
    pub fn all(&self) -> Vec<CertificateDer<'static>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// False where they are known already.
    fn set(&self, authorities: Vec<CertificateDer<'static>>) -> bool {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *known != authorities;
        *known = authorities;
        changed
    }

    /// Asks, for as long as it is polled, and calls `renew` when what it hears is something new.
    pub async fn follow(&self, gateway: &Gateway, renew: impl Fn()) {
        let mut failing = false;
        loop {
            match ask(gateway).await {
                Ok(authorities) => {
                    failing = false;
                    if self.set(authorities) {
                        renew();
                        tracing::info!("Certificates that charger-service issues let charge points in");
                    }
                    sleep(EVERY).await;
                }
                Err(status) => {
                    if !failing {
                        let (code, message) = (status.code(), status.message());
                        tracing::warn!(
                            ?code,
                            message,
                            "charger-service does not tell from which authority it issues"
                        );
                    }
                    failing = true;
                    sleep(RETRY).await;
                }
            }
        }
    }
}

async fn ask(gateway: &Gateway) -> Result<Vec<CertificateDer<'static>>, Status> {
    let service = gateway.upstreams.get(SERVICE);
    let service = service.ok_or_else(|| Reason::Unavailable.status("The service is not set up here"))?;
    let bearer = gateway.service_tokens.bearer().map_err(|error| internal(&error))?;
    let bearer = MetadataValue::try_from(bearer).map_err(|error| internal(&error))?;
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", bearer);
    metadata.insert(CALLER, MetadataValue::from_static(crate::NAME));
    let call = Call {
        path: PATH.parse().map_err(|_| Status::internal("the path is not one"))?,
        message: GetClientAuthoritiesRequest {}.encode_to_vec().into(),
        metadata,
        budget: gateway.request_timeout,
        idempotent: true,
        largest: LARGEST_ANSWER,
    };
    let answer = upstream::unary(service, call).await?.into_inner();
    let answer = ClientAuthorities::decode(answer).map_err(|error| internal(&error))?;
    CertificateDer::pem_slice_iter(answer.certificates.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| Status::internal("charger-service's authority cannot be read"))
}
