//! auth-service as its clients see it: the real application on a real PostgreSQL, spoken to over gRPC.
#![allow(clippy::unwrap_used)]

mod addresses;
mod administrator;
mod api_keys;
mod attacks;
mod authenticator;
mod deadline;
mod health;
mod login;
mod mailbox;
mod new_sign_in;
mod passkey;
mod passwords;
mod process;
mod profile;
mod races;
mod refresh_model;
mod samples;
mod second_factor;
mod service;
mod sessions;
mod signing_key;
mod signup;
mod throttling;
mod usernames;
mod users;
