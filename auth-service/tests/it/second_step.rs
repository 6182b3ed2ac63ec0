//! The second step of a login, where the account has an authenticator app.

use std::sync::Arc;

use chrono::TimeDelta;
use service_kit::reason::Reason;
use testbed::Database;
use tonic_types::StatusExt as _;
use voltgate_proto::auth::v1::LogInRequest;

use crate::mailbox::Mailbox;
use crate::office::Office;
use crate::passwords;
use crate::second_factor::{App, audited, protect, protected_ada};
use crate::service::{PASSWORD, Service, Setup, ada, passed_on, reason, violations};

#[tokio::test]
async fn a_login_in_two_steps_ends_as_one_in_one_step_does() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    let challenge = service.challenge("Ada").await;
    assert_eq!(challenge.methods, ["totp", "recovery-code"]);
    assert_eq!(challenge.expires_in, 300);
    let answer = service
        .finish(&challenge.token, &ada.app.code(&service, 0))
        .await
        .unwrap();
    assert_eq!(
        (answer.id.as_str(), answer.username.as_str()),
        (ada.account.as_str(), "Ada")
    );
    assert_eq!((answer.token_type.as_str(), answer.expires_in), ("Bearer", 300));
    assert!(service.profile(&answer.access_token).await.is_ok());
    assert!(!answer.refresh_token.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn a_code_of_the_step_before_or_after_is_accepted_and_none_further_off() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    service.clock.advance(TimeDelta::minutes(5));
    for steps in [-2, 2] {
        let code = ada.app.code(&service, steps);
        assert_eq!(reason(service.log_in_with(&code).await), Reason::InvalidCode, "{steps}");
    }
    for steps in [-1, 0, 1] {
        let code = ada.app.code(&service, steps);
        assert!(service.log_in_with(&code).await.is_ok(), "{steps}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_code_works_once_and_none_before_it_works_afterwards() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    service.clock.advance(TimeDelta::minutes(5));
    let (before, code) = (ada.app.code(&service, -1), ada.app.code(&service, 0));
    service.log_in_with(&code).await.unwrap();
    assert_eq!(reason(service.log_in_with(&code).await), Reason::InvalidCode);
    assert_eq!(reason(service.log_in_with(&before).await), Reason::InvalidCode);
    service.clock.advance(TimeDelta::seconds(30));
    let token = service
        .log_in_with(&ada.app.code(&service, 0))
        .await
        .unwrap()
        .access_token;
    let used = ada.app.code(&service, 0);
    assert_eq!(
        reason(service.remove_totp(&token, PASSWORD, &used).await),
        Reason::WrongCode
    );
    service.stop().await;
}

/// Fifty requests bring one code, five with each of ten logins, to two replicas at once.
#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_requests_with_one_code_at_two_replicas_one_gets_in() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let (one, other) = tokio::join!(setup.clone().start(), setup.start());
    let (one, other) = (Arc::new(one), Arc::new(other));
    let ada = protected_ada(&one).await;
    let totp = ada.app.code(&one, 0);
    for (code, method) in [
        (totp.as_str(), "totp"),
        (ada.recovery_codes[3].as_str(), "recovery code"),
    ] {
        let mut tokens = Vec::new();
        for _ in 0..10 {
            tokens.push(one.challenge("Ada").await.token);
        }
        let attempts: Vec<_> = tokens
            .iter()
            .flat_map(|token| std::iter::repeat_n(token.clone(), 5))
            .enumerate()
            .map(|(number, token)| {
                let service = if number % 2 == 0 { one.clone() } else { other.clone() };
                let code = code.to_owned();
                tokio::spawn(async move { service.finish(&token, &code).await })
            })
            .collect();
        let mut succeeded = 0;
        for attempt in attempts {
            match attempt.await.unwrap() {
                Ok(_) => succeeded += 1,
                Err(status) => assert!(
                    matches!(
                        Reason::of(&status),
                        Reason::InvalidCode | Reason::TooManyRequests | Reason::InvalidChallenge
                    ),
                    "{status}"
                ),
            }
        }
        assert_eq!(succeeded, 1, "{method}");
    }
    let left = one.count("SELECT count(*) FROM authentication.recovery_code").await;
    assert_eq!(left, 9);
    Arc::into_inner(one).unwrap().stop().await;
    Arc::into_inner(other).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_challenge_starts_one_session_however_many_answers_come_at_once() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let (one, other) = tokio::join!(setup.clone().start(), setup.start());
    let (one, other) = (Arc::new(one), Arc::new(other));
    let ada = protected_ada(&one).await;
    let token = one.challenge("Ada").await.token;
    let attempts: Vec<_> = ada
        .recovery_codes
        .iter()
        .enumerate()
        .map(|(number, code)| {
            let service = if number % 2 == 0 { one.clone() } else { other.clone() };
            let (token, code) = (token.clone(), code.clone());
            tokio::spawn(async move { service.finish(&token, &code).await })
        })
        .collect();
    let mut succeeded = 0;
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(_) => succeeded += 1,
            Err(status) => assert_eq!(Reason::of(&status), Reason::InvalidChallenge),
        }
    }
    assert_eq!(succeeded, 1);
    let left = one.count("SELECT count(*) FROM authentication.recovery_code").await;
    assert_eq!(left, 9, "the codes of those who came too late are not used up");
    Arc::into_inner(one).unwrap().stop().await;
    Arc::into_inner(other).unwrap().stop().await;
}

