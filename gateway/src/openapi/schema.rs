//! JSON Schemas of messages, as `crate::json` reads and writes them.
//!
//! The same message has another schema in a request than in an answer: the reader takes `null` for "left out" and numbers
//! as strings (proto3 JSON) and refuses unknown fields, while the writer has one way to write a thing.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};
use voltgate_proto::api::v1 as api;

use super::facts::Facts;
use crate::json::WellKnown;

/// Where a value stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// In a path or a query.
    Parameter,
    /// In the JSON body of a request.
    Request,
    Answer,
}

/// The schemas that operations refer to, made as they are asked for.
pub struct Schemas<'f> {
    pub facts: &'f Facts,
    names: BTreeMap<(String, Place), String>,
    components: Map<String, Value>,
}

impl<'f> Schemas<'f> {
    pub fn new(facts: &'f Facts) -> Self {
        Self {
            facts,
            names: BTreeMap::new(),
            components: Map::new(),
        }
    }

    pub fn into_components(self) -> Map<String, Value> {
        self.components
    }

    /// The schema of a message: in place where it has a JSON form of its own, by reference otherwise.
    pub fn message(&mut self, message: &MessageDescriptor, place: Place) -> Value {
        match WellKnown::of(message) {
            Some(WellKnown::Timestamp) => json!({"type": "string", "format": "date-time"}),
            Some(WellKnown::Duration) => json!({"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$"}),
            Some(WellKnown::FieldMask) => json!({"type": "string", "pattern": r"^[A-Za-z0-9.,]*$"}),
            Some(WellKnown::Wrapper) => match message.get_field(1) {
                Some(field) => self.kind(&field.kind(), place),
                None => json!({}),
            },
            Some(WellKnown::Struct) => json!({"type": "object"}),
            Some(WellKnown::ListValue) => json!({"type": "array"}),
            Some(WellKnown::Value | WellKnown::Any) => json!({}),
            None => {
                let name = self.component(message, place);
                json!({"$ref": format!("#/components/schemas/{name}")})
            }
        }
    }

    /// The schema of a field, with its comment and what its option says.
    pub fn field(&mut self, field: &FieldDescriptor, place: Place) -> Value {
        let option = self.facts.option(field);
        let mut schema = if self.facts.is_document(field) {
            document(&option)
        } else if field.is_map() {
            let value = field.kind().as_message().map(MessageDescriptor::map_entry_value_field);
            let value = value.map_or(json!({}), |value| self.kind(&value.kind(), place));
            json!({"type": "object", "additionalProperties": value})
        } else {
            let mut single = self.kind(&field.kind(), place);
            constrain(&mut single, &option, &field.kind(), place);
            if field.is_list() && option.required && place == Place::Request {
                json!({"type": "array", "items": single, "minItems": 1})
            } else if field.is_list() {
                json!({"type": "array", "items": single})
            } else {
                single
            }
        };
        if place == Place::Request && !option.required {
            schema = or_null(schema);
        }
        if let Some(comment) = self.facts.on_field(field) {
            schema["description"] = comment.into();
        }
        schema
    }

    fn kind(&mut self, kind: &Kind, place: Place) -> Value {
        match kind {
            Kind::Message(message) => self.message(message, place),
            Kind::Enum(descriptor) => self.enumeration(descriptor, place),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer("int32", i32::MIN, i32::MAX, place),
            Kind::Uint32 | Kind::Fixed32 => integer("uint32", 0, u32::MAX, place),
            // A double, which is what JSON's numbers are in most clients, does not hold every one of these.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => wide("int64", "^(0|-?[1-9][0-9]{0,18})$", place),
            Kind::Uint64 | Kind::Fixed64 => wide("uint64", "^(0|[1-9][0-9]{0,19})$", place),
            Kind::Float => floating("float", "1?[0-9]", place),
            Kind::Double => floating("double", "[0-9]{1,2}", place),
        }
    }

    fn enumeration(&self, descriptor: &EnumDescriptor, place: Place) -> Value {
        let names = descriptor.values().map(|value| Value::from(value.name()));
        let mut schema = if place == Place::Request {
            let numbers = descriptor.values().map(|value| Value::from(value.number()));
            json!({"type": ["string", "integer"], "enum": names.chain(numbers).collect::<Vec<_>>()})
        } else {
            json!({"type": "string", "enum": names.collect::<Vec<_>>()})
        };
        if let Some(comment) = self.facts.on_enum(descriptor) {
            schema["description"] = comment.into();
        }
        schema
    }

    /// The name of a message's schema, which is made where it is new. A message that is in requests and answers has two,
    /// and messages of the same name in different packages are told apart by their package.
    fn component(&mut self, message: &MessageDescriptor, place: Place) -> String {
        let key = (message.full_name().to_owned(), place);
        if let Some(name) = self.names.get(&key) {
            return name.clone();
        }
        let in_answers = if place == Place::Answer { "Answer" } else { "Request" };
        let candidates = [
            message.name().to_owned(),
            message.full_name().to_owned(),
            format!("{}.{in_answers}", message.full_name()),
        ];
        let free = candidates.into_iter().find(|name| !self.components.contains_key(name));
        let name = free.unwrap_or_else(|| format!("{}.{place:?}", message.full_name()));
        self.names.insert(key, name.clone());
        // In place before its fields are looked at: a message may contain itself.
        self.components.insert(name.clone(), Value::Null);
        let schema = self.object(message, place);
        self.components.insert(name.clone(), schema);
        name
    }

