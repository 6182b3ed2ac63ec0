//! Collecting dead letters from a real RabbitMQ, while whoever is to keep them cannot.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use service_kit::bus::rabbitmq::topology;
use service_kit::bus::{Bus, DeadLetterHandler, HandlerError, RabbitMq};
use testbed::{Broker, Proxy};
use tokio_util::sync::CancellationToken;

use crate::rig::{SUBSCRIPTION, eventually, signed_up};

/// Keeps letters once it can.
#[derive(Default)]
struct Keeper {
    can: AtomicBool,
    asked: AtomicUsize,
    kept: Mutex<Vec<Vec<u8>>>,
}

impl Keeper {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn kept(&self) -> Vec<Vec<u8>> {
        self.kept.lock().unwrap().clone()
    }
}

#[async_trait]
impl DeadLetterHandler for Keeper {
    async fn keep(&self, body: &[u8], _: &str) -> Result<(), HandlerError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if !self.can.load(Ordering::Relaxed) {
            return Err(HandlerError::Retry("the database is away".to_owned()));
        }
        self.kept.lock().unwrap().push(body.to_vec());
        Ok(())
    }
}

fn bus(url: &str) -> Bus {
    Bus::RabbitMq(RabbitMq::at(url).unwrap())
}

/// How many letters lie in the queue, in nobody's hands.
async fn lying(channel: &Channel, queue: &str) -> u32 {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let queue = channel
        .queue_declare(queue.into(), passive, FieldTable::default())
        .await
        .unwrap();
    queue.message_count()
}

#[tokio::test]
async fn a_letter_that_cannot_be_kept_goes_back_once_and_takes_no_other_with_it() {
    let broker = Broker::create().await;
    let queue = topology::dead_letter_queue(SUBSCRIPTION.queue);
    // Whoever publishes declares the queues.
    bus(broker.url())
        .publisher()
        .publish(&[signed_up("mara")])
        .await
        .unwrap();
    let connection = Connection::connect(broker.url(), ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    for body in [b"one", b"two"] {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        channel
            .basic_publish("".into(), queue.as_str().into(), options, body, properties)
            .await
            .unwrap();
    }
    eventually("both lie there", || async { lying(&channel, &queue).await == 2 }).await;

    let proxy = Proxy::start(broker.address()).await;
    let (keeper, shutdown) = (Arc::new(Keeper::default()), CancellationToken::new());
    let (through, handler, stop) = (
        bus(&broker.url_at(proxy.address())),
        Arc::clone(&keeper),
        shutdown.clone(),
    );
    let collecting = tokio::spawn(async move { through.collect_dead_letters(SUBSCRIPTION, handler, stop).await });
    eventually("one is in its hands", || async { keeper.asked() > 0 }).await;
    assert_eq!(lying(&channel, &queue).await, 1, "no more than one at a time");

    proxy.cut().await;
    eventually("it is back", || async { lying(&channel, &queue).await == 2 }).await;
    let before = keeper.asked();
    eventually("it is tried on", || async { keeper.asked() > before + 1 }).await;
    assert_eq!(lying(&channel, &queue).await, 2, "nobody takes it a second time");

    keeper.can.store(true, Ordering::Relaxed);
    eventually("both are kept", || async { keeper.kept().len() == 3 }).await;
    assert_eq!(keeper.kept(), [b"one", b"one", b"two"]);
    shutdown.cancel();
    collecting.await.unwrap();
    eventually("none is left", || async { lying(&channel, &queue).await == 0 }).await;
}
