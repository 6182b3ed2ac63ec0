//! Events for programs elsewhere.

use chrono::TimeDelta;
use serde_json::Value;
use service_kit::hook::SigningSecret;
use service_kit::reason::Reason;
use tonic::Request;
use voltgate_proto::email::v1::{
    DeleteWebhookRequest, Delivery, GetWebhookRequest, ListDeliveriesRequest, ListWebhooksRequest,
    ReplaceWebhookRequest, RetryDeliveryRequest, Webhook,
};

use crate::program::{Call, Program};
use crate::rig::{eventually, forgot};
use crate::services::{Services, as_bearer, refusal};

pub fn subscription(name: &str, url: &str, types: &[&str]) -> ReplaceWebhookRequest {
    ReplaceWebhookRequest {
        name: name.to_owned(),
        url: url.to_owned(),
        types: types.iter().map(|name| format!("voltgate.events.v1.{name}")).collect(),
        signing_secret: None,
    }
}

impl Services {
    pub async fn subscribe(&mut self, request: ReplaceWebhookRequest) -> Webhook {
        let request = as_bearer(&self.admin, request);
        self.webhooks.replace_webhook(request).await.unwrap().into_inner()
    }

    pub async fn deliveries(&mut self, name: &str) -> Vec<Delivery> {
        let request = ListDeliveriesRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        let request = as_bearer(&self.admin, request);
        self.webhooks
            .list_deliveries(request)
            .await
            .unwrap()
            .into_inner()
            .deliveries
    }
}

/// As Standard Webhooks has it verified.
fn assert_is_signed(call: &Call, secret: &str) {
    let secret = SigningSecret::parse(secret).unwrap();
    let at = call.headers["webhook-timestamp"].parse().unwrap();
    let expected = secret.sign(&call.headers["webhook-id"], at, call.body.as_bytes());
    assert_eq!(call.headers["webhook-signature"], expected);
}

#[tokio::test]
async fn an_event_is_told_signed_and_once_to_whoever_wants_it() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    let all = services.subscribe(subscription("all", &program.url("/all"), &[])).await;
    services
        .subscribe(subscription("few", &program.url("/few"), &["PasswordChanged"]))
        .await;
    let event = services.rig.sign_up("jonas").await;
    // A code is told to nobody.
    services.rig.write(&forgot("jonas", TimeDelta::minutes(10))).await;
    services.rig.sent(4).await;
    let calls = program.calls(1).await;
    let call = &calls[0];
    assert_eq!((call.path.as_str(), calls.len()), ("/all", 1));
    assert_is_signed(call, all.signing_secret.as_deref().unwrap());
    assert_eq!(call.headers["webhook-id"], format!("msg_{}", event.id.replace('-', "")));
    let body: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(body["type"], "voltgate.events.v1.AccountSignedUp");
    assert_eq!(body["data"]["username"], "jonas");
    eventually("it is noted", || async {
        services
            .rig
            .number("SELECT count(*) FROM email.webhook_delivery WHERE status = 'delivered' AND body IS NULL")
            .await
            == 1
    })
    .await;
    let deliveries = services.deliveries("all").await;
    assert_eq!((deliveries.len(), deliveries[0].attempts), (1, 1));
    assert_eq!(deliveries[0].event_id, event.id);
    assert!(services.deliveries("few").await.is_empty());
    services.rig.stop().await;
}

#[tokio::test]
async fn whoever_fails_is_told_again_under_the_same_id_and_keeps_nobody_else_waiting() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    services
        .subscribe(subscription("broken", &program.url("/500"), &[]))
        .await;
    services
        .subscribe(subscription("slow", &program.url("/slow"), &[]))
        .await;
    services
        .subscribe(subscription("good", &program.url("/good"), &[]))
        .await;
    for number in 0..6 {
        services.rig.sign_up(&format!("driver{number}")).await;
    }
    eventually("the good one has them all", || async { program.of("/good").len() == 6 }).await;
    eventually("the broken one waits", || async {
        services
            .rig
            .number("SELECT count(*) FROM email.webhook_delivery WHERE status = 'queued' AND last_error = 'it answered with status 500'")
            .await
            == 6
    })
    .await;
    services.rig.clock.forward(TimeDelta::minutes(1));
    eventually("it is told again", || async { program.of("/500").len() == 12 }).await;
    let mut ids: Vec<_> = program
        .of("/500")
        .into_iter()
        .map(|call| call.headers["webhook-id"].clone())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    assert!(program.of("/slow").len() <= 4, "no more at once");
    services.rig.stop().await;
}

#[tokio::test]
async fn what_is_given_up_after_a_day_is_tried_again_at_somebodys_wish() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    services
        .subscribe(subscription("broken", &program.url("/500"), &[]))
        .await;
    services.rig.sign_up("jonas").await;
    eventually("it waits", || async {
        services
            .rig
            .number("SELECT count(*) FROM email.webhook_delivery WHERE status = 'queued' AND attempts = 1")
            .await
            == 1
    })
    .await;
    services.rig.clock.forward(TimeDelta::hours(25));
    eventually("it is given up", || async {
        services
            .rig
            .number("SELECT count(*) FROM email.webhook_delivery WHERE status = 'failed'")
            .await
            == 1
    })
    .await;
    // 25 hours on, everybody has to log in again.
    let admin = services.log_in_again().await;
    let delivery = services.deliveries("broken").await.remove(0);
    let retry = |id: &str| {
        let request = RetryDeliveryRequest {
            name: "broken".to_owned(),
            id: id.to_owned(),
        };
        as_bearer(&admin, request)
    };
    services
        .subscribe(subscription("broken", &program.url("/good"), &[]))
        .await;
    let again = services
        .webhooks
        .retry_delivery(retry(&delivery.id))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.attempts, 0);
    eventually("it is told", || async { program.of("/good").len() == 1 }).await;
    eventually("that is noted", || async {
        services
            .rig
            .number("SELECT count(*) FROM email.webhook_delivery WHERE status = 'delivered'")
            .await
            == 1
    })
    .await;
    let refused = services.webhooks.retry_delivery(retry(&delivery.id)).await;
    assert_eq!(refusal(refused), Reason::DeliveryNotFailed);
    let refused = services.webhooks.retry_delivery(retry("seventeen")).await;
    assert_eq!(refusal(refused), Reason::NotFound);
    services.rig.stop().await;
}

