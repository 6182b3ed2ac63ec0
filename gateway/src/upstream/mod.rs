//! The services behind the gateway: where they are, and calls to them.

mod addresses;
mod call;
mod channel;
mod codec;

use std::collections::BTreeMap;
use std::sync::Arc;

use service_kit::start::StartError;

pub use addresses::Addresses;
pub use call::{Call, explain, too_late, unary};
#[allow(unused_imports)]
pub use channel::{Channel, SocketLine, Upstream};

use crate::routes::Routes;

/// Every service behind the gateway, by its name in the protos.
#[derive(Clone, Debug)]
pub struct Upstreams(BTreeMap<String, Arc<Upstream>>);

impl Upstreams {
    /// Prepares connections to every service; none is opened before it is needed.
    ///
    /// # Errors
    /// A service that an endpoint needs has no address.
    pub fn new(addresses: Addresses, routes: &Routes) -> Result<Self, StartError> {
        let missing = routes.upstreams().into_iter().find(|name| !addresses.contains(name));
        if let Some(name) = missing {
            return Err(StartError::setting(
                "GATEWAY_UPSTREAMS",
                format!("has no address for `{name}`, which the protos name"),
            ));
        }
        let upstreams = addresses.into_iter().map(|(name, address)| {
            let upstream = Arc::new(Upstream::new(&name, address));
            (name, upstream)
        });
        Ok(Self(upstreams.collect()))
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.0.values()
    }
}
