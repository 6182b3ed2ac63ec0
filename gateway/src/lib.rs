//! The gateway: the one public door of Voltgate.
//!
//! It turns REST into gRPC by what the protos say (`routes`, `transcode`, `json`), passes gRPC on (`grpc`), carries charge
//! points' WebSockets as gRPC streams (`websocket`), and protects what is behind it. It owns no data, no business rule and no code for any
//! endpoint: a new RPC with its annotations is a new endpoint. It knows nothing of OCPP; frames pass through unread.

mod admission;
mod application;
mod authority;
mod client;
mod compression;
mod cors;
mod documentation;
mod edge;
mod entity_tag;
mod export;
mod gateway;
mod grpc;
mod headers;
mod health;
mod json;
mod media_type;
mod observe;
mod openapi;
mod origins;
mod problem;
mod rate_limit;
mod request_id;
mod rest;
mod routes;
mod server;
mod settings;
mod stream;
mod transcode;
mod upload;
mod upstream;
mod watchdog;
mod websocket;

#[cfg(any(test, feature = "fuzzing"))]
mod test_protos;

pub use application::Application;
pub use client::{ForwardedHeader, TrustedProxies};
pub use health::ReadyNeeds;
pub use observe::TraceParents;
pub use origins::Origins;
pub use server::{CertificateFiles, Listen, PublicAddresses};
pub use settings::Settings;
#[cfg(feature = "fuzzing")]
pub use transcode::transcoding;
pub use upstream::Addresses;

/// The name under which the gateway is known to the services.
pub const NAME: &str = "gateway";
