//! The bus over a real RabbitMQ, and what it does when the network between them fails.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use service_kit::backoff::Backoff;
use service_kit::bus::rabbitmq::topology;
use service_kit::bus::{Bus, HandlerError, Outcome, RabbitMq};
use service_kit::event::Event;
use service_kit::outbox::{Pace, Relay};
use testbed::{Broker, Proxy};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::rig::{Outbox, Reader, SUBSCRIPTION, eventually, reset, signed_up, verification};

fn bus(url: &str) -> Bus {
    Bus::RabbitMq(RabbitMq::at(url).unwrap())
}

/// A look at the broker with other eyes than ours.
struct Observer {
    channel: Channel,
    connection: Connection,
}

impl Observer {
    async fn of(broker: &Broker) -> Self {
        let connection = Connection::connect(broker.url(), ConnectionProperties::default())
            .await
            .unwrap();
        Self {
            channel: connection.create_channel().await.unwrap(),
            connection,
        }
    }

    async fn take(&self, queue: &str) -> Option<lapin::message::Delivery> {
        let options = BasicGetOptions { no_ack: true };
        let message = self.channel.basic_get(queue.into(), options).await.unwrap();
        message.map(|message| message.delivery)
    }

    /// Messages that wait in a queue.
    async fn waiting(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = self
            .channel
            .queue_declare(queue.into(), passive, FieldTable::default())
            .await
            .unwrap();
        queue.message_count()
    }

    /// Messages that wait anywhere.
    async fn waiting_anywhere(&self) -> u32 {
        let dead = topology::dead_letter_queue(SUBSCRIPTION.queue);
        let mut queues = vec![topology::ARCHIVE.to_owned(), SUBSCRIPTION.queue.to_owned(), dead];
        queues.extend(
            SUBSCRIPTION
                .expiring
                .iter()
                .map(|kind| topology::expiring_queue(SUBSCRIPTION.queue, kind)),
        );
        let mut messages = 0;
        for queue in queues {
            messages += self.waiting(&queue).await;
        }
        messages
    }

    async fn delete(&self, queue: &str) {
        self.channel
            .queue_delete(queue.into(), QueueDeleteOptions::default())
            .await
            .unwrap();
    }

    /// Until the reader's queue is there and somebody consumes from it.
    /// At each queue of the subscription: before the last of them its link is still being made.
    async fn wait_for_consumer(&self) {
        let expiring = SUBSCRIPTION
            .expiring
            .iter()
            .map(|kind| topology::expiring_queue(SUBSCRIPTION.queue, kind));
        for queue in std::iter::once(SUBSCRIPTION.queue.to_owned()).chain(expiring) {
            eventually("the consumer is there", || self.has_consumer(&queue)).await;
        }
    }

    async fn has_consumer(&self, queue: &str) -> bool {
        // A passive declaration of a queue that is not there costs the channel.
        let channel = self.connection.create_channel().await.unwrap();
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel
            .queue_declare(queue.into(), passive, FieldTable::default())
            .await;
        queue.is_ok_and(|queue| queue.consumer_count() > 0)
    }

    async fn put(&self, routing_key: &str, body: &[u8]) {
        self.channel
            .basic_publish(
                topology::EVENTS.into(),
                routing_key.into(),
                BasicPublishOptions::default(),
                body,
                BasicProperties::default(),
            )
            .await
            .unwrap();
    }
}

