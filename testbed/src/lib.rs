//! What tests stand on: a real PostgreSQL, RabbitMQ and Redis, private to one run, and a piece of for each test.
//!
//! The binary `testbed` starts them on free ports, runs a command with their addresses in its environment, and ends
//! them; nothing of them outlives it. Inside that command each test takes a [`Database`] and a [`Broker`] (a virtual
//! host) of its own, so that tests run side by side. A [`Proxy`] between two of them makes the network fail on
//! purpose. A test that crashes a server, or needs one with other settings, starts a [`RabbitMq`] or a [`Redis`] of its own.
//!
//! It imitates nothing and skips nothing: a test that does not find what it needs panics and says how to run it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "this library runs in tests only, where a panic with a sentence is the failure we want to read"
)]

mod broker;
mod cache;
pub mod certificates;
mod database;
mod lock;
pub mod management;
mod port;
mod program;
mod proxy;
mod rabbitmq;
mod redis;

pub use broker::Broker;
pub use cache::redis_url;
pub use database::Database;
pub use lock::Lock;
pub use port::free_port;
pub use proxy::Proxy;
pub use rabbitmq::RabbitMq;
pub use redis::Redis;

/// An address that the binary `testbed` puts into the environment of the command that it runs.
fn required(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set: run the tests with `make test`, or this crate's alone with \
             `cargo run -p testbed -- cargo test -p <crate>`"
        )
    })
}