#[tokio::test]
async fn the_second_step_may_reach_another_replica_than_the_first() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let (one, other) = tokio::join!(setup.clone().start(), setup.start());
    one.clock.stop();
    let signed_up = one.sign_up(ada()).await.unwrap();
    let set_up = one.begin_totp(&signed_up.access_token, PASSWORD).await.unwrap();
    let app = App::new(&set_up.secret);
    let code = app.code(&other, 0);
    other.confirm_totp(&signed_up.access_token, &code).await.unwrap();
    let challenge = one.challenge("Ada").await;
    assert_eq!(
        reason(other.finish(&challenge.token, &code).await),
        Reason::InvalidCode,
        "it was used to confirm"
    );
    let next = app.code(&other, 1);
    assert!(other.finish(&challenge.token, &next).await.is_ok());
    assert_eq!(
        reason(one.finish(&challenge.token, &next).await),
        Reason::InvalidChallenge
    );
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_challenge_takes_five_codes_and_five_minutes_and_one_login() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    let nonsense = "not-a-code";

    let tried = service.challenge("Ada").await.token;
    for _ in 0..5 {
        assert_eq!(
            reason(service.finish(&tried, "0000-0000-0000-0000").await),
            Reason::InvalidCode
        );
    }
    let code = ada.app.code(&service, 0);
    assert_eq!(reason(service.finish(&tried, &code).await), Reason::InvalidChallenge);

    let late = service.challenge("Ada").await.token;
    service.clock.advance(TimeDelta::minutes(5));
    let code = ada.app.code(&service, 0);
    assert_eq!(reason(service.finish(&late, &code).await), Reason::InvalidChallenge);

    let used = service.challenge("Ada").await.token;
    service.finish(&used, &code).await.unwrap();
    assert_eq!(
        reason(service.finish(&used, &ada.recovery_codes[0]).await),
        Reason::InvalidChallenge
    );

    assert_eq!(
        reason(service.finish(nonsense, &ada.recovery_codes[0]).await),
        Reason::InvalidChallenge
    );
    let required = |fields: &[&str]| -> Vec<(String, String)> {
        fields
            .iter()
            .map(|field| ((*field).to_owned(), "is required".to_owned()))
            .collect()
    };
    assert_eq!(
        violations(&service.finish("", "").await.unwrap_err()),
        required(&["token", "code"])
    );
    let left = service.count("SELECT count(*) FROM authentication.recovery_code").await;
    assert_eq!(left, 10);
    service.stop().await;
}

