//! What every request needs: the route table, the services, and who may call what.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use service_kit::Shared;
use service_kit::access::{Access, RemoteKeys, ServiceTokens};
use service_kit::start::StartError;
use tokio_util::sync::CancellationToken;

use crate::json::RawJsonFields;
use crate::openapi;
use crate::routes::Routes;
use crate::settings::Settings;
use crate::upstream::Upstreams;
use crate::websocket::{Origins, Sockets};

/// The gateway, ready to serve.
#[derive(Clone)]
pub struct Gateway(Arc<Parts>);

pub struct Parts {
    pub routes: Routes,
    pub raw_json: RawJsonFields,
    pub upstreams: Upstreams,
    pub access: Access,
    pub service_tokens: ServiceTokens,
    pub request_timeout: Duration,
    pub origins: Origins,
    pub sockets: Sockets,
    pub openapi: Bytes,
    /// Cancelled when the process wants no new work.
    pub draining: CancellationToken,
}

impl std::ops::Deref for Gateway {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Gateway {
    /// # Errors
    /// A setting or an annotation in the protos cannot be used.
    pub fn new(settings: &Settings, shared: &Shared) -> Result<Self, StartError> {
        let pool = voltgate_proto::pool();
        let routes = Routes::from_descriptors(pool)
            .map_err(|broken| StartError::other("the protos have an annotation that cannot be used", broken))?;
        let upstreams = Upstreams::new(settings.gateway_upstreams.clone(), &routes)?;
        let keys = RemoteKeys::new(&shared.access.auth_url)?;
        Ok(Self(Arc::new(Parts {
            openapi: openapi::document(pool, &routes).into(),
            raw_json: RawJsonFields::from_descriptors(pool),
            access: shared.access(Arc::new(keys))?,
            service_tokens: shared.service_tokens(crate::NAME),
            request_timeout: settings.request_timeout(),
            sockets: Sockets::new(settings.ping()),
            draining: CancellationToken::new(),
            routes,
            upstreams,
            origins: settings.gateway_allowed_origins.clone(),
        })))
    }
}
