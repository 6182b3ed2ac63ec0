use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use service_kit::reason::Reason;
use testbed::Database;
use tonic_types::StatusExt;

use crate::samples::Samples;
use crate::service::{PASSWORD, Service, ada, violations};

#[tokio::test]
async fn a_login_answers_as_a_signup_does_in_every_case_of_the_name() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let signed_up = service.sign_up(ada()).await.unwrap();
    for username in ["Ada", "ada", "ADA"] {
        let answer = service.log_in(username, PASSWORD).await.unwrap();
        assert_eq!(
            (answer.id.as_str(), answer.username.as_str()),
            (signed_up.id.as_str(), "Ada")
        );
        assert_eq!((answer.token_type.as_str(), answer.expires_in), ("Bearer", 300));
        assert!(service.profile(&answer.access_token).await.is_ok());
    }
    service.stop().await;
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_look_the_same() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.sign_up(ada()).await.unwrap();
    let wrong_password = service.log_in("Ada", "another password").await.unwrap_err();
    assert_eq!(Reason::of(&wrong_password), Reason::InvalidCredentials);
    let long = "x".repeat(10_000);
    for (username, password) in [
        ("Grace", "another password"),
        ("Grace", PASSWORD),
        ("not a username", PASSWORD),
        ("Ada\0", PASSWORD),
        (long.as_str(), PASSWORD),
        ("Ada", long.as_str()),
        ("Ada", "Correct horse battery"),
        ("Ada", "correct horse battery "),
    ] {
        let refusal = service.log_in(username, password).await.unwrap_err();
        assert_eq!(refusal.code(), wrong_password.code(), "{username:?}");
        assert_eq!(refusal.message(), wrong_password.message());
        assert_eq!(refusal.details(), wrong_password.details());
        let names = |status: &tonic::Status| -> Vec<String> {
            let mut names: Vec<_> = status.metadata().keys().map(|key| format!("{key:?}")).collect();
            names.sort();
            names
        };
        assert_eq!(names(&refusal), names(&wrong_password));
    }
    service.stop().await;
}

/// Of two attempts made one after the other, one for an account and one for none, either may be the slower one, whatever
/// else the machine is doing. Without the decoy hash an unknown name would be answered some fifty times as fast, always.
#[tokio::test]
async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.sign_up(ada()).await.unwrap();
    let mut samples = Samples::default();
    for round in 0..40_u8 {
        // Nobody has to wait: each attempt comes from elsewhere, an hour after the one before.
        service.clock.advance(TimeDelta::hours(1));
        for (username, samples) in [("Ada", &mut samples.known), ("Grace", &mut samples.unknown)] {
            let start = Instant::now();
            let answer = service
                .log_in_from([192, 0, 2, round], username, "another password")
                .await;
            samples.push(start.elapsed().as_secs_f64());
            assert_eq!(Reason::of(&answer.unwrap_err()), Reason::InvalidCredentials);
        }
    }
    samples.assert_alike();
    service.stop().await;
}

#[tokio::test]
async fn a_login_without_a_name_or_a_password_says_so() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let required = |fields: &[&str]| -> Vec<(String, String)> {
        fields
            .iter()
            .map(|field| ((*field).to_owned(), "is required".to_owned()))
            .collect()
    };
    assert_eq!(
        violations(&service.log_in("", "").await.unwrap_err()),
        required(&["username", "password"])
    );
    assert_eq!(
        violations(&service.log_in("Ada", "").await.unwrap_err()),
        required(&["password"])
    );
    service.stop().await;
}

/// Three times what the pool of hashes takes in. Whoever is logged in meanwhile notices little of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_logins_is_shed_and_everything_else_is_answered_meanwhile() {
    let database = Database::create().await;
    let service = Arc::new(Service::start(&database).await);
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let cores = std::thread::available_parallelism().unwrap().get();
    let storm: Vec<_> = (0..cores * 17 * 3)
        .map(|number| {
            let service = service.clone();
            tokio::spawn(async move {
                let from = Ipv4Addr::from_bits(number as u32);
                let refusal = service.log_in_from(from, &format!("Grace{number}"), PASSWORD).await;
                refusal.unwrap_err()
            })
        })
        .collect();
    let start = Instant::now();
    service.jwks().await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let mut waits = Vec::new();
    while waits.len() < 20 || storm.iter().any(|attempt| !attempt.is_finished()) {
        let start = Instant::now();
        service.profile(&token).await.unwrap();
        waits.push(start.elapsed());
    }
    waits.sort_unstable();
    let p95 = waits[waits.len() * 95 / 100];
    assert!(p95 < Duration::from_secs(1), "{p95:?} of {} answers", waits.len());
    let (mut refused, mut shed) = (0, 0);
    for attempt in storm {
        let status = attempt.await.unwrap();
        match Reason::of(&status) {
            Reason::InvalidCredentials => refused += 1,
            Reason::Overloaded => {
                assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
                shed += 1;
            }
            _ => panic!("{status}"),
        }
    }
    assert!(refused > 0 && shed > 0, "{refused} were answered, {shed} were shed");
    let calm = service.log_in("Grace", PASSWORD).await.unwrap_err();
    assert_eq!(Reason::of(&calm), Reason::InvalidCredentials);
    Arc::into_inner(service).unwrap().stop().await;
}

#[tokio::test]
async fn a_request_larger_than_64_kib_is_not_read() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let refusal = service.log_in("Ada", &"x".repeat(70 * 1024)).await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::OutOfRange);
    service.stop().await;
}
