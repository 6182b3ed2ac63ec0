//! Logins with a passkey, and every way in which one should be refused.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use voltgate_proto::auth::v1::{BeginPasskeyLogInRequest, FinishPasskeyLogInRequest};
use voltgate_proto::events::v1::{SecondFactorChange, SecondFactorChanged};

use crate::authenticator::Authenticator;
use crate::office::Office;
use crate::passkey::grace;
use crate::second_factor::{audited, told};
use crate::service::{Service, Setup, ada, passed_on, reason};

#[tokio::test]
async fn a_passkey_logs_in_without_name_password_or_code() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let signed_up = service.sign_up(ada()).await.unwrap();
    let mut device = Authenticator::new();
    let passkey = service.register(&signed_up.access_token, &mut device).await.unwrap();
    assert_eq!((passkey.name.as_str(), passkey.last_used_at), ("A phone", None));
    assert_eq!(
        device.user_handle,
        uuid::Uuid::parse_str(&signed_up.id).unwrap().as_bytes()
    );

    for _ in 0..3 {
        let answer = service.log_in_by(&mut device).await.unwrap();
        assert_eq!(
            (answer.id.as_str(), answer.username.as_str()),
            (signed_up.id.as_str(), "Ada")
        );
        assert!(service.profile(&answer.access_token).await.is_ok());
        assert!(!answer.refresh_token.is_empty());
    }
    let listed = service.list_passkeys(&signed_up.access_token).await;
    assert_eq!((listed.len(), listed[0].id.as_str()), (1, passkey.id.as_str()));
    assert!(listed[0].last_used_at.is_some());

    let told = told(&service).await;
    assert_eq!(
        told.iter().map(SecondFactorChanged::change).collect::<Vec<_>>(),
        [SecondFactorChange::PasskeyAdded]
    );
    let audited = audited(&service, &signed_up.id).await;
    assert!(audited.contains(&"passkey.added".to_owned()), "{audited:?}");
    assert_eq!(
        audited.iter().filter(|action| *action == "session.started").count(),
        3,
        "{audited:?}"
    );
    service.stop().await;
}

/// Each of them is signed, so that nothing but what it says speaks against it.
#[tokio::test]
async fn no_answer_to_something_else_logs_anybody_in() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let mut device = Authenticator::new();
    service.register(&token, &mut device).await.unwrap();

    let changed = |change: fn(&mut Authenticator)| {
        let mut device = device.clone();
        change(&mut device);
        device
    };
    for (attack, mut device) in [
        (
            "another origin",
            changed(|device| device.origin = "http://localhost:8081".to_owned()),
        ),
        (
            "an origin that looks like ours",
            changed(|device| device.origin = "http://localhost.evil.example".to_owned()),
        ),
        (
            "the origin with https",
            changed(|device| device.origin = "https://localhost:8080".to_owned()),
        ),
        (
            "another domain",
            changed(|device| device.rp_id = "evil.example".to_owned()),
        ),
        (
            "nobody was made sure of",
            changed(|device| device.verifies_the_user = false),
        ),
        (
            "a page inside another site's",
            changed(|device| device.cross_origin = true),
        ),
        (
            "nobody's user handle",
            changed(|device| device.user_handle = vec![7; 16]),
        ),
        ("no user handle", changed(|device| device.user_handle = Vec::new())),
        (
            "a passkey that was never registered",
            changed(|device| device.credential_id = vec![7; 32]),
        ),
    ] {
        assert_eq!(
            reason(service.log_in_by(&mut device).await),
            Reason::PasskeyRefused,
            "{attack}"
        );
    }

    let (one, another) = (
        service.begin_passkey_log_in().await,
        service.begin_passkey_log_in().await,
    );
    let answer = device.get(&another.options);
    assert_eq!(
        reason(service.finish_passkey_log_in(&one.token, answer.clone()).await),
        Reason::PasskeyRefused
    );
    assert_eq!(
        reason(
            service
                .finish_passkey_log_in(&one.token, device.get(&one.options))
                .await
        ),
        Reason::PasskeyRefused,
        "a challenge is good once, even after a wrong answer"
    );
    assert!(
        service
            .finish_passkey_log_in(&another.token, answer.clone())
            .await
            .is_ok()
    );
    assert_eq!(
        reason(service.finish_passkey_log_in(&another.token, answer).await),
        Reason::PasskeyRefused
    );
    assert!(
        service.log_in_by(&mut device).await.is_ok(),
        "the genuine one still does"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_changed_byte_of_an_answer_spoils_it() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let mut device = Authenticator::new();
    service.register(&token, &mut device).await.unwrap();
    for (part, position) in [
        ("authenticatorData", 33),
        ("authenticatorData", 36),
        ("clientDataJSON", 100),
        ("signature", 20),
    ] {
        let challenge = service.begin_passkey_log_in().await;
        let mut credential: Value = serde_json::from_str(&device.get(&challenge.options)).unwrap();
        let mut bytes = crate::authenticator::decode(&credential["response"][part]);
        bytes[position] ^= 1;
        credential["response"][part] = json!(crate::authenticator::encode(&bytes));
        let refused = service
            .finish_passkey_log_in(&challenge.token, credential.to_string())
            .await;
        assert_eq!(reason(refused), Reason::PasskeyRefused, "{part} {position}");
    }
    service.stop().await;
}

