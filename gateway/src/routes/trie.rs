//! Finds the endpoint of a path, a segment at a time. Literals beat variables, and the most specific path decides:
//! `POST /ocpp/transactions` is a wrong method there, not a station called `transactions`.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::endpoint::Endpoint;
use super::template::{Segment, Template};

/// A place in the tree of paths.
#[derive(Debug, Default)]
pub struct Node {
    literals: HashMap<String, Node>,
    variable: Option<Box<Node>>,
    endpoints: Vec<Arc<Endpoint>>,
}

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
                Segment::Variable(_) => node.variable.get_or_insert_default(),
            };
        }
        if let Some(other) = node.with_method(&endpoint.method) {
            return Err(Arc::clone(other));
        }
        node.endpoints.push(endpoint);
        Ok(())
    }

    /// The place of a path, and the segments that stand where it has variables.
    pub fn find<'p>(&self, segments: &'p [String]) -> Option<(&Self, Vec<&'p str>)> {
        let Some((first, rest)) = segments.split_first() else {
            return (!self.endpoints.is_empty()).then(|| (self, Vec::new()));
        };
        let literal = self.literals.get(first).and_then(|node| node.find(rest));
        literal.or_else(|| {
            let variable = self.variable.as_ref().filter(|_| !first.is_empty())?;
            let (node, mut values) = variable.find(rest)?;
            values.insert(0, first);
            Some((node, values))
        })
    }

    pub fn with_method(&self, method: &Method) -> Option<&Arc<Endpoint>> {
        self.endpoints.iter().find(|endpoint| endpoint.method == *method)
    }

    /// The methods that this path takes, as they stand in `Allow`.
    pub fn allow(&self) -> String {
        let mut methods: Vec<_> = self.endpoints.iter().map(|endpoint| endpoint.method.as_str()).collect();
        methods.sort_unstable();
        methods.join(", ")
    }
}
