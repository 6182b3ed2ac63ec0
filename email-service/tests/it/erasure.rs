//! What is left of an account here when it is deleted: that there were messages, and nothing of whom to. And what is left of a
//! message when it is old: nothing.

use chrono::TimeDelta;
use email_service::Settings;
use service_kit::clock::{Clock, SystemClock};
use service_kit::event::{self, Event};
use testbed::Proxy;
use uuid::Uuid;
use voltgate_proto::events::v1::{AccountDeleted, AccountSignedUp, SignupWithKnownEmail};

use crate::delivery::publish;
use crate::rig::{Rig, deleted, eventually, local, signed_up};
use crate::smtp_server::{self, SmtpServer};

fn account_of(event: &Event) -> String {
    event::decode::<AccountSignedUp>(event).unwrap().account_id
}

/// Every table of email-service in which a name is still to be found.
async fn traces(rig: &Rig, name: &str) -> Vec<String> {
    let mut tables = rig.tables_with(name).await;
    tables.retain(|table| table.starts_with("email."));
    tables
}

#[tokio::test]
async fn a_deleted_account_gets_a_last_mail_and_leaves_no_name_behind() {
    let mut rig = Rig::new().await;
    let bus = local();
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    let mara = rig.sign_up("mara").await;
    rig.sign_up("jonas").await;
    // As somebody else wrote it.
    let known = SignupWithKnownEmail {
        email: "Mara@Example.org".to_owned(),
    };
    rig.write(&event::new("auth-service", SystemClock.now(), &known)).await;
    rig.sent(3).await;
    assert_eq!(traces(&rig, "mara").await, ["email.message"]);

    rig.write(&deleted(&account_of(&mara), "mara")).await;
    rig.sent(4).await;
    for name in ["mara", "Mara"] {
        assert!(traces(&rig, name).await.is_empty());
    }
    assert_eq!(traces(&rig, "jonas").await, ["email.message"]);
    let mails = rig.mails();
    let last = mails
        .iter()
        .find(|mail| mail.contains("\r\nSubject: Your account was deleted\r\n"));
    assert!(last.unwrap().contains("\r\nTo: mara@example.org\r\n"));
    let erased = "SELECT count(*) FROM email.message WHERE recipient = ''";
    assert_eq!(rig.number(erased).await, 3, "that there was mail stays known");
    rig.stop().await;
}

/// The notice that somebody signed up with the address was the other account's as well.
#[tokio::test]
async fn what_was_sent_to_an_address_that_another_account_has_too_stays() {
    let mut rig = Rig::new().await;
    let bus = local();
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    let mara = rig.sign_up("mara").await;
    let known = SignupWithKnownEmail {
        email: "mara@example.org".to_owned(),
    };
    rig.write(&event::new("auth-service", SystemClock.now(), &known)).await;
    rig.sent(2).await;
    let mut shared: AccountDeleted = event::decode(&deleted(&account_of(&mara), "mara")).unwrap();
    shared.email_is_shared = true;
    rig.write(&event::new("auth-service", SystemClock.now(), &shared)).await;
    rig.sent(3).await;
    let left: Vec<String> =
        sqlx::query_scalar("SELECT template FROM email.message WHERE recipient = 'mara@example.org'")
            .fetch_all(&rig.database)
            .await
            .unwrap();
    assert_eq!(left, ["known-email"]);
    rig.stop().await;
}