/// A consumer in the background.
struct Consuming {
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Consuming {
    fn start(bus: &Bus, reader: &Arc<Reader>) -> Self {
        let (bus, reader, shutdown) = (bus.clone(), Arc::clone(reader), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let stop = shutdown.clone();
        tasks.spawn(async move { bus.subscribe(SUBSCRIPTION, reader, stop).await });
        Self { tasks, shutdown }
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(done) = self.tasks.join_next().await {
            done.unwrap();
        }
    }
}

#[tokio::test]
async fn an_event_is_published_with_what_a_stranger_needs_to_read_it() {
    let broker = Broker::create().await;
    let event = signed_up("mara");
    let outcomes = bus(broker.url())
        .publisher()
        .publish(std::slice::from_ref(&event))
        .await
        .unwrap();
    assert_eq!(outcomes, [Outcome::Published]);

    let message = Observer::of(&broker).await.take(topology::ARCHIVE).await.unwrap();
    let properties = &message.properties;
    assert_eq!(message.exchange.as_str(), "voltgate.events");
    assert_eq!(message.routing_key.as_str(), "voltgate.events.v1.AccountSignedUp");
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), event.id);
    assert_eq!(properties.kind().as_ref().unwrap().as_str(), event.r#type);
    assert_eq!(
        properties.content_type().as_ref().unwrap().as_str(),
        "application/protobuf"
    );
    assert_eq!(*properties.delivery_mode(), Some(2));
    let whole: Event = prost::Message::decode(message.data.as_slice()).unwrap();
    assert_eq!(whole, event);
}

#[tokio::test]
async fn an_event_of_a_known_subscription_waits_for_a_consumer_that_was_never_started() {
    let broker = Broker::create().await;
    bus(broker.url())
        .publisher()
        .publish(&[signed_up("early")])
        .await
        .unwrap();
    assert!(Observer::of(&broker).await.take(SUBSCRIPTION.queue).await.is_some());
}

#[tokio::test]
async fn an_event_that_cannot_be_routed_is_not_called_published() {
    let broker = Broker::create().await;
    let mut publisher = bus(broker.url()).publisher();
    let mut event = signed_up("mara");
    event.r#type = "voltgate.events.v1.NobodyWantsThis".to_owned();
    assert_eq!(
        publisher.publish(std::slice::from_ref(&event)).await.unwrap(),
        [Outcome::Published]
    );

    Observer::of(&broker).await.delete(topology::ARCHIVE).await;
    let outcomes = publisher.publish(std::slice::from_ref(&event)).await.unwrap();
    assert_eq!(outcomes, [Outcome::Retry("RabbitMQ returned it: NO_ROUTE".to_owned())]);

    let outcomes = publisher.publish(&[event]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Published], "the archive is declared again");
}

