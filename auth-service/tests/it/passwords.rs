//! Passwords: changed by those who know them, reset by those who read the mail.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use tonic_types::StatusExt as _;
use voltgate_proto::auth::v1::{
    ChangePasswordRequest, ForgotPasswordRequest, RefreshRequest, ResetPasswordRequest, SignUpRequest,
};
use voltgate_proto::events::v1::{EmailVerificationRequested, PasswordChanged, PasswordResetRequested};

use crate::addresses;
use crate::mailbox::Mailbox;
use crate::samples::Samples;
use crate::service::{PASSWORD, Service, Setup, ada, authorized, passed_on, reason, violations};

const NEW: &str = "rain on a tin roof";

async fn start(database: &Database) -> (Service, Mailbox) {
    let setup = Setup::on(database);
    let mailbox = Mailbox::on(&setup.bus);
    (setup.start().await, mailbox)
}

async fn change(service: &Service, token: &str, current: &str, new: &str) -> Result<(), Status> {
    change_with(service, token, current, new, None).await
}

pub async fn change_with(
    service: &Service,
    token: &str,
    current: &str,
    new: &str,
    code: Option<&str>,
) -> Result<(), Status> {
    let request = ChangePasswordRequest {
        current_password: current.to_owned(),
        new_password: new.to_owned(),
        code: code.map(str::to_owned),
    };
    service
        .passwords
        .clone()
        .change_password(authorized(request, token))
        .await?;
    Ok(())
}

pub async fn forgot(service: &Service, email: &str) -> Result<(), Status> {
    let request = ForgotPasswordRequest {
        email: email.to_owned(),
    };
    service.passwords.clone().forgot_password(request).await?;
    Ok(())
}

pub async fn reset(service: &Service, code: &str, new: &str) -> Result<(), Status> {
    let request = ResetPasswordRequest {
        code: code.to_owned(),
        new_password: new.to_owned(),
    };
    service.passwords.clone().reset_password(request).await?;
    Ok(())
}

#[tokio::test]
async fn whoever_knows_the_password_changes_it_and_every_other_session_ends() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    let other = service.sign_up(ada()).await.unwrap();
    let this = service.log_in("Ada", PASSWORD).await.unwrap();
    let token = this.access_token.as_str();
    let mail: EmailVerificationRequested = mailbox.next().await;
    addresses::verify(&service, &mail.code).await.unwrap();

    assert_eq!(
        reason(change(&service, token, "another password", NEW).await),
        Reason::WrongPassword
    );
    let refused = change(&service, token, "", "short").await.unwrap_err();
    let fields: Vec<_> = violations(&refused).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["currentPassword", "newPassword"]);
    let refused = change(&service, token, PASSWORD, "contains ADA").await.unwrap_err();
    assert_eq!(
        violations(&refused),
        [("newPassword".to_owned(), "contains the username".to_owned())]
    );

    change(&service, token, PASSWORD, NEW).await.unwrap();
    let mail: PasswordChanged = mailbox.next().await;
    assert_eq!(
        (mail.email.as_deref(), mail.address.as_str()),
        (Some("ada@example.com"), "127.0.0.1")
    );
    let refresh = |token: &str| {
        let request = RefreshRequest {
            refresh_token: token.to_owned(),
        };
        let mut client = service.client.clone();
        async move { client.refresh(request).await }
    };
    assert!(refresh(&this.refresh_token).await.is_ok());
    assert_eq!(reason(refresh(&other.refresh_token).await), Reason::InvalidRefreshToken);
    assert_eq!(
        reason(service.log_in("Ada", PASSWORD).await),
        Reason::InvalidCredentials
    );
    assert!(service.log_in("Ada", NEW).await.is_ok());
    service.stop().await;
}

