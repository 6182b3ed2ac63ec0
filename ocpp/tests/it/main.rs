//! What only shows against parts that nobody here wrote, and against input that nobody thought of.
#![allow(clippy::unwrap_used)]

mod fuzzed;
mod published_schemas;
