use chrono::TimeDelta;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Request;
use voltgate_proto::auth::v1::GetProfileRequest;

use crate::service::{Service, ada};

#[tokio::test]
async fn a_profile_is_closed_without_a_token() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let refusal = service
        .profiles
        .clone()
        .get_profile(GetProfileRequest {})
        .await
        .unwrap_err();
    assert_eq!(Reason::of(&refusal), Reason::MissingCredentials);
    service.stop().await;
}

#[tokio::test]
async fn a_profile_says_when_the_account_was_made() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let before = chrono::Utc::now().timestamp();
    let answer = service.sign_up(ada()).await.unwrap();
    let created_at = service.profile(&answer.access_token).await.unwrap().created_at.unwrap();
    assert!((before..=before + 60).contains(&created_at.seconds));
    service.stop().await;
}

#[tokio::test]
async fn a_token_expires() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let answer = service.sign_up(ada()).await.unwrap();
    service.clock.advance(TimeDelta::seconds(290));
    assert!(service.profile(&answer.access_token).await.is_ok());
    service.clock.advance(TimeDelta::seconds(11));
    let refusal = service.profile(&answer.access_token).await.unwrap_err();
    assert_eq!(Reason::of(&refusal), Reason::InvalidToken);
    service.stop().await;
}

#[tokio::test]
async fn a_token_whose_account_is_gone_is_not_valid() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let answer = service.sign_up(ada()).await.unwrap();
    sqlx::query("DELETE FROM authentication.account")
        .execute(&service.database)
        .await
        .unwrap();
    let refusal = service.profile(&answer.access_token).await.unwrap_err();
    assert_eq!(Reason::of(&refusal), Reason::InvalidToken);
    service.stop().await;
}

#[tokio::test]
async fn nobody_becomes_somebody_by_metadata_of_their_own() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let answer = service.sign_up(ada()).await.unwrap();
    let mut request = Request::new(GetProfileRequest {});
    for name in [
        "caller",
        "x-caller",
        "x-account-id",
        "account-id",
        "x-user-id",
        "x-voltgate-account",
        "sub",
    ] {
        request.metadata_mut().insert(name, answer.id.parse().unwrap());
    }
    request.metadata_mut().insert("x-roles", "admin".parse().unwrap());
    let refusal = service.profiles.clone().get_profile(request).await.unwrap_err();
    assert_eq!(Reason::of(&refusal), Reason::MissingCredentials);
    service.stop().await;
}

#[tokio::test]
async fn a_service_has_no_profile() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let bearer = service.service_tokens().bearer().unwrap();
    let refusal = service.profile_with(&bearer).await.unwrap_err();
    assert_eq!(Reason::of(&refusal), Reason::PermissionDenied);
    service.stop().await;
}
