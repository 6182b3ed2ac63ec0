//! Requests that somebody made up: REST becomes protobuf and JSON again. What must hold for any input; the function panics where
//! it does not. `scripts/fuzz` calls it with what a fuzzer makes up, the tests with what is almost right.
//!
//! An input is a request's method and target in one line, and its body in the others:
//!
//! ```text
//! PUT /rich/x/inner?flag=true
//! {"tags": ["a", "b"]}
//! ```
//!
//! Where that is no endpoint's, the line chooses one all the same, so that few inputs are for nothing. The body is read as
//! JSON for the endpoint's message, and as the encoding of such a message.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use http::Method;
use http::uri::PathAndQuery;
use prost::{DecodeError, Message as _};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage as _, Value};
use serde_json::value::RawValue;
use service_kit::reason::FieldViolation;

use super::request::{Input, Refused, message};
use crate::json::{
    Context, Layouts, MOST_VIOLATIONS, RawJsonFields, Unreadable, WellKnown, read, rich_pool, write, write_encoded,
};
use crate::media_type;
use crate::routes::{Endpoint, Found, Routes};

/// With so few levels of JSON no reader of protobuf finds a message nested too deep: it counts at most three for each, and takes a hundred.
const FEW_LEVELS: usize = 25;

/// Voltgate's own endpoints, and those of a message with every kind of field.
static APIS: LazyLock<[Api; 2]> = LazyLock::new(|| [Api::of(voltgate_proto::pool()), Api::of(&rich_pool())]);

/// # Panics
/// Something that must hold does not.
pub fn transcoding(input: &[u8]) {
    let (line, body) = parts(input);
    let text = std::str::from_utf8(line).unwrap_or_default();
    let query = query(text);
    if let Some((api, found)) = found(text) {
        api.judge(&found.endpoint, &found.variables, query, body);
    } else {
        let (api, endpoint) = any_endpoint(line);
        api.judge(endpoint, &[], query, body);
    }
}

/// The first line, and what follows it.
fn parts(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (line, rest) = input.split_at(end);
    (line, rest.get(1..).unwrap_or_default())
}

/// Any text: HTTP lets fewer through.
fn query(line: &str) -> Option<&str> {
    line.split_once('?').map(|(_, query)| query)
}

/// The endpoint that a line asks for.
fn found(line: &str) -> Option<(&'static Api, Found)> {
    let (method, target) = line.split_once(' ')?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let target: PathAndQuery = target.parse().ok()?;
    APIS.iter()
        .find_map(|api| Some((api, api.routes.find(&method, target.path()).ok()?)))
}

fn any_endpoint(line: &[u8]) -> (&'static Api, &'static Endpoint) {
    let all = APIS
        .iter()
        .flat_map(|api| api.routes.endpoints().map(move |endpoint| (api, endpoint)));
    let all: Vec<_> = all.collect();
    let sum: usize = line.iter().map(|byte| usize::from(*byte)).sum();
    all[sum % all.len()]
}

struct Api {
    routes: Routes,
    raw_json: RawJsonFields,
    /// Of what is asked. Answers have theirs in the gateway; here requests are written, too.
    layouts: Layouts,
}

impl Api {
    fn of(pool: &DescriptorPool) -> Self {
        let routes = Routes::from_descriptors(pool).unwrap_or_else(|broken| panic!("{broken}"));
        let raw_json = RawJsonFields::from_descriptors(pool);
        let layouts = Layouts::of(routes.endpoints().map(|endpoint| endpoint.rpc.input()), &raw_json);
        Self {
            routes,
            raw_json,
            layouts,
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            raw_json: &self.raw_json,
            said: &[],
        }
    }

    fn judge(&self, endpoint: &Endpoint, variables: &[String], query: Option<&str>, body: &[u8]) {
        let descriptor = endpoint.rpc.input();
        self.document(&descriptor, body);
        self.encoded(&descriptor, body);
        match message(endpoint, &self.raw_json, input(endpoint, variables, query, body)) {
            Ok(message) => self.comes_back(&message, is_flat(query, body)),
            Err(Refused::Invalid(violations)) => are_told(&violations),
            Err(Refused::Malformed(_, others)) => assert!(others.len() <= MOST_VIOLATIONS),
            Err(Refused::MediaType(taken)) => assert!(!taken.is_empty(), "there is none to be taken"),
        }
    }

    /// A text as the whole message's JSON, whether its endpoint has a body or not.
    fn document(&self, descriptor: &MessageDescriptor, text: &[u8]) {
        match read(text, descriptor, self.context()) {
            Ok(message) => self.comes_back(&message, is_flat(None, text)),
            Err(Unreadable::Invalid(violations)) => are_told(&violations),
            Err(Unreadable::Malformed(malformed)) => assert!(malformed.line > 0, "{malformed}"),
        }
    }

