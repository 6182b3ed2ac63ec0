//! `google.protobuf.Struct`, `Value` and `ListValue`: JSON as a message. Field numbers are those of struct.proto.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, MapKey, MessageDescriptor, Value};
use serde_json::value::RawValue;

use super::members::Shape;
use super::number;
use super::read::Reader;

const FIELDS_OF_STRUCT: u32 = 1;
const VALUES_OF_LIST: u32 = 1;
pub const NULL: u32 = 1;
pub const NUMBER: u32 = 2;
pub const STRING: u32 = 3;
pub const BOOL: u32 = 4;
pub const STRUCT: u32 = 5;
pub const LIST: u32 = 6;

pub fn read_struct(reader: &mut Reader<'_>, descriptor: &MessageDescriptor, raw: &RawValue) -> Option<DynamicMessage> {
    let field = descriptor.get_field(FIELDS_OF_STRUCT)?;
    let value_type = field
        .kind()
        .as_message()?
        .map_entry_value_field()
        .kind()
        .as_message()?
        .clone();
    let mut fields = HashMap::new();
    for (name, raw) in reader.members(raw)? {
        reader.within(&name, |reader| {
            let key = MapKey::String(name.clone());
            if fields.contains_key(&key) {
                return reader.refuse("appears twice");
            }
            fields.insert(key, Value::Message(read_value(reader, &value_type, raw)?));
            Some(())
        });
    }
    Some(with(descriptor, FIELDS_OF_STRUCT, Value::Map(fields)))
}

pub fn read_list(reader: &mut Reader<'_>, descriptor: &MessageDescriptor, raw: &RawValue) -> Option<DynamicMessage> {
    let value_type = descriptor.get_field(VALUES_OF_LIST)?.kind().as_message()?.clone();
    let elements = reader.elements(raw)?;
    let values = reader.each(elements, |reader, raw| {
        read_value(reader, &value_type, raw).map(Value::Message)
    })?;
    Some(with(descriptor, VALUES_OF_LIST, Value::List(values)))
}

pub fn read_value(reader: &mut Reader<'_>, descriptor: &MessageDescriptor, raw: &RawValue) -> Option<DynamicMessage> {
    let message_type = |number| descriptor.get_field(number)?.kind().as_message().cloned();
    let (number, value) = match Shape::of(raw) {
        Shape::Null => (NULL, Value::EnumNumber(0)),
        Shape::Bool => (BOOL, Value::Bool(raw.get() == "true")),
        Shape::String => (STRING, Value::String(reader.string(raw)?)),
        Shape::Number => match number::double(raw.get()) {
            Ok(double) => (NUMBER, Value::F64(double)),
            Err(problem) => return reader.refuse(problem),
        },
        Shape::Object => (
            STRUCT,
            Value::Message(read_struct(reader, &message_type(STRUCT)?, raw)?),
        ),
        Shape::Array => (LIST, Value::Message(read_list(reader, &message_type(LIST)?, raw)?)),
    };
    Some(with(descriptor, number, value))
}

fn with(descriptor: &MessageDescriptor, number: u32, value: Value) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    message.set_field_by_number(number, value);
    message
}
