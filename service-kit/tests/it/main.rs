//! service-kit on a real PostgreSQL and a real RabbitMQ.
#![allow(clippy::unwrap_used)]

mod database;
mod dead_letters;
mod mutual_tls;
mod outbox;
mod rabbitmq;
mod remote_authority;
mod rig;
mod trace;