#[tokio::test]
async fn a_challenge_ends_with_the_password_that_it_was_given_for() {
    const NEW: &str = "rain on a tin roof";
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    let challenge = service.challenge("Ada").await;
    let token = ada.access_token.as_str();
    let recovery_code = ada.recovery_codes[0].as_str();
    passwords::change_with(&service, token, PASSWORD, NEW, Some(recovery_code))
        .await
        .unwrap();
    let code = ada.app.code(&service, 0);
    assert_eq!(
        reason(service.finish(&challenge.token, &code).await),
        Reason::InvalidChallenge
    );
    let challenge = service.challenge_with("Ada", NEW).await;
    assert!(
        service.finish(&challenge.token, &code).await.is_ok(),
        "the code was not used up"
    );
    service.stop().await;
}

#[tokio::test]
async fn an_account_disabled_between_the_steps_does_not_get_in() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let ada = protected_ada(&office.service).await;
    let challenge = office.service.challenge("Ada").await;
    office.disable(&ada.account).await;
    let code = ada.app.code(&office.service, 0);
    assert_eq!(
        reason(office.service.finish(&challenge.token, &code).await),
        Reason::InvalidChallenge
    );
    office.service.stop().await;
}

#[tokio::test]
async fn wrong_codes_make_the_account_wait_across_challenges_and_replicas_but_not_for_recovery_codes() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let (one, other) = tokio::join!(setup.clone().start(), setup.start());
    let ada = protected_ada(&one).await;
    let wrong = ada.app.wrong_code(&one);
    for number in 0..5 {
        let service = if number % 2 == 0 { &one } else { &other };
        assert_eq!(reason(service.log_in_with(&wrong).await), Reason::InvalidCode);
    }
    let refusal = other.log_in_with(&ada.app.code(&other, 0)).await.unwrap_err();
    assert_eq!(
        Reason::of(&refusal),
        Reason::TooManyRequests,
        "the right one is not looked at either"
    );
    let wait = refusal.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert_eq!(wait.as_secs(), 30);

    assert!(
        one.log_in_with(&ada.recovery_codes[0]).await.is_ok(),
        "the owner is not locked out"
    );
    assert_eq!(
        reason(one.log_in_with(&ada.app.code(&one, 0)).await),
        Reason::TooManyRequests
    );

    one.clock.advance(TimeDelta::seconds(30));
    assert_eq!(reason(one.log_in_with(&wrong).await), Reason::InvalidCode);
    let refusal = one.log_in_with(&wrong).await.unwrap_err();
    let wait = refusal.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert_eq!(wait.as_secs(), 60, "the wait doubles");

    one.clock.advance(TimeDelta::seconds(60));
    assert!(one.log_in_with(&ada.app.code(&one, 0)).await.is_ok());
    assert_eq!(
        reason(one.log_in_with(&wrong).await),
        Reason::InvalidCode,
        "the right code starts the count anew"
    );
    assert_eq!(reason(one.log_in_with(&wrong).await), Reason::InvalidCode);
    one.stop().await;
    other.stop().await;
}

/// A stranger gets as far as a challenge that the owner has used or that was made up, and to none that is open.
#[tokio::test]
async fn a_stranger_without_the_password_makes_nobody_wait() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    let wrong = ada.app.wrong_code(&service);
    let used = service.challenge("Ada").await.token;
    service.finish(&used, &ada.recovery_codes[0]).await.unwrap();
    for token in [used.as_str(), "a token that was made up"].repeat(10) {
        assert_eq!(reason(service.finish(token, &wrong).await), Reason::InvalidChallenge);
    }
    let counted = "SELECT count(*) FROM authentication.totp WHERE wrong_codes > 0 OR wait_until IS NOT NULL";
    assert_eq!(service.count(counted).await, 0);
    let refused = service.log_in("Ada", "not her password").await;
    assert_eq!(
        reason(refused),
        Reason::InvalidCredentials,
        "nor is there a challenge without the password"
    );
    assert!(service.log_in_with(&ada.app.code(&service, 0)).await.is_ok());

    // The same codes, brought by somebody who has the password, do make the account wait.
    for _ in 0..5 {
        assert_eq!(reason(service.log_in_with(&wrong).await), Reason::InvalidCode);
    }
    assert_eq!(reason(service.log_in_with(&wrong).await), Reason::TooManyRequests);
    service.stop().await;
}

