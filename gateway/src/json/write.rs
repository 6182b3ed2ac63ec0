//! Writes a message as JSON. What a client may rely on: every field without presence is there, whatever its value;
//! `optional` and message fields are there when they are set; lists and maps always, empty ones too.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};
use serde_json::value::RawValue;

use super::any;
use super::mask::{Mask, Wanted};
use super::raw::RawJsonFields;
use super::well_known::{self, WellKnown};
use super::{structured, time};

/// Answers nest no deeper than this; a message within a google.protobuf.Any counts from where it is decoded.
const DEEPEST: usize = 200;

/// Why a message has no JSON form. Always the fault of the service that sent it.
#[derive(Debug, thiserror::Error)]
#[error("{field} of the answer cannot be written as JSON: {problem}")]
pub struct Unwritable {
    field: String,
    problem: &'static str,
}

impl Unwritable {
    fn new(field: &str, problem: &'static str) -> Self {
        Self {
            field: field.to_owned(),
            problem,
        }
    }
}

/// The message as JSON, with those of its members that are wanted; with all of them where there is no mask.
///
/// # Errors
/// A value has no JSON form.
pub fn write(message: &DynamicMessage, mask: Option<&Mask>, raw_json: &RawJsonFields) -> Result<Vec<u8>, Unwritable> {
    let mut writer = Writer::new(mask, raw_json);
    writer.message(message)?;
    Ok(writer.out)
}

/// One field of a message as JSON, with those members of its messages that are wanted. An absent one is `null`.
///
/// # Errors
/// The value has no JSON form.
pub fn write_field(
    message: &DynamicMessage,
    field: &FieldDescriptor,
    mask: Option<&Mask>,
    raw_json: &RawJsonFields,
) -> Result<Vec<u8>, Unwritable> {
    let mut writer = Writer::new(mask, raw_json);
    if field.supports_presence() && !message.has_field(field) {
        writer.out.extend_from_slice(b"null");
    } else {
        writer.field_value(field, &message.get_field(field))?;
    }
    Ok(writer.out)
}

struct Writer<'s> {
    /// What is wanted of the message that is being written; nothing where that is all of it.
    mask: Option<&'s Mask>,
    raw_json: &'s RawJsonFields,
    out: Vec<u8>,
    depth: usize,
}

impl<'s> Writer<'s> {
    fn new(mask: Option<&'s Mask>, raw_json: &'s RawJsonFields) -> Self {
        Self {
            mask,
            raw_json,
            out: Vec::with_capacity(256),
            depth: 0,
        }
    }

    fn message(&mut self, message: &DynamicMessage) -> Result<(), Unwritable> {
        let descriptor = message.descriptor();
        if self.depth >= DEEPEST {
            return Err(Unwritable::new(descriptor.full_name(), "it is nested too deep"));
        }
        self.depth += 1;
        let result = self.form_of(message, &descriptor);
        self.depth -= 1;
        result
    }

    fn form_of(&mut self, message: &DynamicMessage, descriptor: &MessageDescriptor) -> Result<(), Unwritable> {
        let bad = |problem| Unwritable::new(descriptor.full_name(), problem);
        match WellKnown::of(descriptor) {
            None => self.object(message),
            Some(WellKnown::Timestamp) => {
                let (seconds, nanos) = well_known::seconds(message);
                self.string(&time::write_timestamp(seconds, nanos).ok_or_else(|| bad("it is not a time"))?)
            }
            Some(WellKnown::Duration) => {
                let (seconds, nanos) = well_known::seconds(message);
                self.string(&time::write_duration(seconds, nanos).ok_or_else(|| bad("it is not a duration"))?)
            }
            Some(WellKnown::FieldMask) => {
                let mask = well_known::field_mask(message);
                self.string(&mask.ok_or_else(|| bad("a path in it is not in snake_case"))?)
            }
            Some(WellKnown::Wrapper | WellKnown::Struct | WellKnown::ListValue) => {
                let field = descriptor.get_field(1).ok_or_else(|| bad("it has no value"))?;
                self.field_value(&field, &message.get_field(&field))
            }
            Some(WellKnown::Value) => self.json_value(message),
            Some(WellKnown::Any) => self.any(message),
        }
    }

    fn object(&mut self, message: &DynamicMessage) -> Result<(), Unwritable> {
        self.out.push(b'{');
        self.members(message, true)?;
        self.out.push(b'}');
        Ok(())
    }

    fn members(&mut self, message: &DynamicMessage, mut first: bool) -> Result<(), Unwritable> {
        for field in message.descriptor().fields() {
            if field.supports_presence() && !message.has_field(&field) {
                continue;
            }
            let within = match self.mask.map_or(Wanted::Everything, |mask| mask.of(&field)) {
                Wanted::Nothing => continue,
                Wanted::Everything => None,
                Wanted::Only(mask) => Some(mask),
            };
            self.separate(&mut first);
            self.string(field.json_name())?;
            self.out.push(b':');
            let outer = std::mem::replace(&mut self.mask, within);
            self.field_value(&field, &message.get_field(&field))?;
            self.mask = outer;
        }
        Ok(())
    }

