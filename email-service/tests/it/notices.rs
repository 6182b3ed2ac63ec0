//! What operators are told of.

use chrono::TimeDelta;
use email_service::Settings;
use service_kit::clock::{Clock, SystemClock};
use service_kit::event::{self, Event};
use service_kit::reason::Reason;
use voltgate_proto::email::v1::{
    DeleteSubscriptionRequest, GetSubscriptionRequest, ListSubscriptionsRequest, ReplaceSubscriptionRequest,
    ResendMessageRequest,
};
use voltgate_proto::events::v1::{ChargePointFaulted, ChargePointOffline, Place};

use crate::rig::eventually;
use crate::services::{Services, as_bearer, refusal};
use crate::smtp_server::SmtpServer;

fn offline(identity: &str, groups: &[&str]) -> Event {
    let offline = ChargePointOffline {
        identity: identity.to_owned(),
        place: Some(Place {
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..Place::default()
        }),
    };
    event::new("charger-service", SystemClock.now(), &offline)
}

fn subscription(name: &str) -> ReplaceSubscriptionRequest {
    ReplaceSubscriptionRequest {
        name: name.to_owned(),
        digest_seconds: Some(2),
        ..Default::default()
    }
}

impl Services {
    /// The operator's address is known to be theirs.
    async fn verify_operator(&self) {
        self.make_operator("email = 'olga@example.org', email_verified_at = now()")
            .await;
    }

    /// What an administrator does to the operator's account.
    async fn make_operator(&self, what: &str) {
        let change = format!("UPDATE authentication.account SET {what} WHERE username = 'olga'");
        sqlx::query(sqlx::AssertSqlSafe(change))
            .execute(&self.rig.database)
            .await
            .unwrap();
    }

    async fn subscribe_operator(&mut self, name: &str) {
        let request = as_bearer(&self.operator, subscription(name));
        self.subscriptions.replace_subscription(request).await.unwrap();
    }

    async fn until_unaddressed(&self, count: i64) {
        eventually("nobody is told", || async {
            self.rig.messages("unaddressed").await == count
        })
        .await;
    }

    async fn count_subscriptions(&self) -> i64 {
        self.rig.number("SELECT count(*) FROM email.notice_subscription").await
    }

    fn digests(&self) -> Vec<String> {
        let mails = self.rig.mails();
        mails
            .into_iter()
            .filter(|mail| mail.contains("To: olga@example.org"))
            .collect()
    }
}

#[tokio::test]
async fn a_power_cut_over_five_hundred_stations_is_one_mail() {
    let mut services = Services::start().await;
    services.verify_operator().await;
    let request = as_bearer(&services.operator, subscription("all"));
    services.subscriptions.replace_subscription(request).await.unwrap();
    let events: Vec<_> = (0..500)
        .map(|number| offline(&format!("CP-{number:03}"), &[]))
        .collect();
    let mut transaction = services.rig.database.begin().await.unwrap();
    service_kit::outbox::enqueue_all(&mut transaction, &events)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    eventually("all are told", || async {
        services
            .rig
            .number("SELECT count(*) FROM email.inbox WHERE outcome = 'noted'")
            .await
            == 500
            && services.rig.number("SELECT count(*) FROM email.notice").await == 0
            && services
                .rig
                .number("SELECT count(*) FROM email.message WHERE status IN ('queued', 'sending')")
                .await
                == 0
    })
    .await;
    let digests = services.digests();
    // On a slow machine it takes longer than the digest waits.
    assert!((1..=5).contains(&digests.len()), "{} mails", digests.len());
    let told: usize = digests
        .iter()
        .filter_map(|mail| mail.lines().find_map(|line| line.strip_prefix("Subject: ")))
        .filter_map(|subject| subject.split(' ').next()?.parse::<usize>().ok())
        .sum();
    assert_eq!(told, 500);
    services.rig.stop().await;
}

