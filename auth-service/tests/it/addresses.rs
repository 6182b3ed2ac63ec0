//! The address of an account: verified, changed, and claimed by others.

use chrono::TimeDelta;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use voltgate_proto::auth::v1::{ChangeEmailRequest, ResendVerificationRequest, SignUpRequest, VerifyEmailRequest};
use voltgate_proto::events::v1::{
    EmailChanged, EmailVerificationRequested, SecondFactorChange, SecondFactorChanged, SignupWithKnownEmail,
};

use crate::mailbox::Mailbox;
use crate::service::{PASSWORD, Service, Setup, ada, authorized, reason, violations};

async fn start(database: &Database) -> (Service, Mailbox) {
    let setup = Setup::on(database);
    let mailbox = Mailbox::on(&setup.bus);
    (setup.start().await, mailbox)
}

pub async fn verify(service: &Service, code: &str) -> Result<(), Status> {
    let request = VerifyEmailRequest { code: code.to_owned() };
    service.addresses.clone().verify_email(request).await?;
    Ok(())
}

async fn resend(service: &Service, token: &str) -> Result<(), Status> {
    let request = authorized(ResendVerificationRequest {}, token);
    service.addresses.clone().resend_verification(request).await?;
    Ok(())
}

pub async fn change(service: &Service, token: &str, email: &str, password: &str) -> Result<(), Status> {
    change_with(service, token, email, password, None).await
}

pub async fn change_with(
    service: &Service,
    token: &str,
    email: &str,
    password: &str,
    code: Option<&str>,
) -> Result<(), Status> {
    let request = ChangeEmailRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        code: code.map(str::to_owned),
    };
    service
        .addresses
        .clone()
        .change_email(authorized(request, token))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_signup_sends_a_code_that_verifies_the_address_once() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    assert!(!service.profile(&token).await.unwrap().email_verified);
    let mail: EmailVerificationRequested = mailbox.next().await;
    assert_eq!(
        (mail.email.as_str(), mail.username.as_str()),
        ("ada@example.com", "Ada")
    );

    assert_eq!(violations(&verify(&service, "").await.unwrap_err())[0].0, "code");
    assert_eq!(reason(verify(&service, "made up").await), Reason::InvalidEmailedCode);
    verify(&service, &mail.code).await.unwrap();
    assert!(service.profile(&token).await.unwrap().email_verified);
    assert_eq!(reason(verify(&service, &mail.code).await), Reason::InvalidEmailedCode);
    assert_eq!(reason(resend(&service, &token).await), Reason::NothingToVerify);
    service.stop().await;
}

#[tokio::test]
async fn another_code_replaces_the_one_before_and_expires_after_a_day() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let first: EmailVerificationRequested = mailbox.next().await;
    resend(&service, &token).await.unwrap();
    let second: EmailVerificationRequested = mailbox.next().await;
    assert_eq!(reason(verify(&service, &first.code).await), Reason::InvalidEmailedCode);
    service.clock.advance(TimeDelta::hours(24));
    assert_eq!(reason(verify(&service, &second.code).await), Reason::InvalidEmailedCode);
    service.stop().await;
}