#[tokio::test]
async fn a_login_in_two_steps_and_a_wrong_code_are_in_the_audit_log() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    let wrong = ada.app.wrong_code(&service);
    service.log_in_with(&wrong).await.unwrap_err();
    service.log_in_with(&ada.app.code(&service, 0)).await.unwrap();
    let audited = audited(&service, &ada.account).await;
    assert_eq!(
        audited[audited.len() - 2..],
        ["second-factor.failed", "session.started"]
    );
    let details: serde_json::Value =
        sqlx::query_scalar("SELECT details FROM authentication.audit ORDER BY id DESC LIMIT 1")
            .fetch_one(&service.database)
            .await
            .unwrap();
    assert_eq!(details["secondFactor"], "totp");
    service.stop().await;
}

/// Each costs a right password and is a row, so a program that never finishes a login would fill a table.
#[tokio::test]
async fn ten_challenges_are_open_for_an_account_at_an_address_and_those_elsewhere_stay() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    let challenge_from = async |address: [u8; 4]| {
        let request = LogInRequest {
            username: "Ada".to_owned(),
            password: PASSWORD.to_owned(),
        };
        let request = passed_on(&service.service_tokens(), address.into(), request);
        let answer = service.client.clone().log_in(request).await.unwrap().into_inner();
        answer.second_factor.unwrap().token
    };
    let elsewhere = challenge_from([198, 51, 100, 1]).await;
    let mut here = Vec::new();
    for _ in 0..12 {
        service.clock.advance(TimeDelta::milliseconds(1));
        here.push(challenge_from([192, 0, 2, 1]).await);
    }
    assert_eq!(
        service
            .count("SELECT count(*) FROM authentication.login_challenge")
            .await,
        11
    );
    assert_eq!(
        reason(service.finish(&here[1], &ada.recovery_codes[0]).await),
        Reason::InvalidChallenge
    );
    for (token, code) in [&here[2], &here[11], &elsewhere].into_iter().zip(&ada.recovery_codes) {
        service.finish(token, code).await.unwrap();
    }
    service.stop().await;
}

#[tokio::test]
async fn a_code_that_was_right_is_used_up_though_another_password_is_demanded() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let service = &office.service;
    let ada = protected_ada(service).await;
    let token = service.challenge("Ada").await.token;
    office.force_reset(&ada.account).await.unwrap();
    let code = ada.app.code(service, 0);
    assert_eq!(
        reason(service.finish(&token, &code).await),
        Reason::PasswordResetRequired
    );
    assert_eq!(reason(service.finish(&token, &code).await), Reason::InvalidCode);
    office.service.stop().await;
}

#[tokio::test]
async fn a_reset_of_the_password_does_not_go_round_the_second_factor() {
    const NEW: &str = "rain on a tin roof";
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let mut mailbox = Mailbox::on(&setup.bus);
    let service = setup.start().await;
    let signed_up = service.sign_up(ada()).await.unwrap();
    let _: voltgate_proto::events::v1::EmailVerificationRequested = mailbox.next().await;
    let ada = protect(&service, &signed_up.access_token, &signed_up.id).await;
    passwords::forgot(&service, "ada@example.com").await.unwrap();
    let mail: voltgate_proto::events::v1::PasswordResetRequested = mailbox.skip_to().await;
    passwords::reset(&service, &mail.code, NEW).await.unwrap();
    let challenge = service.challenge_with("Ada", NEW).await;
    let wrong = ada.app.wrong_code(&service);
    assert_eq!(
        reason(service.finish(&challenge.token, &wrong).await),
        Reason::InvalidCode
    );
    let code = ada.app.code(&service, 0);
    service.finish(&challenge.token, &code).await.unwrap();
    service.stop().await;
}