#[tokio::test]
async fn somebody_elses_passkey_opens_their_account_only() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let (ada, grace) = (
        service.sign_up(ada()).await.unwrap(),
        service.sign_up(grace()).await.unwrap(),
    );
    let (mut of_ada, mut of_grace) = (Authenticator::new(), Authenticator::new());
    service.register(&ada.access_token, &mut of_ada).await.unwrap();
    service.register(&grace.access_token, &mut of_grace).await.unwrap();
    assert_eq!(service.log_in_by(&mut of_ada).await.unwrap().id, ada.id);
    assert_eq!(service.log_in_by(&mut of_grace).await.unwrap().id, grace.id);

    let mut as_ada = of_grace.clone();
    as_ada.user_handle.clone_from(&of_ada.user_handle);
    assert_eq!(
        reason(service.log_in_by(&mut as_ada).await),
        Reason::PasskeyRefused,
        "her name on another's passkey"
    );
    as_ada.credential_id.clone_from(&of_ada.credential_id);
    assert_eq!(
        reason(service.log_in_by(&mut as_ada).await),
        Reason::PasskeyRefused,
        "her passkey by another's key"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_counter_that_goes_back_is_refused_and_noted() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let signed_up = service.sign_up(ada()).await.unwrap();
    let mut device = Authenticator::new();
    service.register(&signed_up.access_token, &mut device).await.unwrap();
    let mut copy = device.clone();
    service.log_in_by(&mut device).await.unwrap();
    assert_eq!(
        reason(service.log_in_by(&mut copy).await),
        Reason::PasskeyRefused,
        "the same count twice"
    );
    device.counter = Some(100);
    service.log_in_by(&mut device).await.unwrap();
    assert_eq!(reason(service.log_in_by(&mut copy).await), Reason::PasskeyRefused);
    copy.counter = None;
    assert_eq!(
        reason(service.log_in_by(&mut copy).await),
        Reason::PasskeyRefused,
        "it no longer counts"
    );
    assert!(service.log_in_by(&mut device).await.is_ok());
    let audited = audited(&service, &signed_up.id).await;
    assert_eq!(
        audited.iter().filter(|action| *action == "passkey.suspected").count(),
        3,
        "{audited:?}"
    );
    service.stop().await;
}

/// As those do that are kept in a cloud and used on several devices.
#[tokio::test]
async fn a_passkey_that_never_counts_works_all_the_same() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let mut device = Authenticator::new();
    device.counter = None;
    service.register(&token, &mut device).await.unwrap();
    for _ in 0..2 {
        assert!(service.log_in_by(&mut device).await.is_ok());
    }
    service.stop().await;
}

/// All of them answer one challenge at two replicas, which one of them may.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_with_one_answer_one_gets_in() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let (one, other) = tokio::join!(setup.clone().start(), setup.start());
    let (one, other) = (Arc::new(one), Arc::new(other));
    let token = one.sign_up(ada()).await.unwrap().access_token;
    let mut device = Authenticator::new();
    one.register(&token, &mut device).await.unwrap();
    let challenge = one.begin_passkey_log_in().await;
    let credential = device.get(&challenge.options);
    let attempts: Vec<_> = (0..50)
        .map(|number| {
            let service = if number % 2 == 0 { one.clone() } else { other.clone() };
            let (challenge, credential) = (challenge.token.clone(), credential.clone());
            tokio::spawn(async move { service.finish_passkey_log_in(&challenge, credential).await })
        })
        .collect();
    let mut succeeded = 0;
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(_) => succeeded += 1,
            Err(status) => assert_eq!(Reason::of(&status), Reason::PasskeyRefused, "{status}"),
        }
    }
    assert_eq!(succeeded, 1);
    Arc::into_inner(one).unwrap().stop().await;
    Arc::into_inner(other).unwrap().stop().await;
}

