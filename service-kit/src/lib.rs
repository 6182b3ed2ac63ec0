//! What at least two services need: settings, telemetry, the gRPC server, access, the outbox, the bus, shutdown.
//!
//! Nothing here knows an account, a charge point or a mail. A module enters when a second service needs it.

pub mod access;
pub mod admin;
pub mod audit;
pub mod backoff;
pub mod bus;
pub mod calls;
pub mod clock;
pub mod database;
pub mod dead_letter;
pub mod deadline;
pub mod entity_tag;
pub mod event;
pub mod grpc;
pub mod hook;
pub mod housekeeping;
pub mod language;
mod log;
pub mod network;
pub mod outbox;
pub mod page;
pub mod process;
pub mod reason;
pub mod sealing;
pub mod settings;
mod shared;
pub mod shutdown;
pub mod start;
pub mod telemetry;
pub mod tls;
pub mod trace;
pub mod version;
pub mod wake;

pub use shared::Shared;