#[tokio::test]
async fn an_operator_is_told_of_their_groups_and_charge_points_and_of_what_they_asked_for() {
    let mut services = Services::start().await;
    services.verify_operator().await;
    let north = ReplaceSubscriptionRequest {
        kinds: vec!["offline".to_owned()],
        charge_points: vec!["CP-7".to_owned()],
        groups: vec!["north".to_owned()],
        ..subscription("north")
    };
    let request = as_bearer(&services.operator, north);
    services.subscriptions.replace_subscription(request).await.unwrap();
    let faulted = ChargePointFaulted {
        identity: "CP-7".to_owned(),
        connector_id: 1,
        error_code: "GroundFailure".to_owned(),
        ..ChargePointFaulted::default()
    };
    for event in [
        offline("CP-1", &["north", "coast"]),
        offline("CP-2", &["south"]),
        offline("CP-7", &[]),
        event::new("charger-service", SystemClock.now(), &faulted),
    ] {
        services.rig.write(&event).await;
    }
    eventually("it is told", || async { services.digests().len() == 1 }).await;
    let digest = services.digests().remove(0);
    assert!(digest.contains("Subject: 2 offline (north)"), "{digest}");
    assert!(
        digest.contains("CP-1") && digest.contains("CP-7") && !digest.contains("CP-2"),
        "{digest}"
    );
    services.rig.stop().await;
}

#[tokio::test]
async fn subscriptions_are_their_owners_and_go_with_the_account() {
    let mut services = Services::start().await;
    let (operator, admin) = (services.operator.clone(), services.admin.clone());
    let made = services
        .subscriptions
        .replace_subscription(as_bearer(&operator, subscription("harbour")))
        .await
        .unwrap();
    let tag = made.metadata().get("etag").unwrap().clone();
    assert_eq!(made.into_inner().kinds.len(), 3);
    let get = |token: &str| {
        let name = "harbour".to_owned();
        as_bearer(token, GetSubscriptionRequest { name })
    };
    assert!(services.subscriptions.get_subscription(get(&operator)).await.is_ok());
    assert_eq!(
        refusal(services.subscriptions.get_subscription(get(&admin)).await),
        Reason::NotFound
    );
    let driver = as_bearer(&services.driver, ListSubscriptionsRequest {});
    assert_eq!(
        refusal(services.subscriptions.list_subscriptions(driver).await),
        Reason::PermissionDenied
    );
    services
        .subscriptions
        .replace_subscription(as_bearer(&operator, subscription("harbour")))
        .await
        .unwrap();
    let mut stale = as_bearer(&operator, subscription("harbour"));
    stale.metadata_mut().insert("if-match", tag);
    assert_eq!(
        refusal(services.subscriptions.replace_subscription(stale).await),
        Reason::PreconditionFailed
    );
    let delete = || {
        let name = "harbour".to_owned();
        as_bearer(&operator, DeleteSubscriptionRequest { name })
    };
    services.subscriptions.delete_subscription(delete()).await.unwrap();
    assert_eq!(
        refusal(services.subscriptions.delete_subscription(delete()).await),
        Reason::NotFound
    );
    services.rig.stop().await;
}

#[tokio::test]
async fn whoever_may_not_be_told_any_more_is_not_and_what_they_subscribed_to_ends_with_the_role() {
    let mut services = Services::start().await;
    services.verify_operator().await;
    for (told, (change, left)) in [
        ("roles = '{driver}'", 0),
        ("roles = '{operator}', site_groups = '{north}'", 0),
        ("site_groups = NULL, email_verified_at = NULL", 1),
        ("email_verified_at = now(), disabled_at = now()", 1),
    ]
    .into_iter()
    .enumerate()
    {
        // Subscribed while they might: the token is as it was then.
        services.subscribe_operator("all").await;
        services.make_operator(change).await;
        services.rig.write(&offline("CP-1", &["south"])).await;
        services.until_unaddressed(told as i64 + 1).await;
        assert_eq!(services.count_subscriptions().await, left, "{change}");
    }
    assert!(services.digests().is_empty());
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
