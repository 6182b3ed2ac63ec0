//! The messages of google.protobuf that have a JSON form of their own.

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};

use super::path::lower_camel;
use super::{scalar, time};

/// A message with a JSON form of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WellKnown {
    Timestamp,
    Duration,
    FieldMask,
    /// `StringValue` and its kin: the value alone, which may be absent.
    Wrapper,
    Struct,
    Value,
    ListValue,
    /// A message of the type that it names.
    Any,
}

impl WellKnown {
    pub fn of(message: &MessageDescriptor) -> Option<Self> {
        match message.full_name().strip_prefix("google.protobuf.")? {
            "Timestamp" => Some(Self::Timestamp),
            "Duration" => Some(Self::Duration),
            "FieldMask" => Some(Self::FieldMask),
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value"
            | "BoolValue" | "StringValue" | "BytesValue" => Some(Self::Wrapper),
            "Struct" => Some(Self::Struct),
            "Value" => Some(Self::Value),
            "ListValue" => Some(Self::ListValue),
            "Any" => Some(Self::Any),
            _ => None,
        }
    }
}

/// Reads a message that is written as one string: a time, a duration, a field mask, or a wrapper in a query.
pub fn parse(message: &MessageDescriptor, text: &str) -> Result<DynamicMessage, String> {
    let mut value = DynamicMessage::new(message.clone());
    match WellKnown::of(message) {
        Some(WellKnown::Timestamp) => set_seconds(&mut value, time::parse_timestamp(text)?),
        Some(WellKnown::Duration) => set_seconds(&mut value, time::parse_duration(text)?),
        Some(WellKnown::FieldMask) => set_paths(&mut value, text)?,
        Some(WellKnown::Wrapper) => {
            let kind = wrapped_kind(message).ok_or("cannot be written here")?;
            value.set_field_by_number(1, scalar::parse(&kind, text)?);
        }
        Some(WellKnown::Struct | WellKnown::Value | WellKnown::ListValue | WellKnown::Any) | None => {
            return Err("cannot be given as one value".into());
        }
    }
    Ok(value)
}

/// The kind of the value that a wrapper holds.
pub fn wrapped_kind(wrapper: &MessageDescriptor) -> Option<Kind> {
    wrapper.get_field(1).map(|field| field.kind())
}

fn set_seconds(message: &mut DynamicMessage, (seconds, nanos): (i64, i32)) {
    message.set_field_by_number(1, Value::I64(seconds));
    message.set_field_by_number(2, Value::I32(nanos));
}

/// The seconds and nanoseconds of a Timestamp or a Duration.
pub fn seconds(message: &DynamicMessage) -> (i64, i32) {
    let seconds = message.get_field_by_number(1).and_then(|value| value.as_i64());
    let nanos = message.get_field_by_number(2).and_then(|value| value.as_i32());
    (seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// `displayName,owner.id`: lowerCamelCase in JSON, the names of the proto in the message.
fn set_paths(message: &mut DynamicMessage, text: &str) -> Result<(), String> {
    let paths = text
        .split(',')
        .filter(|path| !path.is_empty())
        .map(|path| is_path(path).then(|| Value::String(snake(path))));
    let paths: Option<Vec<_>> = paths.collect();
    let paths = paths.ok_or("must be names of fields in lowerCamelCase, joined by commas")?;
    message.set_field_by_number(1, Value::List(paths));
    Ok(())
}

/// A FieldMask as JSON writes it. Nothing where a name would read back as another one.
pub fn field_mask(message: &DynamicMessage) -> Option<String> {
    let paths = message.get_field_by_number(1)?;
    let paths = paths.as_list()?.iter().map(|path| {
        let path = path.as_str()?;
        let written = lower_camel(path);
        (is_path(&written) && snake(&written) == path).then_some(written)
    });
    Some(paths.collect::<Option<Vec<_>>>()?.join(","))
}

/// Whether a text is one path as proto3 JSON has it.
fn is_path(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '.')
}

fn snake(path: &str) -> String {
    path.chars().fold(String::new(), |mut out, character| {
        if character.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
        out
    })
}
