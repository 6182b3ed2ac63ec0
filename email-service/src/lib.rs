//! email-service: mail that events cause. It owns the schema `email` and nothing else; it decides nothing about accounts
//! or charges, and believes what events tell of them.
//!
//! An event goes through three pairs of hands: the [`inbox`] records it and queues messages in one transaction, the
//! [`sender`] takes messages that are due and makes mails of them, and a [`transport`] hands those over.

mod address;
mod application;
mod audit;
mod chart;
mod contacts;
mod dead_letter;
mod earlier_api;
mod grpc;
mod inbox;
mod mail;
mod message;
mod notice;
mod pages;
mod retry;
mod sender;
mod settings;
mod suppression;
mod template;
mod transport;
mod unsubscribing;
mod webhook;
mod words;

use std::sync::Arc;

use service_kit::clock::SharedClock;
use service_kit::dead_letter::Keeper;
use service_kit::hook::Reach;
use service_kit::sealing::SealingKey;
use sqlx::PgPool;

pub use application::Application;
pub use settings::Settings;

use crate::mail::Composer;

/// The name under which this service is known to the others.
pub const NAME: &str = "email-service";

/// What the parts of the service share.
pub(crate) struct State {
    pub database: PgPool,
    pub clock: SharedClock,
    pub dead_letters: Keeper,
    pub composer: Arc<Composer>,
    /// For secrets that the database keeps; none where EMAIL_SECRET is not set.
    pub sealing: Option<SealingKey>,
    pub webhook_reach: Reach,
}
