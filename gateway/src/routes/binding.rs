//! Which part of a request fills which field of the RPC's message.

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value};

use super::annotation::Problem;
use super::template::Template;
use crate::json::lower_camel;

/// What the body of a request fills.
#[derive(Clone, Debug)]
pub enum Body {
    /// Nothing: there is none.
    None,
    /// The whole message, from JSON.
    Whole,
    /// One field, from JSON.
    Json(FieldDescriptor),
    /// The whole message, which is a google.api.HttpBody: any bytes with their media type.
    RawWhole,
    /// One field of type google.api.HttpBody.
    Raw(FieldDescriptor),
}

impl Body {
    pub(super) fn resolve(name: &str, input: &MessageDescriptor) -> Result<Self, Problem> {
        match name {
            "" => Ok(Self::None),
            "*" if is_http_body(input) => Ok(Self::RawWhole),
            "*" => Ok(Self::Whole),
            name => {
                let field = input.get_field_by_name(name);
                let field = field.ok_or_else(|| Problem::NoSuchField(name.to_owned()))?;
                Ok(if holds_http_body(&field) {
                    Self::Raw(field)
                } else {
                    Self::Json(field)
                })
            }
        }
    }

    /// The field that the body fills, where it is one.
    pub fn field(&self) -> Option<&FieldDescriptor> {
        match self {
            Self::None | Self::Whole | Self::RawWhole => None,
            Self::Json(field) | Self::Raw(field) => Some(field),
        }
    }

    /// Whether it is taken as bytes, whatever they are.
    pub fn is_raw(&self) -> bool {
        matches!(self, Self::Raw(_) | Self::RawWhole)
    }
}

/// What the body of a response is.
#[derive(Clone, Debug)]
pub enum AnswerBody {
    /// The whole message, as JSON.
    Whole,
    /// One field, as JSON.
    Json(FieldDescriptor),
    /// The whole message, which is a google.api.HttpBody.
    RawWhole,
    /// One field of type google.api.HttpBody.
    Raw(FieldDescriptor),
}

impl AnswerBody {
    pub(super) fn resolve(name: &str, output: &MessageDescriptor) -> Result<Self, Problem> {
        match name {
            "" | "*" if is_http_body(output) => Ok(Self::RawWhole),
            "" | "*" => Ok(Self::Whole),
            name => {
                let field = output.get_field_by_name(name);
                let field = field.ok_or_else(|| Problem::NoSuchAnswer(name.to_owned()))?;
                Ok(if holds_http_body(&field) {
                    Self::Raw(field)
                } else {
                    Self::Json(field)
                })
            }
        }
    }

    /// Whether it is bytes with a media type of their own.
    pub fn is_raw(&self) -> bool {
        matches!(self, Self::Raw(_) | Self::RawWhole)
    }
}

fn holds_http_body(field: &FieldDescriptor) -> bool {
    !field.is_list() && !field.is_map() && field.kind().as_message().is_some_and(is_http_body)
}

/// Whether a message is `google.api.HttpBody`: bytes with a media type, which are never shown as JSON.
pub fn is_http_body(message: &MessageDescriptor) -> bool {
    message.full_name() == "google.api.HttpBody"
}

/// A field of a message or of a message within it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldPath {
    parents: Vec<FieldDescriptor>,
    leaf: FieldDescriptor,
}

impl FieldPath {
    /// Finds the field that `path` (`a.b`, in the names of the proto or of JSON) leads to.
    pub fn resolve(message: &MessageDescriptor, path: &str) -> Option<Self> {
        let (parents, leaf) = path.rsplit_once('.').unwrap_or(("", path));
        let mut message = message.clone();
        let mut chain = Vec::new();
        for name in parents.split('.').filter(|name| !name.is_empty()) {
            let parent = field_named(&message, name).filter(|field| !field.is_list() && !field.is_map())?;
            message = parent.kind().as_message()?.clone();
            chain.push(parent);
        }
        Some(Self {
            leaf: field_named(&message, leaf)?,
            parents: chain,
        })
    }

