//! The bus: how events get from the outbox of one service to the others.
//!
//! There are two. [`LocalBus`] is for the single process and keeps nothing: the outbox itself is the queue. [`RabbitMq`]
//! is for services that run apart. Both promise the same: an event is handed over *at least* once, and not called
//! published before somebody has it safe. Nobody is promised an order.
//!
//! An event that expires has a way of its own, on which nothing keeps it for longer than it lives: no archive and no dead
//! letters. So a type is either one whose events expire or one whose events do not, and a subscription says which.

mod local;
pub mod rabbitmq;

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

pub use local::LocalBus;
pub use rabbitmq::RabbitMq;

use crate::event::Event;
use crate::start::StartError;

/// Takes events off a relay's hands. A relay has one of its own.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Publishes `events` in order and says what became of each, in the same order.
    ///
    /// # Errors
    /// The bus is not there, and knows of none of them for sure.
    async fn publish(&mut self, events: &[Event]) -> Result<Vec<Outcome>, Unavailable>;
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The bus has it safe.
    Published,
    /// Not this time; the reason is for people.
    Retry(String),
    /// Never: trying again would end the same way.
    Reject(String),
}

/// The bus cannot be reached at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bus is not available: {reason}")]
pub struct Unavailable {
    reason: String,
}

impl Unavailable {
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// What a service does with the events that reach it.
#[async_trait]
pub trait EventHandler: Send + Sync {
    /// Deals with one event, and returns only when that cannot be lost any more. Must bear the same event twice.
    async fn handle(&self, event: &Event) -> Result<Handled, HandlerError>;
}

/// How an event was dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// For the first time.
    New,
    /// It had been dealt with before, so nothing was done.
    Repeated,
}

/// Why an event was not dealt with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// The handler could not do it now, say because its database is down.
    #[error("try again: {0}")]
    Retry(String),
    /// There is something wrong with the event itself.
    #[error("rejected: {0}")]
    Reject(String),
}

/// What a service does with what a queue has set aside for it: events that were rejected, given back too often, or are none.
#[async_trait]
pub trait DeadLetterHandler: Send + Sync {
    /// Keeps one, whatever it is, and returns only when it cannot be lost any more. Must bear the same one twice.
    ///
    /// # Errors
    /// Not now; a dead letter is never rejected.
    async fn keep(&self, body: &[u8], reason: &str) -> Result<(), HandlerError>;
}

/// A service's standing order for events.
#[derive(Debug, Clone, Copy)]
pub struct Subscription {
    /// Names the queue that keeps events for the service while it is away. Replicas share it.
    pub queue: &'static str,
    /// Full names of the messages wanted whose events do not expire.
    pub types: &'static [&'static str],
    /// Full names of the messages wanted whose events do.
    pub expiring: &'static [&'static str],
}

impl Subscription {
    fn wants(&self, event: &Event) -> bool {
        let types = match event.expires_at {
            Some(_) => self.expiring,
            None => self.types,
        };
        types.contains(&event.r#type.as_str())
    }
}

/// Whether somebody knows events of this type to hold a secret.
pub(crate) fn must_expire(kind: &str) -> bool {
    rabbitmq::topology::SUBSCRIPTIONS
        .iter()
        .any(|subscription| subscription.expiring.contains(&kind))
}

/// The types of all events that somebody wants to know of.
pub(crate) fn types() -> impl Iterator<Item = &'static str> {
    let subscriptions = rabbitmq::topology::SUBSCRIPTIONS.iter();
    subscriptions.flat_map(|subscription| subscription.types.iter().chain(subscription.expiring).copied())
}

/// The bus of a process, whichever it is.
#[derive(Clone)]
pub enum Bus {
    Local(LocalBus),
    RabbitMq(RabbitMq),
}

impl Bus {
    /// RabbitMQ where there is an `AMQP_URL`, else the bus inside the process.
    ///
    /// # Errors
    /// The URL cannot be read. Whether anybody answers there is not asked: a service starts without its broker.
    pub fn from_setting(amqp_url: Option<&str>) -> Result<Self, StartError> {
        Ok(match amqp_url {
            Some(url) => Self::RabbitMq(RabbitMq::at(url)?),
            None => Self::Local(LocalBus::between(rabbitmq::topology::SUBSCRIPTIONS)),
        })
    }

    /// A publisher for one [`Relay`](crate::outbox::Relay).
    pub fn publisher(&self) -> Box<dyn Publisher> {
        match self {
            Self::Local(bus) => Box::new(bus.clone()),
            Self::RabbitMq(broker) => Box::new(broker.publisher()),
        }
    }

    /// Hands the events of `subscription` to `handler` until `shutdown`, through every outage of the bus.
    pub async fn subscribe(
        &self,
        subscription: Subscription,
        handler: Arc<dyn EventHandler>,
        shutdown: CancellationToken,
    ) {
        match self {
            Self::Local(bus) => bus.subscribe(subscription, handler, shutdown).await,
            Self::RabbitMq(broker) => broker.subscribe(subscription, handler, shutdown).await,
        }
    }

    /// Hands what was set aside for `subscription` to `handler` until `shutdown`. Inside one process there is no such queue:
    /// [`SetAside`](crate::dead_letter::SetAside) keeps what is rejected.
    pub async fn collect_dead_letters(
        &self,
        subscription: Subscription,
        handler: Arc<dyn DeadLetterHandler>,
        shutdown: CancellationToken,
    ) {
        match self {
            Self::Local(_) => shutdown.cancelled().await,
            Self::RabbitMq(broker) => broker.collect_dead_letters(subscription, handler, shutdown).await,
        }
    }
}