    /// Bytes as a service might send them. Either way to write them is the same, and what comes out is JSON.
    fn encoded(&self, descriptor: &MessageDescriptor, bytes: &[u8]) {
        let straight = write_encoded(&self.layouts, descriptor, bytes);
        let decoded = DynamicMessage::decode(descriptor.clone(), bytes).ok();
        let Some(text) = decoded.and_then(|message| write(&message, None, &self.raw_json).ok()) else {
            assert!(straight.is_none(), "{bytes:?} has no JSON form");
            return;
        };
        if let Some(straight) = straight {
            assert_eq!(shown(&straight), shown(&text));
        }
        assert!(serde_json::from_slice::<&RawValue>(&text).is_ok(), "{}", shown(&text));
        // The reader is stricter than the writer, who may meet what a newer service knows.
        if let Ok(message) = read(&text, descriptor, self.context()) {
            self.comes_back(&message, is_flat(None, &text));
        }
    }

    /// What was read goes to a service, can be written as JSON, and that is read as the same and written as the same.
    fn comes_back(&self, message: &DynamicMessage, flat: bool) {
        let descriptor = message.descriptor();
        // Only what is nested deep may be refused on its way.
        let Some(sent) = unless_deep(over_the_wire(message), flat) else {
            return;
        };
        let Some(text) = unless_deep(write(&sent, None, &self.raw_json), flat) else {
            return;
        };
        let Some(again) = unless_deep(read(&text, &descriptor, self.context()), flat) else {
            return;
        };
        let Some(again) = unless_deep(over_the_wire(&again), flat) else {
            return;
        };
        assert!(
            self.are_same(&sent, &again),
            "{}: {sent:?} became {again:?}",
            shown(&text)
        );
        let written = write(&again, None, &self.raw_json).expect("it was written before");
        assert_eq!(shown(&written), shown(&text));
        if let Some(straight) = write_encoded(&self.layouts, &descriptor, &sent.encode_to_vec()) {
            assert_eq!(shown(&straight), shown(&text));
        }
    }

    /// Bytes would not do: the entries of a map have no order. Nor would `==`, for which NaN is not NaN.
    fn are_same(&self, first: &DynamicMessage, second: &DynamicMessage) -> bool {
        let descriptor = first.descriptor();
        // Bytes again, which may hold a map. The texts have told whether they are the same.
        if WellKnown::of(&descriptor) == Some(WellKnown::Any) {
            return true;
        }
        descriptor.fields().all(|field| {
            if self.raw_json.contains(&field) && !field.supports_presence() {
                return document_of(first, &field) == document_of(second, &field);
            }
            let is_set = first.has_field(&field);
            is_set == second.has_field(&field)
                && (!is_set || self.are_same_value(&first.get_field(&field), &second.get_field(&field)))
        })
    }

    fn are_same_value(&self, first: &Value, second: &Value) -> bool {
        match (first, second) {
            (Value::F32(first), Value::F32(second)) => first.to_bits() == second.to_bits(),
            (Value::F64(first), Value::F64(second)) => first.to_bits() == second.to_bits(),
            (Value::Message(first), Value::Message(second)) => self.are_same(first, second),
            (Value::List(first), Value::List(second)) => {
                let mut pairs = first.iter().zip(second);
                first.len() == second.len() && pairs.all(|(first, second)| self.are_same_value(first, second))
            }
            (Value::Map(first), Value::Map(second)) => {
                let same =
                    |other: Option<&Value>, value: &Value| other.is_some_and(|other| self.are_same_value(value, other));
                first.len() == second.len() && first.iter().all(|(key, value)| same(second.get(key), value))
            }
            _ => first == second,
        }
    }
}

/// With a media type that the endpoint takes.
fn input<'r>(endpoint: &'r Endpoint, variables: &'r [String], query: Option<&'r str>, body: &[u8]) -> Input<'r> {
    let media_types = &endpoint.options.media_types;
    Input {
        variables,
        query,
        content_type: Some(media_types.first().map_or(media_type::JSON, String::as_str)),
        body: Bytes::copy_from_slice(body),
    }
}

/// Whether there are few levels, by what each of them takes.
fn is_flat(query: Option<&str>, body: &[u8]) -> bool {
    let query = query.unwrap_or_default().bytes();
    let in_query = query.filter(|byte| matches!(byte, b'.' | b'%')).count();
    let in_body = body.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    in_query + in_body <= FEW_LEVELS
}

fn unless_deep<T, E: std::fmt::Debug>(result: Result<T, E>, flat: bool) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(!flat, "{error:?}");
            None
        }
    }
}

/// As a service gets it.
fn over_the_wire(message: &DynamicMessage) -> Result<DynamicMessage, DecodeError> {
    DynamicMessage::decode(message.descriptor(), message.encode_to_vec().as_slice())
}

/// A field that holds a document always has one; where it has none, that is `null`.
fn document_of(message: &DynamicMessage, field: &FieldDescriptor) -> String {
    let value = message.get_field(field);
    let text = value.as_str().filter(|text| !text.is_empty());
    text.unwrap_or("null").to_owned()
}

/// Whoever is refused hears why, and not without end.
fn are_told(violations: &[FieldViolation]) {
    assert!((1..=MOST_VIOLATIONS).contains(&violations.len()), "{violations:?}");
    assert!(
        violations.iter().all(|violation| !violation.message.is_empty()),
        "{violations:?}"
    );
}

fn shown(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(text)
}

#[cfg(test)]
mod tests;
