//! Which members of an answer a client wants: `?fields=identity,connectors.status`.

use service_kit::reason::FieldViolation;

use super::query::{decode, shown};
use crate::json::Mask;
use crate::routes::{Endpoint, FIELDS};

/// Paths in one request.
const MOST_PATHS: usize = 1000;

/// What the query chooses; nothing where it does not choose. For a list its paths are those of a row.
///
/// # Errors
/// It names what the answer does not have.
pub fn selection(endpoint: &Endpoint, query: &str) -> Result<Option<Mask>, Vec<FieldViolation>> {
    let Some(message) = endpoint.selectable() else {
        return Ok(None);
    };
    let values = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name).as_deref() == Some(FIELDS)).then_some(value)
    });
    // One that cannot be decoded is told of where all parameters are.
    let values: Vec<_> = values.filter_map(decode).collect();
    let refuse = |problem: String| Err(vec![FieldViolation::new(FIELDS, problem)]);
    let text = match values.as_slice() {
        [] => return Ok(None),
        [text] => text,
        _ => return refuse("appears twice".into()),
    };
    let paths: Vec<_> = text.split(',').map(str::trim).collect();
    if paths.len() > MOST_PATHS {
        return refuse(format!("has more than {MOST_PATHS} paths"));
    }
    let mut mask = Mask::default();
    let unknown = |path: &&&str| !mask.clone().add(&message, path);
    let violations: Vec<_> = paths
        .iter()
        .filter(unknown)
        .map(|path| FieldViolation::new(FIELDS, format!("has `{}`, which the answer does not have", shown(path))))
        .collect();
    if !violations.is_empty() {
        return Err(violations);
    }
    for path in paths {
        mask.add(&message, path);
    }
    Ok(Some(mask))
}
