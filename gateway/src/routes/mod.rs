//! The route table: which RPC a method and a path mean.
//!
//! It is built once, at the start, from the options in the protos, so a new RPC is a new endpoint without a line of code
//! here. An annotation that makes no sense stops the start and names its RPC; it never becomes a surprise at run time.

mod annotation;
mod binding;
mod endpoint;
mod path;
mod rpc;
mod template;
mod trie;

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Method;
use prost_reflect::DescriptorPool;

pub use annotation::{BrokenAnnotation, Problem};
pub use binding::{Body, FieldPath, field_named, is_http_body};
pub use endpoint::{Endpoint, Kind};
pub use path::MalformedPath;
pub use rpc::{Rpc, Rpcs};

/// Every endpoint, by path and method.
#[derive(Debug)]
pub struct Routes {
    root: trie::Node,
    endpoints: Vec<Arc<Endpoint>>,
}

/// An endpoint, and the segments of the path that fill its variables, decoded.
#[derive(Debug)]
pub struct Found {
    pub endpoint: Arc<Endpoint>,
    pub variables: Vec<String>,
}

/// Why no endpoint was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Miss {
    Malformed(MalformedPath),
    UnknownPath,
    /// The path exists, with these methods.
    WrongMethod {
        allow: String,
    },
}

impl Routes {
    /// Reads the options of every RPC in the pool that has an HTTP rule.
    ///
    /// # Errors
    /// An annotation cannot be used.
    pub fn from_descriptors(pool: &DescriptorPool) -> Result<Self, BrokenAnnotation> {
        let mut routes = Self {
            root: trie::Node::default(),
            endpoints: Vec::new(),
        };
        for method in pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
        {
            for endpoint in endpoint::of_method(pool, &method)? {
                let endpoint = Arc::new(endpoint);
                routes
                    .root
                    .insert(&endpoint.template, Arc::clone(&endpoint))
                    .map_err(|other| {
                        BrokenAnnotation::new(&method, Problem::Taken(other.rpc.full_name().to_owned()))
                    })?;
                routes.endpoints.push(endpoint);
            }
        }
        Ok(routes)
    }

    /// # Errors
    /// The path is malformed or unknown, or does not take the method.
    pub fn find(&self, method: &Method, path: &str) -> Result<Found, Miss> {
        let segments = path::segments(path).map_err(Miss::Malformed)?;
        let (node, variables) = self.root.find(&segments).ok_or(Miss::UnknownPath)?;
        let endpoint = node
            .with_method(method)
            .ok_or_else(|| Miss::WrongMethod { allow: node.allow() })?;
        Ok(Found {
            endpoint: Arc::clone(endpoint),
            variables: variables.into_iter().map(str::to_owned).collect(),
        })
    }

    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().map(Arc::as_ref)
    }

    /// The names of the upstreams that the endpoints need.
    pub fn upstreams(&self) -> BTreeSet<&str> {
        self.endpoints().map(|endpoint| endpoint.upstream.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn find(method: Method, path: &str) -> Result<(String, Vec<String>), Miss> {
        let routes = Routes::from_descriptors(voltgate_proto::pool()).unwrap();
        routes
            .find(&method, path)
            .map(|found| (found.endpoint.rpc.name().to_owned(), found.variables))
    }

    #[test]
    fn a_literal_beats_a_variable() {
        assert_eq!(
            find(Method::GET, "/ocpp/transactions"),
            Ok(("ListTransactions".into(), vec![]))
        );
        assert_eq!(
            find(Method::GET, "/ocpp/CP-1"),
            Ok(("Open".into(), vec!["CP-1".into()]))
        );
    }

    #[test]
    fn a_variable_takes_a_decoded_segment() {
        let found = find(Method::GET, "/ocpp/charge-points/Depot%20%2F%20S%C3%BCd");
        assert_eq!(found, Ok(("GetChargePoint".into(), vec!["Depot / Süd".into()])));
    }

    #[test]
    fn a_literal_matches_however_it_is_encoded() {
        assert!(find(Method::POST, "/auth/%73ignup").is_ok());
    }

    #[test]
    fn an_unknown_path_is_not_found() {
        for path in [
            "/",
            "/nothing",
            "/auth",
            "/auth/signup/",
            "/auth//signup",
            "/ocpp/charge-points/",
        ] {
            assert_eq!(find(Method::GET, path), Err(Miss::UnknownPath), "{path}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let allow = |text: &str| Err(Miss::WrongMethod { allow: text.into() });
        assert_eq!(find(Method::GET, "/auth/signup"), allow("POST"));
        assert_eq!(find(Method::DELETE, "/ocpp/charge-points"), allow("GET, POST"));
        assert_eq!(find(Method::POST, "/ocpp/transactions"), allow("GET"));
    }

    #[test]
    fn a_path_that_cannot_be_decoded_is_malformed() {
        for path in ["/ocpp/%", "/ocpp/%zz", "/ocpp/%ff"] {
            assert!(matches!(find(Method::GET, path), Err(Miss::Malformed(_))), "{path}");
        }
    }
}
