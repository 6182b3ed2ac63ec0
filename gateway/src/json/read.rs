//! Reads a JSON document into a message, and tells everything that is wrong with it at once.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde_json::value::RawValue;
use service_kit::reason::FieldViolation;

use super::any::{self, Packed};
use super::members::{Members, Shape};
use super::path::JsonPath;
use super::raw::RawJsonFields;
use super::well_known::{self, WellKnown};
use super::{scalar, structured};
use crate::routes::{FieldPath, field_named, rival};

/// Documents nest no deeper than this.
const DEEPEST: usize = 64;

/// Members and elements in one document, all levels together.
const MOST_VALUES: usize = 100_000;

/// So many violations are told; a document with more is not read on.
pub const MOST_VIOLATIONS: usize = 100;

/// Why a document could not be read.
#[derive(Debug)]
pub enum Unreadable {
    /// It is not JSON.
    Malformed(Malformed),
    /// It is JSON, but not what the message asks for.
    Invalid(Vec<FieldViolation>),
}

/// Where a document stops being JSON. Lines and columns count from 1.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("The body is not JSON: {problem} at line {line}, column {column}")]
pub struct Malformed {
    pub line: usize,
    pub column: usize,
    pub problem: String,
}

/// What a document is read with.
#[derive(Clone, Copy, Debug)]
pub struct Context<'s> {
    pub raw_json: &'s RawJsonFields,
    /// Fields of the request's message that the path fills too. A document may repeat what the path says, not contradict it.
    pub said: &'s [(FieldPath, Value)],
}

impl<'s> Context<'s> {
    /// For a document that no path speaks about.
    #[cfg(test)]
    pub fn alone(raw_json: &'s RawJsonFields) -> Self {
        Self { raw_json, said: &[] }
    }
}

/// Reads `text` into a message of type `descriptor`.
///
/// # Errors
/// The text is not JSON, or not JSON for this message.
pub fn read(text: &[u8], descriptor: &MessageDescriptor, context: Context<'_>) -> Result<DynamicMessage, Unreadable> {
    let raw = parse(text).map_err(Unreadable::Malformed)?;
    let mut reader = Reader::new(context);
    let message = reader.message(descriptor, raw);
    reader.finish(message)
}

/// Reads `text` as the value of a field of the request's message.
///
/// # Errors
/// The text is not JSON, or not JSON for this field.
pub fn read_field(text: &[u8], field: &FieldDescriptor, context: Context<'_>) -> Result<Value, Unreadable> {
    let raw = parse(text).map_err(Unreadable::Malformed)?;
    let mut reader = Reader::new(context);
    reader.parents.push(field.clone());
    let value = reader.field(field, raw);
    reader.finish(value)
}

/// Checks the grammar of the whole document, so that what follows meets well-formed JSON only.
fn parse(text: &[u8]) -> Result<&RawValue, Malformed> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let valid = &text[..error.valid_up_to()];
        let line_start = valid
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        Malformed {
            line: valid.iter().filter(|byte| **byte == b'\n').count() + 1,
            column: valid.len() - line_start + 1,
            problem: "it is not UTF-8".into(),
        }
    })?;
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let problem = message.split(" at line ").next().unwrap_or(&message);
        Malformed {
            line: error.line(),
            column: error.column(),
            problem: problem.to_owned(),
        }
    })
}

pub(super) struct Reader<'s> {
    context: Context<'s>,
    path: JsonPath,
    /// The fields that lead to the message being read, from the request's message on.
    parents: Vec<FieldDescriptor>,
    /// Members and elements read so far.
    values: usize,
    violations: Vec<FieldViolation>,
}

impl<'s> Reader<'s> {
    fn new(context: Context<'s>) -> Self {
        Self {
            context,
            path: JsonPath::default(),
            parents: Vec::new(),
            values: 0,
            violations: Vec::new(),
        }
    }

    fn finish<T>(self, read: Option<T>) -> Result<T, Unreadable> {
        match read {
            Some(value) if self.violations.is_empty() => Ok(value),
            _ => Err(Unreadable::Invalid(self.violations)),
        }
    }

    /// Notes what is wrong here. Returns nothing, in the place of the value that could not be read.
    pub(super) fn refuse<T>(&mut self, problem: impl Into<String>) -> Option<T> {
        if self.violations.len() < MOST_VIOLATIONS {
            self.violations
                .push(FieldViolation::new(self.path.to_string(), problem));
        }
        None
    }

    fn refuse_at<T>(&mut self, name: &str, problem: impl Into<String>) -> Option<T> {
        self.within(name, |reader| reader.refuse(problem))
    }

