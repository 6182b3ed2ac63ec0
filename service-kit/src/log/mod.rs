//! How log lines are written: for programs one JSON object a line, and without secrets in either form.

mod json;
mod redact;

pub use json::Json;
pub use redact::Redacting;
