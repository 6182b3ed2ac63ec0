//! Whose turn it is to be called: nobody waits for somebody else.

use std::time::Duration;

use chrono::TimeDelta;
use service_kit::clock::{Clock, SystemClock};
use service_kit::event::{self, Event};
use tokio::time::{Instant, sleep};
use voltgate_proto::email::v1::{DeleteWebhookRequest, GetWebhookRequest};
use voltgate_proto::events::v1::ChargePointOffline;

use crate::program::Program;
use crate::rig::{eventually, local};
use crate::services::{Services, as_bearer};
use crate::webhooks::subscription;

/// Shorter than whoever is called has to answer.
const SOON: Duration = Duration::from_secs(5);

fn offline() -> Event {
    let identity = "CP-1".to_owned();
    event::new(
        "charger-service",
        SystemClock.now(),
        &ChargePointOffline { identity, place: None },
    )
}

impl Services {
    /// An event for the good webhook alone. It has been told of it soon.
    async fn assert_is_told_soon(&self, program: &Program) {
        let written = Instant::now();
        self.rig.write(&offline()).await;
        eventually("the good one is told", || async { program.of("/good").len() == 1 }).await;
        assert!(written.elapsed() < SOON, "after {:?}", written.elapsed());
    }
}

#[tokio::test]
async fn many_that_are_slow_and_have_much_waiting_keep_nobody_waiting() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    for number in 0..9 {
        let slow = subscription(&format!("slow{number}"), &program.url("/slow"), &["AccountSignedUp"]);
        services.subscribe(slow).await;
    }
    services
        .subscribe(subscription("good", &program.url("/good"), &["ChargePointOffline"]))
        .await;
    for number in 0..6 {
        services.rig.sign_up(&format!("driver{number}")).await;
    }
    eventually("each is called as often as may be", || async {
        program.of("/slow").len() == 36
    })
    .await;
    services.assert_is_told_soon(&program).await;
    assert_eq!(
        program.of("/slow").len(),
        36,
        "none is called more often than that at once"
    );
    services.rig.stop().await;
}

#[tokio::test]
async fn while_one_has_not_answered_the_next_one_is_called() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    services
        .subscribe(subscription("slow", &program.url("/slow"), &["AccountSignedUp"]))
        .await;
    services
        .subscribe(subscription("good", &program.url("/good"), &["ChargePointOffline"]))
        .await;
    services.rig.sign_up("jonas").await;
    eventually("it is called", || async { program.of("/slow").len() == 1 }).await;
    sleep(Duration::from_secs(1)).await;
    services.assert_is_told_soon(&program).await;
    services.rig.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_day_is_given_up_also_where_its_turn_does_not_come() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    services
        .subscribe(subscription("slow", &program.url("/slow"), &["AccountSignedUp"]))
        .await;
    for number in 0..14 {
        services.rig.sign_up(&format!("driver{number}")).await;
    }
    let waiting = "SELECT count(*) FROM email.webhook_delivery WHERE status = 'queued' AND attempts = 0";
    eventually("all but those under way wait", || async {
        services.rig.number(waiting).await == 10
    })
    .await;
    services.rig.clock.forward(TimeDelta::hours(25));
    // One that is just started looks at once.
    services.rig.start_email(&local()).await;
    let given_up = "SELECT count(*) FROM email.webhook_delivery WHERE status = 'failed' AND attempts = 0";
    eventually("the rest is given up", || async {
        services.rig.number(given_up).await >= 1
    })
    .await;
    services.rig.stop().await;
}

#[tokio::test]
async fn that_the_former_url_is_gone_says_nothing_about_the_present_one() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    services
        .subscribe(subscription("moved", &program.url("/late-410"), &[]))
        .await;
    services.rig.sign_up("jonas").await;
    eventually("it is called", || async { program.of("/late-410").len() == 1 }).await;
    services
        .subscribe(subscription("moved", &program.url("/good"), &[]))
        .await;
    let ended = "SELECT count(*) FROM email.webhook_delivery WHERE status = 'failed'";
    eventually("it says that it is gone", || async {
        services.rig.number(ended).await == 1
    })
    .await;
    sleep(Duration::from_millis(300)).await;
    let name = "moved".to_owned();
    let get = as_bearer(&services.admin, GetWebhookRequest { name });
    let webhook = services.webhooks.get_webhook(get).await.unwrap().into_inner();
    assert_eq!(webhook.disabled, None);
    services.rig.stop().await;
}

#[tokio::test]
async fn a_webhook_that_is_deleted_is_told_nothing_more_and_goes_with_what_it_was_told() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    services
        .subscribe(subscription("busy", &program.url("/500"), &[]))
        .await;
    services.rig.sign_up("jonas").await;
    eventually("it is called", || async { program.of("/500").len() == 1 }).await;
    let name = "busy".to_owned();
    let delete = as_bearer(&services.admin, DeleteWebhookRequest { name });
    services.webhooks.delete_webhook(delete).await.unwrap();
    services.rig.sign_up("joan").await;
    services.rig.sent(4).await;
    services.rig.clock.forward(TimeDelta::minutes(1));
    // Its name is free.
    services
        .subscribe(subscription("busy", &program.url("/good"), &[]))
        .await;
    // One that is just started clears at once.
    services.rig.start_email(&local()).await;
    let left = "SELECT count(*) FROM email.webhook_delivery";
    eventually("what it was told is gone", || async {
        services.rig.number(left).await == 0
    })
    .await;
    eventually("so is the webhook", || async {
        services.rig.number("SELECT count(*) FROM email.webhook").await == 1
    })
    .await;
    assert_eq!((program.of("/500").len(), program.of("/good").len()), (1, 0));
    services.rig.stop().await;
}
