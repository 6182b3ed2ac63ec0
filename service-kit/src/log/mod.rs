//! How log lines are written: for programs one JSON object a line, and without secrets in either form.

mod json;
mod lines;
mod redact;

pub use json::Json;
pub use lines::{LastLines, Lines, announce};
pub use redact::Redacting;
