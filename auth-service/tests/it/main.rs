//! auth-service as its clients see it: the real application on a real PostgreSQL, spoken to over gRPC.
#![allow(clippy::unwrap_used)]

mod addresses;
mod administrator;
mod api_key_life;
mod api_keys;
mod attacks;
mod audit;
mod authenticator;
mod deadline;
mod erasure;
mod health;
mod housekeeping;
mod login;
mod mailbox;
mod new_sign_in;
mod office;
mod passkey;
mod passkey_log_in;
mod passwords;
mod process;
mod profile;
mod races;
mod refresh_model;
mod samples;
mod sealed;
mod second_factor;
mod second_step;
mod service;
mod sessions;
mod signing_key;
mod signup;
mod takeover;
mod throttling;
mod usernames;
mod users;
