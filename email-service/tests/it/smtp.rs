//! Mail by SMTP: what the server says, and what it leaves open.

use chrono::TimeDelta;
use email_service::Settings;
use service_kit::bus::Bus;
use testbed::Proxy;

use crate::rig::{Rig, eventually, local};
use crate::smtp_server::{self, SmtpServer};

/// A process with mail going to the server at `url`.
pub async fn start(url: String) -> (Rig, Bus) {
    let mut rig = Rig::new().await;
    let bus = local();
    let settings = Settings {
        smtp_url: Some(url),
        ..rig.settings()
    };
    rig.start_email_with(&bus, settings).await;
    rig.start_relay(&bus);
    (rig, bus)
}

/// Waits until a message is put off or given up, then puts the clock forward so that it is due.
pub async fn until_postponed(rig: &Rig) {
    eventually("the message waits", || async {
        rig.number("SELECT count(*) FROM email.message WHERE status = 'queued' AND attempts > 0")
            .await
            == 1
    })
    .await;
    rig.clock.forward(TimeDelta::minutes(1));
}

#[tokio::test]
async fn a_mail_arrives_as_text_and_html_and_the_next_one_reuses_the_session() {
    let server = SmtpServer::start().await;
    let (rig, _bus) = start(server.url()).await;
    rig.sign_up("mara").await;
    rig.sent(1).await;
    rig.sign_up("jonas").await;
    rig.sent(2).await;

    let taken = server.taken();
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0]["to"], serde_json::json!(["mara@example.org"]));
    assert_eq!(taken[0]["subject"], "Welcome to Voltgate");
    assert!(
        taken[0]["parts"]["text/plain"]
            .as_str()
            .unwrap()
            .starts_with("Hello mara,")
    );
    assert!(
        taken[0]["parts"]["text/html"]
            .as_str()
            .unwrap()
            .contains("<bdi>mara</bdi>")
    );
    assert_eq!(taken[0]["session"], taken[1]["session"]);
    assert!(rig.mails().is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_later() {
    let server = SmtpServer::start().await;
    let (rig, _bus) = start(server.url()).await;
    rig.sign_up("busy").await;
    until_postponed(&rig).await;
    let message = rig.message().await;
    assert_eq!(
        message.last_error.as_deref(),
        Some("RCPT was answered with 451: 4.7.1 come again later")
    );
    assert!(!message.possibly_duplicate);
    rig.sent(1).await;
    let message = rig.message().await;
    assert_eq!((message.attempts, message.last_error), (2, None));
    assert_eq!(server.taken().len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn a_recipient_refused_for_good_is_not_tried_again() {
    let server = SmtpServer::start().await;
    let (rig, _bus) = start(server.url()).await;
    rig.sign_up("nobody").await;
    rig.sign_up("mara").await;
    eventually("one is sent and one has failed", || async {
        rig.number("SELECT count(*) FROM email.message WHERE status IN ('sent', 'failed')")
            .await
            == 2
    })
    .await;
    let failed: (i32, String) =
        sqlx::query_as("SELECT attempts, last_error FROM email.message WHERE status = 'failed'")
            .fetch_one(&rig.database)
            .await
            .unwrap();
    let expected = "RCPT was answered with 550: 5.1.1 <nobody@example.org> is unknown here".to_owned();
    assert_eq!(failed, (1, expected));
    rig.stop().await;
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_is_sent_again_under_the_same_id_and_marked() {
    let server = SmtpServer::start().await;
    let (rig, _bus) = start(server.url()).await;
    rig.sign_up("dropped").await;
    until_postponed(&rig).await;
    rig.sent(1).await;
    let taken = server.taken();
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0]["message_id"], taken[1]["message_id"]);
    assert!(rig.message().await.possibly_duplicate);
    rig.stop().await;
}

#[tokio::test]
async fn a_message_left_behind_by_a_crash_is_sent_again_under_the_same_id_and_marked() {
    let server = SmtpServer::start().await;
    let (rig, _bus) = start(server.url()).await;
    rig.sign_up("mara").await;
    rig.sent(1).await;
    rig.abandon_message().await;
    rig.sent(1).await;
    let taken = server.taken();
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0]["message_id"], taken[1]["message_id"]);
    assert!(rig.message().await.possibly_duplicate);
    rig.stop().await;
}

