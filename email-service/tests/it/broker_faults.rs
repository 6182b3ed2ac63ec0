//! The network between the services and RabbitMQ fails at the worst moments; one mail arrives.

use std::time::Duration;

use testbed::{Broker, Proxy};

use crate::rig::{Rig, eventually, rabbitmq};

#[tokio::test]
async fn a_broker_that_is_unreachable_at_start_is_caught_up_with() {
    let (broker, mut rig) = (Broker::create().await, Rig::new().await);
    let proxy = Proxy::start(broker.address()).await;
    proxy.refuse().await;
    let bus = rabbitmq(&broker.url_at(proxy.address()));
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    rig.sign_up("mara").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.number("SELECT count(*) FROM email.inbox").await, 0);

    proxy.resume().await;
    rig.sent(1).await;
    assert_eq!(rig.mails().len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn an_event_published_before_email_service_ever_ran_becomes_a_mail() {
    let (broker, mut rig) = (Broker::create().await, Rig::new().await);
    let bus = rabbitmq(broker.url());
    rig.start_relay(&bus);
    rig.sign_up("mara").await;
    eventually("it is published", || async {
        rig.number("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL")
            .await
            == 1
    })
    .await;
    rig.start_email(&bus).await;
    rig.sent(1).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_connection_lost_between_publish_and_confirm_costs_and_doubles_nothing() {
    let (broker, mut rig) = (Broker::create().await, Rig::new().await);
    let proxy = Proxy::start(broker.address()).await;
    rig.start_email(&rabbitmq(broker.url())).await;
    rig.start_relay(&rabbitmq(&broker.url_at(proxy.address())));
    rig.sign_up("first").await;
    rig.sent(1).await;

    proxy.hold_to_client().await;
    rig.sign_up("second").await;
    rig.sent(2).await;
    let open = "SELECT count(*) FROM outbox WHERE sent_at IS NULL";
    assert_eq!(rig.number(open).await, 1, "the relay never heard of it");
    proxy.resume().await;
    eventually("it is published once more", || async { rig.number(open).await == 0 }).await;
    rig.sent(2).await;
    assert_eq!(rig.mails().len(), 2);
    rig.stop().await;
}

#[tokio::test]
async fn a_connection_lost_between_delivery_and_acknowledgement_costs_and_doubles_nothing() {
    let (broker, mut rig) = (Broker::create().await, Rig::new().await);
    let proxy = Proxy::start(broker.address()).await;
    rig.start_email(&rabbitmq(&broker.url_at(proxy.address()))).await;
    rig.start_relay(&rabbitmq(broker.url()));
    rig.sign_up("first").await;
    rig.sent(1).await;

    proxy.hold_to_server().await;
    rig.sign_up("second").await;
    rig.sent(2).await;
    proxy.resume().await;
    proxy.cut().await;
    rig.sign_up("third").await;
    rig.sent(3).await;
    assert_eq!(rig.mails().len(), 3);
    rig.stop().await;
}
