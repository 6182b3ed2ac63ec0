//! Consuming: quorum queues, manual acknowledgement, and at most [`PREFETCH`] events of each queue in work.
//!
//! An event is acknowledged once its handler has committed it. A handler that cannot do so now keeps the event waiting
//! here, because giving it back would only make the broker deliver it again at once and count that as a failure. A
//! handler that rejects it sends it to the dead letters, and the next one goes on. An event that expires has no dead letters: it is
//! dropped when it is rejected, and when it expires while it waits here.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use metrics::{Counter, counter, gauge};
use prost::Message;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use super::{ConnectError, RECONNECT, RabbitMq, topology};
use crate::backoff::Backoff;
use crate::bus::{EventHandler, HandlerError, Subscription};
use crate::clock::{Clock, SystemClock};
use crate::event::{self, Event};

/// Events of a queue delivered and not yet acknowledged: what is handled side by side, and what a crash has delivered again.
const PREFETCH: u16 = 64;
/// For one attempt of a handler, which only has to commit a row.
const HANDLING_TIMEOUT: Duration = Duration::from_secs(30);
/// Pauses between the attempts of a handler that cannot commit.
const HANDLING_RETRY: Backoff = Backoff {
    first: Duration::from_millis(200),
    longest: Duration::from_secs(30),
};
/// For the events in work when the process is told to stop. What is not done by then stays in the queue.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks at how long the queues are.
const MEASURING: Duration = Duration::from_secs(15);

/// Why a consumer has to start anew.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    NotConnected(#[from] ConnectError),
    #[error(transparent)]
    Broker(#[from] lapin::Error),
    #[error("RabbitMQ ended the subscription")]
    Cancelled,
    #[error("handling an event failed unexpectedly")]
    Handler,
}