#[tokio::test]
async fn a_mail_keeps_its_id_though_the_sender_is_another_by_the_next_attempt() {
    let server = SmtpServer::start().await;
    let (mut rig, _bus) = start(server.url()).await;
    rig.sign_up("mara").await;
    rig.sent(1).await;
    rig.halt().await;
    rig.abandon_message().await;
    let bus = local();
    let settings = Settings {
        smtp_url: Some(server.url()),
        email_from: "Charging <post@charging.example>".to_owned(),
        ..rig.settings()
    };
    rig.start_email_with(&bus, settings).await;
    rig.start_relay(&bus);
    rig.sent(1).await;
    rig.sign_up("jonas").await;
    rig.sent(2).await;

    let taken = server.taken();
    assert_eq!(taken.len(), 3);
    assert_eq!(taken[0]["from"], "Voltgate <mail@voltgate.example>");
    assert_eq!(taken[1]["from"], "Charging <post@charging.example>");
    assert_eq!(taken[0]["message_id"], taken[1]["message_id"]);
    let domain = |mail: &serde_json::Value| {
        let message_id = mail["message_id"].as_str().unwrap().to_owned();
        message_id.split_once('@').unwrap().1.to_owned()
    };
    assert_eq!(domain(&taken[1]), "voltgate.example>");
    assert_eq!(domain(&taken[2]), "charging.example>");
    rig.stop().await;
}

#[tokio::test]
async fn a_message_that_was_there_before_its_id_was_kept_gets_one_when_it_is_tried() {
    let server = SmtpServer::start().await;
    let (mut rig, _bus) = start(server.url()).await;
    rig.sign_up("mara").await;
    rig.sent(1).await;
    rig.halt().await;
    // As the table looks right after an upgrade from a version that made it anew each time.
    rig.abandon_message().await;
    sqlx::query("UPDATE email.message SET mail_id = NULL")
        .execute(&rig.database)
        .await
        .unwrap();
    let settings = Settings {
        smtp_url: Some(server.url()),
        ..rig.settings()
    };
    rig.start_email_with(&local(), settings).await;
    rig.sent(1).await;
    let taken = server.taken();
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0]["message_id"], taken[1]["message_id"]);
    let kept = rig
        .number("SELECT count(*) FROM email.message WHERE mail_id = '<' || id::text || '@voltgate.example>'")
        .await;
    assert_eq!(kept, 1);
    rig.stop().await;
}

#[tokio::test]
async fn mail_waits_for_a_server_that_is_away() {
    let server = SmtpServer::start().await;
    let proxy = Proxy::start(server.address()).await;
    proxy.refuse().await;
    let (rig, _bus) = start(smtp_server::url(proxy.address())).await;
    rig.sign_up("mara").await;
    until_postponed(&rig).await;
    proxy.resume().await;
    rig.sent(1).await;
    assert!(
        !rig.message().await.possibly_duplicate,
        "nothing was handed over before"
    );
    assert_eq!(server.taken().len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn a_mail_is_given_up_after_a_day() {
    let server = SmtpServer::start().await;
    let proxy = Proxy::start(server.address()).await;
    proxy.refuse().await;
    let (rig, _bus) = start(smtp_server::url(proxy.address())).await;
    rig.sign_up("mara").await;
    until_postponed(&rig).await;
    rig.clock.forward(TimeDelta::hours(25));
    eventually("it has failed", || async {
        rig.number("SELECT count(*) FROM email.message WHERE status = 'failed'")
            .await
            == 1
    })
    .await;
    assert!(
        rig.message()
            .await
            .last_error
            .unwrap()
            .starts_with("no session with the mail server: ")
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_our_trouble_and_not_the_recipients() {
    let server = SmtpServer::start().await;
    let (rig, _bus) = start(server.url().replace("sesame", "barley")).await;
    rig.sign_up("mara").await;
    until_postponed(&rig).await;
    let error = rig.message().await.last_error.unwrap();
    assert!(error.starts_with("no session with the mail server: "), "{error}");
    assert!(!error.contains("barley"), "{error}");
    rig.stop().await;
}

#[tokio::test]
async fn a_server_without_the_encryption_asked_for_gets_no_mail() {
    let server = SmtpServer::start().await;
    for url in [
        server.url().replace("smtp:", "smtps:"),
        format!("{}?tls=required", server.url()),
    ] {
        let (rig, _bus) = start(url).await;
        rig.sign_up("mara").await;
        until_postponed(&rig).await;
        rig.stop().await;
    }
    assert!(server.taken().is_empty());
}
