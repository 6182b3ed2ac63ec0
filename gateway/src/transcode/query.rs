//! Query parameters. Each names a field that neither the path nor the body fills, by its JSON name or its proto name;
//! `a.b` reaches into a message, and a repeated field takes its parameter more than once.

use percent_encoding::percent_decode;
use prost_reflect::{DynamicMessage, Kind, Value};
use serde_json::value::RawValue;
use service_kit::reason::FieldViolation;

use crate::json::{self, RawJsonFields};
use crate::routes::{Body, Endpoint, FIELDS, FieldPath};

/// Parameters in one query.
const MOST_PARAMETERS: usize = 1000;

/// Sets the fields of `message` that the query names. Returns what is wrong with it.
pub fn apply(
    query: &str,
    endpoint: &Endpoint,
    raw_json: &RawJsonFields,
    message: &mut DynamicMessage,
) -> Vec<FieldViolation> {
    let mut given: Vec<FieldPath> = Vec::new();
    let chooses = endpoint.selectable().is_some();
    let mut violations = Vec::new();
    let pairs: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    if pairs.len() > MOST_PARAMETERS {
        let problem = format!("has more than {MOST_PARAMETERS} parameters");
        return vec![FieldViolation::new("?", problem)];
    }
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decode(name), decode(value)) else {
            violations.push(FieldViolation::new(shown(name), "is not UTF-8 once it is decoded"));
            continue;
        };
        if chooses && name == FIELDS {
            continue;
        }
        if let Err(problem) = set(&name, &value, endpoint, raw_json, message, &mut given) {
            violations.push(FieldViolation::new(shown(&name), problem));
        }
    }
    violations
}

/// A name as it is told back, which a client may have made as long as a query can be.
pub fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

fn set(
    name: &str,
    text: &str,
    endpoint: &Endpoint,
    raw_json: &RawJsonFields,
    message: &mut DynamicMessage,
    given: &mut Vec<FieldPath>,
) -> Result<(), String> {
    let path = FieldPath::resolve(&endpoint.rpc.input(), name).filter(|path| is_free(path, endpoint));
    let path = path.ok_or("is not a parameter of this endpoint")?;
    let leaf = path.leaf().clone();
    if leaf.is_map() {
        return Err("cannot be given in a query".into());
    }
    if !leaf.is_list() && given.iter().any(|other| other == &path) {
        return Err("appears twice".into());
    }
    if let Some(rival) = path.rival_in(message) {
        return Err(format!("cannot be given together with `{}`", rival.json_name()));
    }
    let value = match leaf.kind() {
        Kind::Message(descriptor) => Value::Message(json::parse_well_known(&descriptor, text)?),
        // What it holds is passed on as JSON, so it has to be.
        Kind::String if raw_json.contains(&leaf) => Value::String(document(text)?),
        kind => json::parse_text(&kind, text)?,
    };
    let place = path.value_in(message).ok_or("cannot be given in a query")?;
    match place.as_list_mut() {
        Some(list) => list.push(value),
        None => *place = value,
    }
    given.push(path);
    Ok(())
}

/// A JSON document, without what stands around it.
fn document(text: &str) -> Result<String, &'static str> {
    serde_json::from_str::<&RawValue>(text)
        .map(|document| document.get().to_owned())
        .map_err(|_| "must be JSON")
}

/// Whether neither the path nor the body fills the field.
fn is_free(path: &FieldPath, endpoint: &Endpoint) -> bool {
    let by_body = match &endpoint.body {
        Body::None => false,
        Body::Whole | Body::RawWhole => true,
        Body::Json(field) | Body::Raw(field) => field == path.root(),
    };
    !by_body && endpoint.variables.iter().all(|variable| variable != path)
}

pub fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes())
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}