#[tokio::test]
async fn the_passkey_of_a_disabled_account_logs_nobody_in() {
    let database = Database::create().await;
    let office = Office::open(&database).await;
    let service = &office.service;
    let signed_up = service.sign_up(ada()).await.unwrap();
    let mut device = Authenticator::new();
    service.register(&signed_up.access_token, &mut device).await.unwrap();
    office.set_disabled(&signed_up.id, true).await;
    assert_eq!(reason(service.log_in_by(&mut device).await), Reason::PasskeyRefused);
    office.set_disabled(&signed_up.id, false).await;
    office.force_reset(&signed_up.id).await.unwrap();
    let mut copy = device.clone();
    assert_eq!(
        reason(service.log_in_by(&mut device).await),
        Reason::PasswordResetRequired
    );
    assert_eq!(
        reason(service.log_in_by(&mut copy).await),
        Reason::PasskeyRefused,
        "it has counted all the same"
    );
    office.service.stop().await;
}

/// Anybody may ask for one, and each is a row for five minutes.
#[tokio::test]
async fn challenges_for_one_address_are_bounded_and_those_for_another_are_not_concerned() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.clock.stop();
    let begin = async |address: [u8; 4]| {
        let request = passed_on(&service.service_tokens(), address.into(), BeginPasskeyLogInRequest {});
        service.passkeys.clone().begin_passkey_log_in(request).await
    };
    let mut begun = 0;
    let refusal = loop {
        match begin([198, 51, 100, 1]).await {
            Ok(_) => begun += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(Reason::of(&refusal), Reason::TooManyRequests);
    let policy = refusal.metadata().get("ratelimit-policy").unwrap();
    assert_eq!(policy, "\"passkey-challenge\";q=100;w=100");
    assert_eq!(begun, 101);
    assert_eq!(
        service
            .count("SELECT count(*) FROM authentication.passkey_challenge")
            .await,
        101
    );
    assert!(begin([192, 0, 2, 1]).await.is_ok());
    service.stop().await;
}

#[tokio::test]
async fn wrong_answers_make_their_address_wait_for_a_moment_and_nobody_elses_passkey() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.clock.stop();
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let mut device = Authenticator::new();
    service.register(&token, &mut device).await.unwrap();
    let challenge = service.begin_passkey_log_in().await;
    let answer = device.get(&challenge.options);
    let finish = async |address: [u8; 4], token: &str| {
        let request = FinishPasskeyLogInRequest {
            token: token.to_owned(),
            credential: answer.clone(),
        };
        let request = passed_on(&service.service_tokens(), address.into(), request);
        service.passkeys.clone().finish_passkey_log_in(request).await
    };
    // However long somebody goes on, whoever shares the address waits for a moment and no longer.
    for attempts in [101, 1, 1, 1, 1, 1, 1, 1] {
        for _ in 0..attempts {
            let refused = finish([198, 51, 100, 1], "a token that was made up").await;
            assert_eq!(reason(refused), Reason::PasskeyRefused);
        }
        let refused = finish([198, 51, 100, 1], &challenge.token).await.unwrap_err();
        assert_eq!(
            Reason::of(&refused),
            Reason::TooManyRequests,
            "not even the right one is looked at"
        );
        assert_eq!(refused.metadata().get("ratelimit").unwrap(), "\"passkey\";r=0;t=1");
        service.clock.advance(TimeDelta::seconds(1));
    }
    assert!(finish([192, 0, 2, 1], &challenge.token).await.is_ok());
    let challenge = service.begin_passkey_log_in().await;
    let answer = device.get(&challenge.options);
    let request = FinishPasskeyLogInRequest {
        token: challenge.token,
        credential: answer,
    };
    let request = passed_on(&service.service_tokens(), [198, 51, 100, 1].into(), request);
    assert!(service.passkeys.clone().finish_passkey_log_in(request).await.is_ok());
    service.stop().await;
}
