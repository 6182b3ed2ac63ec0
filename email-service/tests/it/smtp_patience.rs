//! Mail servers that are slow, vanish in the middle, or are started again: nobody else waits, nothing is lost, and what may be a copy says so.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use email_service::Settings;
use serde_json::Value;
use testbed::{Broker, Proxy};
use tokio::time::sleep;

use crate::rig::{Rig, eventually, forgot, rabbitmq};
use crate::smtp::{start, until_postponed};
use crate::smtp_server::{self, SmtpServer};

fn position(taken: &[Value], recipient: &str) -> Option<usize> {
    taken.iter().position(|mail| mail["to"][0] == recipient)
}

#[tokio::test]
async fn a_slow_server_keeps_neither_the_queue_nor_another_mail_waiting() {
    let (broker, server, mut rig) = (Broker::create().await, SmtpServer::start().await, Rig::new().await);
    let bus = rabbitmq(broker.url());
    let settings = Settings {
        smtp_url: Some(server.url()),
        ..rig.settings()
    };
    rig.start_email_with(&bus, settings).await;
    rig.start_relay(&bus);
    for number in 0..6 {
        rig.sign_up(&format!("slow{number}")).await;
    }
    rig.sign_up("mara").await;
    eventually("all are taken from the queue", || async {
        rig.number("SELECT count(*) FROM email.inbox").await == 7
    })
    .await;
    assert!(server.taken().len() <= 1, "none of the slow ones is out by then");
    eventually("the quick one is sent", || async {
        position(&server.taken(), "mara@example.org").is_some()
    })
    .await;
    rig.sent(7).await;
    assert_eq!(position(&server.taken(), "mara@example.org"), Some(0), "it went first");
    assert_eq!(server.taken().len(), 7, "each once");
    assert_eq!(rig.number("SELECT count(*) FROM email.attempt").await, 7);
    rig.stop().await;
}

#[tokio::test]
async fn a_code_goes_before_all_that_waits_without_one() {
    let server = SmtpServer::start().await;
    let (rig, _bus) = start(server.url()).await;
    for number in 0..24 {
        rig.sign_up(&format!("slow{number}")).await;
    }
    rig.write(&forgot("mara", TimeDelta::minutes(10))).await;
    rig.sent(25).await;
    let before = position(&server.taken(), "mara@example.org").unwrap();
    assert!(before <= 16, "{before} went before it");
    rig.stop().await;
}

#[tokio::test]
async fn a_sender_whose_lease_ran_out_leaves_the_mail_to_whoever_has_it_by_then() {
    let server = SmtpServer::start().await;
    let (rig, _bus) = start(server.url()).await;
    rig.sign_up("slow").await;
    eventually("it is under way", || async { rig.messages("sending").await == 1 }).await;
    sqlx::query("UPDATE email.message SET claim = gen_random_uuid(), lease_until = now() + interval '1 hour'")
        .execute(&rig.database)
        .await
        .unwrap();
    sleep(Duration::from_secs(4)).await;
    assert!(server.taken().is_empty());
    assert_eq!(rig.messages("sending").await, 1);
    rig.stop().await;
}

#[tokio::test]
async fn what_a_dead_sender_had_not_begun_to_hand_over_is_no_copy() {
    let server = SmtpServer::start().await;
    let proxy = Proxy::start(server.address()).await;
    proxy.refuse().await;
    let (rig, _bus) = start(smtp_server::url(proxy.address())).await;
    rig.sign_up("mara").await;
    until_postponed(&rig).await;
    proxy.resume().await;
    rig.abandon_message().await;
    rig.sent(1).await;
    assert!(!rig.message().await.possibly_duplicate);
    rig.stop().await;
}

#[tokio::test]
async fn a_mail_of_which_nobody_knows_whether_it_is_out_is_sent_three_times_and_no_more() {
    let server = SmtpServer::start().await;
    let (rig, _bus) = start(server.url()).await;
    rig.sign_up("vanished").await;
    for attempt in 1..=2 {
        eventually("the message waits", || async {
            rig.messages("queued").await == 1 && rig.message().await.attempts == attempt
        })
        .await;
        rig.clock.forward(TimeDelta::minutes(1));
    }
    eventually("it is given up", || async { rig.messages("failed").await == 1 }).await;
    assert_eq!(server.taken().len(), 3);
    assert!(rig.message().await.possibly_duplicate);
    assert_eq!(
        rig.number("SELECT count(*) FROM email.attempt WHERE outcome = 'unclear'")
            .await,
        3
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_crashes_and_starts_again_gets_each_mail_and_a_copy_is_marked_as_one() {
    const PEOPLE: i64 = 40;
    let mut server = SmtpServer::start().await;
    let port = server.address().port();
    let (rig, _bus) = start(server.url()).await;
    let mut taken = Vec::new();
    for number in 0..PEOPLE {
        rig.sign_up(&format!("driver{number}")).await;
        if number % 10 == 5 {
            taken.extend(server.kill().await);
            server = SmtpServer::start_at(port).await;
        }
    }
    eventually("all are sent", || async {
        rig.clock.forward(TimeDelta::seconds(5));
        rig.messages("sent").await == PEOPLE
    })
    .await;
    taken.extend(server.kill().await);
    let mut copies: BTreeMap<String, u32> = BTreeMap::new();
    for mail in &taken {
        *copies.entry(mail["message_id"].to_string()).or_default() += 1;
    }
    assert_eq!(i64::try_from(copies.len()).unwrap(), PEOPLE);
    let marked = rig
        .number("SELECT count(*) FROM email.message WHERE possibly_duplicate")
        .await;
    let repeated = copies.values().filter(|copies| **copies > 1).count();
    assert!(
        i64::try_from(repeated).unwrap() <= marked,
        "{repeated} copies, {marked} marked"
    );
    rig.stop().await;
}
