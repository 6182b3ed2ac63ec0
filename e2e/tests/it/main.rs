//! Voltgate from outside: what its users do, and what happens to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod api_keys;
mod bad_input;
mod campaigns;
mod charge;
mod charging_day;
mod codes;
mod compose;
mod contract;
mod discovery;
mod drivers;
mod erasure;
mod events;
mod exports;
mod grpc;
mod imports;
mod kill;
mod new_sign_in;
mod ocpp16;
mod operations;
mod outlive;
mod processes;
mod real_things;
mod restart;
mod revocation;
mod second_factor;
mod security_extension;
mod signing_keys;
mod signup;
mod simulator;
mod strays;
mod terminator;
mod tls;
mod transfers;
mod versions;
