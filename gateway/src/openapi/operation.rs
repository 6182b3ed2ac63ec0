//! One endpoint as an OpenAPI operation.

use std::collections::BTreeMap;

use prost_reflect::Kind as FieldKind;
use serde_json::{Value, json};
use service_kit::reason::Reason;
use voltgate_proto::api::v1::Access;

use super::comments::Comments;
use super::schema::Schemas;
use crate::json::{WellKnown, lower_camel};
use crate::routes::{Body, Endpoint, Kind, is_http_body};

pub fn operation(endpoint: &Endpoint, comments: &Comments, schemas: &mut Schemas<'_>) -> Value {
    let rpc = &endpoint.rpc;
    let comment = comments
        .of_element(&rpc.parent_service().parent_file(), rpc.path())
        .unwrap_or_default();
    let mut operation = json!({
        "operationId": format!("{}.{}", rpc.parent_service().name(), rpc.name()),
        "tags": [rpc.parent_service().name()],
        "summary": first_sentence(&comment),
        "description": comment,
        "parameters": parameters(endpoint, schemas),
        "security": security(endpoint),
        "responses": responses(endpoint, schemas),
    });
    if let Some(body) = request_body(endpoint, schemas) {
        operation["requestBody"] = body;
    }
    operation
}

fn first_sentence(comment: &str) -> &str {
    let paragraph = comment.split("\n\n").next().unwrap_or(comment);
    paragraph
        .split_once(". ")
        .map_or(paragraph, |(sentence, _)| sentence)
        .trim_end_matches('.')
}

fn parameters(endpoint: &Endpoint, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let mut parameters = Vec::new();
    let names = endpoint.template.variables().map(lower_camel);
    for (position, name) in names.enumerate() {
        let schema = match endpoint.variables.get(position) {
            Some(path) => schemas.field(path.leaf()),
            None => json!({"type": "string"}),
        };
        parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
    }
    if matches!(endpoint.body, Body::Whole) || endpoint.kind == Kind::Door {
        return parameters;
    }
    for field in endpoint.rpc.input().fields() {
        let bound =
            endpoint.variables.iter().any(|path| path.root() == &field) || endpoint.body.field() == Some(&field);
        if !bound && fits_a_query(&field.kind()) && !field.is_map() {
            let schema = schemas.field(&field);
            parameters.push(json!({"name": field.json_name(), "in": "query", "schema": schema}));
        }
    }
    parameters
}

fn fits_a_query(kind: &FieldKind) -> bool {
    kind.as_message().is_none_or(|message| {
        matches!(
            WellKnown::of(message),
            Some(WellKnown::Timestamp | WellKnown::Duration | WellKnown::FieldMask | WellKnown::Wrapper)
        )
    })
}

fn request_body(endpoint: &Endpoint, schemas: &mut Schemas<'_>) -> Option<Value> {
    let schema = match &endpoint.body {
        Body::None => return None,
        Body::Whole => schemas.message(&endpoint.rpc.input()),
        Body::Json(field) => schemas.field(field),
        // Any document; the endpoint's description says which.
        Body::Raw(_) => json!({}),
    };
    Some(json!({"required": matches!(endpoint.body, Body::Whole), "content": {"application/json": {"schema": schema}}}))
}

fn security(endpoint: &Endpoint) -> Value {
    match (endpoint.kind, endpoint.options.access()) {
        (Kind::Door, _) => json!([{"chargePoint": []}, {}]),
        (Kind::Unary, Access::Public) => json!([]),
        (Kind::Unary, _) => json!([{"accessToken": []}]),
    }
}

fn responses(endpoint: &Endpoint, schemas: &mut Schemas<'_>) -> Value {
    let mut responses = serde_json::Map::new();
    match endpoint.kind {
        Kind::Door => {
            responses.insert("101".into(), json!({"description": "The socket is open."}));
        }
        Kind::Unary => {
            let output = endpoint.rpc.output();
            let (media_type, schema) = if is_http_body(&output) {
                ("*/*", json!({}))
            } else {
                ("application/json", schemas.message(&output))
            };
            let success = json!({"description": "Success.", "content": {media_type: {"schema": schema}}});
            responses.insert(endpoint.success.as_str().to_owned(), success);
        }
    }
    for (status, reasons) in failures(endpoint) {
        responses.insert(status.to_string(), problem(&reasons));
    }
    responses.into()
}

/// The failures that an endpoint of this kind can have whatever it does, by status.
fn failures(endpoint: &Endpoint) -> BTreeMap<u16, Vec<Reason>> {
    let mut reasons = vec![
        Reason::InvalidRequest,
        Reason::NotFound,
        Reason::Internal,
        Reason::Unavailable,
        Reason::DeadlineExceeded,
    ];
    if endpoint.kind == Kind::Door {
        reasons.extend([
            Reason::NoCommonSubprotocol,
            Reason::StationUnauthorized,
            Reason::UpgradeRequired,
        ]);
        reasons.push(Reason::PermissionDenied);
    } else if endpoint.options.access() != Access::Public {
        reasons.extend([
            Reason::MissingCredentials,
            Reason::InvalidToken,
            Reason::PermissionDenied,
        ]);
    }
    if !matches!(endpoint.body, Body::None) {
        reasons.extend([Reason::PayloadTooLarge, Reason::RequestTimeout]);
    }
    if matches!(endpoint.body, Body::Whole | Body::Json(_)) {
        reasons.extend([Reason::MalformedJson, Reason::UnsupportedMediaType]);
    }
    let mut by_status: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for reason in reasons {
        by_status.entry(reason.http_status()).or_default().push(reason);
    }
    by_status
}

fn problem(reasons: &[Reason]) -> Value {
    let told: Vec<_> = reasons
        .iter()
        .map(|reason| format!("`{}`: {}.", reason.as_str(), reason.title()))
        .collect();
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    json!({"description": told.join(" "), "content": {"application/problem+json": {"schema": schema}}})
}