    pub fn leaf(&self) -> &FieldDescriptor {
        &self.leaf
    }

    /// The outermost field.
    pub fn root(&self) -> &FieldDescriptor {
        self.parents.first().unwrap_or(&self.leaf)
    }

    /// Whether it leads through exactly these messages to this field.
    pub fn is(&self, parents: &[FieldDescriptor], leaf: &FieldDescriptor) -> bool {
        self.parents == parents && &self.leaf == leaf
    }

    /// `a.b`, in the names of the proto.
    fn name(&self) -> String {
        let names: Vec<_> = self
            .parents
            .iter()
            .chain([&self.leaf])
            .map(FieldDescriptor::name)
            .collect();
        names.join(".")
    }

    /// A field that is set in `message`, and shares a `oneof` with one on this path.
    pub fn rival_in(&self, message: &DynamicMessage) -> Option<FieldDescriptor> {
        rival_along(&self.parents, &self.leaf, message)
    }

    /// The field's value within `message`; the messages on the way there are made where they are absent.
    pub fn value_in<'m>(&self, message: &'m mut DynamicMessage) -> Option<&'m mut Value> {
        let mut message = message;
        for parent in &self.parents {
            message = message.get_field_mut(parent).as_message_mut()?;
        }
        Some(message.get_field_mut(&self.leaf))
    }
}

fn rival_along(
    parents: &[FieldDescriptor],
    leaf: &FieldDescriptor,
    message: &DynamicMessage,
) -> Option<FieldDescriptor> {
    let Some((next, below)) = parents.split_first() else {
        return rival(message, leaf);
    };
    rival(message, next).or_else(|| rival_along(below, leaf, message.get_field(next).as_message()?))
}

/// A field by its name in the proto or in JSON.
pub fn field_named(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message
        .get_field_by_json_name(name)
        .or_else(|| message.get_field_by_name(name))
}

/// The field set in `message` that shares a `oneof` with `field`.
pub fn rival(message: &DynamicMessage, field: &FieldDescriptor) -> Option<FieldDescriptor> {
    field
        .containing_oneof()?
        .fields()
        .find(|other| other != field && message.has_field(other))
}

/// The fields that a path's variables fill.
pub(super) fn resolve_variables(
    template: &Template,
    input: &MessageDescriptor,
    body: &Body,
) -> Result<Vec<FieldPath>, Problem> {
    let resolve = |name: &str| {
        let path = FieldPath::resolve(input, name).ok_or_else(|| Problem::NoSuchField(name.to_owned()))?;
        let leaf = path.leaf();
        if leaf.is_list() || leaf.is_map() || leaf.kind().as_message().is_some() {
            return Err(Problem::VariableNotScalar(name.to_owned()));
        }
        // A message from the body may lack what the path says; another value cannot.
        if body.field() == Some(path.leaf()) || body.is_raw() && body.field().is_none_or(|field| field == path.root()) {
            return Err(Problem::BoundTwice(name.to_owned()));
        }
        Ok(path)
    };
    template
        .variables()
        .iter()
        .map(|variable| resolve(&variable.field))
        .collect()
}

/// Says where in the HTTP request a field of the RPC's message came from: a JSON path for what the body holds, the
/// bare name for the path and the query.
pub fn locate(field: &str, variables: &[FieldPath], body: &Body) -> String {
    if field.starts_with('$') {
        return field.to_owned();
    }
    if variables.iter().any(|variable| variable.name() == field) {
        return lower_camel(field);
    }
    let root = field.split(['.', '[']).next().unwrap_or(field);
    match body {
        Body::Whole => format!("$.{}", lower_camel(field)),
        Body::Json(bound) | Body::Raw(bound) if bound.name() == root => {
            format!("${}", lower_camel(&field[root.len()..]))
        }
        Body::None | Body::Json(_) | Body::RawWhole | Body::Raw(_) => lower_camel(field),
    }
}