    pub(super) fn within<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.enter(name);
        let result = read(self);
        self.path.leave();
        result
    }

    pub(super) fn wrong_shape<T>(&mut self, wanted: &str, raw: &RawValue) -> Option<T> {
        self.refuse(format!("must be {wanted}, not {}", Shape::of(raw)))
    }

    /// The members of an object; notes it where there are too many levels or a name is not text.
    pub(super) fn members<'j>(&mut self, raw: &'j RawValue) -> Option<Vec<(String, &'j RawValue)>> {
        if Shape::of(raw) != Shape::Object {
            return self.wrong_shape("an object", raw);
        }
        if self.path.depth() >= DEEPEST {
            return self.refuse(format!("is nested deeper than {DEEPEST} levels"));
        }
        match serde_json::from_str::<Members<'j>>(raw.get()) {
            Ok(members) => self.count(members.0),
            Err(_) => self.refuse("has a name that is not valid text"),
        }
    }

    pub(super) fn elements<'j>(&mut self, raw: &'j RawValue) -> Option<Vec<&'j RawValue>> {
        if Shape::of(raw) != Shape::Array {
            return self.wrong_shape("an array", raw);
        }
        if self.path.depth() >= DEEPEST {
            return self.refuse(format!("is nested deeper than {DEEPEST} levels"));
        }
        // The grammar was checked, so this does not fail.
        match serde_json::from_str(raw.get()) {
            Ok(elements) => self.count(elements),
            Err(_) => self.refuse("cannot be read"),
        }
    }

    /// Passes values on, unless the document has too many by now: as messages they take far more room than as text.
    fn count<T>(&mut self, values: Vec<T>) -> Option<Vec<T>> {
        self.values += values.len();
        if self.values > MOST_VALUES {
            return self.refuse(format!("makes for more than {MOST_VALUES} values in one document"));
        }
        Some(values)
    }

    pub(super) fn each<T>(
        &mut self,
        elements: Vec<&RawValue>,
        read: impl Fn(&mut Self, &RawValue) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = elements.len();
        let mut values = Vec::with_capacity(count.min(1024));
        for (index, element) in elements.into_iter().enumerate() {
            if self.violations.len() >= MOST_VIOLATIONS {
                break;
            }
            self.path.enter_index(index);
            values.extend(read(self, element));
            self.path.leave();
        }
        (values.len() == count).then_some(values)
    }

    pub(super) fn string(&mut self, raw: &RawValue) -> Option<String> {
        if Shape::of(raw) != Shape::String {
            return self.wrong_shape("a string", raw);
        }
        match serde_json::from_str(raw.get()) {
            Ok(text) => Some(text),
            Err(_) => self.refuse("has an escape that stands for no character"),
        }
    }

    pub(super) fn message(&mut self, descriptor: &MessageDescriptor, raw: &RawValue) -> Option<DynamicMessage> {
        match WellKnown::of(descriptor) {
            None => {
                let members = self.members(raw)?;
                self.object(descriptor, members)
            }
            Some(WellKnown::Timestamp | WellKnown::Duration | WellKnown::FieldMask) => {
                let text = self.string(raw)?;
                well_known::parse(descriptor, &text).map_or_else(|problem| self.refuse(problem), Some)
            }
            Some(WellKnown::Wrapper) => {
                let kind = well_known::wrapped_kind(descriptor)?;
                let value = self.value(&kind, raw)?;
                let mut message = DynamicMessage::new(descriptor.clone());
                message.set_field_by_number(1, value);
                Some(message)
            }
            Some(WellKnown::Struct) => structured::read_struct(self, descriptor, raw),
            Some(WellKnown::Value) => structured::read_value(self, descriptor, raw),
            Some(WellKnown::ListValue) => structured::read_list(self, descriptor, raw),
            Some(WellKnown::Any) => self.any(descriptor, raw),
        }
    }

    fn any(&mut self, descriptor: &MessageDescriptor, raw: &RawValue) -> Option<DynamicMessage> {
        let members = self.members(raw)?;
        if members.is_empty() {
            return Some(DynamicMessage::new(descriptor.clone()));
        }
        let (types, members): (Vec<_>, Vec<_>) = members.into_iter().partition(|(name, _)| name == any::TYPE);
        let type_url = match types.as_slice() {
            [] => return self.refuse_at(any::TYPE, "is missing"),
            [(_, only)] => self.within(any::TYPE, |reader| reader.string(only))?,
            _ => return self.refuse_at(any::TYPE, "appears twice"),
        };
        let Some(inner) = any::type_of(descriptor, &type_url) else {
            return self.refuse_at(any::TYPE, "is not a type that is known here");
        };
        let message = match (WellKnown::of(&inner), members.as_slice()) {
            (None, _) => self.object(&inner, members)?,
            (Some(_), [(name, only)]) if name == any::VALUE => {
                self.within(any::VALUE, |reader| reader.message(&inner, only))?
            }
            (Some(_), _) => return self.refuse(format!("must have `{}` and `{}` only", any::TYPE, any::VALUE)),
        };
        Some(any::pack(descriptor, Packed { type_url, message }))
    }

    fn object(&mut self, descriptor: &MessageDescriptor, members: Vec<(String, &RawValue)>) -> Option<DynamicMessage> {
        let mut message = DynamicMessage::new(descriptor.clone());
        let mut seen: Vec<FieldDescriptor> = Vec::new();
        for (name, raw) in members {
            if self.violations.len() >= MOST_VIOLATIONS {
                break;
            }
            let Some(field) = field_named(descriptor, &name) else {
                self.refuse_at::<()>(&name, "is not a field of this request");
                continue;
            };
            if seen.contains(&field) {
                self.refuse_at::<()>(&name, "appears twice");
                continue;
            }
            seen.push(field.clone());
            // `null` is the same as leaving the field out.
            if Shape::of(raw) == Shape::Null && !takes_null(&field) && !self.context.raw_json.contains(&field) {
                continue;
            }
            if let Some(rival) = rival(&message, &field) {
                self.refuse_at::<()>(&name, format!("cannot be given together with `{}`", rival.json_name()));
            } else if let Some(value) = self.within(&name, |reader| reader.member(&field, raw)) {
                message.set_field(&field, value);
            }
        }
        Some(message)
    }

    /// A field of the message that `parents` lead to.
    fn member(&mut self, field: &FieldDescriptor, raw: &RawValue) -> Option<Value> {
        self.parents.push(field.clone());
        let value = self.field(field, raw);
        self.parents.pop();
        let said = self.context.said.iter().find(|(path, _)| path.is(&self.parents, field));
        match said {
            Some((_, said)) if value.as_ref().is_some_and(|value| value != said) => {
                self.refuse("is not what the path says")
            }
            _ => value,
        }
    }

    fn field(&mut self, field: &FieldDescriptor, raw: &RawValue) -> Option<Value> {
        if self.context.raw_json.contains(field) {
            return Some(Value::String(raw.get().to_owned()));
        }
        let kind = field.kind();
        if field.is_map() {
            self.map(&kind, raw).map(Value::Map)
        } else if field.is_list() {
            let elements = self.elements(raw)?;
            self.each(elements, |reader, element| reader.value(&kind, element))
                .map(Value::List)
        } else {
            self.value(&kind, raw)
        }
    }

    fn map(&mut self, entry: &Kind, raw: &RawValue) -> Option<HashMap<MapKey, Value>> {
        let entry = entry.as_message()?;
        let (key_kind, value_kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut map = HashMap::new();
        for (name, raw) in self.members(raw)? {
            self.within(&name, |reader| {
                let key = match scalar::key(&key_kind, &name) {
                    Ok(key) => key,
                    Err(problem) => return reader.refuse(format!("is not a key of this map: it {problem}")),
                };
                if map.contains_key(&key) {
                    return reader.refuse("appears twice");
                }
                map.insert(key, reader.value(&value_kind, raw)?);
                Some(())
            });
        }
        Some(map)
    }

    fn value(&mut self, kind: &Kind, raw: &RawValue) -> Option<Value> {
        let shape = Shape::of(raw);
        let parsed = match (kind, shape) {
            (Kind::Message(descriptor), _) => return self.message(descriptor, raw).map(Value::Message),
            (Kind::Enum(descriptor), Shape::Null) if descriptor.full_name() == "google.protobuf.NullValue" => {
                Ok(Value::EnumNumber(0))
            }
            (Kind::String, _) => return self.string(raw).map(Value::String),
            (Kind::Bool, Shape::Bool) => scalar::parse(kind, raw.get()),
            (Kind::Bool, _) => return self.wrong_shape("a boolean", raw),
            (Kind::Bytes, _) => scalar::parse(kind, &self.string(raw)?),
            (Kind::Enum(_), Shape::String) => scalar::parse(kind, &self.string(raw)?),
            (Kind::Enum(_), Shape::Number) => scalar::parse(kind, raw.get()),
            (Kind::Enum(_), _) => return self.wrong_shape("a string", raw),
            (_, Shape::Number) => scalar::parse(kind, raw.get()),
            (_, Shape::String) => scalar::parse(kind, &self.string(raw)?),
            (_, _) => return self.wrong_shape("a number", raw),
        };
        parsed.map_or_else(|problem| self.refuse(problem), Some)
    }
}

/// Whether `null` is a value of the field.
fn takes_null(field: &FieldDescriptor) -> bool {
    if field.is_list() || field.is_map() {
        return false;
    }
    match field.kind() {
        Kind::Message(message) => message.full_name() == "google.protobuf.Value",
        Kind::Enum(descriptor) => descriptor.full_name() == "google.protobuf.NullValue",
        _ => false,
    }
}

#[cfg(test)]
mod tests;
