//! Digests: when what was noted is told, and to whom.

use std::time::Duration;

use chrono::TimeDelta;
use email_service::Settings;
use voltgate_proto::email::v1::{ReplaceSubscriptionRequest, ResendMessageRequest, UnsubscribeRequest};

use crate::notices::{offline, subscription};
use crate::rig::{Rig, eventually, local};
use crate::services::{Services, as_bearer};
use crate::smtp_server::SmtpServer;

#[tokio::test]
async fn a_power_cut_over_five_hundred_stations_is_one_mail() {
    let mut services = Services::start().await;
    services.verify_operator().await;
    let patient = ReplaceSubscriptionRequest {
        digest_seconds: Some(60),
        ..subscription("all")
    };
    let request = as_bearer(&services.operator, patient);
    services.subscriptions.replace_subscription(request).await.unwrap();
    let events: Vec<_> = (0..500)
        .map(|number| offline(&format!("CP-{number:03}"), &[]))
        .collect();
    let mut transaction = services.rig.database.begin().await.unwrap();
    service_kit::outbox::enqueue_all(&mut transaction, &events)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    eventually("all are noted", || async {
        services.rig.number("SELECT count(*) FROM email.notice").await == 500
    })
    .await;
    assert!(services.digests().is_empty());
    services.rig.clock.forward(TimeDelta::seconds(60));
    eventually("all are told", || async {
        services.rig.number("SELECT count(*) FROM email.notice").await == 0
            && services
                .rig
                .number("SELECT count(*) FROM email.message WHERE status IN ('queued', 'sending')")
                .await
                == 0
    })
    .await;
    let digests = services.digests();
    let [digest] = &digests[..] else {
        panic!("{} mails", digests.len())
    };
    assert!(digest.contains("Subject: 500 offline (all)"), "{digest}");
    services.rig.stop().await;
}

#[tokio::test]
async fn a_digest_is_made_once_however_many_replicas_look_for_it() {
    let mut rig = Rig::new().await;
    let bus = local();
    for _ in 0..2 {
        rig.start_email(&bus).await;
    }
    sqlx::raw_sql(
        "WITH subscribed AS (
             INSERT INTO email.notice_subscription (id, account_id, name, kinds, charge_points, groups, digest_seconds, created_at,
                 updated_at)
             SELECT gen_random_uuid(), gen_random_uuid(), 'all', '{offline}', '{}', '{}', 0, now(), now() FROM generate_series(1, 300)
             RETURNING id)
         INSERT INTO email.notice (id, subscription_id, event_id, kind, identity, site_name, at, noted_at)
         SELECT gen_random_uuid(), id, gen_random_uuid(), 'offline', 'CP-1', '', now(), now() FROM subscribed",
    )
    .execute(&rig.database)
    .await
    .unwrap();
    eventually("all are told", || async {
        rig.number("SELECT count(*) FROM email.notice").await == 0
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let empty = "SELECT count(*) FROM email.message WHERE variables ->> 'count' = '0'";
    assert_eq!(rig.number(empty).await, 0);
    assert_eq!(rig.number("SELECT count(*) FROM email.message").await, 300);
    rig.stop().await;
}

#[tokio::test]
async fn what_is_noted_all_the_time_keeps_no_digest_waiting() {
    let mut services = Services::start().await;
    services.verify_operator().await;
    services.subscribe_operator("all").await;
    services.rig.write(&offline("CP-1", &[])).await;
    // As whoever notes something for it has it until the commit.
    let mut noting = services.rig.database.begin().await.unwrap();
    sqlx::query("SELECT FROM email.notice_subscription FOR KEY SHARE")
        .execute(&mut *noting)
        .await
        .unwrap();
    eventually("it is told", || async { services.digests().len() == 1 }).await;
    noting.rollback().await.unwrap();
    services.rig.stop().await;
}

#[tokio::test]
async fn a_digest_that_waits_or_is_sent_again_asks_anew_whether_it_may_be_told() {
    let server = SmtpServer::start().await;
    let mut services = Services::start_with(|settings| Settings {
        smtp_url: Some(server.url()),
        ..settings
    })
    .await;
    services.verify_operator().await;
    services.make_operator("email = 'busy@example.org'").await;
    services.subscribe_operator("all").await;
    services.rig.write(&offline("CP-1", &[])).await;
    let waits = "SELECT count(*) FROM email.message WHERE template = 'notices' AND status = 'queued' AND attempts = 1";
    eventually("it waits", || async { services.rig.number(waits).await == 1 }).await;
    services.make_operator("roles = '{driver}'").await;
    services.rig.clock.forward(TimeDelta::seconds(30));
    services.until_unaddressed(1).await;
    assert_eq!(services.count_subscriptions().await, 0);

    let id: String = sqlx::query_scalar("SELECT id::text FROM email.message WHERE template = 'notices'")
        .fetch_one(&services.rig.database)
        .await
        .unwrap();
    let resend = as_bearer(&services.admin, ResendMessageRequest { id: id.clone() });
    services.email.resend_message(resend).await.unwrap();
    services.until_unaddressed(2).await;
    services
        .make_operator("roles = '{operator}', email = 'olga@example.org'")
        .await;
    let resend = as_bearer(&services.admin, ResendMessageRequest { id });
    services.email.resend_message(resend).await.unwrap();
    eventually("it is where they read their mail now", || async {
        server.taken().iter().any(|mail| mail["to"][0] == "olga@example.org")
    })
    .await;
    assert!(!server.taken().iter().any(|mail| mail["to"][0] == "busy@example.org"));
    services.rig.stop().await;
}

#[tokio::test]
async fn whoever_has_a_digest_ends_it_at_one_click() {
    let mut services = Services::start_with(|settings| Settings {
        email_public_url: Some("https://api.voltgate.example".to_owned()),
        ..settings
    })
    .await;
    services.verify_operator().await;
    services.subscribe_operator("all").await;
    services.rig.write(&offline("CP-1", &[])).await;
    eventually("it is told", || async { services.digests().len() == 1 }).await;
    let digest = services.digests().remove(0);
    assert!(
        digest.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"),
        "{digest}"
    );
    let link = "https://api.voltgate.example/email/unsubscribe/";
    let (_, rest) = digest.split_once(link).unwrap();
    let token: String = rest
        .chars()
        .take_while(|c| c.is_ascii_hexdigit() || *c == '-')
        .collect();
    // Whatever is no token, or is none any more, is answered alike.
    for token in ["", "seventeen", "01900000-0000-7000-8000-000000000001", &token, &token] {
        let token = token.to_owned();
        let request = UnsubscribeRequest { token, form: None };
        services.subscriptions.unsubscribe(request).await.unwrap();
    }
    assert_eq!(services.count_subscriptions().await, 0);
    let actions: Vec<_> = services.audited().await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["subscription.deleted", "subscription.replaced"]);
    services.rig.stop().await;
}
