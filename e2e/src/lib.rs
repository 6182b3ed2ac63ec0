//! Voltgate as its users meet it: real processes, started by their commands, reached through their public ports only.
//!
//! Nothing here knows the inside of a service. Charge points, mail servers and gRPC clients are programs that nobody here
//! wrote.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this library runs in tests only, where a panic with a sentence is the failure we want to read"
)]

pub mod all_in_one;
pub mod api;
pub mod collector;
pub mod exposition;
pub mod process;
pub mod processes;
pub mod python;
pub mod wait;
