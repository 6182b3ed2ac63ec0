//! charger-service as it runs, on a real PostgreSQL, with the tests in the gateway's place.
#![allow(clippy::unwrap_used)]

mod audit;
mod boot_gate;
mod certificates;
mod charge;
mod charging_profiles;
mod clock_offset;
mod commands;
mod configuration;
mod deadline;
mod door;
mod frames;
mod handshake;
mod jobs;
mod local_list;
mod message_log;
mod messages;
mod model;
mod numbered_jobs;
mod operator;
mod passwords;
mod repetitions;
mod reservations;
mod rest;
mod restart;
mod resuming;
mod rules;
mod security_events;
mod security_profiles;
mod service;
mod sessions;
mod state;
mod station;
mod takeover;
mod versions;
mod wild;
