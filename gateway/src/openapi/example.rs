//! Examples, put together from those that stand at the fields.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::facts::Facts;
use super::schema::Place;
use crate::json::WellKnown;

/// A time for fields that have no example of their own.
const TIME: &str = "2026-01-31T08:15:00Z";

/// An example of a whole message.
pub fn message(message: &MessageDescriptor, place: Place, facts: &Facts) -> Value {
    within(message, place, facts, &mut Vec::new())
}

/// The example at a field, or its first value where it has a fixed set of them.
pub fn field(field: &FieldDescriptor, facts: &Facts) -> Option<Value> {
    let option = facts.option(field);
    let texts = if option.example.is_empty() {
        option.one_of.get(..1).unwrap_or_default()
    } else {
        option.example.as_slice()
    };
    let parse = |text: &String| {
        if facts.is_document(field) || field.is_map() {
            serde_json::from_str(text).unwrap_or(Value::Null)
        } else {
            value(&field.kind(), text)
        }
    };
    let mut values = texts.iter().map(parse);
    if field.is_list() && !texts.is_empty() {
        Some(values.collect())
    } else {
        values.next()
    }
}

/// Messages that are being written are in `outer`: one that contains itself ends there.
fn within(message: &MessageDescriptor, place: Place, facts: &Facts, outer: &mut Vec<MessageDescriptor>) -> Value {
    match WellKnown::of(message) {
        Some(WellKnown::Timestamp) => return TIME.into(),
        Some(WellKnown::Duration) => return "30s".into(),
        Some(WellKnown::FieldMask | WellKnown::Wrapper) => return "".into(),
        Some(WellKnown::Struct | WellKnown::Value | WellKnown::Any) => return json!({}),
        Some(WellKnown::ListValue) => return json!([]),
        None => {}
    }
    outer.push(message.clone());
    let mut members = Map::new();
    for member in message.fields() {
        if is_later_choice(&member) {
            continue;
        }
        let value = field(&member, facts).or_else(|| composed(&member, place, facts, outer));
        members.extend(value.map(|value| (member.json_name().to_owned(), value)));
    }
    outer.pop();
    members.into()
}

/// The value of a field that has no example of its own, where it can be told.
fn composed(field: &FieldDescriptor, place: Place, facts: &Facts, outer: &mut Vec<MessageDescriptor>) -> Option<Value> {
    if field.is_map() {
        return (place == Place::Answer).then(|| json!({}));
    }
    let one = match field.kind() {
        Kind::Message(message) if outer.contains(&message) => None,
        Kind::Message(message) => Some(within(&message, place, facts, outer)),
        Kind::Bool => Some(false.into()),
        Kind::Enum(descriptor) => Some(descriptor.default_value().name().into()),
        _ => None,
    };
    if field.is_list() {
        Some(one.into_iter().collect())
    } else {
        one.filter(|_| !(field.supports_presence() && field.kind().as_message().is_none()))
    }
}

/// Of a `oneof`, an example shows the first.
fn is_later_choice(field: &FieldDescriptor) -> bool {
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    oneof.is_some_and(|oneof| oneof.fields().next().as_ref() != Some(field))
}

fn value(kind: &Kind, text: &str) -> Value {
    let json = || serde_json::from_str(text).unwrap_or(Value::Null);
    match kind {
        Kind::String | Kind::Bytes | Kind::Enum(_) => text.into(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => text.into(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => json(),
        Kind::Bool => json(),
        // As they are written: with a fraction, be it 0.
        Kind::Float | Kind::Double => json().as_f64().map_or(Value::Null, Value::from),
        Kind::Message(message) => match WellKnown::of(message) {
            Some(WellKnown::Timestamp | WellKnown::Duration | WellKnown::FieldMask) => text.into(),
            _ => json(),
        },
    }
}
