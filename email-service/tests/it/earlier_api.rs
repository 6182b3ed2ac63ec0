//! What clients of the earlier API ask for.

use service_kit::reason::Reason;
use tonic::Request;
use voltgate_proto::email::v1::{PublishUserCreatedRequest, SendWelcomeRequest};

use crate::services::{Services, as_bearer, refusal};

#[tokio::test]
async fn an_operator_has_a_welcome_sent_and_an_account_announced_and_a_driver_does_not() {
    let mut services = Services::start().await;
    let welcome = |email: &str| SendWelcomeRequest {
        email: email.to_owned(),
        username: None,
    };
    let created = |email: &str| PublishUserCreatedRequest {
        email: email.to_owned(),
        username: Some("Joan".to_owned()),
    };
    let operator = services.operator.clone();
    services
        .earlier
        .send_welcome(as_bearer(&operator, welcome("ada@example.com")))
        .await
        .unwrap();
    services.rig.sent(3).await;
    services
        .earlier
        .publish_user_created(as_bearer(&operator, created("joan@example.com")))
        .await
        .unwrap();
    services.rig.sent(4).await;
    let published =
        "SELECT count(*) FROM email.outbox WHERE type = 'voltgate.events.v1.AccountSignedUp' AND sent_at IS NOT NULL";
    assert_eq!(services.rig.number(published).await, 1);
    let taken = "SELECT count(*) FROM email.inbox WHERE source = 'email-service' AND outcome = 'queued'";
    assert_eq!(services.rig.number(taken).await, 1);
    let mails = services.rig.mails();
    for (address, name) in [("ada@example.com", "ada@example.com"), ("joan@example.com", "Joan")] {
        let mail = mails
            .iter()
            .find(|mail| mail.contains(&format!("To: {address}")))
            .unwrap();
        assert!(mail.contains(&format!("Hello {name},")), "{mail}");
    }

    let driver = services.driver.clone();
    let refused = services
        .earlier
        .send_welcome(as_bearer(&driver, welcome("ada@example.com")))
        .await;
    assert_eq!(refusal(refused), Reason::PermissionDenied);
    let refused = services
        .earlier
        .publish_user_created(as_bearer(&driver, created("ada@example.com")))
        .await;
    assert_eq!(refusal(refused), Reason::PermissionDenied);
    let wrong = services
        .earlier
        .send_welcome(as_bearer(&operator, welcome("ada\r\nBcc: all@example.com")))
        .await;
    assert_eq!(refusal(wrong), Reason::InvalidRequest);
    let phishing = PublishUserCreatedRequest {
        email: "ada@example.com".to_owned(),
        username: Some("Your account is locked: see https://phish.example".to_owned()),
    };
    let refused = services
        .earlier
        .publish_user_created(as_bearer(&operator, phishing))
        .await;
    assert_eq!(refusal(refused), Reason::InvalidRequest);
    let actions: Vec<_> = services.audited().await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["user-created.published", "welcome.requested"]);
    services.rig.stop().await;
}

#[tokio::test]
async fn what_is_asked_for_again_under_its_key_is_done_once() {
    let mut services = Services::start().await;
    let operator = services.operator.clone();
    let welcome = |email: &str| {
        let email = email.to_owned();
        under_a_key(as_bearer(&operator, SendWelcomeRequest { email, username: None }))
    };
    let created = |email: &str| {
        let email = email.to_owned();
        under_a_key(as_bearer(
            &operator,
            PublishUserCreatedRequest { email, username: None },
        ))
    };
    for _ in 0..3 {
        services.earlier.send_welcome(welcome("ada@example.com")).await.unwrap();
        let announced = services.earlier.publish_user_created(created("joan@example.com")).await;
        announced.unwrap();
    }
    services.rig.sent(4).await;
    assert_eq!(services.rig.number("SELECT count(*) FROM email.outbox").await, 1);
    let other = services.earlier.send_welcome(welcome("eve@example.com")).await;
    assert_eq!(refusal(other), Reason::IdempotencyKeyReused);
    let other = services.earlier.publish_user_created(created("eve@example.com")).await;
    assert_eq!(refusal(other), Reason::IdempotencyKeyReused);
    // Somebody else's key is another one.
    let email = "eve@example.com".to_owned();
    let request = PublishUserCreatedRequest { email, username: None };
    let request = under_a_key(as_bearer(&services.admin, request));
    services.earlier.publish_user_created(request).await.unwrap();
    services.rig.sent(5).await;
    services.rig.stop().await;
}

fn under_a_key<T>(mut request: Request<T>) -> Request<T> {
    request
        .metadata_mut()
        .insert("idempotency-key", "welcome-7".parse().unwrap());
    request
}
