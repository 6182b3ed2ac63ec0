//! What of a request stands in its path, its query and its headers.

use prost_reflect::{FieldDescriptor, Kind as FieldKind, MessageDescriptor};
use serde_json::{Value, json};

use super::schema::{Place, Schemas};
use super::{example, headers};
use crate::json::{self, WellKnown};
use crate::routes::{Body, Endpoint, FIELDS, Kind};

/// Parameters reach so deep into messages within messages.
const DEEPEST: usize = 4;

pub fn parameters(endpoint: &Endpoint, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let mut parameters = in_path(endpoint, schemas);
    if endpoint.kind == Kind::Door {
        parameters.extend(of_the_upgrade());
        return parameters;
    }
    if !matches!(endpoint.body, Body::Whole | Body::RawWhole) {
        let free = |field: &FieldDescriptor| {
            endpoint.body.field() != Some(field) && endpoint.variables.iter().all(|path| path.root() != field)
        };
        in_query(&endpoint.rpc.input(), &free, "", schemas, &mut parameters);
    }
    if let Some(message) = endpoint.selectable() {
        parameters.push(selection(&message));
    }
    let headers = endpoint.options.request_headers.iter();
    parameters.extend(headers.filter_map(|name| headers::parameter(name)));
    parameters
}

fn in_path(endpoint: &Endpoint, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let describe = |(name, variable): (String, Option<usize>)| {
        let mut parameter = match variable.and_then(|position| endpoint.variables.get(position)) {
            Some(path) => of_field(path.leaf(), schemas),
            None => json!({"schema": {"type": "string"}, "example": "CP-1"}),
        };
        // An empty segment is another path.
        if parameter["schema"]["type"] == "string" && parameter["schema"].get("minLength").is_none() {
            parameter["schema"]["minLength"] = 1.into();
        }
        parameter["name"] = name.into();
        parameter["in"] = "path".into();
        parameter["required"] = true.into();
        parameter
    };
    endpoint.template.placeholders().into_iter().map(describe).collect()
}

/// The fields that a query can fill; those of messages within as `a.b`.
fn in_query(
    message: &MessageDescriptor,
    is_free: &dyn Fn(&FieldDescriptor) -> bool,
    prefix: &str,
    schemas: &mut Schemas<'_>,
    parameters: &mut Vec<Value>,
) {
    for field in message.fields().filter(|field| !field.is_map() && is_free(field)) {
        let name = format!("{prefix}{}", field.json_name());
        match field.kind() {
            FieldKind::Message(inner) if !is_one_text(&inner) => {
                let shallow = prefix.matches('.').count() + 1 < DEEPEST;
                if WellKnown::of(&inner).is_none() && !field.is_list() && shallow {
                    in_query(&inner, &|_| true, &format!("{name}."), schemas, parameters);
                }
            }
            _ => {
                let mut parameter = of_field(&field, schemas);
                parameter["name"] = name.into();
                parameter["in"] = "query".into();
                parameter["required"] = schemas.facts.option(&field).required.into();
                if field.is_list() {
                    parameter["style"] = "form".into();
                    parameter["explode"] = true.into();
                }
                parameters.push(parameter);
            }
        }
    }
}

/// The parameter by which members of an answer are chosen.
fn selection(message: &MessageDescriptor) -> Value {
    let mut paths = Vec::new();
    collect_paths(&mut vec![message.clone()], "", &mut paths);
    json!({
        "name": FIELDS,
        "in": "query",
        "required": false,
        "description": "The answer has these members alone, of each row where it is a list, whether its schema requires others or not.",
        "style": "form",
        "explode": false,
        "schema": {"type": "array", "items": {"type": "string", "enum": paths}, "minItems": 1},
    })
}

/// Messages that are being looked at are in `outer`: one that contains itself ends there.
fn collect_paths(outer: &mut Vec<MessageDescriptor>, prefix: &str, paths: &mut Vec<String>) {
    let Some(message) = outer.last().cloned() else {
        return;
    };
    for field in message.fields() {
        let path = format!("{prefix}{}", field.json_name());
        paths.push(path.clone());
        let inner = json::members(&field).filter(|inner| !outer.contains(inner));
        if let Some(inner) = inner.filter(|_| outer.len() < DEEPEST) {
            outer.push(inner);
            collect_paths(outer, &format!("{path}."), paths);
            outer.pop();
        }
    }
}

/// Schema, description and example.
fn of_field(field: &FieldDescriptor, schemas: &mut Schemas<'_>) -> Value {
    let mut schema = schemas.field(field, Place::Parameter);
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    let mut parameter = json!({"schema": schema});
    if let Some(description) = description {
        parameter["description"] = description;
    }
    if let Some(example) = example::field(field, schemas.facts) {
        parameter["example"] = example;
    }
    parameter
}

/// Whether a message is written as one text in a query.
fn is_one_text(message: &MessageDescriptor) -> bool {
    matches!(
        WellKnown::of(message),
        Some(WellKnown::Timestamp | WellKnown::Duration | WellKnown::FieldMask | WellKnown::Wrapper)
    )
}

/// The headers that ask for a WebSocket (RFC 6455, section 4.1).
fn of_the_upgrade() -> [Value; 4] {
    let header = |name: &str, schema: Value, description: &str| json!({"name": name, "in": "header", "required": true, "schema": schema, "description": description});
    [
        header("Upgrade", json!({"const": "websocket"}), "Asks for a WebSocket."),
        header(
            "Sec-WebSocket-Version",
            json!({"const": "13"}),
            "The version of the protocol.",
        ),
        header(
            "Sec-WebSocket-Key",
            json!({"type": "string", "pattern": "^[A-Za-z0-9+/]{22}==$", "example": "dGhlIHNhbXBsZSBub25jZQ=="}),
            "16 bytes of the client's choice.",
        ),
        header(
            "Sec-WebSocket-Protocol",
            json!({"type": "string", "minLength": 1, "example": "ocpp1.6"}),
            "The versions of OCPP that the charge point speaks, best first, joined by commas.",
        ),
    ]
}
