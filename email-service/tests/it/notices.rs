//! What operators are told of.

use service_kit::clock::{Clock, SystemClock};
use service_kit::event::{self, Event};
use service_kit::reason::Reason;
use voltgate_proto::email::v1::{
    DeleteSubscriptionRequest, GetSubscriptionRequest, ListSubscriptionsRequest, ReplaceSubscriptionRequest,
};
use voltgate_proto::events::v1::{ChargePointFaulted, ChargePointOffline, Place};

use crate::rig::{deleted, eventually};
use crate::services::{Services, as_bearer, refusal};

pub fn offline(identity: &str, groups: &[&str]) -> Event {
    let offline = ChargePointOffline {
        identity: identity.to_owned(),
        place: Some(Place {
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..Place::default()
        }),
    };
    event::new("charger-service", SystemClock.now(), &offline)
}

pub fn subscription(name: &str) -> ReplaceSubscriptionRequest {
    ReplaceSubscriptionRequest {
        name: name.to_owned(),
        digest_seconds: Some(2),
        ..Default::default()
    }
}

impl Services {
    /// The operator's address is known to be theirs.
    pub async fn verify_operator(&self) {
        self.make_operator("email = 'olga@example.org', email_verified_at = now()")
            .await;
    }

    /// What an administrator does to the operator's account.
    pub async fn make_operator(&self, what: &str) {
        let change = format!("UPDATE authentication.account SET {what} WHERE username = 'olga'");
        sqlx::query(sqlx::AssertSqlSafe(change))
            .execute(&self.rig.database)
            .await
            .unwrap();
    }

    pub async fn subscribe_operator(&mut self, name: &str) {
        let request = as_bearer(&self.operator, subscription(name));
        self.subscriptions.replace_subscription(request).await.unwrap();
    }

    pub async fn until_unaddressed(&self, count: i64) {
        eventually("nobody is told", || async {
            self.rig.messages("unaddressed").await == count
        })
        .await;
    }

    pub async fn count_subscriptions(&self) -> i64 {
        self.rig.number("SELECT count(*) FROM email.notice_subscription").await
    }

    pub fn digests(&self) -> Vec<String> {
        let mails = self.rig.mails();
        mails
            .into_iter()
            .filter(|mail| mail.contains("To: olga@example.org"))
            .collect()
    }
}

#[tokio::test]
async fn an_event_is_taken_in_though_a_subscription_that_wants_it_is_deleted_at_that_moment() {
    let mut services = Services::start().await;
    services.subscribe_operator("all").await;
    let mut deleting = services.rig.database.begin().await.unwrap();
    sqlx::query("DELETE FROM email.notice_subscription")
        .execute(&mut *deleting)
        .await
        .unwrap();
    services.rig.write(&offline("CP-1", &[])).await;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("it waits", || async { services.rig.number(waits).await > 0 }).await;
    deleting.commit().await.unwrap();
    let noted = "SELECT count(*) FROM email.inbox WHERE outcome = 'noted'";
    eventually("it is taken in", || async { services.rig.number(noted).await == 1 }).await;
    assert_eq!(services.rig.number("SELECT count(*) FROM email.dead_letter").await, 0);
    assert_eq!(services.rig.number("SELECT count(*) FROM email.notice").await, 0);
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

    services.subscribe_operator("harbour").await;
    services.rig.write(&offline("CP-1", &[])).await;
    eventually("it is noted", || async {
        services.rig.number("SELECT count(*) FROM email.notice").await == 1
    })
    .await;
    let account: String = sqlx::query_scalar("SELECT id::text FROM authentication.account WHERE username = 'olga'")
        .fetch_one(&services.rig.database)
        .await
        .unwrap();
    services.rig.write(&deleted(&account, "olga")).await;
    eventually("it ends, with what waits", || async {
        services.count_subscriptions().await == 0 && services.rig.number("SELECT count(*) FROM email.notice").await == 0
    })
    .await;
    services.rig.stop().await;
}

#[tokio::test]
async fn whoever_may_not_be_told_any_more_is_not_and_what_they_subscribed_to_ends_with_the_role() {
    let mut services = Services::start().await;
    services.verify_operator().await;
    let changes = [
        ("roles = '{driver}'", 0),
        ("roles = '{operator}', site_groups = '{north}'", 0),
        ("site_groups = NULL, email_verified_at = NULL", 1),
        ("email_verified_at = now(), disabled_at = now()", 1),
    ];
    for (told, (change, left)) in (1..).zip(changes) {
        // Subscribed while they might: the token is as it was then.
        services.subscribe_operator("all").await;
        services.make_operator(change).await;
        services.rig.write(&offline("CP-1", &["south"])).await;
        services.until_unaddressed(told).await;
        assert_eq!(services.count_subscriptions().await, left, "{change}");
    }
    assert!(services.digests().is_empty());
    services.rig.stop().await;
}
