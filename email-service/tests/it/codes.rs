//! Mail with a code in it: the code gets there, in time or not at all, and is nowhere else afterwards.

use chrono::TimeDelta;
use email_service::Settings;
use service_kit::bus::Bus;
use testbed::{Broker, Proxy};

use crate::delivery::publish;
use crate::rig::{CODE, Rig, eventually, forgot, local, rabbitmq};
use crate::smtp_server::{self, SmtpServer};

async fn expect_one(rig: &Rig, status: &str) {
    eventually("the message has come to its end", || async {
        rig.messages(status).await == 1
    })
    .await;
    assert_eq!(rig.number("SELECT count(*) FROM email.message").await, 1);
}

fn ten_minutes() -> TimeDelta {
    TimeDelta::minutes(10)
}

#[tokio::test]
async fn a_code_arrives_and_is_in_no_table_afterwards() {
    let broker = Broker::create().await;
    for bus in [rabbitmq(broker.url()), local()] {
        let mut rig = Rig::new().await;
        rig.write(&forgot("mara", ten_minutes())).await;
        assert_eq!(rig.tables_with(CODE).await, ["authentication.outbox"]);
        rig.start_email(&bus).await;
        rig.start_relay(&bus);
        rig.sent(1).await;
        eventually("the outbox knows", || async {
            rig.number("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL")
                .await
                == 1
        })
        .await;
        let mails = rig.mails();
        assert_eq!(mails.len(), 1);
        assert!(mails[0].contains("\r\nTo: mara@example.org\r\n"), "{}", mails[0]);
        assert!(mails[0].contains("\r\nSubject: Set a new password\r\n"), "{}", mails[0]);
        assert!(mails[0].contains(&format!("\r\n    {CODE}\r\n")), "{}", mails[0]);
        assert!(rig.tables_with(CODE).await.is_empty());
        rig.stop().await;
    }
}

#[tokio::test]
async fn an_event_that_comes_too_late_is_recorded_and_dropped() {
    let mut rig = Rig::new().await;
    let bus = local();
    rig.start_email(&bus).await;
    let event = forgot("mara", ten_minutes());
    rig.clock.forward(ten_minutes());
    let mut publisher = bus.publisher();
    for _ in 0..2 {
        publish(publisher.as_mut(), &event).await;
    }
    let recorded = "SELECT count(*) FROM email.inbox WHERE outcome = 'expired' AND unread IS NULL";
    assert_eq!(rig.number(recorded).await, 1);
    assert_eq!(rig.number("SELECT count(*) FROM email.message").await, 0);
    assert!(rig.tables_with(CODE).await.is_empty());
    rig.stop().await;
}

/// A process whose mail server cannot be reached, and a message that waits for it.
async fn waiting_for_a_server() -> (Rig, Bus, SmtpServer, Proxy) {
    let server = SmtpServer::start().await;
    let proxy = Proxy::start(server.address()).await;
    proxy.refuse().await;
    let (rig, bus) = start(smtp_server::url(proxy.address())).await;
    rig.write(&forgot("mara", ten_minutes())).await;
    eventually("the message waits", || async {
        rig.number("SELECT count(*) FROM email.message WHERE status = 'queued' AND attempts > 0")
            .await
            == 1
    })
    .await;
    assert_eq!(rig.tables_with(CODE).await, ["email.message"]);
    (rig, bus, server, proxy)
}

async fn start(smtp_url: String) -> (Rig, Bus) {
    let mut rig = Rig::new().await;
    let bus = local();
    let settings = Settings {
        smtp_url: Some(smtp_url),
        ..rig.settings()
    };
    rig.start_email_with(&bus, settings).await;
    rig.start_relay(&bus);
    (rig, bus)
}

#[tokio::test]
async fn a_mail_that_waits_for_its_server_goes_out_while_its_code_lives() {
    let (rig, _bus, server, proxy) = waiting_for_a_server().await;
    rig.clock.forward(TimeDelta::minutes(9));
    proxy.resume().await;
    expect_one(&rig, "sent").await;
    assert_eq!(server.taken().len(), 1);
    assert!(rig.tables_with(CODE).await.is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn a_mail_whose_code_expired_while_it_waited_does_not_go_out() {
    let (rig, _bus, server, proxy) = waiting_for_a_server().await;
    rig.clock.forward(ten_minutes());
    expect_one(&rig, "expired").await;
    let why = rig.message().await.last_error.unwrap();
    assert!(why.starts_with("no session with the mail server: "), "{why}");
    assert!(rig.tables_with(CODE).await.is_empty());

    proxy.resume().await;
    rig.sign_up("jonas").await;
    eventually("the next mail is out", || async { rig.messages("sent").await == 1 }).await;
    let taken = server.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0]["to"], serde_json::json!(["jonas@example.org"]));
    rig.stop().await;
}

#[tokio::test]
async fn a_mail_that_was_refused_keeps_no_code() {
    let server = SmtpServer::start().await;
    let (rig, _bus) = start(server.url()).await;
    rig.write(&forgot("nobody", ten_minutes())).await;
    expect_one(&rig, "failed").await;
    assert!(rig.tables_with(CODE).await.is_empty());
    rig.stop().await;
}

/// Leaves the message as a sender has it that is handing it over, and whose lease ends in so many seconds.
async fn in_the_hands_of_a_sender(rig: &Rig, seconds: f64) {
    sqlx::query(
        "UPDATE email.message
         SET status = 'sending', handing_over = true, claim = gen_random_uuid(), lease_until = now() + make_interval(secs => $1)",
    )
    .bind(seconds)
    .execute(&rig.database)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_mail_whose_sender_died_is_sent_again_while_its_code_lives() {
    let (rig, _bus, server, proxy) = waiting_for_a_server().await;
    in_the_hands_of_a_sender(&rig, -1.0).await;
    proxy.resume().await;
    expect_one(&rig, "sent").await;
    assert!(rig.message().await.possibly_duplicate);
    assert_eq!(server.taken().len(), 1);
    assert!(rig.tables_with(CODE).await.is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn a_mail_whose_code_expired_is_left_to_its_sender_and_not_sent_again_when_that_one_dies() {
    let (rig, _bus, server, proxy) = waiting_for_a_server().await;
    in_the_hands_of_a_sender(&rig, 3600.0).await;
    rig.clock.forward(ten_minutes());
    // A round of the sender, seen by what it does with another message.
    proxy.resume().await;
    rig.sign_up("jonas").await;
    eventually("the other mail is out", || async { rig.messages("sent").await == 1 }).await;
    assert_eq!(rig.messages("sending").await, 1);

    sqlx::query("UPDATE email.message SET lease_until = now() WHERE status = 'sending'")
        .execute(&rig.database)
        .await
        .unwrap();
    eventually("it has expired", || async { rig.messages("expired").await == 1 }).await;
    assert_eq!(server.taken().len(), 1);
    assert!(rig.tables_with(CODE).await.is_empty());
    rig.stop().await;
}
