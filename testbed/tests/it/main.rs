//! The test bed under test, on itself: run with `cargo run -p testbed -- cargo test -p testbed`.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod binary;
mod isolation;
mod proxy;