#[tokio::test]
async fn an_address_changes_once_the_new_one_is_shown_to_be_read_and_the_old_one_is_told() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let first: EmailVerificationRequested = mailbox.next().await;
    resend(&service, &token).await.unwrap();
    let second: EmailVerificationRequested = mailbox.next().await;
    verify(&service, &second.code).await.unwrap();

    assert_eq!(
        reason(change(&service, &token, "ada@example.org", "another password").await),
        Reason::WrongPassword
    );
    let fields: Vec<_> = violations(&change(&service, &token, "nowhere", "").await.unwrap_err());
    assert_eq!(
        fields.into_iter().map(|(field, _)| field).collect::<Vec<_>>(),
        ["email", "password"]
    );

    change(&service, &token, "ada@example.org", PASSWORD).await.unwrap();
    let mail: EmailVerificationRequested = mailbox.next().await;
    assert_eq!(mail.email, "ada@example.org");
    let notice: SecondFactorChanged = mailbox.next().await;
    assert_eq!(notice.change(), SecondFactorChange::EmailChangeRequested);
    assert_eq!(
        notice.email.as_deref(),
        Some("ada@example.com"),
        "the old one is told while it can do something about it"
    );
    let profile = service.profile(&token).await.unwrap();
    assert_eq!(profile.email.as_deref(), Some("ada@example.com"), "not before the code");

    verify(&service, &mail.code).await.unwrap();
    let profile = service.profile(&token).await.unwrap();
    assert_eq!(
        (profile.email.as_deref(), profile.email_verified),
        (Some("ada@example.org"), true)
    );
    let notice: EmailChanged = mailbox.next().await;
    assert_eq!(notice.old_email.as_deref(), Some("ada@example.com"));
    assert_eq!(
        reason(verify(&service, &first.code).await),
        Reason::InvalidEmailedCode,
        "what was sent to the old address is of no use"
    );
    service.stop().await;
}

#[tokio::test]
async fn whoever_claims_an_address_that_is_somebody_elses_learns_nothing_and_its_owner_is_told() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    service.sign_up(ada()).await.unwrap();
    let mail: EmailVerificationRequested = mailbox.next().await;
    verify(&service, &mail.code).await.unwrap();

    let claim = SignUpRequest {
        username: "mallory".to_owned(),
        email: Some("ADA@example.com".to_owned()),
        ..ada()
    };
    let mallory = service.sign_up(claim).await.unwrap();
    let told: SignupWithKnownEmail = mailbox.next().await;
    assert_eq!(told.email, "ADA@example.com");
    resend(&service, &mallory.access_token).await.unwrap();
    let _: SignupWithKnownEmail = mailbox.next().await;
    change(&service, &mallory.access_token, "ada@example.com", PASSWORD)
        .await
        .unwrap();
    let _: SignupWithKnownEmail = mailbox.next().await;
    let notice: SecondFactorChanged = mailbox.next().await;
    assert_eq!(notice.email, None, "her own address of before is not verified");
    assert!(mailbox.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn the_owner_of_an_address_is_told_in_their_own_language_who_ever_claims_it() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    service.sign_up(ada()).await.unwrap();
    let mail: EmailVerificationRequested = mailbox.next().await;
    verify(&service, &mail.code).await.unwrap();
    sqlx::query("UPDATE authentication.account SET language = 'de' WHERE username = $1")
        .bind(ada().username)
        .execute(&service.database)
        .await
        .unwrap();
    let claim = SignUpRequest {
        username: "mallory".to_owned(),
        email: Some("ada@example.com".to_owned()),
        ..ada()
    };
    service.sign_up(claim).await.unwrap();
    let _: SignupWithKnownEmail = mailbox.next().await;
    let languages: Vec<Option<String>> =
        sqlx::query_scalar("SELECT language FROM authentication.outbox WHERE type LIKE '%SignupWithKnownEmail'")
            .fetch_all(&service.database)
            .await
            .unwrap();
    assert_eq!(languages, [Some("de".to_owned())]);
    service.stop().await;
}

/// It may be anybody's, who would be mailed each time that somebody does this to an account of their own.
#[tokio::test]
async fn an_address_that_was_never_verified_is_not_told_which_one_takes_its_place() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let _: EmailVerificationRequested = mailbox.next().await;
    change(&service, &token, "ada@example.org", PASSWORD).await.unwrap();
    let mail: EmailVerificationRequested = mailbox.next().await;
    verify(&service, &mail.code).await.unwrap();
    let notice: EmailChanged = mailbox.skip_to().await;
    assert_eq!((notice.old_email, notice.new_email.as_str()), (None, "ada@example.org"));
    service.stop().await;
}
