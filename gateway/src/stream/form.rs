//! What a stream looks like to its client.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};
use service_kit::reason::Reason;
use tonic::Status;

use crate::json::{RawJsonFields, Unwritable};
use crate::media_type::{self, Accept};
use crate::routes::Endpoint;
use crate::transcode;

/// How messages are told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// Server-sent events (HTML, section 9.2).
    Events,
    /// A JSON document on each line.
    Lines,
    /// Not at all: bytes of google.api.HttpBody.
    Raw,
}

impl Form {
    /// What the client likes best; lines, where it likes both.
    pub fn choose(endpoint: &Endpoint, accept: &Accept) -> Result<Self, Status> {
        if endpoint.answer.is_raw() {
            return Ok(Self::Raw);
        }
        match accept.choose(&[media_type::LINES, media_type::EVENTS]) {
            Some(media_type::LINES) => Ok(Self::Lines),
            Some(_) => Ok(Self::Events),
            None => Err(Reason::NotAcceptable.status(format!(
                "The answer would be {} or {}",
                media_type::LINES,
                media_type::EVENTS
            ))),
        }
    }

    /// The media type of the answer, where the messages do not have one of their own.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Events => media_type::EVENTS,
            Self::Lines => media_type::LINES,
            Self::Raw => "application/octet-stream",
        }
    }

    /// One message, with its media type where it is raw.
    pub fn message(
        self,
        endpoint: &Endpoint,
        message: &DynamicMessage,
        raw_json: &RawJsonFields,
    ) -> Result<(Bytes, Option<String>), Unwritable> {
        let answer = transcode::answer(&endpoint.answer, message, None, raw_json)?;
        Ok(match self {
            Self::Events => {
                let told =
                    |field: &Option<FieldDescriptor>| field.as_ref().and_then(|field| on_one_line(message, field));
                let (id, kind) = (told(&endpoint.event_id), told(&endpoint.event_type));
                (event(id.as_deref(), kind.as_deref(), &answer.body), None)
            }
            Self::Lines => (line(b"", &answer.body, b"\n"), None),
            Self::Raw => (answer.body, Some(answer.content_type)),
        })
    }

    /// What is said when there is nothing to say. Only events have room for it.
    pub fn heartbeat(self) -> Option<Bytes> {
        (self == Self::Events).then_some(Bytes::from_static(b":\n\n"))
    }

    /// The last words of a stream that failed. Raw bytes have none; their client sees the connection break off.
    pub fn failure(self, problem: &[u8]) -> Option<Bytes> {
        match self {
            Self::Events => Some(event(None, Some("error"), problem)),
            Self::Lines => Some(line(b"{\"error\":", problem, b"}\n")),
            Self::Raw => None,
        }
    }
}

fn event(id: Option<&str>, name: Option<&str>, json: &[u8]) -> Bytes {
    let mut head = String::new();
    if let Some(id) = id {
        head.push_str(&format!("id: {id}\n"));
    }
    if let Some(name) = name {
        head.push_str(&format!("event: {name}\n"));
    }
    head.push_str("data: ");
    line(head.as_bytes(), json, b"\n\n")
}

/// JSON on one line. A document that a service wrote may have line breaks; within JSON they are never more than white space.
pub fn line(before: &[u8], json: &[u8], after: &[u8]) -> Bytes {
    let unbroken = json.iter().map(|byte| match byte {
        b'\n' | b'\r' => b' ',
        other => *other,
    });
    let mut line = Vec::with_capacity(before.len() + json.len() + after.len());
    line.extend_from_slice(before);
    line.extend(unbroken);
    line.extend_from_slice(after);
    line.into()
}

/// A field of a message, where it holds something that can be written on a line.
fn on_one_line(message: &DynamicMessage, field: &FieldDescriptor) -> Option<String> {
    let told = match message.get_field(field).as_ref() {
        Value::String(text) => text.clone(),
        Value::I32(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        _ => return None,
    };
    (!told.is_empty() && !told.contains(['\n', '\r', '\0'])).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_with_line_breaks_stays_on_one_line() {
        let json = b"{\"a\":\r\n1}";
        assert_eq!(line(b"", json, b"\n").as_ref(), b"{\"a\":  1}\n");
        assert_eq!(event(Some("7"), None, json).as_ref(), b"id: 7\ndata: {\"a\":  1}\n\n");
    }

    #[test]
    fn a_failure_is_told_from_a_message() {
        let problem = b"{\"status\":503}";
        let told = |form: Form| form.failure(problem);
        assert_eq!(
            told(Form::Events).as_deref(),
            Some(&b"event: error\ndata: {\"status\":503}\n\n"[..])
        );
        assert_eq!(
            told(Form::Lines).as_deref(),
            Some(&b"{\"error\":{\"status\":503}}\n"[..])
        );
        assert_eq!(told(Form::Raw), None);
    }
}
