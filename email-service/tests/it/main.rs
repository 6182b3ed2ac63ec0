//! email-service as a whole, on a real PostgreSQL, a real RabbitMQ and a real SMTP server, with auth-service's own outbox
//! as the producer.
#![allow(clippy::unwrap_used)]

mod api;
mod broker_faults;
mod codes;
mod dead_letters;
mod delivery;
mod digests;
mod earlier_api;
mod erasure;
mod inbox;
mod notices;
mod program;
mod receipts;
mod rig;
mod services;
mod smtp;
mod smtp_patience;
mod smtp_server;
mod suppressions;
mod templates;
mod throughput;
mod webhook_erasure;
mod webhook_turns;
mod webhooks;
