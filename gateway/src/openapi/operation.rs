//! One endpoint as an OpenAPI operation.

use serde_json::{Map, Value, json};
use service_kit::access::Scope;
use voltgate_proto::api::v1::{Access, Role};

use super::schema::{self, Place, Schemas};
use super::{example, failures, headers, parameters};
use crate::export::Columns;
use crate::media_type;
use crate::routes::{AnswerBody, Body, Endpoint, Kind, Listing};

/// `binding` counts the ways to reach the same RPC, from 1.
pub fn operation(endpoint: &Endpoint, binding: usize, schemas: &mut Schemas<'_>) -> Value {
    let rpc = &endpoint.rpc;
    let service = rpc.parent_service();
    let comment = schemas.facts.on_rpc(rpc).unwrap_or_default();
    let id = format!("{}.{}", service.name(), rpc.name());
    let mut operation = json!({
        "operationId": if binding == 1 { id } else { format!("{id}.{binding}") },
        "tags": [service.name()],
        "summary": first_sentence(&comment),
        "description": format!("{comment}\n\n{}", access(endpoint)).trim(),
        "parameters": parameters::parameters(endpoint, schemas),
        "security": security(endpoint),
        "responses": responses(endpoint, schemas),
    });
    if let Some(body) = request_body(endpoint, schemas) {
        operation["requestBody"] = body;
    }
    operation
}

/// The name of a role, as it stands in access tokens.
pub fn role_name(role: Role) -> String {
    let name = role.as_str_name();
    format!("`{}`", name.strip_prefix("ROLE_").unwrap_or(name).to_ascii_lowercase())
}

fn first_sentence(comment: &str) -> &str {
    let paragraph = comment.split("\n\n").next().unwrap_or(comment);
    paragraph
        .split_once(". ")
        .map_or(paragraph, |(sentence, _)| sentence)
        .trim_end_matches('.')
}

/// Who may call it, in words.
fn access(endpoint: &Endpoint) -> String {
    let roles: Vec<_> = endpoint.options.roles().map(role_name).collect();
    let key = match scope(endpoint) {
        Some(scope) => format!(" An API key needs the scope `{scope}`."),
        None => " No API key will do.".to_owned(),
    };
    match (endpoint.kind, endpoint.options.access(), roles.as_slice()) {
        (Kind::Door, _, _) => "For charge points, by name and password.".into(),
        (_, Access::Public, _) => "Open to anybody.".into(),
        (_, Access::Role, [one]) => format!("Needs an access token with the role {one}.{key}"),
        (_, Access::Role, several) => {
            let roles = several.join(", ");
            format!("Needs an access token with one of the roles {roles}.{key}")
        }
        (_, Access::Authenticated | Access::Internal | Access::Unspecified, _) => {
            format!("Needs an access token.{key}")
        }
    }
}

fn security(endpoint: &Endpoint) -> Value {
    match (endpoint.kind, endpoint.options.access()) {
        (Kind::Door, _) => json!([{"chargePoint": []}, {}]),
        (_, Access::Public) => json!([]),
        _ => match scope(endpoint) {
            Some(scope) => json!([{"accessToken": []}, {"apiKey": [scope.to_string()]}]),
            None => json!([{"accessToken": []}]),
        },
    }
}

/// What an API key needs for it; none where no API key will do.
fn scope(endpoint: &Endpoint) -> Option<Scope> {
    Scope::of(&endpoint.rpc).filter(|_| !endpoint.options.session_only)
}

fn request_body(endpoint: &Endpoint, schemas: &mut Schemas<'_>) -> Option<Value> {
    if endpoint.kind == Kind::Upload {
        // Any bytes at all (OpenAPI 3.1, section 4.7.14.3).
        let content = of_media_types(endpoint, "application/octet-stream", &json!({}));
        return Some(json!({"required": false, "content": content}));
    }
    let (schema, example) = match &endpoint.body {
        Body::None => return None,
        Body::Whole => {
            let input = endpoint.rpc.input();
            let mut example = example::message(&input, Place::Request, schemas.facts);
            // What the path says, the body need not say again.
            if let Some(example) = example.as_object_mut() {
                let is_in_path = |name: &str| endpoint.variables.iter().any(|path| path.root().json_name() == name);
                example.retain(|name, _| !is_in_path(name));
            }
            (schemas.message(&input, Place::Request), Some(example))
        }
        Body::Json(field) => {
            let message = field.kind().as_message().cloned();
            let example = message.map(|message| example::message(&message, Place::Request, schemas.facts));
            (schemas.field(field, Place::Request), example)
        }
        // The service knows what it takes; the option tells what can be told.
        Body::RawWhole => (json!({}), None),
        Body::Raw(field) => {
            let option = schemas.facts.option(field);
            let example = option.example.first();
            let example = example.map(|text| serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()));
            (schema::document(&option), example)
        }
    };
    let mut content = json!({"schema": schema});
    if let Some(example) = example {
        content["example"] = example;
    }
    // No body is an empty message, which is refused only where a field is missed.
    let is_missed = |field| schemas.facts.option(&field).required;
    let required = match &endpoint.body {
        Body::Whole => endpoint.rpc.input().fields().any(is_missed),
        Body::Json(field) | Body::Raw(field) => is_missed(field.clone()),
        Body::None | Body::RawWhole => false,
    };
    Some(json!({"required": required, "content": of_media_types(endpoint, media_type::JSON, &content)}))
}

