//! Which part of a request fills which field of the RPC's message.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

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
    /// One field of type google.api.HttpBody, which takes any bytes with their media type.
    Raw(FieldDescriptor),
}

impl Body {
    pub(super) fn resolve(name: &str, input: &MessageDescriptor) -> Result<Self, Problem> {
        if name.is_empty() {
            return Ok(Self::None);
        }
        if name == "*" {
            return Ok(Self::Whole);
        }
        let field = input
            .get_field_by_name(name)
            .ok_or_else(|| Problem::NoSuchField(name.to_owned()))?;
        match field.kind() {
            Kind::Message(message) if !field.is_list() && !field.is_map() => Ok(if is_http_body(&message) {
                Self::Raw(field)
            } else {
                Self::Json(field)
            }),
            _ => Err(Problem::BodyNotMessage(name.to_owned())),
        }
    }

    /// The field that the body fills, where it is one.
    pub fn field(&self) -> Option<&FieldDescriptor> {
        match self {
            Self::None | Self::Whole => None,
            Self::Json(field) | Self::Raw(field) => Some(field),
        }
    }
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

    /// The field's value within `message`; the messages on the way there are made where they are absent.
    pub fn value_in<'m>(&self, message: &'m mut DynamicMessage) -> Option<&'m mut Value> {
        let mut message = message;
        for parent in &self.parents {
            message = message.get_field_mut(parent).as_message_mut()?;
        }
        Some(message.get_field_mut(&self.leaf))
    }
}

/// A field by its name in the proto or in JSON.
pub fn field_named(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message
        .get_field_by_json_name(name)
        .or_else(|| message.get_field_by_name(name))
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
        if body.field().is_some_and(|field| field == path.root()) {
            return Err(Problem::BoundTwice(name.to_owned()));
        }
        Ok(path)
    };
    template.variables().map(resolve).collect()
}

/// Says where in the HTTP request a field of the RPC's message came from: a JSON path for what the body holds, the
/// bare name for the path and the query.
pub fn locate(field: &str, variables: &[FieldPath], body: &Body) -> String {
    if field.starts_with('$') {
        return field.to_owned();
    }
    let root = field.split(['.', '[']).next().unwrap_or(field);
    if variables.iter().any(|variable| variable.root().name() == root) {
        return lower_camel(field);
    }
    match body {
        Body::Whole => format!("$.{}", lower_camel(field)),
        Body::Json(bound) | Body::Raw(bound) if bound.name() == root => {
            format!("${}", lower_camel(&field[root.len()..]))
        }
        Body::None | Body::Json(_) | Body::Raw(_) => lower_camel(field),
    }
}
