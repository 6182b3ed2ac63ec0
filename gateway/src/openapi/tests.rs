#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prost_reflect::Kind as FieldKind;
use serde_json::{Value, json};
use service_kit::reason::Reason;

use super::{document, facts::Facts, headers};
use crate::json::{self as proto_json, RawJsonFields};
use crate::routes::{Body, Endpoint, Kind, Routes};
use crate::transcode::{self, Input};

fn generated() -> Value {
    let pool = voltgate_proto::pool();
    let routes = Routes::from_descriptors(pool).unwrap();
    serde_json::from_slice(&document(pool, &routes, false)).unwrap()
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
    assert_eq!(named("pageSize")["schema"]["maximum"], 1000);
    assert_eq!(named("id")["schema"]["format"], "int32");
    assert_eq!(named("pageToken")["in"], "query");
    assert_eq!(
        list["security"],
        json!([{"accessToken": []}, {"apiKey": ["ocpp:read"]}])
    );
    assert_eq!(document["paths"]["/auth/login"]["post"]["security"], json!([]));
    let for_people = &document["paths"]["/auth/logout"]["post"]["security"];
    assert_eq!(*for_people, json!([{"accessToken": []}]));
    assert!(list["responses"]["403"].is_object());
}

fn routes() -> Routes {
    Routes::from_descriptors(voltgate_proto::pool()).unwrap()
}

fn operation<'d>(document: &'d Value, endpoint: &Endpoint) -> &'d Value {
    &document["paths"][&endpoint.label][endpoint.method.as_str().to_ascii_lowercase()]
}

#[test]
fn every_reason_of_the_catalogue_is_listed_at_some_response() {
    let document = generated();
    let mut listed = BTreeSet::new();
    let operations = document["paths"].as_object().unwrap().values();
    let operations = operations.flat_map(|path| path.as_object().unwrap().values());
    let responses = operations.flat_map(|operation| operation["responses"].as_object().unwrap().values());
    let apart = document["components"]["responses"].as_object().unwrap().values();
    for response in responses.chain(apart) {
        let content = &response["content"]["application/problem+json"];
        let reasons = content["schema"]["properties"]["reason"]["enum"].as_array();
        let reasons: BTreeSet<_> = reasons.into_iter().flatten().filter_map(Value::as_str).collect();
        let shown: BTreeSet<_> = content["examples"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(reasons, shown, "each has an example");
        listed.extend(reasons.into_iter().map(str::to_owned));
    }
    let all: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect();
    assert_eq!(listed, all);
}

#[test]
fn what_an_option_names_is_known() {
    for endpoint in routes().endpoints() {
        let (rpc, options) = (endpoint.rpc.full_name(), &endpoint.options);
        for name in &options.reasons {
            assert!(
                Reason::ALL.iter().any(|reason| reason.as_str() == name),
                "{rpc}: {name}"
            );
        }
        for name in &options.request_headers {
            assert!(headers::parameter(name).is_some(), "{rpc}: {name}");
        }
        for name in &options.response_headers {
            assert!(headers::answer(name).is_some(), "{rpc}: {name}");
        }
    }
}

#[test]
fn every_field_that_a_request_needs_or_an_answer_always_has_comes_with_an_example() {
    let facts = Facts::of(voltgate_proto::pool());
    let mut without = Vec::new();
    for endpoint in routes().endpoints().filter(|endpoint| endpoint.kind != Kind::Door) {
        let (input, output) = (endpoint.rpc.input(), endpoint.rpc.output());
        let needed = input
            .fields()
            .filter(|field| facts.option(field).required || endpoint.variables.iter().any(|path| path.leaf() == field));
        let always = output
            .fields()
            .filter(|field| !field.supports_presence() && !endpoint.answer.is_raw());
        for field in needed.chain(always) {
            let made_up = matches!(field.kind(), FieldKind::Message(_) | FieldKind::Bool);
            if !made_up && super::example::field(&field, &facts).is_none() {
                without.push(field.full_name().to_owned());
            }
        }
    }
    assert_eq!(without, [""; 0]);
}

/// The request that the document shows for an endpoint: its path, its query and its body.
fn shown_request(operation: &Value, label: &str) -> (String, String, Bytes) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let escaped = |value: &Value| utf8_percent_encode(&text(value), NON_ALPHANUMERIC).to_string();
    let (mut path, mut query) = (label.to_owned(), Vec::new());
    for parameter in operation["parameters"].as_array().unwrap() {
        let (name, example) = (parameter["name"].as_str().unwrap(), &parameter["example"]);
        match parameter["in"].as_str() {
            Some("path") => path = path.replace(&format!("{{{name}}}"), &escaped(example)),
            Some("query") if !example.is_null() => query.push(format!("{name}={}", escaped(example))),
            _ => {}
        }
    }
    // It is shown alike under each media type that there may be.
    let content = operation["requestBody"]["content"].as_object();
    let shown = content.and_then(|content| content.values().next());
    let body = shown.map_or(&Value::Null, |shown| &shown["example"]);
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    (path, query.join("&"), body.into())
}

