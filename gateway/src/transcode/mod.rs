//! HTTP requests become the messages of RPCs, and their answers become HTTP bodies, as the protos say.
//!
//! Nothing is guessed: an unknown parameter, an unknown field, a second value where one is asked for, or a body that
//! nobody reads is an error, and all errors of a request are told together.

#[cfg(any(test, feature = "fuzzing"))]
mod fuzzed;
mod query;
mod request;
mod response;
mod selection;

#[cfg(feature = "fuzzing")]
pub use fuzzed::transcoding;
pub use request::{Input, message};
pub use response::answer;
pub use selection::selection;
