//! Collecting dead letters: what a queue has set aside goes to whoever keeps it for people to decide about, one after the other, and
//! is acknowledged once it is kept. Where nobody can keep it, it stays where it is.
//!
//! Each time that a letter goes back to its queue counts, and RabbitMQ 4 drops it after the 20th time ([`topology`]). So a letter that cannot
//! be kept is not given back: whoever has it tries on, for however long the database is away. The link may be lost meanwhile, or RabbitMQ may
//! take it for dead (after half an hour without an answer). Then the letter goes back once, and no new link is made before this one is kept:
//! an outage counts once for each replica, and not once for each loss.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, Consumer};
use prost::Message;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{ConnectError, RECONNECT, RabbitMq, topology};
use crate::backoff::Backoff;
use crate::bus::{DeadLetterHandler, Subscription};
use crate::event::Event;

/// They are rare, and may be large. More than the one in work would go back with it each time that the link is lost, which counts
/// against them.
const PREFETCH: u16 = 1;

/// Pauses between attempts to keep one.
const KEEPING_RETRY: Backoff = Backoff {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(30),
};

#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    NotConnected(#[from] ConnectError),
    #[error(transparent)]
    Broker(#[from] lapin::Error),
    #[error("RabbitMQ ended the subscription")]
    Cancelled,
}

/// Collects until `shutdown`, and comes back after every loss. Dropped in the middle, it has kept what it has acknowledged, and the
/// rest is delivered again.
pub(super) async fn collect(
    broker: &RabbitMq,
    subscription: Subscription,
    handler: &dyn DeadLetterHandler,
    shutdown: CancellationToken,
) {
    let queue = topology::dead_letter_queue(subscription.queue);
    let work = async {
        let mut failures: u32 = 0;
        loop {
            let lost = match open(broker, &subscription, &queue).await {
                Ok((_connection, consumer)) => {
                    failures = 0;
                    work(consumer, &queue, handler).await
                }
                Err(lost) => lost,
            };
            failures += 1;
            tracing::debug!(queue, failures, "Dead letters stay where they are for now: {lost}");
            sleep(RECONNECT.after(failures)).await;
        }
    };
    shutdown.run_until_cancelled(work).await;
}

async fn open(broker: &RabbitMq, subscription: &Subscription, queue: &str) -> Result<(Connection, Consumer), Lost> {
    let connection = broker.connect(queue).await?;
    let channel = connection.create_channel().await?;
    topology::declare_for_consumer(&channel, subscription).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let consumer = channel
        .basic_consume(
            queue.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok((connection, consumer))
}

/// Until the link is of no more use.
async fn work(mut consumer: Consumer, queue: &str, handler: &dyn DeadLetterHandler) -> Lost {
    loop {
        let delivery = match consumer.next().await {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => return error.into(),
            None => return Lost::Cancelled,
        };
        let reason = reason(delivery.properties.headers().as_ref(), &delivery.data);
        let mut failures = 0;
        while let Err(error) = handler.keep(&delivery.data, &reason).await {
            failures += 1;
            tracing::warn!(queue, failures, "A dead letter cannot be kept yet: {error}");
            sleep(KEEPING_RETRY.after(failures)).await;
        }
        if let Err(error) = delivery.ack(BasicAckOptions::default()).await {
            return error.into();
        }
    }
}

/// What RabbitMQ says about why it set the message aside (`x-first-death-reason`). Of what was rejected it does not say why.
fn reason(headers: Option<&FieldTable>, body: &[u8]) -> String {
    let first = headers.and_then(|headers| headers.inner().get("x-first-death-reason"));
    match first {
        Some(AMQPValue::LongString(text)) if text.as_bytes() == b"delivery_limit" => {
            "it was given back too often: whoever took it died of it each time".to_owned()
        }
        Some(AMQPValue::LongString(text)) if text.as_bytes() == b"rejected" => match Event::decode(body) {
            Ok(_) => "whoever took it rejected it".to_owned(),
            Err(_) => "it is not an event".to_owned(),
        },
        Some(AMQPValue::LongString(text)) => format!("the queue set it aside: {text}"),
        Some(_) | None => "the queue set it aside".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use voltgate_proto::events::v1::AccountSignedUp;

    use super::*;
    use crate::event;

    fn told(why: &str, body: &[u8]) -> String {
        let mut headers = FieldTable::default();
        headers.insert("x-first-death-reason".into(), AMQPValue::LongString(why.into()));
        reason(Some(&headers), body)
    }

    #[test]
    fn what_was_rejected_is_an_event_or_none() {
        let event = event::new("test", DateTime::UNIX_EPOCH, &AccountSignedUp::default());
        assert_eq!(told("rejected", &event.encode_to_vec()), "whoever took it rejected it");
        assert_eq!(told("rejected", b"\xff\xff"), "it is not an event");
    }

    #[test]
    fn of_everything_else_it_is_said_what_rabbitmq_says() {
        let limit = "it was given back too often: whoever took it died of it each time";
        assert_eq!(told("delivery_limit", b"\xff\xff"), limit);
        assert_eq!(told("maxlen", b"\xff\xff"), "the queue set it aside: maxlen");
        assert_eq!(reason(None, b"\xff\xff"), "the queue set it aside");
    }
}
