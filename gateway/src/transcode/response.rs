//! The answer of an RPC becomes the body of a response.

use bytes::Bytes;
use prost_reflect::DynamicMessage;

use crate::json::{self, Mask, RawJsonFields, Unwritable};
use crate::routes::AnswerBody;

/// A body with its media type.
#[derive(Debug, Default)]
pub struct Answer {
    pub content_type: String,
    pub body: Bytes,
}

/// Writes the message, or the field of it that the endpoint answers with: as JSON, with those members that are wanted, or a
/// google.api.HttpBody as it is.
///
/// # Errors
/// The message has no JSON form.
pub fn answer(
    shape: &AnswerBody,
    message: &DynamicMessage,
    mask: Option<&Mask>,
    raw_json: &RawJsonFields,
) -> Result<Answer, Unwritable> {
    match shape {
        AnswerBody::Whole => json::write(message, mask, raw_json).map(as_json),
        AnswerBody::Json(field) => json::write_field(message, field, mask, raw_json).map(as_json),
        AnswerBody::RawWhole => Ok(raw(message)),
        // A field of this type is a message, so there is nothing else to pass on.
        AnswerBody::Raw(field) => Ok(message.get_field(field).as_message().map(raw).unwrap_or_default()),
    }
}

fn as_json(body: Vec<u8>) -> Answer {
    Answer {
        content_type: "application/json".into(),
        body: body.into(),
    }
}

fn raw(http_body: &DynamicMessage) -> Answer {
    let content_type = http_body.get_field_by_name("content_type");
    let content_type = content_type
        .as_ref()
        .and_then(|value| value.as_str())
        .filter(|text| !text.is_empty());
    let body = http_body
        .get_field_by_name("data")
        .and_then(|value| value.as_bytes().cloned());
    Answer {
        content_type: content_type.unwrap_or("application/octet-stream").to_owned(),
        body: body.unwrap_or_default(),
    }
}
