//! From an event in the outbox to a mail in the folder.

use std::time::Duration;

use service_kit::bus::{Outcome, Publisher};
use service_kit::event::{self, Event};
use testbed::Broker;
use uuid::Uuid;

use crate::rig::{Rig, local, rabbitmq, signed_up};

#[tokio::test]
async fn a_signup_becomes_one_mail_through_rabbitmq() {
    let (broker, mut rig) = (Broker::create().await, Rig::new().await);
    let bus = rabbitmq(broker.url());
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    let event = rig.sign_up("mara").await;
    rig.sent(1).await;

    let mails = rig.mails();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains("\r\nTo: mara@example.org\r\n"), "{}", mails[0]);
    assert!(mails[0].contains("\r\nFrom: Voltgate <mail@voltgate.example>\r\n"));
    let (message, caused_by): (Uuid, Uuid) = sqlx::query_as("SELECT id, event_id FROM email.message")
        .fetch_one(&rig.database)
        .await
        .unwrap();
    assert!(mails[0].contains(&format!("Message-ID: <{message}@voltgate.example>\r\n")));
    assert_eq!(Ok(caused_by), event::id(&event));
    rig.stop().await;
}

#[tokio::test]
async fn a_signup_becomes_one_mail_inside_one_process() {
    let mut rig = Rig::new().await;
    let bus = local();
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    rig.sign_up("mara").await;
    rig.sent(1).await;
    assert_eq!(rig.mails().len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn an_event_delivered_three_times_is_one_mail() {
    let (broker, mut rig) = (Broker::create().await, Rig::new().await);
    for bus in [rabbitmq(broker.url()), local()] {
        rig.start_email(&bus).await;
        let event = signed_up("mara", Some("mara@example.org"));
        let mut publisher = bus.publisher();
        for _ in 0..3 {
            publish(publisher.as_mut(), &event).await;
        }
    }
    rig.sent(2).await;
    assert_eq!(rig.mails().len(), 2, "one for each bus");
    rig.stop().await;
}

#[tokio::test]
async fn replicas_share_the_work_and_send_nothing_twice() {
    const SIGNUPS: usize = 60;
    let (broker, mut rig) = (Broker::create().await, Rig::new().await);
    let bus = rabbitmq(broker.url());
    for number in 0..SIGNUPS {
        rig.sign_up(&format!("driver{number}")).await;
    }
    for _ in 0..2 {
        rig.start_email(&bus).await;
        rig.start_relay(&bus);
    }
    rig.sent(i64::try_from(SIGNUPS).unwrap()).await;
    assert_eq!(rig.mails().len(), SIGNUPS);
    assert_eq!(
        rig.number("SELECT count(*) FROM email.message WHERE attempts <> 1")
            .await,
        0
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_message_left_behind_by_a_crash_is_one_file_and_no_duplicate() {
    let mut rig = Rig::new().await;
    let bus = local();
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    rig.sign_up("mara").await;
    rig.sent(1).await;
    let before = rig.mails();
    // As the table looks after a crash between writing the file and noting so.
    rig.abandon_message().await;
    rig.sent(1).await;
    assert_eq!(rig.mails(), before);
    let message = rig.message().await;
    assert_eq!(message.attempts, 2);
    assert!(!message.possibly_duplicate);
    rig.stop().await;
}

/// Publishes an event, however long it takes the bus to be there.
pub async fn publish(publisher: &mut dyn Publisher, event: &Event) {
    for _ in 0..600 {
        if publisher.publish(std::slice::from_ref(event)).await == Ok(vec![Outcome::Published]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the bus never took the event");
}
