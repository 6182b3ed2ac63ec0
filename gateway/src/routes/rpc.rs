//! What gRPC calls: every RPC of the protos by its path, whether REST knows it or not.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use voltgate_proto::api::v1::Access;

use super::annotation::{self, BrokenAnnotation, Problem};
use super::endpoint;
use crate::observe::Meters;
use crate::rate_limit::Class;

/// An RPC as gRPC reaches it.
#[derive(Debug)]
pub struct Rpc {
    /// `/package.Service/Method`
    pub path: PathAndQuery,
    pub meters: Meters,
    /// `package.Service`
    pub service: String,
    pub upstream: String,
    /// More than one message goes one way or the other.
    pub streaming: bool,
    /// For Voltgate's own processes, which have no business at the public port.
    pub internal: bool,
    /// How long it may take, where it has a longer or shorter time than the others.
    pub timeout: Option<Duration>,
    /// What it is counted with.
    pub class: Class,
}

/// Every RPC, by its path.
#[derive(Debug)]
pub struct Rpcs(HashMap<String, Arc<Rpc>>);

impl Rpcs {
    /// Reads the options of every RPC in package `voltgate`.
    ///
    /// # Errors
    /// An annotation cannot be used.
    pub fn from_descriptors(pool: &DescriptorPool) -> Result<Self, BrokenAnnotation> {
        let own = pool
            .services()
            .filter(|service| service.package_name().starts_with("voltgate."));
        own.flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| {
                let rpc = read(pool, &method).map_err(|problem| BrokenAnnotation::new(&method, problem))?;
                Ok((rpc.path.to_string(), Arc::new(rpc)))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub fn get(&self, path: &str) -> Option<&Arc<Rpc>> {
        self.0.get(path)
    }

    /// An RPC that is not internal, of the service with this full name.
    pub fn public_rpc_of(&self, service: &str) -> Option<&Arc<Rpc>> {
        self.0.values().find(|rpc| rpc.service == service && !rpc.internal)
    }

    /// The full names of the services with an RPC that is not internal.
    pub fn public_services(&self) -> BTreeSet<&str> {
        let public = self.0.values().filter(|rpc| !rpc.internal);
        public.map(|rpc| rpc.service.as_str()).collect()
    }
}

fn read(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<Rpc, Problem> {
    let options = annotation::endpoint(pool, method)?;
    let service = method.parent_service().full_name().to_owned();
    let path = format!("/{service}/{}", method.name());
    let streaming = method.is_client_streaming() || method.is_server_streaming();
    let rules = annotation::http_rules(pool, method)?;
    let http_method = rules
        .first()
        .and_then(|rule| annotation::pattern(rule).ok()?.0.into_iter().next());
    Ok(Rpc {
        meters: Meters::of(&path),
        path: path.parse().map_err(|_| Problem::Unreadable(path))?,
        service,
        upstream: annotation::upstream(pool, method)?,
        streaming,
        class: Class::of(&options, http_method.as_ref(), streaming),
        internal: options.access() == Access::Internal,
        timeout: endpoint::timeout(options.timeout_seconds)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_with_internal_rpcs_only_is_not_public() {
        let rpcs = Rpcs::from_descriptors(voltgate_proto::pool()).expect("the protos are complete");
        let services = rpcs.public_services();
        assert!(services.contains("voltgate.auth.v1.AuthService"));
        assert!(!services.contains("voltgate.ocpp.v1.SessionService"));
        let open = rpcs.get("/voltgate.ocpp.v1.SessionService/Open").expect("it is known");
        assert!(open.internal && open.streaming);
    }
}