    fn object(&mut self, message: &MessageDescriptor, place: Place) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields() {
            let always = self.facts.option(&field).required || (place == Place::Answer && !field.supports_presence());
            if always {
                required.push(field.json_name().to_owned());
            }
            properties.insert(field.json_name().to_owned(), self.field(&field, place));
        }
        let mut schema = json!({"type": "object", "properties": properties});
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if place == Place::Request {
            schema["additionalProperties"] = false.into();
        }
        if let Some(comment) = self.facts.on_message(message) {
            schema["description"] = comment.into();
        }
        schema
    }
}

/// The schema of a body or a field that holds any JSON document, or one of a certain type.
pub fn document(option: &api::Field) -> Value {
    match option.json_type.as_str() {
        "" => json!({}),
        json_type => json!({"type": json_type}),
    }
}

fn integer(format: &str, minimum: impl Into<Value>, maximum: impl Into<Value>, place: Place) -> Value {
    let mut schema = json!({"type": "integer", "format": format, "minimum": minimum.into(), "maximum": maximum.into()});
    if place == Place::Request {
        schema["type"] = json!(["integer", "string"]);
        schema["pattern"] = "^(0|-?[1-9][0-9]{0,8})$".into();
    }
    schema
}

fn wide(format: &str, pattern: &str, place: Place) -> Value {
    let json_type = if place == Place::Request {
        json!(["string", "integer"])
    } else {
        json!("string")
    };
    json!({"type": json_type, "format": format, "pattern": pattern})
}

/// `exponent` is a pattern of what a power of ten may be, so that no number of sixteen digits before it overflows. The texts that are read
/// are more than these, such as `1e300` for a double: no pattern says where a double ends.
fn floating(format: &str, exponent: &str, place: Place) -> Value {
    let pattern = match place {
        Place::Parameter => return json!({"type": "number", "format": format}),
        Place::Request => {
            format!(r"^(NaN|-?Infinity|-?(0|[1-9][0-9]{{0,15}})(\.[0-9]{{1,17}})?([eE][+-]?{exponent})?)$")
        }
        Place::Answer => "^(NaN|-?Infinity)$".to_owned(),
    };
    json!({"type": ["number", "string"], "format": format, "pattern": pattern})
}

/// Adds what the field's option says of a single value.
fn constrain(schema: &mut Value, option: &api::Field, kind: &Kind, place: Place) {
    let mut set = |name: &str, value: Value| schema[name] = value;
    if let Some(length) = option.min_length {
        set("minLength", length.into());
    }
    if let Some(length) = option.max_length {
        set("maxLength", length.into());
    }
    if let Some(bound) = option.minimum {
        set("minimum", bound.into());
    }
    if let Some(bound) = option.maximum {
        set("maximum", bound.into());
    }
    if !option.pattern.is_empty() {
        set("pattern", option.pattern.as_str().into());
    }
    if !option.format.is_empty() {
        set("format", option.format.as_str().into());
    }
    if option.one_of.is_empty() {
        return;
    }
    let texts = option.one_of.iter().map(|text| Value::from(text.as_str()));
    let numbers = option.one_of.iter().filter_map(|text| text.parse::<i64>().ok());
    let values: Vec<Value> = match (kind, place) {
        (Kind::String, _) => texts.collect(),
        (_, Place::Request) => numbers.map(Value::from).chain(texts).collect(),
        (_, Place::Parameter | Place::Answer) => numbers.map(Value::from).collect(),
    };
    set("enum", values.into());
}

/// `null` is the same as leaving the field out.
fn or_null(mut schema: Value) -> Value {
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
    match schema.get("type").cloned() {
        Some(Value::String(json_type)) => schema["type"] = json!([json_type, "null"]),
        Some(Value::Array(mut types)) => {
            types.push("null".into());
            schema["type"] = types.into();
        }
        _ if schema.get("$ref").is_some() => return json!({"anyOf": [schema, {"type": "null"}]}),
        _ => {}
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_text;

    /// The largest texts that the patterns of [`floating`] admit.
    #[test]
    fn the_largest_text_that_is_documented_for_floating_point_is_read_as_finite() {
        let digits = format!("{}.{}", "9".repeat(16), "9".repeat(17));
        for sign in ["", "-"] {
            let double = parse_text(&Kind::Double, &format!("{sign}{digits}e99"));
            let double = double.as_ref().map(prost_reflect::Value::as_f64);
            assert!(matches!(double, Ok(Some(number)) if number.is_finite()), "{double:?}");
            let float = parse_text(&Kind::Float, &format!("{sign}{digits}E+19"));
            let float = float.as_ref().map(prost_reflect::Value::as_f32);
            assert!(matches!(float, Ok(Some(number)) if number.is_finite()), "{float:?}");
        }
    }

    #[test]
    fn more_is_read_than_is_documented_for_floating_point() {
        assert!(parse_text(&Kind::Double, "1e300").is_ok());
        assert!(parse_text(&Kind::Float, "1e38").is_ok());
    }
}