/// Consumes until `shutdown`, and comes back after every loss.
pub(super) async fn consume(
    broker: &RabbitMq,
    subscription: Subscription,
    handler: Arc<dyn EventHandler>,
    shutdown: CancellationToken,
) {
    let queue = subscription.queue;
    announce(queue);
    let mut failures = 0;
    while !shutdown.is_cancelled() {
        let opened = tokio::select! {
            opened = Link::open(broker, &subscription) => opened,
            () = shutdown.cancelled() => return,
        };
        let ended = match opened {
            Ok(link) => {
                failures = 0;
                connected(queue, true);
                tracing::info!(queue, %broker, "Events are taken from RabbitMQ");
                let ended = link.work(queue, &handler, &shutdown).await;
                connected(queue, false);
                ended
            }
            Err(lost) => Err(lost),
        };
        let Err(lost) = ended else { return };
        failures += 1;
        let pause = RECONNECT.after(failures);
        tracing::warn!(
            queue,
            failures,
            pause_ms = pause.as_millis() as u64,
            "No events come from RabbitMQ for now: {lost}"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

struct Link {
    connection: Connection,
    channel: Channel,
    consumers: Vec<Consumer>,
    queues: Vec<String>,
}

impl Link {
    async fn open(broker: &RabbitMq, subscription: &Subscription) -> Result<Self, Lost> {
        let connection = broker.connect(subscription.queue).await?;
        let channel = connection.create_channel().await?;
        topology::declare_for_consumer(&channel, subscription).await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let mut consumers = Vec::new();
        for queue in topology::queues(subscription) {
            let consumer = channel
                .basic_consume(
                    queue.as_str().into(),
                    "".into(),
                    BasicConsumeOptions::default(),
                    FieldTable::default(),
                )
                .await?;
            consumers.push(consumer);
        }
        Ok(Self {
            connection,
            channel,
            consumers,
            queues: topology::queues(subscription),
        })
    }

    /// Until `shutdown`, or until the link is of no more use.
    async fn work(
        self,
        queue: &'static str,
        handler: &Arc<dyn EventHandler>,
        shutdown: &CancellationToken,
    ) -> Result<(), Lost> {
        // Bounded by PREFETCH: the broker delivers no more before some are settled.
        let mut in_work = JoinSet::new();
        let mut measuring = tokio::time::interval(MEASURING);
        measuring.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let tags: Vec<_> = self.consumers.iter().map(Consumer::tag).collect();
        // Each with its end, which would be lost among the others'.
        let mut deliveries = stream::select_all(self.consumers.into_iter().map(|consumer| {
            let end = stream::once(future::ready(None));
            consumer.map(Some).chain(end)
        }));
        loop {
            tokio::select! {
                delivery = deliveries.next() => {
                    let delivery = delivery.flatten().ok_or(Lost::Cancelled)??;
                    let (handler, shutdown) = (Arc::clone(handler), shutdown.clone());
                    in_work.spawn(settle(queue, delivery, handler, shutdown));
                }
                // A task that panicked has not settled its delivery. Starting anew gives it back, and the broker counts.
                _ = measuring.tick() => measure(&self.channel, queue, &self.queues).await?,
                Some(done) = in_work.join_next() => done.map_err(|_| Lost::Handler)??,
                () = shutdown.cancelled() => break,
            }
        }
        let finish = async {
            for tag in tags {
                self.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
            }
            while let Some(done) = in_work.join_next().await {
                done.map_err(|_| Lost::Handler)??;
            }
            self.connection.close(200, "stopping".into()).await?;
            Ok::<(), Lost>(())
        };
        if let Ok(Err(lost)) = timeout(DRAIN_TIMEOUT, finish).await {
            tracing::debug!(
                queue,
                "The last events were not settled and will be delivered again: {lost}"
            );
        }
        Ok(())
    }
}

/// Handles one delivery to its end: acknowledged, dead, expired, or back in the queue because the process stops.
async fn settle(
    queue: &'static str,
    delivery: Delivery,
    handler: Arc<dyn EventHandler>,
    shutdown: CancellationToken,
) -> Result<(), lapin::Error> {
    let Ok(event) = Event::decode(delivery.data.as_slice()) else {
        return reject(queue, &delivery, "it is not an event").await;
    };
    let mut failures = 0;
    loop {
        let problem = match timeout(HANDLING_TIMEOUT, handler.handle(&event)).await {
            Ok(Ok(handled)) => {
                count(queue, "handled");
                tracing::debug!(
                    queue,
                    event = event.id,
                    kind = event.r#type,
                    ?handled,
                    "An event was taken"
                );
                delivery.ack(BasicAckOptions::default()).await?;
                return Ok(());
            }
            Ok(Err(HandlerError::Reject(reason))) => {
                return reject(queue, &delivery, &reason).await;
            }
            Ok(Err(HandlerError::Retry(reason))) => reason,
            Err(_) => format!("no end of it within {HANDLING_TIMEOUT:?}"),
        };
        if event::has_expired(&event, SystemClock.now()) {
            count(queue, "expired");
            tracing::warn!(
                queue,
                event = event.id,
                "An event expired before it could be taken: {problem}"
            );
            delivery.ack(BasicAckOptions::default()).await?;
            return Ok(());
        }
        failures += 1;
        count(queue, "retried");
        tracing::warn!(
            queue,
            event = event.id,
            failures,
            "An event waits to be taken: {problem}"
        );
        tokio::select! {
            () = tokio::time::sleep(HANDLING_RETRY.after(failures)) => {}
            () = shutdown.cancelled() => {
                let back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
                delivery.nack(back).await?;
                return Ok(());
            }
        }
    }
}

async fn reject(queue: &'static str, delivery: &Delivery, reason: &str) -> Result<(), lapin::Error> {
    count(queue, "rejected");
    let id = delivery
        .properties
        .message_id()
        .as_ref()
        .map_or("unknown", |id| id.as_str());
    if delivery.exchange.as_str() == topology::EXPIRING {
        tracing::error!(
            queue,
            event = id,
            "An event is dropped, because what expires has no dead letters: {reason}"
        );
    } else {
        tracing::error!(queue, event = id, "An event goes to the dead letters: {reason}");
    }
    delivery.reject(BasicRejectOptions { requeue: false }).await?;
    Ok(())
}

/// Has counters begin with 0, so that their first rise is seen as one.
fn announce(queue: &'static str) {
    for outcome in ["handled", "retried", "expired", "rejected"] {
        counter(queue, outcome).increment(0);
    }
}

fn count(queue: &'static str, outcome: &'static str) {
    counter(queue, outcome).increment(1);
}

fn counter(queue: &'static str, outcome: &'static str) -> Counter {
    counter!("voltgate_queue_events_total", "queue" => queue, "outcome" => outcome)
}

/// How many events wait in the queues of a subscription, and how many lie among its dead letters.
async fn measure(channel: &Channel, subscription: &'static str, queues: &[String]) -> Result<(), lapin::Error> {
    let mut waiting = 0;
    for queue in queues {
        waiting += length(channel, queue).await?;
    }
    let dead = length(channel, &topology::dead_letter_queue(subscription)).await?;
    for (state, messages) in [("waiting", waiting), ("dead", dead)] {
        gauge!("voltgate_queue_messages", "queue" => subscription, "state" => state).set(messages);
    }
    Ok(())
}

/// A passive declaration changes nothing, and tells it.
async fn length(channel: &Channel, queue: &str) -> Result<u32, lapin::Error> {
    let look = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::durable()
    };
    let declared = channel.queue_declare(queue.into(), look, FieldTable::default()).await?;
    Ok(declared.message_count())
}

fn connected(queue: &'static str, connected: bool) {
    gauge!("voltgate_queue_connected", "queue" => queue).set(f64::from(u8::from(connected)));
}
