//! What a process hands to each service that it runs.

use std::sync::Arc;
use std::time::Duration;

use prost_reflect::DescriptorPool;

use crate::access::{Access, AccessLayer, Authority, RemoteAuthority, Rules, ServiceSecret, ServiceTokens, Verifier};
use crate::bus::Bus;
use crate::clock::SharedClock;
use crate::settings::{AccessSettings, DatabaseSettings};
use crate::start::StartError;
use crate::tls::ServiceTls;

/// Parts and settings that the services of one process share.
#[derive(Clone)]
pub struct Shared {
    pub clock: SharedClock,
    pub bus: Bus,
    pub database: DatabaseSettings,
    pub access: AccessSettings,
    pub service_secret: ServiceSecret,
    /// Mutual TLS between processes, where it is set up.
    pub tls: Option<ServiceTls>,
    /// Calls that each service may have under way.
    pub max_calls: usize,
    /// How long calls under way may take to end when the process is told to stop.
    pub drain: Duration,
}

impl Shared {
    /// The access layer of `service`, which asks auth-service for its keys and revocations.
    ///
    /// # Errors
    /// `AUTH_URL` cannot be used, or an RPC has no access rule.
    pub fn access_layer(&self, service: &'static str) -> Result<AccessLayer, StartError> {
        Ok(AccessLayer::new(self.access(self.authority(service)?)?))
    }

    /// auth-service, as `service` sees it.
    ///
    /// # Errors
    /// `AUTH_URL` cannot be used.
    pub fn authority(&self, service: &'static str) -> Result<Arc<dyn Authority>, StartError> {
        Ok(Arc::new(RemoteAuthority::new(
            &self.access.auth_url,
            self.tls.as_ref(),
            self.service_tokens(service),
            Arc::clone(&self.clock),
        )?))
    }

    /// Decides about calls with the keys and revocations of `authority`.
    ///
    /// # Errors
    /// An RPC has no access rule.
    pub fn access(&self, authority: Arc<dyn Authority>) -> Result<Access, StartError> {
        self.access_to(voltgate_proto::pool(), authority)
    }

    /// The same for the RPCs of these protos.
    ///
    /// # Errors
    /// An RPC has no access rule.
    pub fn access_to(&self, protos: &DescriptorPool, authority: Arc<dyn Authority>) -> Result<Access, StartError> {
        let verifier = Verifier::new(
            &self.access.auth_issuer,
            &self.access.auth_audience,
            authority,
            self.service_secret.clone(),
            Arc::clone(&self.clock),
        );
        Ok(Access::new(Rules::from_descriptors(protos)?, verifier))
    }

    /// Makes service tokens in the name of `service`.
    pub fn service_tokens(&self, service: &'static str) -> ServiceTokens {
        ServiceTokens::new(service, self.service_secret.clone(), Arc::clone(&self.clock))
    }
}
