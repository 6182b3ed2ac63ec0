//! What is fuzzed, and what must hold for any input. The functions panic where it does not.

pub mod framing;
pub mod messages;
