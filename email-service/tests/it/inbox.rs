//! What events lead to, the odd ones above all.

use chrono::TimeDelta;
use lapin::options::{BasicGetOptions, BasicPublishOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use service_kit::bus::rabbitmq::topology;
use testbed::Broker;

use crate::delivery::publish;
use crate::rig::{CODE, Rig, eventually, forgot, local, rabbitmq, signed_up};

#[tokio::test]
async fn an_account_without_an_address_gets_no_mail_and_the_inbox_says_so() {
    let mut rig = Rig::new().await;
    let bus = local();
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    rig.write(&signed_up("mara", None)).await;
    eventually("the event is in the inbox", || async {
        rig.number("SELECT count(*) FROM email.inbox WHERE outcome = 'no_recipient'")
            .await
            == 1
    })
    .await;
    assert_eq!(rig.number("SELECT count(*) FROM email.message").await, 0);
    rig.stop().await;
}

#[tokio::test]
async fn an_event_of_an_unknown_type_is_kept_and_acknowledged() {
    let (broker, mut rig) = (Broker::create().await, Rig::new().await);
    let bus = rabbitmq(broker.url());
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    rig.sign_up("mara").await;
    rig.sent(1).await;
    let mut event = signed_up("rocket", None);
    event.r#type = "voltgate.events.v1.RocketLaunched".to_owned();
    let queue = topology::EMAIL_SERVICE.queue;
    // A binding from a later version, left behind when that was rolled back.
    let connection = connect(&broker).await;
    let channel = connection.create_channel().await.unwrap();
    channel
        .queue_bind(
            queue.into(),
            topology::EVENTS.into(),
            "#".into(),
            Default::default(),
            Default::default(),
        )
        .await
        .unwrap();
    rig.write(&event).await;
    eventually("the event is in the inbox with its data", || async {
        rig.number("SELECT count(*) FROM email.inbox WHERE outcome = 'unknown_type' AND unread IS NOT NULL")
            .await
            == 1
    })
    .await;
    rig.stop().await;
    let left = channel
        .basic_get(queue.into(), BasicGetOptions { no_ack: true })
        .await
        .unwrap();
    assert!(left.is_none(), "it was acknowledged");
}

#[tokio::test]
async fn an_event_of_an_unknown_type_that_expires_is_recorded_without_its_data() {
    let (broker, mut rig) = (Broker::create().await, Rig::new().await);
    let bus = rabbitmq(broker.url());
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    rig.sign_up("mara").await;
    rig.sent(1).await;
    let queue = topology::expiring_queue(topology::EMAIL_SERVICE.queue, topology::EMAIL_SERVICE.expiring[0]);
    let connection = connect(&broker).await;
    let channel = connection.create_channel().await.unwrap();
    channel
        .queue_bind(
            queue.as_str().into(),
            topology::EXPIRING.into(),
            "#".into(),
            Default::default(),
            Default::default(),
        )
        .await
        .unwrap();
    let mut event = forgot("mara", TimeDelta::minutes(10));
    event.r#type = "voltgate.events.v1.RocketLaunched".to_owned();
    rig.write(&event).await;
    eventually("the event is in the inbox, and the outbox knows", || async {
        rig.number("SELECT count(*) FROM email.inbox WHERE outcome = 'unknown_type' AND unread IS NULL")
            .await
            == 1
            && rig.number("SELECT count(*) FROM outbox WHERE sent_at IS NULL").await == 0
    })
    .await;
    assert!(rig.tables_with(CODE).await.is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_goes_to_the_dead_letters_and_does_not_block_the_next() {
    let (broker, mut rig) = (Broker::create().await, Rig::new().await);
    let bus = rabbitmq(broker.url());
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    rig.sign_up("before").await;
    rig.sent(1).await;

    let connection = connect(&broker).await;
    let channel = connection.create_channel().await.unwrap();
    let key = topology::EMAIL_SERVICE.types[0];
    channel
        .basic_publish(
            topology::EVENTS.into(),
            key.into(),
            BasicPublishOptions::default(),
            b"\xff\xff",
            BasicProperties::default(),
        )
        .await
        .unwrap();
    // PostgreSQL takes no NUL in a text, today or ever.
    rig.write(&signed_up("nul\0", Some("nul@example.org"))).await;
    let mut broken = signed_up("broken", None);
    broken.data = prost::bytes::Bytes::from_static(b"\xff");
    rig.write(&broken).await;
    rig.sign_up("after").await;
    rig.sent(2).await;

    eventually("all three are among the dead letters", || async {
        rig.number("SELECT count(*) FROM email.dead_letter").await == 3
    })
    .await;
    let reasons: Vec<String> = sqlx::query_scalar("SELECT reason FROM email.dead_letter ORDER BY reason")
        .fetch_all(&rig.database)
        .await
        .unwrap();
    assert_eq!(reasons[0], "it is not an event");
    assert!(reasons[1].starts_with("the database does not take it: "), "{reasons:?}");
    assert_eq!(
        reasons[2],
        "the event cannot be read: its data is not a valid voltgate.events.v1.AccountSignedUp"
    );
    let dead = topology::dead_letter_queue(topology::EMAIL_SERVICE.queue);
    rig.stop().await;
    let left = channel.basic_get(dead.as_str().into(), BasicGetOptions { no_ack: true });
    assert!(left.await.unwrap().is_none(), "the queue has given them away");
}

#[tokio::test]
async fn inside_one_process_what_cannot_be_read_is_among_the_dead_letters_too_and_once() {
    let mut rig = Rig::new().await;
    let bus = local();
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    let event = signed_up("nul\0", Some("nul@example.org"));
    rig.write(&event).await;
    rig.sign_up("after").await;
    rig.sent(1).await;
    publish(bus.publisher().as_mut(), &event).await;
    assert_eq!(rig.number("SELECT count(*) FROM email.dead_letter").await, 1);
    assert_eq!(rig.number("SELECT count(*) FROM outbox WHERE sent_at IS NULL").await, 0);
    rig.stop().await;
}

/// As one leaves it that was upgraded after whoever publishes it.
#[tokio::test]
async fn an_event_that_came_before_its_time_is_acted_on_by_the_version_that_knows_it() {
    let mut rig = Rig::new().await;
    let bus = local();
    rig.start_email(&bus).await;
    let mut unread = Vec::new();
    for (name, kind) in [
        ("mara", "AccountSignedUp"),
        ("jonas", "RocketLaunched"),
        ("broken", "AccountSignedUp"),
    ] {
        let mut event = signed_up(name, Some(&format!("{name}@example.org")));
        event.r#type = format!("voltgate.events.v1.{kind}");
        event.language = Some("de".to_owned());
        if name == "broken" {
            event.data = prost::bytes::Bytes::from_static(b"\xff");
        }
        unread.push(event);
    }
    for event in &unread {
        sqlx::query(
            "INSERT INTO email.inbox (event_id, type, source, time, received_at, outcome, unread, language)
             VALUES ($1::uuid, $2, 'auth-service', now(), now(), 'unknown_type', $3, $4)",
        )
        .bind(&event.id)
        .bind(&event.r#type)
        .bind(event.data.as_ref())
        .bind(&event.language)
        .execute(&rig.database)
        .await
        .unwrap();
    }
    // One that is just started looks at once.
    rig.start_email(&bus).await;
    rig.sent(1).await;
    assert!(rig.mails()[0].contains("Subject: Willkommen"));
    let left: Vec<(String, String)> = sqlx::query_as("SELECT type, outcome FROM email.inbox ORDER BY outcome")
        .fetch_all(&rig.database)
        .await
        .unwrap();
    let expected = [("AccountSignedUp", "queued"), ("RocketLaunched", "unknown_type")];
    assert_eq!(
        left,
        expected.map(|(kind, outcome)| (format!("voltgate.events.v1.{kind}"), outcome.to_owned()))
    );
    assert_eq!(rig.number("SELECT count(*) FROM email.dead_letter").await, 1);
    rig.stop().await;
}

async fn connect(broker: &Broker) -> Connection {
    Connection::connect(broker.url(), ConnectionProperties::default())
        .await
        .unwrap()
}
