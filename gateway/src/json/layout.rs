//! How messages of each type are written as JSON, looked up in the descriptors once: for every message that is passed on, asking them
//! anew would be most of the work.
//!
//! This knows the plain kinds of field, which nearly all answers are made of. What is rare (maps, oneofs, messages with a JSON
//! form of their own but times) is left to whoever asks the descriptors, and so is every message that is not as it should be.

use std::collections::HashMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::raw::RawJsonFields;
use super::well_known::WellKnown;

/// The types of messages that may be answers, with all that are within them.
#[derive(Debug, Default)]
pub struct Layouts {
    layouts: Vec<Layout>,
    by_name: HashMap<String, usize>,
}

/// A type of message.
#[derive(Debug)]
pub struct Layout {
    /// In the order in which they are written: that of their numbers.
    pub fields: Vec<Field>,
}

/// A field, and how it is written.
#[derive(Debug)]
pub struct Field {
    pub number: u32,
    /// `"displayName":`
    pub key: Box<str>,
    pub shape: Shape,
    pub form: Form,
}

/// Whether there is one value, and what is written where there is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// One, and nothing.
    Optional,
    /// One, and its default.
    Always,
    /// Any number of values, and an empty list.
    List,
    /// Any number of entries, and an empty object.
    Map,
}

/// What one value is on the wire and in JSON.
#[derive(Debug)]
pub enum Form {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    String,
    Bytes,
    /// A string that holds JSON.
    Document,
    /// The numbers that have a name, sorted, each with its name in quotation marks.
    Enum(Box<[(i32, Box<str>)]>),
    Timestamp,
    /// The place of its layout.
    Message(usize),
    /// Left to others.
    Other,
}

impl Layouts {
    /// Those of `messages`.
    pub fn of(messages: impl IntoIterator<Item = MessageDescriptor>, raw_json: &RawJsonFields) -> Self {
        let mut layouts = Self::default();
        for message in messages {
            layouts.add(&message, raw_json);
        }
        layouts
    }

    pub fn get(&self, message: &MessageDescriptor) -> Option<&Layout> {
        self.by_name.get(message.full_name()).map(|&place| self.at(place))
    }

    /// The layout that a [`Form::Message`] has within it.
    pub fn at(&self, place: usize) -> &Layout {
        &self.layouts[place]
    }

    /// Whether messages of all types here are written by them, whatever they hold.
    #[cfg(test)]
    pub fn are_whole(&self) -> bool {
        let mut fields = self.layouts.iter().flat_map(|layout| &layout.fields);
        !fields.any(|field| field.shape == Shape::Map || matches!(field.form, Form::Other))
    }

    fn add(&mut self, message: &MessageDescriptor, raw_json: &RawJsonFields) -> usize {
        if let Some(&place) = self.by_name.get(message.full_name()) {
            return place;
        }
        let place = self.layouts.len();
        // Before its fields, among which it may be itself.
        self.layouts.push(Layout { fields: Vec::new() });
        self.by_name.insert(message.full_name().to_owned(), place);
        let fields = message.fields().map(|field| self.field(&field, raw_json)).collect();
        self.layouts[place].fields = fields;
        place
    }

    fn field(&mut self, field: &FieldDescriptor, raw_json: &RawJsonFields) -> Field {
        let one_of_several = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
        Field {
            number: field.number(),
            key: format!("{}:", quoted(field.json_name())).into(),
            shape: match (field.is_map(), field.is_list(), field.supports_presence()) {
                (true, ..) => Shape::Map,
                (_, true, _) => Shape::List,
                (.., true) => Shape::Optional,
                (.., false) => Shape::Always,
            },
            form: if field.is_map() || field.is_group() || one_of_several {
                Form::Other
            } else {
                self.form(field, raw_json)
            },
        }
    }

    fn form(&mut self, field: &FieldDescriptor, raw_json: &RawJsonFields) -> Form {
        match field.kind() {
            Kind::Bool => Form::Bool,
            Kind::Int32 => Form::Int32,
            Kind::Int64 => Form::Int64,
            Kind::Uint32 => Form::Uint32,
            Kind::Uint64 => Form::Uint64,
            Kind::Sint32 => Form::Sint32,
            Kind::Sint64 => Form::Sint64,
            Kind::Fixed32 => Form::Fixed32,
            Kind::Fixed64 => Form::Fixed64,
            Kind::Sfixed32 => Form::Sfixed32,
            Kind::Sfixed64 => Form::Sfixed64,
            Kind::Float => Form::Float,
            Kind::Double => Form::Double,
            Kind::String if raw_json.contains(field) && !field.is_list() => Form::Document,
            Kind::String if raw_json.contains(field) => Form::Other,
            Kind::String => Form::String,
            Kind::Bytes => Form::Bytes,
            Kind::Enum(descriptor) if descriptor.full_name() == "google.protobuf.NullValue" => Form::Other,
            Kind::Enum(descriptor) => {
                let numbers = descriptor.values().map(|value| value.number());
                let named = numbers.filter_map(|number| Some((number, quoted(descriptor.get_value(number)?.name()))));
                let mut names: Vec<_> = named.collect();
                names.sort_by_key(|(number, _)| *number);
                names.dedup_by_key(|(number, _)| *number);
                Form::Enum(names.into())
            }
            Kind::Message(message) => match WellKnown::of(&message) {
                None => Form::Message(self.add(&message, raw_json)),
                Some(WellKnown::Timestamp) => Form::Timestamp,
                Some(_) => Form::Other,
            },
        }
    }
}

/// A `json_name` may have anything in it.
fn quoted(name: &str) -> Box<str> {
    serde_json::Value::from(name).to_string().into()
}
