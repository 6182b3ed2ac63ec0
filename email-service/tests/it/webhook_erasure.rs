//! What webhooks would have been told of an account that is deleted.

use chrono::TimeDelta;
use service_kit::event;
use voltgate_proto::email::v1::RetryDeliveryRequest;
use voltgate_proto::events::v1::AccountSignedUp;

use crate::program::Program;
use crate::rig::{deleted, eventually};
use crate::services::{Services, as_bearer};
use crate::webhooks::subscription;

impl Services {
    /// Somebody signs up, of which a webhook would have been told, had it not failed. Says which account it is.
    async fn sign_up_untold(&mut self, program: &Program) -> String {
        self.subscribe(subscription("all", &program.url("/500"), &["AccountSignedUp"]))
            .await;
        let event = self.rig.sign_up("jonas").await;
        let waits = "SELECT count(*) FROM email.webhook_delivery WHERE status = 'queued' AND attempts > 0";
        eventually("it waits", || async { self.rig.number(waits).await == 1 }).await;
        event::decode::<AccountSignedUp>(&event).unwrap().account_id
    }

    /// The webhook is called no more, with what waits for it.
    async fn disable(&mut self, program: &Program) {
        self.subscribe(subscription("all", &program.url("/410"), &["AccountSignedUp"]))
            .await;
        self.rig.sign_up("joan").await;
        let disabled = "SELECT count(*) FROM email.webhook WHERE disabled IS NOT NULL";
        eventually("it is disabled", || async { self.rig.number(disabled).await == 1 }).await;
    }

    async fn until_nothing_tells_of_jonas(&self) {
        eventually("it is erased", || async {
            let told = "SELECT count(*) FROM email.webhook_delivery WHERE body LIKE '%jonas%' OR status = 'queued'";
            self.rig.number(told).await == 0
        })
        .await;
    }
}

#[tokio::test]
async fn what_was_given_up_about_an_account_goes_with_it() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    services
        .subscribe(subscription("gone", &program.url("/410"), &[]))
        .await;
    let event = services.rig.sign_up("jonas").await;
    eventually("it is given up", || async {
        services
            .rig
            .number("SELECT count(*) FROM email.webhook_delivery WHERE status = 'failed' AND body IS NOT NULL")
            .await
            == 1
    })
    .await;
    let account = service_kit::event::decode::<voltgate_proto::events::v1::AccountSignedUp>(&event)
        .unwrap()
        .account_id;
    services.rig.write(&deleted(&account, "jonas")).await;
    eventually("it is erased", || async {
        services
            .rig
            .number("SELECT count(*) FROM email.webhook_delivery WHERE body IS NOT NULL")
            .await
            == 0
    })
    .await;
    services.rig.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_webhook_that_is_called_no_more_goes_with_the_account() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    let account = services.sign_up_untold(&program).await;
    services.disable(&program).await;
    services.rig.write(&deleted(&account, "jonas")).await;
    services.until_nothing_tells_of_jonas().await;
    services.rig.stop().await;
}

#[tokio::test]
async fn what_waits_about_a_deleted_account_goes_with_the_webhook() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    let account = services.sign_up_untold(&program).await;
    services.rig.write(&deleted(&account, "jonas")).await;
    let gone = "SELECT count(*) FROM email.deleted_account";
    eventually("the account is gone", || async { services.rig.number(gone).await == 1 }).await;
    services.disable(&program).await;
    services.until_nothing_tells_of_jonas().await;
    services.rig.stop().await;
}

#[tokio::test]
async fn that_an_account_is_deleted_is_told_by_its_id_alone_also_long_after() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    services
        .subscribe(subscription("crm", &program.url("/500"), &["AccountDeleted"]))
        .await;
    let account = uuid::Uuid::now_v7().to_string();
    services.rig.write(&deleted(&account, "jonas")).await;
    eventually("it is called", || async { !program.of("/500").is_empty() }).await;
    services.rig.clock.forward(TimeDelta::hours(25));
    let failed = "SELECT count(*) FROM email.webhook_delivery WHERE status = 'failed'";
    eventually("it is given up", || async { services.rig.number(failed).await == 1 }).await;
    let admin = services.log_in_again().await;
    services
        .subscribe(subscription("crm", &program.url("/good"), &["AccountDeleted"]))
        .await;
    let delivery = services.deliveries("crm").await.remove(0);
    let retry = RetryDeliveryRequest {
        name: "crm".to_owned(),
        id: delivery.id,
    };
    services
        .webhooks
        .retry_delivery(as_bearer(&admin, retry))
        .await
        .unwrap();
    eventually("it is told", || async { program.of("/good").len() == 1 }).await;
    let body = &program.of("/good")[0].body;
    assert!(body.contains(&account) && !body.contains("jonas"), "{body}");
    services.rig.stop().await;
}
