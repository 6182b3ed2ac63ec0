//! The services behind the gateway: where they are, and calls to them.

mod addresses;
mod call;
mod codec;
mod connection;
mod dial;
mod ejection;
mod names;
mod pool;
mod replica;
mod replicas;
mod retry;
mod service;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use service_kit::start::StartError;
use service_kit::tls::{self, ServiceTls};

pub use addresses::Addresses;
pub use call::{Call, LARGEST_ANSWER, explain, is_too_large, stream, too_late, unary, upload};
pub use codec::{Encoded, Piece};
pub use replica::Line;
pub use service::Upstream;
pub use settings::{ReplicaSettings, Rules};

use crate::routes::Routes;

/// Every service behind the gateway, by its name in the protos.
#[derive(Clone, Debug)]
pub struct Upstreams(BTreeMap<String, Arc<Upstream>>);

impl Upstreams {
    /// Prepares connections to every service, by mutual TLS where that is set up; none is opened before it is needed.
    ///
    /// # Errors
    /// A service that an endpoint needs has no address, or one that does not go with mutual TLS, or with its absence.
    pub fn new(
        addresses: Addresses,
        routes: &Routes,
        most_calls: usize,
        rules: Rules,
        tls: Option<&ServiceTls>,
    ) -> Result<Self, StartError> {
        let missing = routes.upstreams().into_iter().find(|name| !addresses.contains(name));
        if let Some(name) = missing {
            return Err(StartError::setting(
                "GATEWAY_UPSTREAMS",
                format!("has no address for `{name}`, which the protos name"),
            ));
        }
        let upstreams = addresses.into_iter().map(|(name, origins)| {
            for origin in &origins {
                tls::check_scheme(tls, origin, "GATEWAY_UPSTREAMS")?;
            }
            let upstream = Arc::new(Upstream::new(&name, origins, most_calls, rules, tls.cloned()));
            Ok((name, upstream))
        });
        upstreams.collect::<Result<_, _>>().map(Self)
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.get(name)
    }

    /// Finds every replica out. One that cannot be found now is looked for again while [`Upstreams::maintain`] runs.
    pub async fn look_up(&self) {
        join_all(self.iter().map(|upstream| upstream.look_up())).await;
    }

    /// Keeps the replicas up to date, for as long as it is polled.
    pub async fn maintain(&self) {
        join_all(self.iter().map(|upstream| upstream.maintain())).await;
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.0.values()
    }
}
