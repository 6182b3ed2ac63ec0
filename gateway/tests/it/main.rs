//! The gateway as its clients see it: the real application in front of real gRPC servers.
#![allow(clippy::unwrap_used)]

mod access;
mod admission;
mod behind;
mod bounds;
mod client;
mod conversation;
mod cors;
mod echo;
mod encodings;
mod envoy;
mod errors;
mod exports;
mod fields;
mod grpc;
mod head;
mod hostile;
mod http2;
mod http_binding;
mod lifecycle;
mod listed;
mod observed;
mod own_paths;
mod peers;
mod rate_limits;
mod readiness;
mod replicas;
mod requests;
mod socket_closing;
mod socket_frames;
mod socket_opening;
mod socket_resuming;
mod station;
mod streams;
mod system;
mod terminators;
#[path = "../../src/test_protos.rs"]
mod test_protos;
mod tls;
mod trace_context;
mod uploads;
mod watched;
mod zero_window;