#[test]
fn a_body_is_required_where_what_it_fills_is() {
    let (document, routes) = (generated(), routes());
    let required = |rpc: &str| {
        let endpoint = routes.endpoints().find(|endpoint| endpoint.rpc.name() == rpc).unwrap();
        operation(&document, endpoint)["requestBody"]["required"].clone()
    };
    assert_eq!(required("ReplaceRegistration"), true);
    assert_eq!(required("LogIn"), true);
    for optional in ["SendCommand", "RequestDiagnostics", "UploadFirmware"] {
        assert_eq!(required(optional), false, "{optional}");
    }
}

#[test]
fn the_gateway_reads_every_request_that_the_document_shows() {
    let (document, routes) = (generated(), routes());
    let raw_json = RawJsonFields::from_descriptors(voltgate_proto::pool());
    for endpoint in routes.endpoints().filter(|endpoint| endpoint.kind != Kind::Door) {
        let (path, query, body) = shown_request(operation(&document, endpoint), &endpoint.label);
        // What may be any bytes has no example.
        let none_is_shown = matches!(endpoint.body, Body::None) || endpoint.kind == Kind::Upload;
        assert_eq!(body.is_empty(), none_is_shown, "{path}");
        let found = routes.find(&endpoint.method, &path).unwrap();
        let input = Input {
            variables: &found.variables,
            query: Some(&query),
            content_type: Some(
                endpoint
                    .options
                    .media_types
                    .first()
                    .map_or("application/json", String::as_str),
            ),
            body,
        };
        let read = transcode::message(&found.endpoint, &raw_json, input);
        assert!(read.is_ok(), "{path}?{query}: {read:?}");
    }
}

#[test]
fn the_gateway_would_write_every_answer_that_the_document_shows() {
    let (document, routes) = (generated(), routes());
    let raw_json = RawJsonFields::from_descriptors(voltgate_proto::pool());
    for endpoint in routes.endpoints().filter(|endpoint| endpoint.kind != Kind::Door) {
        let output = endpoint.rpc.output();
        // A stream is shown as lines and as events, which are no document.
        if endpoint.answer.is_raw() || endpoint.rpc.is_server_streaming() {
            continue;
        }
        let response = &operation(&document, endpoint)["responses"][endpoint.success.as_str()];
        if endpoint.success == http::StatusCode::NO_CONTENT {
            assert_eq!(response.get("content"), None, "{}", endpoint.label);
            continue;
        }
        let shown = &response["content"]["application/json"]["example"];
        let read = proto_json::read(
            shown.to_string().as_bytes(),
            &output,
            proto_json::Context::alone(&raw_json),
        );
        let read = read.unwrap_or_else(|error| panic!("{}: {error:?}", endpoint.label));
        let written = proto_json::write(&read, None, &raw_json).unwrap();
        assert_eq!(
            &serde_json::from_slice::<Value>(&written).unwrap(),
            shown,
            "{}",
            endpoint.label
        );
    }
}