#[tokio::test]
async fn one_that_is_gone_for_good_is_told_nothing_more_until_it_is_subscribed_anew() {
    let (mut services, program) = (Services::start().await, Program::start().await);
    services
        .subscribe(subscription("gone", &program.url("/410"), &[]))
        .await;
    services.rig.sign_up("jonas").await;
    eventually("it is disabled", || async {
        services
            .rig
            .number("SELECT count(*) FROM email.webhook WHERE disabled IS NOT NULL")
            .await
            == 1
    })
    .await;
    services.rig.sign_up("joan").await;
    services.rig.sent(4).await;
    assert_eq!(program.of("/410").len(), 1);
    let get = as_bearer(
        &services.admin,
        GetWebhookRequest {
            name: "gone".to_owned(),
        },
    );
    let webhook = services.webhooks.get_webhook(get).await.unwrap().into_inner();
    assert_eq!(webhook.disabled.as_deref(), Some("it is gone for good (410)"));
    let webhook = services
        .subscribe(subscription("gone", &program.url("/good"), &[]))
        .await;
    assert_eq!(webhook.disabled, None);
    services.rig.sign_up("mark").await;
    eventually("it is told again", || async { program.of("/good").len() == 1 }).await;
    services.rig.stop().await;
}

#[tokio::test]
async fn a_webhook_is_changed_in_the_version_that_was_seen_and_shows_its_secret_to_nobody_later() {
    let mut services = Services::start().await;
    let admin = services.admin.clone();
    let request = subscription("billing", "http://127.0.0.1:1/", &[]);
    let made = services
        .webhooks
        .replace_webhook(as_bearer(&admin, request.clone()))
        .await
        .unwrap();
    let tag = made.metadata().get("etag").unwrap().clone();
    let secret = made.into_inner().signing_secret.unwrap();
    let again = services.subscribe(request.clone()).await;
    assert_eq!(
        again.signing_secret.as_deref(),
        Some(secret.as_str()),
        "an answer may get lost"
    );
    services.rig.clock.forward(TimeDelta::seconds(11));
    assert_eq!(services.subscribe(request.clone()).await.signing_secret, None);

    let if_match = |mut request: Request<_>| {
        request.metadata_mut().insert("if-match", tag.clone());
        request
    };
    let stale = services
        .webhooks
        .replace_webhook(if_match(as_bearer(&admin, request)))
        .await;
    assert_eq!(refusal(stale), Reason::PreconditionFailed);
    let list = as_bearer(&admin, ListWebhooksRequest {});
    let listed = services
        .webhooks
        .list_webhooks(list)
        .await
        .unwrap()
        .into_inner()
        .webhooks;
    assert_eq!((listed.len(), listed[0].signing_secret.as_ref()), (1, None));
    assert!(services.rig.tables_with(&secret).await.is_empty());

    let refused = services
        .webhooks
        .list_webhooks(as_bearer(&services.operator, ListWebhooksRequest {}))
        .await;
    assert_eq!(refusal(refused), Reason::PermissionDenied);
    let delete = || {
        as_bearer(
            &admin,
            DeleteWebhookRequest {
                name: "billing".to_owned(),
            },
        )
    };
    services.webhooks.delete_webhook(delete()).await.unwrap();
    assert_eq!(
        refusal(services.webhooks.delete_webhook(delete()).await),
        Reason::NotFound
    );
    let actions: Vec<_> = services.audited().await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(
        actions,
        [
            "webhook.deleted",
            "webhook.updated",
            "webhook.updated",
            "webhook.created"
        ]
    );
    services.rig.stop().await;
}

#[tokio::test]
async fn no_webhook_is_at_an_internal_address_unless_the_installation_allows_it() {
    let program = Program::start().await;
    let mut services = Services::start_with(|settings| email_service::Settings {
        email_webhook_allow_internal: false,
        ..settings
    })
    .await;
    for url in ["https://127.0.0.1/", "https://[::1]/", "http://hooks.example.com/"] {
        let request = as_bearer(&services.admin, subscription("billing", url, &[]));
        assert_eq!(
            refusal(services.webhooks.replace_webhook(request).await),
            Reason::InvalidRequest,
            "{url}"
        );
    }
    // By a name that stands for one, and with what was subscribed under another rule.
    let name = program.url("/named").replace("http://127.0.0.1", "https://localhost");
    services.subscribe(subscription("named", &name, &[])).await;
    services
        .subscribe(subscription("former", "https://hooks.example.com/", &[]))
        .await;
    sqlx::query("UPDATE email.webhook SET url = $1 WHERE name = 'former'")
        .bind(program.url("/former"))
        .execute(&services.rig.database)
        .await
        .unwrap();
    services.rig.sign_up("jonas").await;
    eventually("neither is called", || async {
        let waits = "SELECT count(*) FROM email.webhook_delivery WHERE last_error = 'its name stands for no address that may be called'";
        services.rig.number(waits).await == 2
    })
    .await;
    assert!(program.of("/named").is_empty() && program.of("/former").is_empty());
    services.rig.stop().await;
}
