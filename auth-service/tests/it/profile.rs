//! What an account says about itself.

use chrono::TimeDelta;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Request;
use voltgate_proto::auth::v1::{GetProfileRequest, UpdateProfileRequest};

use crate::office::Office;
use crate::service::{PASSWORD, Service, Setup, ada, authorized, reason};

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

#[tokio::test]
async fn an_account_takes_another_name_in_the_version_that_it_has_seen() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let token = office.service.sign_up(ada()).await.unwrap().access_token;
    let rename = async |name: &str, if_match: Option<&str>| {
        let mut request = authorized(
            UpdateProfileRequest {
                username: Some(name.to_owned()),
                language: None,
            },
            &token,
        );
        if let Some(tag) = if_match {
            request.metadata_mut().insert("if-match", tag.parse().unwrap());
        }
        office.service.profiles.clone().update_profile(request).await
    };
    let renamed = rename("Countess", None).await.unwrap();
    assert_eq!(renamed.get_ref().username, "Countess");
    let tag = renamed.metadata().get("etag").unwrap().to_str().unwrap().to_owned();
    assert!(office.service.log_in("countess", PASSWORD).await.is_ok());
    assert_eq!(
        reason(office.service.log_in("Ada", PASSWORD).await),
        Reason::InvalidCredentials
    );
    assert_eq!(reason(rename("Admin", None).await), Reason::UsernameTaken);
    assert_eq!(reason(rename("a b", None).await), Reason::InvalidRequest);
    assert!(
        rename("COUNTESS", Some(&tag)).await.is_ok(),
        "in other letters it is its own still"
    );
    assert_eq!(reason(rename("Lovelace", Some(&tag)).await), Reason::PreconditionFailed);
    office.service.stop().await;
}

/// That a name is taken is an answer, and it costs what it costs at a signup.
#[tokio::test]
async fn other_names_are_counted_as_signups_are() {
    let database = Database::create().await;
    let mut setup = Setup::on(&database);
    setup.settings.auth_free_signups_per_address = 3;
    let service = setup.start().await;
    service.sign_up_from([192, 0, 2, 1], ada()).await.unwrap();
    let token = service.log_in("Ada", PASSWORD).await.unwrap().access_token;
    let rename = async |name: &str| {
        let username = Some(name.to_owned());
        let request = authorized(
            UpdateProfileRequest {
                username,
                language: None,
            },
            &token,
        );
        service.profiles.clone().update_profile(request).await
    };
    let grace = voltgate_proto::auth::v1::SignUpRequest {
        username: "Grace".to_owned(),
        ..ada()
    };
    service.sign_up_from([192, 0, 2, 1], grace).await.unwrap();
    for _ in 0..4 {
        assert_eq!(reason(rename("Grace").await), Reason::UsernameTaken);
    }
    assert_eq!(reason(rename("Grace").await), Reason::TooManyRequests);
    assert_eq!(reason(rename("Countess").await), Reason::TooManyRequests);
    assert!(rename("Ada").await.is_ok(), "her own name asks for nothing");
    service.clock.advance(TimeDelta::seconds(1));
    let token = service.log_in("Ada", PASSWORD).await.unwrap().access_token;
    let username = Some("Countess".to_owned());
    let request = authorized(
        UpdateProfileRequest {
            username,
            language: None,
        },
        &token,
    );
    assert!(service.profiles.clone().update_profile(request).await.is_ok());
    service.stop().await;
}
