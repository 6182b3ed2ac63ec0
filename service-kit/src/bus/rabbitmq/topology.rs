//! Everything that Voltgate declares in RabbitMQ, in one place.
//!
//! | name | what it is |
//! |---|---|
//! | `voltgate.events` | durable topic exchange; the routing key is the event's type |
//! | `voltgate.events.archive` | queue bound to every type, read by nobody: an event that no consumer wants yet is routable all the same. Oldest out at 100,000 messages or after 7 days |
//! | `<queue>` | one for each [`Subscription`], bound to its types. Full at 1,000,000 messages, it refuses; the outbox keeps what it refuses |
//! | `voltgate.events.expiring` | durable topic exchange for events that expire, with the time left as each message's TTL |
//! | `<queue>.<Type>` | one for each type of them that a [`Subscription`] wants |
//! | `voltgate.dead-letters` | durable direct exchange for what a consumer rejects, or gives back 20 times |
//! | `<queue>.dead` | where that ends, until the service takes it from there for people to decide about. Oldest out at 100,000 messages |
//!
//! What expires holds a secret, so it goes past the archive, and its queues have no dead letters: RabbitMQ would park there, for
//! ever, what had expired or was rejected. Each type has a queue of its own because RabbitMQ drops what has expired only once it
//! stands first, and events of one type expire in the order in which they come.
//!
//! All queues are quorum queues. Publishers declare the queues of every subscription in [`SUBSCRIPTIONS`] too, not only
//! their consumers: an event published before its consumer has ever been started must wait for it.
//!
//! RabbitMQ refuses to declare a name again with other arguments. Whoever changes an argument here gives the queue a new
//! name, or deletes the old one when it is empty.
//!
//! `<queue>.dead` says nothing about how often a letter may come back, and has nowhere to move it to. Up to RabbitMQ 3.13 that means
//! as often as it likes; from 4.0 on a letter is dropped when it comes back for the 21st time. `x-delivery-limit` of -1 ends that in 4.0
//! and does the opposite before: 3.10 takes it, and drops a letter at its first return. Any other limit would be refused where the
//! queue exists, as said above. So the collector (`dead_letters.rs`) sees to it that letters hardly ever come back, and a policy,
//! which only an operator can set, raises the limit: docs/operating.md has it.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use crate::bus::Subscription;

pub const EVENTS: &str = "voltgate.events";
pub const EXPIRING: &str = "voltgate.events.expiring";
pub const ARCHIVE: &str = "voltgate.events.archive";
pub const DEAD_LETTERS: &str = "voltgate.dead-letters";

const ARCHIVE_LENGTH: i64 = 100_000;
const ARCHIVE_MILLISECONDS: i64 = 7 * 24 * 3600 * 1000;
const QUEUE_LENGTH: i64 = 1_000_000;
const DEAD_LENGTH: i64 = 100_000;
/// How often a message may come back unacknowledged, say because it kills its consumer, before it is set aside.
const DELIVERY_LIMIT: i64 = 20;

/// What email-service wants to know of.
pub const EMAIL_SERVICE: Subscription = Subscription {
    queue: "email-service.events",
    types: &[
        "voltgate.events.v1.AccountDeleted",
        "voltgate.events.v1.AccountSignedUp",
        "voltgate.events.v1.CertificateExpiring",
        "voltgate.events.v1.ChargePointFaulted",
        "voltgate.events.v1.ChargePointOffline",
        "voltgate.events.v1.ChargingFinished",
        "voltgate.events.v1.ChargingStarted",
        "voltgate.events.v1.EmailChanged",
        "voltgate.events.v1.NewSignIn",
        "voltgate.events.v1.PasswordChanged",
        "voltgate.events.v1.SecondFactorChanged",
        "voltgate.events.v1.SignupWithKnownEmail",
    ],
    expiring: &[
        "voltgate.events.v1.EmailVerificationRequested",
        "voltgate.events.v1.PasswordResetRequested",
    ],
};

/// What charger-service wants to know of.
pub const CHARGER_SERVICE: Subscription = Subscription {
    queue: "charger-service.events",
    types: &["voltgate.events.v1.AccountDeleted"],
    expiring: &[],
};

/// Every subscription there is.
pub const SUBSCRIPTIONS: &[Subscription] = &[CHARGER_SERVICE, EMAIL_SERVICE];

/// The queue for what the consumers of `queue` rejected.
pub fn dead_letter_queue(queue: &str) -> String {
    format!("{queue}.dead")
}

/// The queue for events of one type that expire, wanted by the subscription with `queue`.
pub fn expiring_queue(queue: &str, kind: &str) -> String {
    let name = kind.rsplit('.').next().unwrap_or(kind);
    format!("{queue}.{name}")
}

/// Every queue that a subscription's events wait in.
pub(super) fn queues(subscription: &Subscription) -> Vec<String> {
    let expiring = subscription.expiring.iter();
    std::iter::once(subscription.queue.to_owned())
        .chain(expiring.map(|kind| expiring_queue(subscription.queue, kind)))
        .collect()
}

