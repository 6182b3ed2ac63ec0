//! The answer of an RPC becomes the body of a response.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, ReflectMessage as _};

use crate::json::{self, RawJsonFields, Unwritable};
use crate::routes::is_http_body;

/// A body with its media type.
#[derive(Debug)]
pub struct Answer {
    pub content_type: String,
    pub body: Bytes,
}

/// Writes the message as JSON, or passes a google.api.HttpBody on as it is.
///
/// # Errors
/// The message has no JSON form.
pub fn answer(message: &DynamicMessage, raw_json: &RawJsonFields) -> Result<Answer, Unwritable> {
    if !is_http_body(&message.descriptor()) {
        return Ok(Answer {
            content_type: "application/json".into(),
            body: json::write(message, raw_json)?.into(),
        });
    }
    let content_type = message.get_field_by_name("content_type");
    let content_type = content_type
        .as_ref()
        .and_then(|value| value.as_str())
        .filter(|text| !text.is_empty());
    let body = message
        .get_field_by_name("data")
        .and_then(|value| value.as_bytes().cloned());
    Ok(Answer {
        content_type: content_type.unwrap_or("application/octet-stream").to_owned(),
        body: body.unwrap_or_default(),
    })
}