#[tokio::test]
async fn what_is_under_way_or_comes_later_goes_out_and_is_erased_then() {
    let server = SmtpServer::start().await;
    let proxy = Proxy::start(server.address()).await;
    proxy.refuse().await;
    let mut rig = Rig::new().await;
    let bus = local();
    let settings = Settings {
        smtp_url: Some(smtp_server::url(proxy.address())),
        ..rig.settings()
    };
    rig.start_email_with(&bus, settings).await;
    let mara = signed_up("mara", Some("mara@example.org"));
    let mut publisher = bus.publisher();
    publish(publisher.as_mut(), &mara).await;
    // About no account, to the address of one.
    let known = SignupWithKnownEmail {
        email: "MARA@example.org".to_owned(),
    };
    let known = event::new("auth-service", SystemClock.now(), &known);
    publish(publisher.as_mut(), &known).await;
    publish(publisher.as_mut(), &deleted(&account_of(&mara), "mara")).await;
    // Nobody promises an order.
    let mut late = mara.clone();
    late.id = Uuid::now_v7().to_string();
    publish(publisher.as_mut(), &late).await;
    let under_way = "SELECT count(*) FROM email.message WHERE status IN ('queued', 'sending')";
    assert_eq!(rig.number(under_way).await, 4);

    proxy.resume().await;
    rig.clock.forward(TimeDelta::minutes(1));
    eventually("all are sent", || async { rig.messages("sent").await == 4 }).await;
    assert_eq!(server.taken().len(), 4);
    for name in ["mara", "MARA"] {
        assert!(traces(&rig, name).await.is_empty());
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_mail_that_was_refused_does_not_say_to_whom_either() {
    let server = SmtpServer::start().await;
    let mut rig = Rig::new().await;
    let bus = local();
    let settings = Settings {
        smtp_url: Some(server.url()),
        ..rig.settings()
    };
    rig.start_email_with(&bus, settings).await;
    rig.start_relay(&bus);
    let nobody = rig.sign_up("nobody").await;
    eventually("it is refused", || async { rig.messages("failed").await == 1 }).await;
    let before = ["email.attempt", "email.message", "email.suppression"];
    assert_eq!(traces(&rig, "nobody").await, before);
    rig.write(&deleted(&account_of(&nobody), "nobody")).await;
    eventually("so is the last one", || async { rig.messages("failed").await == 2 }).await;
    assert!(traces(&rig, "nobody").await.is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn mail_is_kept_for_as_long_as_it_was_set_and_what_is_under_way_for_longer() {
    let mut rig = Rig::new().await;
    let bus = local();
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    let mara = rig.sign_up("mara").await;
    rig.write(&deleted(&account_of(&mara), "mara")).await;
    rig.sign_up("jonas").await;
    rig.sent(3).await;
    rig.clock.forward(TimeDelta::days(89));
    rig.sign_up("lena").await;
    rig.sent(4).await;
    // In the hands of a sender that is remarkably slow.
    sqlx::query(
        "UPDATE email.message SET status = 'sending', sent_at = NULL, claim = gen_random_uuid(),
             lease_until = now() + interval '1 hour'
         WHERE recipient = 'jonas@example.org'",
    )
    .execute(&rig.database)
    .await
    .unwrap();

    rig.clock.forward(TimeDelta::days(2));
    // One that is just started prunes at once.
    rig.start_email(&bus).await;
    eventually("the old ones are gone", || async {
        rig.number("SELECT count(*) FROM email.deleted_account").await == 0
    })
    .await;
    let left = "SELECT count(*) FROM email.message WHERE recipient IN ('jonas@example.org', 'lena@example.org')";
    assert_eq!(rig.number(left).await, 2);
    assert_eq!(rig.number("SELECT count(*) FROM email.message").await, 2);
    assert_eq!(rig.number("SELECT count(*) FROM email.inbox").await, 2);
    rig.stop().await;
}

#[tokio::test]
async fn an_address_that_was_never_shown_to_be_theirs_is_not_kept_as_suppressed() {
    let server = SmtpServer::start().await;
    let mut rig = Rig::new().await;
    let bus = local();
    let settings = Settings {
        smtp_url: Some(server.url()),
        ..rig.settings()
    };
    rig.start_email_with(&bus, settings).await;
    rig.start_relay(&bus);
    let nobody = rig.sign_up("nobody").await;
    eventually("it is refused", || async { rig.messages("failed").await == 1 }).await;
    let mut unverified: AccountDeleted = event::decode(&deleted(&account_of(&nobody), "nobody")).unwrap();
    unverified.email = None;
    rig.write(&event::new("auth-service", SystemClock.now(), &unverified))
        .await;
    eventually("nothing tells of it", || async {
        traces(&rig, "nobody").await.is_empty()
    })
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn what_an_operator_had_written_to_an_address_goes_with_the_account_that_has_it() {
    let mut rig = Rig::new().await;
    let bus = local();
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    // As the earlier API announces somebody, under an account that nobody knows.
    rig.sign_up("mara").await;
    let mara = rig.sign_up("mara").await;
    rig.sent(2).await;
    sqlx::raw_sql(
        "INSERT INTO email.audit (id, at, action, subject, details)
         VALUES (gen_random_uuid(), now(), 'suppression.added', 'mara@example.org', '{\"details\": \"mara asked for it\"}')",
    )
    .execute(&rig.database)
    .await
    .unwrap();
    rig.write(&deleted(&account_of(&mara), "mara")).await;
    rig.sent(3).await;
    eventually("nothing tells of her", || async {
        traces(&rig, "mara").await.is_empty()
    })
    .await;
    rig.stop().await;
}
