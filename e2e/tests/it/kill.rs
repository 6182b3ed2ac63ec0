//! kill -9 at each point where a signup is in between two safe places. Each of its mails arrives once, each time.

use e2e::processes::{Processes, somebody, welcomed_once};
use e2e::wait::until;
use testbed::Proxy;

/// All four, with a service's connection to RabbitMQ through a proxy.
async fn with_proxy_before(service: &'static str) -> (Processes, Proxy) {
    let mut processes = Processes::prepare().await;
    let proxy = Proxy::start(processes.broker.address()).await;
    let url = processes.broker.url_at(proxy.address());
    processes.set(service, "AMQP_URL", url);
    (processes, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_commit_and_publish_each_mail_arrives_once() {
    let (mut processes, proxy) = with_proxy_before("auth-service").await;
    proxy.refuse().await;
    processes.start_all().await;
    processes.api().post("/auth/signup", &somebody()).await.expect(201);
    assert_eq!(
        processes
            .count("SELECT count(*) FROM authentication.outbox WHERE sent_at IS NULL")
            .await,
        2
    );
    processes.kill("auth-service").await;

    proxy.resume().await;
    processes.start_one("auth-service").await;
    welcomed_once(&processes.settled_mails().await, "ada@example.com");
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_publish_and_confirm_each_mail_arrives_once() {
    let (mut processes, proxy) = with_proxy_before("auth-service").await;
    processes.start_all().await;
    // One event passes first, so that the connection is up and the queues are there.
    let first = serde_json::json!({ "username": "grace@example.com", "password": "correct horse battery" });
    processes.api().post("/auth/signup", &first).await.expect(201);
    welcomed_once(&processes.settled_mails().await, "grace@example.com");

    proxy.hold_to_client().await;
    processes.api().post("/auth/signup", &somebody()).await.expect(201);
    // The event got through, and its mail is sent; only the confirm is lost.
    until("a mail of the second signup is sent", async || {
        (processes
            .count("SELECT count(*) FROM email.message WHERE status = 'sent'")
            .await
            >= 3)
            .then_some(())
    })
    .await;
    assert_eq!(
        processes
            .count("SELECT count(*) FROM authentication.outbox WHERE sent_at IS NULL")
            .await,
        2
    );
    processes.kill("auth-service").await;

    proxy.resume().await;
    processes.start_one("auth-service").await;
    let mails = processes.settled_mails().await;
    welcomed_once(&mails, "ada@example.com");
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_delivery_and_acknowledgement_each_mail_arrives_once() {
    let (mut processes, proxy) = with_proxy_before("email-service").await;
    processes.start_all().await;
    let first = serde_json::json!({ "username": "grace@example.com", "password": "correct horse battery" });
    processes.api().post("/auth/signup", &first).await.expect(201);
    welcomed_once(&processes.settled_mails().await, "grace@example.com");

    proxy.hold_to_server().await;
    processes.api().post("/auth/signup", &somebody()).await.expect(201);
    // The event is in the inbox and its mail is out, but the broker does not know. Waiting for the mail keeps SMTP's own
    // ambiguity out of this test: a kill right between the hand-over and its record may send a mail twice, and says so.
    until("a mail of the second signup is sent", async || {
        (processes
            .count("SELECT count(*) FROM email.message WHERE status = 'sent'")
            .await
            >= 3)
            .then_some(())
    })
    .await;
    processes.kill("email-service").await;

    proxy.resume().await;
    processes.start_one("email-service").await;
    // The broker delivers the event again, and the inbox knows it; a third signup shows that its turn has come.
    let third = serde_json::json!({ "username": "joan@example.com", "password": "correct horse battery" });
    processes.api().post("/auth/signup", &third).await.expect(201);
    until("the third mail is there", async || {
        processes
            .mail
            .mails()
            .iter()
            .any(|mail| mail.contains("To: joan@example.com"))
            .then_some(())
    })
    .await;
    let mails = processes.settled_mails().await;
    welcomed_once(&mails, "ada@example.com");
    processes.stop().await;
}