#[tokio::test]
async fn a_forgotten_password_is_reset_with_a_code_that_is_good_once_and_all_sessions_end() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    let before = service.sign_up(ada()).await.unwrap();
    let _: EmailVerificationRequested = mailbox.next().await;
    forgot(&service, "ADA@example.com").await.unwrap();
    let mail: PasswordResetRequested = mailbox.next().await;
    assert_eq!(
        (mail.email.as_str(), mail.username.as_str()),
        ("ada@example.com", "Ada")
    );
    assert_eq!(mail.code.len(), 43);

    let refused = reset(&service, &mail.code, "short").await.unwrap_err();
    assert_eq!(Reason::of(&refused), Reason::InvalidRequest);
    let refused = reset(&service, &mail.code, "xx-ada-xx").await.unwrap_err();
    assert_eq!(
        violations(&refused),
        [("newPassword".to_owned(), "contains the username".to_owned())]
    );
    reset(&service, &mail.code, NEW).await.unwrap();
    let _: PasswordChanged = mailbox.next().await;
    assert_eq!(
        reason(reset(&service, &mail.code, NEW).await),
        Reason::InvalidEmailedCode
    );

    let request = RefreshRequest {
        refresh_token: before.refresh_token,
    };
    assert_eq!(
        reason(service.client.clone().refresh(request).await),
        Reason::InvalidRefreshToken
    );
    assert_eq!(
        reason(service.log_in("Ada", PASSWORD).await),
        Reason::InvalidCredentials
    );
    let token = service.log_in("Ada", NEW).await.unwrap().access_token;
    assert!(
        service.profile(&token).await.unwrap().email_verified,
        "somebody reads the mail"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_code_is_good_for_ten_minutes_and_only_the_newest_is() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    service.sign_up(ada()).await.unwrap();
    let verification: EmailVerificationRequested = mailbox.next().await;
    forgot(&service, "ada@example.com").await.unwrap();
    let first: PasswordResetRequested = mailbox.next().await;
    forgot(&service, "ada@example.com").await.unwrap();
    let second: PasswordResetRequested = mailbox.next().await;
    for code in [first.code.as_str(), verification.code.as_str(), "made up"] {
        assert_eq!(reason(reset(&service, code, NEW).await), Reason::InvalidEmailedCode);
    }
    service.clock.advance(TimeDelta::minutes(10));
    assert_eq!(
        reason(reset(&service, &second.code, NEW).await),
        Reason::InvalidEmailedCode
    );
    service.stop().await;
}

/// Everything that comes with an answer, but when it was given.
fn headers(metadata: &tonic::metadata::MetadataMap) -> Vec<(String, String)> {
    let mut headers: Vec<_> = metadata
        .clone()
        .into_headers()
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| (name.to_string(), format!("{value:?}")))
        .collect();
    headers.sort();
    assert!(!headers.is_empty());
    headers
}

#[tokio::test]
async fn an_address_without_an_account_gets_the_same_answer_and_no_mail() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    let answer = async |email: &str| {
        let request = ForgotPasswordRequest {
            email: email.to_owned(),
        };
        let answer = service.passwords.clone().forgot_password(request).await.unwrap();
        headers(answer.metadata())
    };
    let unknown = answer("nobody@example.com").await;
    let refused = forgot(&service, "nobody").await.unwrap_err();
    assert_eq!(
        violations(&refused),
        [("email".to_owned(), "is not an email address".to_owned())]
    );
    service.sign_up(ada()).await.unwrap();
    let _: EmailVerificationRequested = mailbox.next().await;
    assert_eq!(answer("ada@example.com").await, unknown);
    let mail: PasswordResetRequested = mailbox.next().await;
    assert_eq!(mail.username, "Ada");
    assert!(mailbox.is_empty());
    assert_eq!(
        service
            .count("SELECT count(*) FROM authentication.forgotten_password")
            .await,
        0
    );
    service.stop().await;
}

