//! The OpenAPI 3.1 document, made from the descriptors: paths from the HTTP rules, schemas from the messages,
//! descriptions from the comments, rules and examples from the options of fields, errors from the catalogue of reasons.

mod comments;
mod example;
mod exchange;
mod facts;
mod failures;
mod headers;
mod operation;
mod own_paths;
mod parameters;
mod schema;

use std::collections::{BTreeMap, HashMap};

use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use crate::routes::{Kind, Routes};
use facts::Facts;
use schema::Schemas;

const ABOUT: &str = "\
The REST interface of a charging network.

Every failure is problem+json (RFC 9457) with a `reason` for programs and, where the request is at fault, everything that \
is wrong with it in `errors`. Bodies are proto3 JSON: `null` is the same as leaving a field out, and an unknown field or \
parameter is refused. Lists come a page at a time; `nextPageToken` of one page is the `pageToken` of the next. Every \
answer has an `X-Request-Id`, which a client may choose by sending one.";

/// The document as JSON text.
pub fn document(pool: &DescriptorPool, routes: &Routes, http_binding: bool) -> Vec<u8> {
    let facts = Facts::of(pool);
    let mut schemas = Schemas::new(&facts);
    let paths = paths(routes, &mut schemas, http_binding);
    let mut components = schemas.into_components();
    components.insert("Health".into(), own_paths::health());
    components.insert("Problem".into(), failures::problem());
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Voltgate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": tags(routes, &facts),
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": failures::elsewhere(),
            "securitySchemes": {
                "accessToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `accessToken` of a signup or a login.",
                },
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, of which each operation names the scope that it needs.",
                },
                "chargePoint": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "A charge point's identity and its password.",
                },
            },
        },
    });
    // Serializing a value to memory cannot fail.
    serde_json::to_vec(&document).unwrap_or_default()
}

fn paths(routes: &Routes, schemas: &mut Schemas<'_>, http_binding: bool) -> BTreeMap<String, Map<String, Value>> {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut bindings: HashMap<String, usize> = HashMap::new();
    for endpoint in routes.endpoints() {
        let binding = bindings.entry(endpoint.rpc.full_name().to_owned()).or_default();
        *binding += 1;
        let operation = operation::operation(endpoint, *binding, schemas);
        let path = paths.entry(endpoint.label.clone()).or_default();
        path.insert(endpoint.method.as_str().to_ascii_lowercase(), operation);
        if http_binding && endpoint.kind == Kind::Door {
            path.insert("post".into(), exchange::operation(endpoint));
        }
    }
    for (path, operation) in own_paths::operations() {
        paths
            .entry(path.to_owned())
            .or_default()
            .insert("get".into(), operation);
    }
    paths
}

/// A tag for each service, with its comment.
fn tags(routes: &Routes, facts: &Facts) -> Vec<Value> {
    let services = routes.endpoints().map(|endpoint| endpoint.rpc.parent_service());
    let mut tags: BTreeMap<_, _> = services
        .map(|service| (service.name().to_owned(), facts.on_service(service).unwrap_or_default()))
        .collect();
    tags.insert(own_paths::TAG.to_owned(), own_paths::TEXT.to_owned());
    tags.into_iter()
        .map(|(name, text)| json!({"name": name, "description": text}))
        .collect()
}

#[cfg(test)]
mod tests;