/// What a body may be, under each media type that the endpoint takes; under `usual` where it does not say.
fn of_media_types(endpoint: &Endpoint, usual: &str, content: &Value) -> Map<String, Value> {
    let named = endpoint.options.media_types.as_slice();
    let usual = [usual.to_owned()];
    let media_types = if named.is_empty() { &usual } else { named };
    media_types.iter().map(|name| (name.clone(), content.clone())).collect()
}

fn responses(endpoint: &Endpoint, schemas: &mut Schemas<'_>) -> Map<String, Value> {
    let mut responses = failures::responses(endpoint);
    let (status, success) = match endpoint.kind {
        Kind::Door => ("101", opened()),
        Kind::Unary | Kind::Stream | Kind::Upload => (endpoint.success.as_str(), success(endpoint, schemas)),
    };
    if endpoint.options.request_headers.iter().any(|name| name == "Range") {
        let mut part = success.clone();
        part["description"] = "The part that was asked for.".into();
        part["headers"] = headers::of_answer(names(endpoint).into_iter().chain(["Content-Range"]));
        responses.insert("206".to_owned(), part);
    }
    responses.insert(status.to_owned(), success);
    responses
}

fn opened() -> Value {
    json!({"description": "The socket is open.", "headers": headers::of_answer([])})
}

fn success(endpoint: &Endpoint, schemas: &mut Schemas<'_>) -> Value {
    let mut response = json!({"description": described(endpoint), "headers": headers::of_answer(names(endpoint))});
    // Such an answer has nothing in it.
    if endpoint.success != http::StatusCode::NO_CONTENT {
        response["content"] = content(endpoint, schemas);
    }
    response
}

fn content(endpoint: &Endpoint, schemas: &mut Schemas<'_>) -> Value {
    match &endpoint.answer {
        AnswerBody::Raw(_) | AnswerBody::RawWhole => {
            let (media_type, content) = raw_answer(endpoint);
            json!({media_type: content})
        }
        AnswerBody::Whole => {
            let output = endpoint.rpc.output();
            let example = example::message(&output, Place::Answer, schemas.facts);
            let schema = schemas.message(&output, Place::Answer);
            of_kind(endpoint, &json!({"schema": schema, "example": example}), schemas)
        }
        AnswerBody::Json(field) => {
            let schema = schemas.field(field, Place::Answer);
            of_kind(endpoint, &json!({"schema": schema}), schemas)
        }
    }
}

fn names(endpoint: &Endpoint) -> Vec<&str> {
    let mut names: Vec<_> = endpoint.options.response_headers.iter().map(String::as_str).collect();
    if endpoint.options.no_store {
        names.push("Cache-Control");
    }
    names
}

fn described(endpoint: &Endpoint) -> &'static str {
    match endpoint.kind {
        Kind::Stream if !endpoint.answer.is_raw() => {
            "One message after the other. Where the stream fails later, its last line is `{\"error\": …}`, or its last event is \
             named `error`, with the problem."
        }
        Kind::Unary
            if endpoint
                .listing
                .as_ref()
                .is_some_and(|listing| listing.paging.is_some()) =>
        {
            "Success. JSON is a page; CSV and lines of JSON are the whole list, unless a page is asked for."
        }
        Kind::Stream | Kind::Unary | Kind::Upload | Kind::Door => "Success.",
    }
}

/// The media types in which an answer comes.
fn of_kind(endpoint: &Endpoint, content: &Value, schemas: &mut Schemas<'_>) -> Value {
    match endpoint.kind {
        Kind::Stream => {
            let problem = json!({"$ref": "#/components/schemas/Problem"});
            let last_line = json!({"type": "object", "required": ["error"], "properties": {"error": problem}});
            let or = |last: Value| {
                let mut content = content.clone();
                content["schema"] = json!({"anyOf": [content["schema"], last]});
                content
            };
            json!({media_type::LINES: or(last_line), media_type::EVENTS: or(problem)})
        }
        Kind::Unary | Kind::Upload | Kind::Door => {
            let mut kinds = json!({media_type::JSON: content});
            if let Some(row) = endpoint.listing.as_ref().and_then(Listing::row) {
                let header = String::from_utf8_lossy(&Columns::of(&row, None).header()).into_owned();
                kinds[media_type::CSV] = json!({"schema": {"type": "string"}, "example": header});
                kinds[media_type::LINES] = json!({
                    "schema": schemas.message(&row, Place::Answer),
                    "example": example::message(&row, Place::Answer, schemas.facts),
                });
            }
            kinds
        }
    }
}

fn raw_answer(endpoint: &Endpoint) -> (&str, Value) {
    match &endpoint.options.raw_answer {
        None => ("*/*", json!({"schema": {}})),
        Some(raw) => {
            let example = serde_json::from_str(&raw.example).unwrap_or_else(|_| Value::from(raw.example.as_str()));
            (&raw.media_type, json!({"schema": {}, "example": example}))
        }
    }
}