    /// The message within, with its type beside its members; under `value` where it is no object.
    fn any(&mut self, any: &DynamicMessage) -> Result<(), Unwritable> {
        let Some(packed) = any::unpack(any).map_err(|problem| Unwritable::new("google.protobuf.Any", problem))? else {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        };
        self.out.extend_from_slice(b"{\"@type\":");
        self.string(&packed.type_url)?;
        if WellKnown::of(&packed.message.descriptor()).is_some() {
            self.out.extend_from_slice(b",\"value\":");
            self.message(&packed.message)?;
        } else {
            self.members(&packed.message, false)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn separate(&mut self, first: &mut bool) {
        if !std::mem::take(first) {
            self.out.push(b',');
        }
    }

    fn field_value(&mut self, field: &FieldDescriptor, value: &Value) -> Result<(), Unwritable> {
        match value {
            Value::String(text) if self.raw_json.contains(field) => self.document(field, text),
            Value::List(values) => {
                self.out.push(b'[');
                let mut first = true;
                for value in values {
                    self.separate(&mut first);
                    self.single(&field.kind(), value)?;
                }
                self.out.push(b']');
                Ok(())
            }
            Value::Map(entries) => self.map(field, entries),
            value => self.single(&field.kind(), value),
        }
    }

    /// A string that holds JSON stays as it is, so that no digit is lost. An empty one was never set.
    fn document(&mut self, field: &FieldDescriptor, text: &str) -> Result<(), Unwritable> {
        if text.is_empty() {
            self.out.extend_from_slice(b"null");
            return Ok(());
        }
        serde_json::from_str::<&RawValue>(text)
            .map_err(|_| Unwritable::new(field.full_name(), "it should hold JSON and does not"))?;
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Keys are sorted, so that the same message is the same text.
    fn map(&mut self, field: &FieldDescriptor, entries: &HashMap<MapKey, Value>) -> Result<(), Unwritable> {
        let entry = field.kind();
        let kind = entry.as_message().map(|entry| entry.map_entry_value_field().kind());
        let kind = kind.ok_or_else(|| Unwritable::new(field.full_name(), "it is not a map"))?;
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort_by_key(|(key, _)| *key);
        self.out.push(b'{');
        let mut first = true;
        for (key, value) in sorted {
            self.separate(&mut first);
            match key {
                MapKey::String(text) => self.string(text)?,
                MapKey::Bool(value) => self.string(&value.to_string())?,
                MapKey::I32(value) => self.string(&value.to_string())?,
                MapKey::I64(value) => self.string(&value.to_string())?,
                MapKey::U32(value) => self.string(&value.to_string())?,
                MapKey::U64(value) => self.string(&value.to_string())?,
            }
            self.out.push(b':');
            self.single(&kind, value)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn single(&mut self, kind: &Kind, value: &Value) -> Result<(), Unwritable> {
        match value {
            Value::Message(message) => self.message(message),
            Value::String(text) => self.string(text),
            Value::Bytes(bytes) => self.string(&STANDARD.encode(bytes)),
            Value::Bool(value) => self.plain(value),
            Value::I32(value) => self.plain(value),
            Value::U32(value) => self.plain(value),
            // As strings: a client that reads numbers as floating point would lose digits.
            Value::I64(value) => self.string(&value.to_string()),
            Value::U64(value) => self.string(&value.to_string()),
            Value::F32(value) if value.is_finite() => self.number(value),
            Value::F32(value) => self.string(name_of(f64::from(*value))),
            Value::F64(value) if value.is_finite() => self.number(value),
            Value::F64(value) => self.string(name_of(*value)),
            Value::EnumNumber(number) => self.enumeration(kind, *number),
            Value::List(_) | Value::Map(_) => Err(Unwritable::new("a list", "it stands within a list")),
        }
    }

    fn enumeration(&mut self, kind: &Kind, number: i32) -> Result<(), Unwritable> {
        let descriptor = kind.as_enum();
        if descriptor.is_some_and(|descriptor| descriptor.full_name() == "google.protobuf.NullValue") {
            self.out.extend_from_slice(b"null");
            return Ok(());
        }
        match descriptor.and_then(|descriptor| descriptor.get_value(number)) {
            Some(value) => self.string(value.name()),
            // A newer service may know more names.
            None => self.plain(&number),
        }
    }

    fn json_value(&mut self, value: &DynamicMessage) -> Result<(), Unwritable> {
        let descriptor = value.descriptor();
        let set = [
            structured::NUMBER,
            structured::STRING,
            structured::BOOL,
            structured::STRUCT,
            structured::LIST,
        ]
        .into_iter()
        .filter_map(|number| descriptor.get_field(number))
        .find(|field| value.has_field(field));
        match set.map(|field| (value.get_field(&field).into_owned(), field)) {
            Some((Value::F64(number), _)) if !number.is_finite() => Err(Unwritable::new(
                descriptor.full_name(),
                "it is a number that JSON does not have",
            )),
            Some((inner, field)) => self.field_value(&field, &inner),
            // One that holds nothing has no other form either.
            None => {
                self.out.extend_from_slice(b"null");
                Ok(())
            }
        }
    }

    fn string(&mut self, text: &str) -> Result<(), Unwritable> {
        serde_json::to_writer(&mut self.out, text).map_err(|_| Unwritable::new("a string", "it cannot be written"))
    }

    fn plain(&mut self, value: &impl ToString) -> Result<(), Unwritable> {
        self.out.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    /// The shortest text that reads back as the same number.
    fn number(&mut self, value: &impl serde::Serialize) -> Result<(), Unwritable> {
        serde_json::to_writer(&mut self.out, value).map_err(|_| Unwritable::new("a number", "it cannot be written"))
    }
}

/// What stands in the place of a number that JSON does not have.
pub(super) fn name_of(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}
