//! Does a payload match the specification? One pass over the raw JSON, held against the table of the version.
//!
//! Every violation is listed, with the path to it and the CALLERROR code that it deserves, up to [`MAX_VIOLATIONS`]. Unknown
//! fields are no violation, and neither are unknown words where vendors extend the vocabulary of meters (unit, measurand,
//! context and the like). Integers are 32 bits wide, as OCPP defines them, although its 1.6 schemas do not say so.

mod path;
mod shape;
mod violation;
mod walk;

use serde_json::value::RawValue;

use shape::Field;
pub(crate) use shape::{Rule, Shape, optional, required};
pub use violation::{Violation, ViolationKind};

use crate::{Version, v1_6};

/// More are not listed: the first few tell a vendor what to mend, and a payload can hold a hundred thousand.
pub const MAX_VIOLATIONS: usize = 20;

/// Which message a payload belongs to, by the name of its action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    Request(&'a str),
    Response(&'a str),
}

/// Lists what is wrong with a payload; an empty list means that it matches. In 1.6 a `null` payload is `{}`.
pub fn validate(version: Version, message: Message<'_>, payload: &RawValue) -> Vec<Violation> {
    let shape = match version {
        Version::V1_6 => v1_6::table::shape(message),
    };
    let Some(shape) = shape else {
        return vec![Violation::unknown_action(version, message)];
    };
    let null_is_empty = match version {
        Version::V1_6 => true,
    };
    let json = match payload.get().trim() {
        "null" if null_is_empty => "{}",
        json => json,
    };
    walk::walk(json, shape)
}

#[cfg(test)]
mod tests;