/// Declares what a publisher needs: the exchanges, the archive and every known subscription.
pub(super) async fn declare_for_publisher(channel: &Channel) -> Result<(), lapin::Error> {
    declare_events(channel).await?;
    let archive = Arguments::quorum()
        .with("x-max-length", ARCHIVE_LENGTH)
        .with("x-message-ttl", ARCHIVE_MILLISECONDS);
    declare_queue(channel, ARCHIVE, archive).await?;
    bind(channel, ARCHIVE, EVENTS, "#").await?;
    for subscription in SUBSCRIPTIONS {
        declare_subscription(channel, subscription).await?;
    }
    Ok(())
}

/// Declares what a consumer needs: the exchanges, its queues and the queue for its dead letters.
pub(super) async fn declare_for_consumer(channel: &Channel, subscription: &Subscription) -> Result<(), lapin::Error> {
    declare_events(channel).await?;
    declare_subscription(channel, subscription).await
}

async fn declare_events(channel: &Channel) -> Result<(), lapin::Error> {
    declare_exchange(channel, EVENTS, ExchangeKind::Topic).await?;
    declare_exchange(channel, EXPIRING, ExchangeKind::Topic).await
}

async fn declare_subscription(channel: &Channel, subscription: &Subscription) -> Result<(), lapin::Error> {
    let dead = dead_letter_queue(subscription.queue);
    declare_exchange(channel, DEAD_LETTERS, ExchangeKind::Direct).await?;
    declare_queue(channel, &dead, Arguments::quorum().with("x-max-length", DEAD_LENGTH)).await?;
    bind(channel, &dead, DEAD_LETTERS, subscription.queue).await?;

    // Dead letters are moved at least once, which RabbitMQ does only for queues that refuse when they are full.
    let arguments = Arguments::waiting()
        .with_text("x-dead-letter-exchange", DEAD_LETTERS)
        .with_text("x-dead-letter-routing-key", subscription.queue)
        .with_text("x-dead-letter-strategy", "at-least-once");
    declare_queue(channel, subscription.queue, arguments).await?;
    for kind in subscription.types {
        bind(channel, subscription.queue, EVENTS, kind).await?;
    }
    for kind in subscription.expiring {
        let queue = expiring_queue(subscription.queue, kind);
        declare_queue(channel, &queue, Arguments::waiting()).await?;
        bind(channel, &queue, EXPIRING, kind).await?;
    }
    Ok(())
}

async fn declare_exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> Result<(), lapin::Error> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(name.into(), kind, options, FieldTable::default())
        .await
}

async fn declare_queue(channel: &Channel, name: &str, arguments: Arguments) -> Result<(), lapin::Error> {
    channel
        .queue_declare(name.into(), QueueDeclareOptions::durable(), arguments.0)
        .await?;
    Ok(())
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<(), lapin::Error> {
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
}

/// Arguments of a queue.
struct Arguments(FieldTable);

impl Arguments {
    fn quorum() -> Self {
        Self(FieldTable::default()).with_text("x-queue-type", "quorum")
    }

    /// Of a queue that keeps events for a consumer: full, it refuses, and nothing comes back for ever.
    fn waiting() -> Self {
        Self::quorum()
            .with("x-max-length", QUEUE_LENGTH)
            .with_text("x-overflow", "reject-publish")
            .with("x-delivery-limit", DELIVERY_LIMIT)
    }

    fn with(mut self, name: &str, value: i64) -> Self {
        self.0.insert(name.into(), AMQPValue::LongLongInt(value));
        self
    }

    fn with_text(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.into(), AMQPValue::LongString(value.into()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_subscribed_to_is_declared_in_the_protos() {
        for subscription in SUBSCRIPTIONS {
            for kind in [subscription.types, subscription.expiring].concat() {
                assert!(voltgate_proto::pool().get_message_by_name(kind).is_some(), "{kind}");
            }
        }
    }

    #[test]
    fn every_message_with_a_code_is_of_a_type_that_expires() {
        let events = voltgate_proto::pool()
            .all_messages()
            .filter(|message| message.package_name() == "voltgate.events.v1")
            .filter(|message| message.get_field_by_name("code").is_some());
        let names: Vec<String> = events.map(|message| message.full_name().to_owned()).collect();
        assert!(!names.is_empty());
        for name in names {
            assert!(crate::bus::must_expire(&name), "{name}");
        }
    }

    #[test]
    fn no_type_both_expires_and_does_not() {
        for subscription in SUBSCRIPTIONS {
            for kind in subscription.types {
                assert!(!crate::bus::must_expire(kind), "{kind}");
            }
        }
    }

    #[test]
    fn a_subscription_waits_in_a_queue_and_in_one_more_for_each_type_that_expires() {
        assert_eq!(
            queues(&EMAIL_SERVICE),
            [
                "email-service.events",
                "email-service.events.EmailVerificationRequested",
                "email-service.events.PasswordResetRequested",
            ]
        );
    }
}