#[tokio::test]
async fn a_type_too_long_for_amqp_is_rejected_and_the_rest_goes_on() {
    let broker = Broker::create().await;
    let mut long = signed_up("long");
    long.r#type = "x".repeat(256);
    let outcomes = bus(broker.url())
        .publisher()
        .publish(&[long, signed_up("mara")])
        .await
        .unwrap();
    assert!(
        matches!(outcomes.as_slice(), [Outcome::Reject(_), Outcome::Published]),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_unavailable() {
    let port = testbed::free_port();
    let error = bus(&format!("amqp://guest:hunter2@127.0.0.1:{port}/%2f"))
        .publisher()
        .publish(&[signed_up("mara")])
        .await
        .unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_broker_without_the_encryption_asked_for_is_unavailable() {
    let broker = Broker::create().await;
    let url = broker.url().replace("amqp:", "amqps:");
    let published = bus(&url).publisher().publish(&[signed_up("mara")]).await;
    assert!(published.is_err(), "{published:?}");
}

#[tokio::test]
async fn an_event_whose_confirm_was_lost_is_published_again() {
    let (broker, outbox) = (Broker::create().await, Outbox::create().await);
    let proxy = Proxy::start(broker.address()).await;
    let publisher = bus(&broker.url_at(proxy.address())).publisher();
    let pace = Pace {
        publish_timeout: Duration::from_secs(2),
        outage: Backoff {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(1),
        },
        ..Pace::default()
    };
    let shutdown = CancellationToken::new();
    let relay = tokio::spawn(Relay::with_pace(outbox.pool.clone(), publisher, pace).run(shutdown.clone()));
    outbox.write("before").await;
    eventually("the relay is connected", || async {
        outbox.count("sent_at IS NOT NULL").await == 1
    })
    .await;

    proxy.hold_to_client().await;
    let event = outbox.write("twice").await;
    let observer = Observer::of(&broker).await;
    assert_eq!(next_id(&observer).await.len(), 36);
    assert_eq!(next_id(&observer).await, event.id, "the broker has it");
    assert_eq!(outbox.count("sent_at IS NULL").await, 1, "and nobody told the relay");
    proxy.resume().await;

    assert_eq!(next_id(&observer).await, event.id, "it comes again, under the same id");
    eventually("it is sent", || async { outbox.count("sent_at IS NULL").await == 0 }).await;
    assert_eq!(outbox.count("attempts > 0").await, 0, "an outage is no row's fault");
    shutdown.cancel();
    relay.await.unwrap();
}

/// The id of the next message in the archive.
async fn next_id(observer: &Observer) -> String {
    for _ in 0..600 {
        if let Some(message) = observer.take(topology::ARCHIVE).await {
            return message.properties.message_id().as_ref().unwrap().to_string();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing came");
}

#[tokio::test]
async fn events_wait_in_the_outbox_while_the_broker_is_away() {
    let (broker, outbox) = (Broker::create().await, Outbox::create().await);
    let proxy = Proxy::start(broker.address()).await;
    proxy.refuse().await;
    let bus = bus(&broker.url_at(proxy.address()));
    let reader = Arc::new(Reader::default());
    let consuming = Consuming::start(&bus, &reader);
    let shutdown = CancellationToken::new();
    let relay = tokio::spawn(Relay::new(outbox.pool.clone(), bus.publisher()).run(shutdown.clone()));
    for number in 0..20 {
        outbox.write(&number.to_string()).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(outbox.count("sent_at IS NULL AND dead_at IS NULL").await, 20);

    proxy.resume().await;
    eventually("all have arrived", || async { reader.seen().len() == 20 }).await;
    eventually("all are sent", || async { outbox.count("sent_at IS NULL").await == 0 }).await;
    shutdown.cancel();
    relay.await.unwrap();
    consuming.stop().await;
}

#[tokio::test]
async fn an_event_that_was_not_acknowledged_comes_again() {
    let broker = Broker::create().await;
    let proxy = Proxy::start(broker.address()).await;
    let reader = Arc::new(Reader::default());
    let consuming = Consuming::start(&bus(&broker.url_at(proxy.address())), &reader);
    let mut publisher = bus(broker.url()).publisher();
    Observer::of(&broker).await.wait_for_consumer().await;

    proxy.hold_to_server().await;
    publisher.publish(&[signed_up("unacknowledged")]).await.unwrap();
    let times = || reader.seen().iter().filter(|name| *name == "unacknowledged").count();
    eventually("it is handled", || async { times() == 1 }).await;
    proxy.resume().await;
    proxy.cut().await;
    eventually("it is handled again", || async { times() == 2 }).await;
    consuming.stop().await;
}

#[tokio::test]
async fn a_handler_that_cannot_now_is_asked_again_and_the_broker_hears_nothing_of_it() {
    let broker = Broker::create().await;
    let later = || Err(HandlerError::Retry("the database is away".to_owned()));
    let reader = Reader::answering([later(), later()]);
    let consuming = Consuming::start(&bus(broker.url()), &reader);
    publish_until_seen(&broker, &reader, "mara", 3).await;
    assert_eq!(reader.seen(), ["mara", "mara", "mara"]);
    consuming.stop().await;
    assert!(Observer::of(&broker).await.take(SUBSCRIPTION.queue).await.is_none());
}

#[tokio::test]
async fn what_is_rejected_or_unreadable_goes_to_the_dead_letters_and_the_next_one_goes_on() {
    let broker = Broker::create().await;
    let reader = Reader::answering([Err(HandlerError::Reject("nonsense".to_owned()))]);
    let consuming = Consuming::start(&bus(broker.url()), &reader);
    publish_until_seen(&broker, &reader, "rejected", 1).await;
    let observer = Observer::of(&broker).await;
    observer.put(SUBSCRIPTION.types[0], b"\xff not an event").await;
    publish_until_seen(&broker, &reader, "good", 2).await;

    let dead = topology::dead_letter_queue(SUBSCRIPTION.queue);
    let mut bodies = Vec::new();
    for _ in 0..600 {
        match observer.take(&dead).await {
            Some(message) => bodies.push(message.data),
            None if bodies.len() == 2 => break,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    assert_eq!(bodies.len(), 2);
    assert!(bodies.iter().any(|body| body == b"\xff not an event"));
    assert_eq!(reader.seen(), ["rejected", "good"]);
    consuming.stop().await;
}

/// Publishes one event and waits until the reader has been asked `times`.
async fn publish_until_seen(broker: &Broker, reader: &Arc<Reader>, username: &str, times: usize) {
    bus(broker.url())
        .publisher()
        .publish(&[signed_up(username)])
        .await
        .unwrap();
    eventually("it is handled", || async { reader.seen().len() >= times }).await;
}

const RESETS: &str = "email-service.events.PasswordResetRequested";
const VERIFICATIONS: &str = "email-service.events.EmailVerificationRequested";

#[tokio::test]
async fn what_expires_waits_for_its_consumer_and_is_archived_nowhere() {
    let broker = Broker::create().await;
    let event = reset("mara", TimeDelta::minutes(10));
    let outcomes = bus(broker.url())
        .publisher()
        .publish(std::slice::from_ref(&event))
        .await;
    assert_eq!(outcomes, Ok(vec![Outcome::Published]));
    let observer = Observer::of(&broker).await;
    eventually("it waits", || async { observer.waiting_anywhere().await == 1 }).await;
    let message = observer.take(RESETS).await.unwrap();
    let left: u32 = message
        .properties
        .expiration()
        .as_ref()
        .unwrap()
        .as_str()
        .parse()
        .unwrap();
    assert!((500_000..=600_000).contains(&left), "{left}");
    let whole: Event = prost::Message::decode(message.data.as_slice()).unwrap();
    assert_eq!(whole, event);
    eventually("nothing is left", || async { observer.waiting_anywhere().await == 0 }).await;
}

#[tokio::test]
async fn what_has_expired_is_gone_from_every_queue_whatever_waits_beside_it() {
    let broker = Broker::create().await;
    let mut publisher = bus(broker.url()).publisher();
    let events = [
        verification("patient", TimeDelta::hours(1)),
        reset("soon", TimeDelta::seconds(3)),
        reset("soon too", TimeDelta::seconds(3)),
        reset("too late", TimeDelta::seconds(-1)),
    ];
    assert_eq!(publisher.publish(&events).await, Ok(vec![Outcome::Published; 4]));
    let observer = Observer::of(&broker).await;
    eventually("one is left", || async { observer.waiting_anywhere().await == 1 }).await;
    assert!(observer.take(VERIFICATIONS).await.is_some());
}

#[tokio::test]
async fn what_expires_reaches_its_reader_and_none_that_is_rejected_becomes_a_dead_letter() {
    let broker = Broker::create().await;
    let reader = Reader::answering([Err(HandlerError::Reject("nonsense".to_owned()))]);
    let bus = bus(broker.url());
    let consuming = Consuming::start(&bus, &reader);
    let mut publisher = bus.publisher();
    publisher
        .publish(&[reset("rejected", TimeDelta::minutes(10))])
        .await
        .unwrap();
    eventually("it is rejected", || async { reader.seen() == ["rejected"] }).await;
    publisher
        .publish(&[verification("good", TimeDelta::minutes(10))])
        .await
        .unwrap();
    eventually("the next one is handled", || async {
        reader.seen() == ["rejected", "good"]
    })
    .await;
    consuming.stop().await;
    let observer = Observer::of(&broker).await;
    eventually("nothing is left", || async { observer.waiting_anywhere().await == 0 }).await;
}

#[tokio::test]
async fn what_expires_while_its_reader_cannot_take_it_is_dropped() {
    let broker = Broker::create().await;
    let later = std::iter::repeat_with(|| Err(HandlerError::Retry("the database is away".to_owned())));
    let reader = Reader::answering(later.take(1000));
    let bus = bus(broker.url());
    let consuming = Consuming::start(&bus, &reader);
    let observer = Observer::of(&broker).await;
    observer.wait_for_consumer().await;
    bus.publisher()
        .publish(&[reset("mara", TimeDelta::seconds(2))])
        .await
        .unwrap();
    eventually("it is asked for more than once", || async { reader.seen().len() > 1 }).await;
    let asked = || async {
        let before = reader.seen().len();
        tokio::time::sleep(Duration::from_secs(5)).await;
        reader.seen().len() - before
    };
    eventually("it is asked for no more", || async { asked().await == 0 }).await;
    // Stopping gives back what is still held.
    consuming.stop().await;
    eventually("nothing is left", || async { observer.waiting_anywhere().await == 0 }).await;
}

#[tokio::test]
async fn a_code_goes_through_outbox_and_broker_and_stays_in_neither() {
    let (broker, outbox) = (Broker::create().await, Outbox::create().await);
    let reader = Arc::new(Reader::default());
    let bus = bus(broker.url());
    let shutdown = CancellationToken::new();
    let relay = tokio::spawn(Relay::new(outbox.pool.clone(), bus.publisher()).run(shutdown.clone()));
    let consuming = Consuming::start(&bus, &reader);
    outbox.write_event(&reset("mara", TimeDelta::minutes(10))).await;
    eventually("it is read", || async { reader.seen() == ["mara"] }).await;
    eventually("it is sent", || async {
        outbox.count("sent_at IS NOT NULL").await == 1
    })
    .await;
    assert_eq!(outbox.count("data <> ''").await, 0);
    shutdown.cancel();
    relay.await.unwrap();
    consuming.stop().await;
    let observer = Observer::of(&broker).await;
    eventually("nothing is left", || async { observer.waiting_anywhere().await == 0 }).await;
}
