//! A request becomes the message of its RPC.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, Value};
use service_kit::reason::{self, FieldViolation, Reason};
use tonic::Status;

use super::query;
use super::selection::selection;
use crate::json::{self, Context, MOST_VIOLATIONS, Malformed, RawJsonFields, Unreadable};
use crate::media_type;
use crate::routes::{Body, Endpoint, FieldPath, Kind};

/// The parts of a request that fill the message.
#[derive(Debug)]
pub struct Input<'r> {
    /// Decoded, in the order of the endpoint's variables.
    pub variables: &'r [String],
    pub query: Option<&'r str>,
    pub content_type: Option<&'r str>,
    pub body: Bytes,
}

/// Why a request is not one of its endpoint's.
#[derive(Debug)]
pub enum Refused {
    /// With the media types that the endpoint takes.
    MediaType(Vec<String>),
    /// The body is not JSON; with what is wrong besides.
    Malformed(Malformed, Vec<FieldViolation>),
    Invalid(Vec<FieldViolation>),
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::MediaType(taken) => {
                Reason::UnsupportedMediaType.status(format!("The body must be {}", taken.join(" or ")))
            }
            Refused::Malformed(malformed, others) => {
                Reason::MalformedJson.with_violations(malformed.to_string(), others)
            }
            Refused::Invalid(violations) => reason::invalid(violations),
        }
    }
}

/// Fills the endpoint's message.
///
/// # Errors
/// The request is not one of the endpoint's; everything that is wrong with it is told, wherever it stands.
pub fn message(endpoint: &Endpoint, raw_json: &RawJsonFields, input: Input<'_>) -> Result<DynamicMessage, Refused> {
    let mut violations = Vec::new();
    let mut in_path = Vec::new();
    let said = from_path(endpoint, &input, &mut in_path);
    let mut malformed = None;
    let context = Context { raw_json, said: &said };
    let mut message = match from_body(endpoint, context, &input) {
        Ok(message) => message,
        Err(Refused::MediaType(taken)) => return Err(Refused::MediaType(taken)),
        Err(Refused::Malformed(problem, _)) => {
            malformed = Some(problem);
            DynamicMessage::new(endpoint.rpc.input())
        }
        Err(Refused::Invalid(invalid)) => {
            violations.extend(invalid);
            DynamicMessage::new(endpoint.rpc.input())
        }
    };
    if let Some(query) = input.query {
        violations.extend(query::apply(query, endpoint, raw_json, &mut message));
        violations.extend(selection(endpoint, query).err().unwrap_or_default());
    }
    for (path, value) in said {
        if let Some(rival) = path.rival_in(&message) {
            let problem = format!("cannot be given together with `{}`", rival.json_name());
            in_path.push(FieldViolation::new(path.leaf().json_name(), problem));
        } else if let Some(place) = path.value_in(&mut message) {
            *place = value;
        }
    }
    violations.extend(in_path);
    violations.truncate(MOST_VIOLATIONS);
    match malformed {
        Some(malformed) => Err(Refused::Malformed(malformed, violations)),
        None if violations.is_empty() => Ok(message),
        None => Err(Refused::Invalid(violations)),
    }
}

/// What the path says.
fn from_path(endpoint: &Endpoint, input: &Input<'_>, violations: &mut Vec<FieldViolation>) -> Vec<(FieldPath, Value)> {
    let mut said = Vec::with_capacity(endpoint.variables.len());
    for (path, text) in endpoint.variables.iter().zip(input.variables) {
        match json::parse_text(&path.leaf().kind(), text) {
            Ok(value) => said.push((path.clone(), value)),
            Err(problem) => violations.push(FieldViolation::new(path.leaf().json_name(), problem)),
        }
    }
    said
}

fn from_body(endpoint: &Endpoint, context: Context<'_>, input: &Input<'_>) -> Result<DynamicMessage, Refused> {
    let descriptor = endpoint.rpc.input();
    let mut message = DynamicMessage::new(descriptor.clone());
    // No body is the same as an empty message, so that what is optional as a whole can be left out as a whole.
    if input.body.is_empty() && endpoint.kind != Kind::Upload {
        return Ok(message);
    }
    check_media_type(endpoint, input.content_type)?;
    match &endpoint.body {
        Body::None => {
            return Err(Refused::Invalid(vec![FieldViolation::new(
                "$",
                "must be left out: this endpoint takes no body",
            )]));
        }
        Body::Whole => message = json::read(&input.body, &descriptor, context)?,
        Body::Json(field) => message.set_field(field, json::read_field(&input.body, field, context)?),
        Body::RawWhole => fill(&mut message, input),
        Body::Raw(field) => {
            if let Some(body) = message.get_field_mut(field).as_message_mut() {
                fill(body, input);
            }
        }
    }
    Ok(message)
}

impl From<Unreadable> for Refused {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Malformed(malformed) => Self::Malformed(malformed, Vec::new()),
            Unreadable::Invalid(violations) => Self::Invalid(violations),
        }
    }
}

/// JSON is taken as such only; a raw body as any of the media types that its endpoint lists, or as any at all.
fn check_media_type(endpoint: &Endpoint, content_type: Option<&str>) -> Result<(), Refused> {
    let taken = match &endpoint.body {
        Body::None => return Ok(()),
        Body::Whole | Body::Json(_) => vec![media_type::JSON.to_owned()],
        Body::Raw(_) | Body::RawWhole if endpoint.options.media_types.is_empty() => return Ok(()),
        Body::Raw(_) | Body::RawWhole => endpoint.options.media_types.clone(),
    };
    let matches = |wanted: &String| content_type.is_some_and(|given| media_type::is(given, wanted));
    if taken.iter().any(matches) {
        Ok(())
    } else {
        Err(Refused::MediaType(taken))
    }
}

/// The body as google.api.HttpBody.
fn fill(http_body: &mut DynamicMessage, input: &Input<'_>) {
    let content_type = input.content_type.unwrap_or_default().to_owned();
    http_body.set_field_by_name("content_type", Value::String(content_type));
    http_body.set_field_by_name("data", Value::Bytes(input.body.clone()));
}

#[cfg(test)]
mod tests;
