//! Writing frames: compact JSON on one line, whatever line breaks the payload came with.

use serde_json::{Value, value::RawValue};

use crate::{ErrorCode, Version, json::compact};

/// As long as an error description may be in 2.x; 1.6 names no limit, but its stations have small buffers.
const MAX_DESCRIPTION: usize = 255;

pub fn call(id: &str, action: &str, payload: &RawValue) -> String {
    let mut frame = format!("[2,{},{},", quoted(id), quoted(action));
    push_payload(&mut frame, payload);
    frame.push(']');
    frame
}

pub fn call_result(id: &str, payload: &RawValue) -> String {
    let mut frame = format!("[3,{},", quoted(id));
    push_payload(&mut frame, payload);
    frame.push(']');
    frame
}

/// `details` is `{}` where there are none. The description is cut to 255 characters.
pub fn call_error(
    version: Version,
    id: &str,
    code: ErrorCode,
    description: &str,
    details: Option<&RawValue>,
) -> String {
    let description: String = description.chars().take(MAX_DESCRIPTION).collect();
    let mut frame = format!(
        "[4,{},\"{}\",{},",
        quoted(id),
        code.as_str(version),
        quoted(&description)
    );
    match details {
        Some(details) => push_payload(&mut frame, details),
        None => frame.push_str("{}"),
    }
    frame.push(']');
    frame
}

/// `null` is allowed for an empty payload in 1.6, but `{}` is what every station understands.
fn push_payload(frame: &mut String, payload: &RawValue) {
    match payload.get().trim() {
        "null" => frame.push_str("{}"),
        payload => compact(payload, frame),
    }
}

fn quoted(text: &str) -> Value {
    Value::from(text)
}
