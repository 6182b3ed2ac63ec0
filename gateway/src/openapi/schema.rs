//! JSON Schemas of messages, as `crate::json` reads and writes them.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::Comments;
use crate::json::{RawJsonFields, WellKnown};

/// The schemas that operations refer to, made as they are asked for.
pub struct Schemas<'c> {
    comments: &'c Comments,
    raw_json: RawJsonFields,
    names: BTreeMap<String, String>,
    components: Map<String, Value>,
}

impl<'c> Schemas<'c> {
    pub fn new(comments: &'c Comments, raw_json: RawJsonFields) -> Self {
        Self {
            comments,
            raw_json,
            names: BTreeMap::new(),
            components: Map::new(),
        }
    }

    pub fn into_components(self) -> Map<String, Value> {
        self.components
    }

    /// The schema of a message: in place where it has a JSON form of its own, by reference otherwise.
    pub fn message(&mut self, message: &MessageDescriptor) -> Value {
        match WellKnown::of(message) {
            Some(WellKnown::Timestamp) => json!({"type": "string", "format": "date-time"}),
            Some(WellKnown::Duration) => json!({"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$"}),
            Some(WellKnown::FieldMask) => json!({"type": "string"}),
            Some(WellKnown::Wrapper) => match message.get_field(1) {
                Some(field) => self.kind(&field.kind()),
                None => json!({}),
            },
            Some(WellKnown::Struct) => json!({"type": "object"}),
            Some(WellKnown::ListValue) => json!({"type": "array"}),
            Some(WellKnown::Value | WellKnown::Any) => json!({}),
            None => {
                let name = self.component(message);
                json!({"$ref": format!("#/components/schemas/{name}")})
            }
        }
    }

    /// The schema of a field, with its comment.
    pub fn field(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = if self.raw_json.contains(field) {
            json!({})
        } else if field.is_map() {
            let value = field.kind().as_message().map(MessageDescriptor::map_entry_value_field);
            let value = value.map_or(json!({}), |value| self.kind(&value.kind()));
            json!({"type": "object", "additionalProperties": value})
        } else if field.is_list() {
            json!({"type": "array", "items": self.kind(&field.kind())})
        } else {
            self.kind(&field.kind())
        };
        let comment = self.comments.of_element(&field.parent_file(), field.path());
        if let (Some(comment), Some(schema)) = (comment, schema.as_object_mut()) {
            schema.insert("description".into(), comment.into());
        }
        schema
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Message(message) => self.message(message),
            Kind::Enum(descriptor) => enumeration(descriptor),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "string", "format": "int64"}),
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64"}),
            Kind::Float => json!({"type": "number", "format": "float"}),
            Kind::Double => json!({"type": "number", "format": "double"}),
        }
    }

    /// The name of a message's schema, which is made where it is new. Messages of the same name in different packages
    /// are told apart by their package.
    fn component(&mut self, message: &MessageDescriptor) -> String {
        if let Some(name) = self.names.get(message.full_name()) {
            return name.clone();
        }
        let short = message.name().to_owned();
        let name = if self.components.contains_key(&short) {
            message.full_name().to_owned()
        } else {
            short
        };
        self.names.insert(message.full_name().to_owned(), name.clone());
        // In place before its fields are looked at: a message may contain itself.
        self.components.insert(name.clone(), Value::Null);
        let schema = self.object(message);
        self.components.insert(name.clone(), schema);
        name
    }

    fn object(&mut self, message: &MessageDescriptor) -> Value {
        let properties: Map<_, _> = message
            .fields()
            .map(|field| (field.json_name().to_owned(), self.field(&field)))
            .collect();
        let mut schema = json!({"type": "object", "properties": properties});
        if let Some(comment) = self.comments.of_element(&message.parent_file(), message.path()) {
            schema["description"] = comment.into();
        }
        schema
    }
}

fn enumeration(descriptor: &EnumDescriptor) -> Value {
    let names: Vec<_> = descriptor.values().map(|value| value.name().to_owned()).collect();
    json!({"type": "string", "enum": names})
}
