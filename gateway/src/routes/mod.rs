//! The route table: which RPC a method and a path mean.
//!
//! It is built once, at the start, from the options in the protos, so a new RPC is a new endpoint without a line of code
//! here. An annotation that makes no sense stops the start and names its RPC; it never becomes a surprise at run time.

mod annotation;
mod binding;
mod endpoint;
mod listing;
mod path;
mod rpc;
mod template;
mod trie;

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Method;
use prost_reflect::DescriptorPool;

pub use annotation::{BrokenAnnotation, Problem};
pub use binding::{AnswerBody, Body, FieldPath, field_named, is_http_body, rival};
pub use endpoint::{Endpoint, FIELDS, Kind};
pub use listing::Listing;
pub use path::MalformedPath;
pub use rpc::{Rpc, Rpcs};

use path::Path;
use template::Template;

/// Every endpoint, by path and method.
#[derive(Debug)]
pub struct Routes {
    root: trie::Node,
    endpoints: Vec<Arc<Endpoint>>,
}

/// An endpoint, and what the path says its variables are, decoded.
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
        let path = Path::parse(path).map_err(Miss::Malformed)?;
        let with_verb = path.split_verb().and_then(|(path, verb)| {
            let end = self.root.find(path.segments(), Some(verb))?;
            Some((end, path))
        });
        let (end, path) = with_verb
            .or_else(|| Some((self.root.find(path.segments(), None)?, path)))
            .ok_or(Miss::UnknownPath)?;
        let endpoint = end
            .with_method(method)
            .ok_or_else(|| Miss::WrongMethod { allow: end.allow() })?;
        Ok(Found {
            variables: values(&endpoint.template, path.segments()),
            endpoint: Arc::clone(endpoint),
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

/// What the variables of a template are in a path that it matches, in their order.
fn values(template: &Template, segments: &[path::Segment<'_>]) -> Vec<String> {
    let value = |variable: &template::Variable| {
        let place = &variable.place;
        if template.is_single(variable) {
            return segments[place.start].decoded().to_owned();
        }
        // `**` stands for more segments than one, or for none.
        let end = if place.end == template.segments().len() {
            segments.len()
        } else {
            place.end
        };
        let parts: Vec<_> = segments[place.start..end]
            .iter()
            .map(path::Segment::decoded_but_slashes)
            .collect();
        parts.join("/")
    };
    template.variables().iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::test_protos;

    fn find(method: Method, path: &str) -> Result<(String, Vec<String>), Miss> {
        let routes = Routes::from_descriptors(voltgate_proto::pool()).unwrap();
        routes
            .find(&method, path)
            .map(|found| (found.endpoint.rpc.name().to_owned(), found.variables))
    }

    /// Whether whoever makes the call again after it has succeeded may be told that it has failed.
    fn succeeds_once(endpoint: &Endpoint) -> bool {
        let names_one = endpoint.label.ends_with('}');
        endpoint.options.reasons.iter().any(|reason| match reason.as_str() {
            // What was deleted; not what it was part of.
            "NOT_FOUND" => endpoint.method == Method::DELETE && names_one,
            "WRONG_PASSWORD" | "WRONG_CODE" | "PRECONDITION_FAILED" => true,
            _ => false,
        })
    }

    #[test]
    fn what_http_calls_idempotent_may_be_made_again_unless_the_answer_would_be_another() {
        let routes = Routes::from_descriptors(voltgate_proto::pool()).unwrap();
        for endpoint in routes.endpoints().filter(|endpoint| endpoint.kind == Kind::Unary) {
            let by_method = [Method::GET, Method::PUT, Method::DELETE].contains(&endpoint.method);
            // A refresh token that is shown again at once gets the same answer.
            let by_itself = endpoint.rpc.name() == "Refresh";
            assert_eq!(
                endpoint.options.idempotent,
                by_method && !succeeds_once(endpoint) || by_itself,
                "{} {}",
                endpoint.method,
                endpoint.label
            );
        }
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
        assert_eq!(find(Method::DELETE, "/ocpp/charge-points"), allow("GET, HEAD, POST"));
        assert_eq!(find(Method::POST, "/ocpp/transactions"), allow("GET, HEAD"));
    }

    /// The RPC that a path means, and the values of its variables.
    fn bound(method: &str, path: &str) -> Result<(String, Vec<String>), Miss> {
        let pool = test_protos::compile(
            r#"syntax = "proto3"; package test;
            import "google/api/annotations.proto"; import "voltgate/api/v1/options.proto";
            message Thing { string name = 1; string id = 2; }
            service Things {
              option (voltgate.api.v1.upstream) = "things";
              rpc Book(Thing) returns (Thing) {
                option (google.api.http) = {
                  get: "/v1/{name=shelves/*/books/*}"
                  additional_bindings {get: "/v1/books/{id}"}
                };
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
              }
              rpc File(Thing) returns (Thing) {
                option (google.api.http) = {get: "/files/{id}/{name=**}"};
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
              }
              rpc Open(Thing) returns (Thing) {
                option (google.api.http) = {post: "/files/{name=**}:open"};
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
              }
              rpc Get(Thing) returns (Thing) {
                option (google.api.http) = {get: "/things/{id}"};
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
              }
              rpc Cancel(Thing) returns (Thing) {
                option (google.api.http) = {post: "/things/{id}:cancel"};
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
              }
              rpc Any(Thing) returns (Thing) {
                option (google.api.http) = {custom {kind: "*" path: "/any/*/{id}"}};
                option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
              }
            }"#,
        );
        let found = Routes::from_descriptors(&pool)
            .unwrap()
            .find(&method.parse().unwrap(), path)?;
        Ok((found.endpoint.rpc.name().to_owned(), found.variables))
    }

    fn to(rpc: &str, variables: &[&str]) -> Result<(String, Vec<String>), Miss> {
        Ok((
            rpc.to_owned(),
            variables.iter().map(|&value| value.to_owned()).collect(),
        ))
    }

    #[test]
    fn a_variable_over_several_segments_takes_them_with_their_slashes() {
        assert_eq!(
            bound("GET", "/v1/shelves/1/books/a%20b"),
            to("Book", &["shelves/1/books/a b"])
        );
        // An encoded slash stays one, or it could not be told from the others.
        assert_eq!(
            bound("GET", "/v1/shelves/1%2f2/books/3"),
            to("Book", &["shelves/1%2f2/books/3"])
        );
        assert_eq!(bound("GET", "/v1/shelves/1"), Err(Miss::UnknownPath));
        assert_eq!(bound("GET", "/v1/shelves//books/1"), Err(Miss::UnknownPath));
    }

    #[test]
    fn further_bindings_reach_the_same_rpc() {
        assert_eq!(bound("GET", "/v1/books/7"), to("Book", &["7"]));
    }

    #[test]
    fn the_rest_of_a_path_may_be_long_or_nothing() {
        assert_eq!(bound("GET", "/files/x/a/b/c.txt"), to("File", &["x", "a/b/c.txt"]));
        assert_eq!(bound("GET", "/files/x"), to("File", &["x", ""]));
        assert_eq!(bound("GET", "/files/x/a/"), Err(Miss::UnknownPath));
        assert_eq!(bound("POST", "/files/x/y:open"), to("Open", &["x/y"]));
    }

    #[test]
    fn a_verb_is_part_of_the_path_and_not_of_a_variable() {
        assert_eq!(bound("POST", "/things/7:cancel"), to("Cancel", &["7"]));
        assert_eq!(
            bound("GET", "/things/7:cancel"),
            Err(Miss::WrongMethod { allow: "POST".into() })
        );
        // What no template has as its verb belongs to the segment, and an encoded colon always does.
        assert_eq!(bound("GET", "/things/7:x"), to("Get", &["7:x"]));
        assert_eq!(bound("GET", "/things/7%3Acancel"), to("Get", &["7:cancel"]));
        // Without a segment before it there is no verb.
        let allow = "GET, HEAD".into();
        assert_eq!(bound("POST", "/things/:cancel"), Err(Miss::WrongMethod { allow }));
    }

    #[test]
    fn a_rule_without_a_method_takes_all_that_make_sense() {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            assert_eq!(bound(method, "/any/x/7"), to("Any", &["7"]), "{method}");
        }
        let allow = "DELETE, GET, HEAD, PATCH, POST, PUT".into();
        assert_eq!(bound("TRACE", "/any/x/7"), Err(Miss::WrongMethod { allow }));
    }

    #[test]
    fn head_is_answered_by_what_answers_get() {
        assert_eq!(bound("HEAD", "/things/7"), to("Get", &["7"]));
    }

    #[test]
    fn a_path_that_cannot_be_decoded_is_malformed() {
        for path in ["/ocpp/%", "/ocpp/%zz", "/ocpp/%ff"] {
            assert!(matches!(find(Method::GET, path), Err(Miss::Malformed(_))), "{path}");
        }
    }
}