/// Each request comes from another address and is for another mailbox, because nobody gets to ask forty times.
#[tokio::test]
async fn an_address_without_an_account_is_answered_as_fast_as_one_with() {
    let database = Database::create().await;
    let (service, _mailbox) = start(&database).await;
    let mailbox = |kind: &str, number: u8| format!("{kind}-{number}@example.com");
    for number in 0..40 {
        let known = SignUpRequest {
            username: mailbox("known", number),
            email: None,
            ..ada()
        };
        service.sign_up(known).await.unwrap();
    }
    let mut samples = Samples::default();
    for number in 0..80_u8 {
        // In pairs of either order, so that what the one leaves to do falls on both kinds alike.
        let is_known = matches!(number % 4, 0 | 3);
        let kind = if is_known { "known" } else { "unknown" };
        let request = ForgotPasswordRequest {
            email: mailbox(kind, number / 2),
        };
        let request = passed_on(&service.service_tokens(), [192, 0, 2, number].into(), request);
        let start = Instant::now();
        service.passwords.clone().forgot_password(request).await.unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let samples = if is_known {
            &mut samples.known
        } else {
            &mut samples.unknown
        };
        samples.push(seconds);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    samples.assert_alike();
    service.stop().await;
}

#[tokio::test]
async fn a_mailbox_is_not_flooded_and_the_refusal_tells_nothing() {
    let database = Database::create().await;
    let (service, _mailbox) = start(&database).await;
    service.clock.stop();
    service.sign_up(ada()).await.unwrap();
    // To the mailbox of the account has gone one already.
    let _ = forgot(&service, "nobody@example.com").await;
    let refusal = async |email: &str| {
        for _ in 0..20 {
            if let Err(refusal) = forgot(&service, email).await {
                return refusal;
            }
        }
        panic!("twenty mails to {email}");
    };
    let (known, unknown) = (refusal("ada@example.com").await, refusal("nobody@example.com").await);
    assert_eq!(Reason::of(&known), Reason::TooManyRequests);
    assert_eq!((known.code(), known.message()), (unknown.code(), unknown.message()));
    assert_eq!(known.details(), unknown.details());
    assert_eq!(headers(known.metadata()), headers(unknown.metadata()));
    assert!(known.metadata().contains_key("ratelimit"));
    service.stop().await;
}

#[tokio::test]
async fn no_code_is_kept_in_the_clear_once_its_mail_is_on_its_way() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    service.sign_up(ada()).await.unwrap();
    let verification: EmailVerificationRequested = mailbox.next().await;
    forgot(&service, "ada@example.com").await.unwrap();
    let reset: PasswordResetRequested = mailbox.next().await;
    let on_their_way = "SELECT count(*) FROM authentication.outbox WHERE type LIKE '%Requested' AND sent_at IS NULL";
    while service.count(on_their_way).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let codes: String = sqlx::query_scalar("SELECT string_agg(email_code::text, ' ') FROM authentication.email_code")
        .fetch_one(&service.database)
        .await
        .unwrap();
    let outbox: Vec<Vec<u8>> = sqlx::query_scalar("SELECT coalesce(data, '') FROM authentication.outbox")
        .fetch_all(&service.database)
        .await
        .unwrap();
    for code in [&verification.code, &reset.code] {
        assert!(!codes.contains(code.as_str()));
        assert!(
            outbox
                .iter()
                .all(|data| !String::from_utf8_lossy(data).contains(code.as_str()))
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn a_new_password_that_breaks_a_rule_costs_no_attempt_where_the_code_is_right() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    service.clock.stop();
    service.sign_up(ada()).await.unwrap();
    let _: EmailVerificationRequested = mailbox.next().await;
    forgot(&service, "ada@example.com").await.unwrap();
    let mail: PasswordResetRequested = mailbox.next().await;
    for _ in 0..120 {
        let refused = reset(&service, &mail.code, "short").await;
        assert_eq!(reason(refused), Reason::InvalidRequest);
    }
    reset(&service, &mail.code, NEW).await.unwrap();
    for _ in 0..101 {
        let refused = reset(&service, "made up", NEW).await;
        assert_eq!(reason(refused), Reason::InvalidEmailedCode);
    }
    let refused = reset(&service, "made up", NEW).await.unwrap_err();
    assert_eq!(Reason::of(&refused), Reason::TooManyRequests);
    service.stop().await;
}

#[tokio::test]
async fn a_reset_without_a_code_is_told_everything_that_is_wrong_and_costs_no_attempt() {
    let database = Database::create().await;
    let (service, _mailbox) = start(&database).await;
    let refused = reset(&service, "", "short").await.unwrap_err();
    let fields: Vec<_> = violations(&refused).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["code", "newPassword"]);
    let refused = reset(&service, "", NEW).await.unwrap_err();
    assert_eq!(violations(&refused), [("code".to_owned(), "is required".to_owned())]);
    assert_eq!(service.count("SELECT count(*) FROM authentication.throttle").await, 0);
    service.stop().await;
}

#[tokio::test]
async fn too_many_forgotten_passwords_are_refused_with_the_limit_that_they_ran_in() {
    let database = Database::create().await;
    let (service, _mailbox) = start(&database).await;
    service.clock.stop();
    let refusal = loop {
        if let Err(refusal) = forgot(&service, "ada@example.com").await {
            break refusal;
        }
    };
    let header = |name: &str| refusal.metadata().get(name).unwrap().to_str().unwrap();
    assert_eq!(header("ratelimit-policy"), "\"mail\";q=3;w=3600");
    assert_eq!(header("ratelimit"), "\"mail\";r=0;t=60");
    let wait = refusal.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert_eq!(wait, Duration::from_secs(60));
    service.stop().await;
}

#[tokio::test]
async fn where_an_address_has_an_owner_whoever_else_claims_it_gets_no_code_sent_there() {
    let database = Database::create().await;
    let (service, mut mailbox) = start(&database).await;
    let named = |username: &str| SignUpRequest {
        username: username.to_owned(),
        ..ada()
    };
    service.sign_up(named("mallory")).await.unwrap();
    let _: EmailVerificationRequested = mailbox.next().await;
    service.sign_up(ada()).await.unwrap();
    let mail: EmailVerificationRequested = mailbox.next().await;
    forgot(&service, "ada@example.com").await.unwrap();
    let claimed: [PasswordResetRequested; 2] = [mailbox.next().await, mailbox.next().await];
    assert_eq!(
        claimed.map(|mail| mail.username),
        ["mallory", "Ada"],
        "nobody has verified it"
    );

    addresses::verify(&service, &mail.code).await.unwrap();
    forgot(&service, "ada@example.com").await.unwrap();
    let owned: PasswordResetRequested = mailbox.next().await;
    assert_eq!(owned.username, "Ada");
    let until_looked_into = "SELECT count(*) FROM authentication.forgotten_password";
    while service.count(until_looked_into).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let sent = "SELECT count(*) FROM authentication.outbox WHERE type LIKE '%PasswordResetRequested'";
    assert_eq!(service.count(sent).await, 3);
    service.stop().await;
}
