//! auth-service as its clients see it: the real application on a real PostgreSQL, spoken to over gRPC.
#![allow(clippy::unwrap_used)]

mod administrator;
mod attacks;
mod deadline;
mod login;
mod process;
mod profile;
mod samples;
mod service;
mod sessions;
mod signing_key;
mod signup;
mod throttling;
mod usernames;
