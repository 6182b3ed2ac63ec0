//! Charge points that exist in one process only: a fleet of them that makes load and measures it, or one that somebody plays by
//! hand.
//!
//! What a version of OCPP calls things stands in one place ([`version`]); what a charge point does with it knows no version. Nothing
//! here knows Voltgate: it talks to whatever speaks OCPP-J.

pub mod backlog;
pub mod central_system;
pub mod fleet;
mod incoming;
pub mod interactive;
pub mod open_files;
pub mod pace;
pub mod progress;
pub mod registration;
pub mod report;
pub mod saying;
pub mod scenario;
pub mod settings;
pub mod source;
pub mod station;
pub mod statistics;
mod ticks;
mod v1_6;
pub mod version;
pub mod websocket;
