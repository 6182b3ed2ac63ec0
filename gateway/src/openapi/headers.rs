//! The headers that endpoints read and set, each described once.

use serde_json::{Value, json};

/// `*`, or a list of entity tags (RFC 9110, section 13.1.1).
const ENTITY_TAGS: &str = r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#;

/// A header of a request as a parameter; nothing where nobody has described it yet.
pub fn parameter(name: &str) -> Option<Value> {
    let (schema, description) = match name {
        "Accept-Language" => (
            json!({"type": "string", "minLength": 1, "pattern": "^[ -~]+$", "example": "de-CH, en;q=0.5"}),
            "The languages that the account's owner reads. Mail to them is written in the one that they like best, or in English where there is none in it.",
        ),
        "If-Match" => (
            json!({"type": "string", "format": "entity-tags", "pattern": ENTITY_TAGS, "example": "\"1\""}),
            "The `ETag` of the state that this change starts from. Where it is another one by now, nothing is changed.",
        ),
        "Idempotency-Key" => (
            json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}),
            "Makes the request safe to repeat: the same key with the same request has its effect once.",
        ),
        "Range" => (
            json!({"type": "string", "example": "bytes=0-"}),
            "A part of the bytes, to go on where a download broke off. What cannot be served is not heeded.",
        ),
        "Last-Event-ID" => (
            json!({"type": "string", "minLength": 1}),
            "The `id` of the last event seen, so that the stream goes on after it.",
        ),
        _ => return None,
    };
    Some(json!({"name": name, "in": "header", "required": false, "schema": schema, "description": description}))
}

/// A header of an answer; nothing where nobody has described it yet.
pub fn answer(name: &str) -> Option<Value> {
    let (required, schema, description) = match name {
        "Allow" => (true, json!({"type": "string"}), "The methods that this path takes."),
        "Cache-Control" => (
            true,
            json!({"type": "string"}),
            "`no-store`: nobody may keep the answer.",
        ),
        "Accept-Ranges" => (true, json!({"const": "bytes"}), "A part may be asked for by `Range`."),
        "Content-Disposition" => (
            true,
            json!({"type": "string"}),
            "`attachment`, with the name of the file (RFC 6266).",
        ),
        "Content-Range" => (true, json!({"type": "string"}), "Which part it is, of how many bytes."),
        "ETag" => (
            true,
            json!({"type": "string"}),
            "Names the state of the resource, for `If-Match`.",
        ),
        "Location" => (
            true,
            json!({"type": "string", "format": "uri-reference"}),
            "Where it is.",
        ),
        "RateLimit" => (
            false,
            json!({"type": "string", "example": "\"login\";r=4;t=30"}),
            "What is left of each limit (`r`), and the seconds until there is more (`t`).",
        ),
        "RateLimit-Policy" => (
            false,
            json!({"type": "string", "example": "\"login\";q=5;w=60"}),
            "How much each limit allows (`q`) in how many seconds (`w`).",
        ),
        "Retry-After" => (
            false,
            json!({"type": "string", "pattern": "^[0-9]+$"}),
            "Seconds to wait before trying again.",
        ),
        "WWW-Authenticate" => (
            true,
            json!({"type": "string"}),
            "How to prove who one is (RFC 9110, section 11.6.1).",
        ),
        "X-Request-Id" => (true, json!({"type": "string"}), "Names the request in the logs."),
        _ => return None,
    };
    Some(json!({"required": required, "schema": schema, "description": description}))
}

/// The headers of an answer by name, with those that every answer has.
pub fn of_answer<'n>(names: impl IntoIterator<Item = &'n str>) -> Value {
    let names = names.into_iter().chain(["X-Request-Id"]);
    let described = names.filter_map(|name| Some((name.to_owned(), answer(name)?)));
    Value::Object(described.collect())
}
