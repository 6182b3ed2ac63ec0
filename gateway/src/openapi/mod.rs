//! The OpenAPI 3.1 document, made from the descriptors: paths from the HTTP rules, schemas from the messages,
//! descriptions from the comments, errors from the catalogue of reasons.

mod comments;
mod operation;
mod schema;

use std::collections::BTreeMap;

use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};
use service_kit::reason::Reason;

use crate::json::RawJsonFields;
use crate::routes::Routes;
use comments::Comments;
use schema::Schemas;

/// The document as JSON text.
pub fn document(pool: &DescriptorPool, routes: &Routes) -> Vec<u8> {
    let comments = Comments::of(pool);
    let mut schemas = Schemas::new(&comments, RawJsonFields::from_descriptors(pool));
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    for endpoint in routes.endpoints() {
        let service = endpoint.rpc.parent_service();
        tags.entry(service.name().to_owned()).or_insert_with(|| {
            comments
                .of_element(&service.parent_file(), service.path())
                .unwrap_or_default()
        });
        let operation = operation::operation(endpoint, &comments, &mut schemas);
        let path = paths.entry(&endpoint.label).or_default();
        path.insert(endpoint.method.as_str().to_ascii_lowercase(), operation);
    }
    let mut components = schemas.into_components();
    components.insert("Problem".into(), problem());
    let tags: Vec<_> = tags
        .into_iter()
        .map(|(name, text)| json!({"name": name, "description": text}))
        .collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Voltgate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The REST interface of a charging network. Failures are problem+json (RFC 9457).",
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "accessToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `accessToken` of a signup or a login.",
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

/// problem+json, with every reason there is.
fn problem() -> Value {
    let reasons: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    json!({
        "type": "object",
        "description": "Why a request failed (RFC 9457).",
        "required": ["type", "title", "status", "detail", "reason", "requestId"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string", "description": "The same for every failure of this kind."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": {"type": "string", "description": "What went wrong this time."},
            "reason": {"type": "string", "enum": reasons},
            "requestId": {"type": "string", "description": "Names the request in the logs."},
            "errors": {
                "type": "array",
                "description": "Everything that is wrong with the request.",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": {
                        "field": {"type": "string", "description": "JSON path in the body, or name of the parameter."},
                        "message": {"type": "string"},
                    },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn generated() -> Value {
        let pool = voltgate_proto::pool();
        let routes = Routes::from_descriptors(pool).unwrap();
        serde_json::from_slice(&document(pool, &routes)).unwrap()
    }

    #[test]
    fn every_endpoint_is_documented() {
        let document = generated();
        let routes = Routes::from_descriptors(voltgate_proto::pool()).unwrap();
        for endpoint in routes.endpoints() {
            let method = endpoint.method.as_str().to_ascii_lowercase();
            assert!(
                document["paths"][&endpoint.label][&method]["responses"].is_object(),
                "{}",
                endpoint.label
            );
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    map.values().for_each(|value| references(value, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = generated();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            assert!(
                document.pointer(reference.trim_start_matches('#')).is_some(),
                "{reference}"
            );
        }
    }

    #[test]
    fn comments_become_descriptions() {
        let document = generated();
        let signup = &document["paths"]["/auth/signup"]["post"];
        assert!(signup["summary"].as_str().unwrap().starts_with("Creates an account"));
        let username = &document["components"]["schemas"]["SignUpRequest"]["properties"]["username"];
        assert!(username["description"].as_str().unwrap().contains("characters"));
    }

    #[test]
    fn parameters_are_typed_and_the_access_rule_is_told() {
        let document = generated();
        let list = &document["paths"]["/ocpp/transactions/{id}/meter-values"]["get"];
        let parameters = list["parameters"].as_array().unwrap();
        let named = |name: &str| parameters.iter().find(|parameter| parameter["name"] == name).unwrap();
        assert_eq!(named("id")["in"], "path");
        assert_eq!(named("id")["schema"]["format"], "int32");
        assert_eq!(named("pageToken")["in"], "query");
        assert_eq!(list["security"][0]["accessToken"], json!([]));
        assert_eq!(document["paths"]["/auth/login"]["post"]["security"], json!([]));
        assert!(list["responses"]["403"].is_object());
    }
}
