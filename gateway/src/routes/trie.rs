//! Finds the endpoint of a path, a segment at a time. Literals beat `*`, `*` beats `**`, and the most specific path decides:
//! `POST /ocpp/transactions` is a wrong method there, not a station called `transactions`.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::endpoint::Endpoint;
use super::path::Segment as PathSegment;
use super::template::{Segment, Template};

/// A place in the tree of paths.
#[derive(Debug, Default)]
pub struct Node {
    literals: HashMap<String, Node>,
    one: Option<Box<Node>>,
    rest: Option<Box<Node>>,
    /// What paths that end here mean, by verb.
    ends: HashMap<Option<String>, End>,
}

/// The endpoints of one path.
#[derive(Debug, Default)]
pub struct End(Vec<Arc<Endpoint>>);

impl Node {
    /// Adds an endpoint.
    ///
    /// # Errors
    /// Another one has the same method and shape of path; it is returned.
    pub fn insert(&mut self, template: &Template, endpoint: Arc<Endpoint>) -> Result<(), Arc<Endpoint>> {
        let mut node = self;
        for segment in template.segments() {
            node = match segment {
                Segment::Literal(literal) => node.literals.entry(literal.clone()).or_default(),
                Segment::One => node.one.get_or_insert_default(),
                Segment::Rest => node.rest.get_or_insert_default(),
            };
        }
        let end = node.ends.entry(template.verb().map(str::to_owned)).or_default();
        if let Some(other) = end.0.iter().find(|other| other.method == endpoint.method) {
            return Err(Arc::clone(other));
        }
        end.0.push(endpoint);
        Ok(())
    }

    /// What a path means. Empty segments are part of no path.
    pub fn find(&self, segments: &[PathSegment<'_>], verb: Option<&str>) -> Option<&End> {
        self.descend(segments, &verb.map(str::to_owned))
    }

    fn descend(&self, segments: &[PathSegment<'_>], verb: &Option<String>) -> Option<&End> {
        let through = match segments.split_first() {
            None => self.ends.get(verb),
            Some((first, rest)) => {
                let literal = self.literals.get(first.decoded());
                let one = self.one.as_deref().filter(|_| !first.decoded().is_empty());
                [literal, one]
                    .into_iter()
                    .flatten()
                    .find_map(|node| node.descend(rest, verb))
            }
        };
        through.or_else(|| {
            let rest = self.rest.as_ref()?;
            let whole = segments.iter().all(|segment| !segment.decoded().is_empty());
            whole.then(|| rest.ends.get(verb)).flatten()
        })
    }
}

impl End {
    /// The endpoint for a method. `HEAD` is answered by what answers `GET` (RFC 9110, section 9.3.2).
    pub fn with_method(&self, method: &Method) -> Option<&Arc<Endpoint>> {
        let exactly = |method: &Method| self.0.iter().find(|endpoint| endpoint.method == *method);
        exactly(method).or_else(|| exactly(&Method::GET).filter(|_| *method == Method::HEAD))
    }

    /// The methods that this path takes, as they stand in `Allow`.
    pub fn allow(&self) -> String {
        let mut methods: Vec<_> = self.0.iter().map(|endpoint| endpoint.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.sort_unstable();
        methods.dedup();
        methods.join(", ")
    }
}
