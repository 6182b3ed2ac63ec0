use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use service_kit::bus::{EventHandler, Handled, HandlerError, Subscription};
use service_kit::event::{self, Event};
use service_kit::reason::Reason;
use testbed::Database;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use voltgate_proto::auth::v1::SignUpRequest;
use voltgate_proto::events::v1::AccountSignedUp;

use crate::service::{PASSWORD, Service, Setup, ada, reason, violations};

#[tokio::test]
async fn a_signup_answers_with_the_account_and_a_token_that_opens_its_profile() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let answer = service.sign_up(ada()).await.unwrap();
    assert_eq!(
        (answer.username.as_str(), answer.token_type.as_str(), answer.expires_in),
        ("Ada", "Bearer", 300)
    );

    let profile = service.profile(&answer.access_token).await.unwrap();
    assert_eq!(profile.id, answer.id);
    assert_eq!(profile.username, "Ada");
    assert_eq!(profile.email.as_deref(), Some("ada@example.com"));
    assert_eq!(profile.roles, ["driver"]);
    service.stop().await;
}

#[tokio::test]
async fn the_email_may_be_left_out_when_the_username_is_one() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let request = SignUpRequest {
        username: "ada@example.com".to_owned(),
        email: None,
        ..ada()
    };
    let answer = service.sign_up(request).await.unwrap();
    let profile = service.profile(&answer.access_token).await.unwrap();
    assert_eq!(profile.email.as_deref(), Some("ada@example.com"));
    service.stop().await;
}

#[tokio::test]
async fn a_username_is_taken_in_every_spelling_of_its_case() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.sign_up(ada()).await.unwrap();
    for username in ["Ada", "ADA", "aDa"] {
        let refusal = service
            .sign_up(SignUpRequest {
                username: username.to_owned(),
                ..ada()
            })
            .await
            .unwrap_err();
        assert_eq!(Reason::of(&refusal), Reason::UsernameTaken);
    }
    assert_eq!(
        service
            .count("SELECT count(*) FROM authentication.outbox WHERE type LIKE '%AccountSignedUp'")
            .await,
        1
    );
    service.stop().await;
}

#[tokio::test]
async fn of_many_signups_with_one_name_at_once_one_succeeds() {
    let database = Database::create().await;
    let service = Arc::new(Service::start(&database).await);
    let attempts: Vec<_> = (0..8)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { service.sign_up(ada()).await })
        })
        .collect();
    let mut succeeded = 0;
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(_) => succeeded += 1,
            Err(status) => assert_eq!(Reason::of(&status), Reason::UsernameTaken),
        }
    }
    assert_eq!(succeeded, 1);
    assert_eq!(
        service
            .count("SELECT count(*) FROM authentication.outbox WHERE type LIKE '%AccountSignedUp'")
            .await,
        1
    );
    Arc::into_inner(service).unwrap().stop().await;
}

#[tokio::test]
async fn an_address_in_use_leaves_the_answer_as_it_is() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.sign_up(ada()).await.unwrap();
    let second = service
        .sign_up(SignUpRequest {
            username: "grace".to_owned(),
            ..ada()
        })
        .await
        .unwrap();
    assert_eq!(second.username, "grace");
    assert!(service.profile(&second.access_token).await.is_ok());
    service.stop().await;
}

#[tokio::test]
async fn everything_wrong_with_a_signup_is_said_at_once_by_field() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let refused = async |username: &str, password: &str, email: Option<&str>| {
        let request = SignUpRequest {
            username: username.to_owned(),
            password: password.to_owned(),
            email: email.map(str::to_owned),
        };
        violations(&service.sign_up(request).await.unwrap_err())
    };
    let said = |expected: &[(&str, &str)]| -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(field, problem)| ((*field).to_owned(), (*problem).to_owned()))
            .collect()
    };
    assert_eq!(
        refused("", "", None).await,
        said(&[
            ("username", "is required"),
            ("password", "has fewer than 8 characters"),
            ("email", "is required, as the username is not an email address"),
        ])
    );
    assert_eq!(
        refused("a\0b", "password", Some("nowhere")).await,
        said(&[
            (
                "username",
                "may hold letters, digits and the signs .!#$%&'*+/=?^_`{|}~@- only"
            ),
            ("password", "is among the most common passwords"),
            ("email", "is not an email address"),
        ])
    );
    assert_eq!(
        refused(&"a".repeat(255), &"x".repeat(257), Some("a@example.com")).await,
        said(&[
            ("username", "has more than 254 characters"),
            ("password", "has more than 256 characters")
        ])
    );
    assert_eq!(
        refused("ada", "ada", Some("ada@example.com")).await,
        said(&[
            ("password", "has fewer than 8 characters"),
            ("password", "contains the username")
        ])
    );
    assert_eq!(service.count("SELECT count(*) FROM authentication.account").await, 0);
    service.stop().await;
}

#[tokio::test]
async fn an_account_is_not_stored_without_its_event() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    sqlx::query("ALTER TABLE authentication.outbox ADD CONSTRAINT broken CHECK (false)")
        .execute(&service.database)
        .await
        .unwrap();
    let failure = service.sign_up(ada()).await.unwrap_err();
    assert_eq!(Reason::of(&failure), Reason::Internal);
    assert!(!failure.message().contains("outbox"), "{}", failure.message());
    assert_eq!(service.count("SELECT count(*) FROM authentication.account").await, 0);

    sqlx::query("ALTER TABLE authentication.outbox DROP CONSTRAINT broken")
        .execute(&service.database)
        .await
        .unwrap();
    service.sign_up(ada()).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn whoever_listens_on_the_bus_hears_of_a_signup() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let (heard, mut hears) = mpsc::channel(4);
    let stop = CancellationToken::new();
    let listening = tokio::spawn({
        let (bus, stop) = (setup.bus.clone(), stop.clone());
        let subscription = Subscription {
            queue: "test",
            types: &["voltgate.events.v1.AccountSignedUp"],
            expiring: &[],
        };
        async move { bus.subscribe(subscription, Arc::new(Listener(heard)), stop).await }
    });
    let service = setup.start().await;
    let answer = service.sign_up(ada()).await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(10), hears.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(event.source, "auth-service");
    let signed_up: AccountSignedUp = event::decode(&event).unwrap();
    assert_eq!(signed_up.account_id, answer.id);
    assert_eq!(signed_up.username, "Ada");
    assert_eq!(signed_up.email.as_deref(), Some("ada@example.com"));
    service.stop().await;
    stop.cancel();
    listening.await.unwrap();
}

#[tokio::test]
async fn a_password_is_stored_as_an_argon2id_hash_only() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.sign_up(ada()).await.unwrap();
    let rows = service
        .count(
            "SELECT count(*) FROM authentication.account WHERE password_hash LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'",
        )
        .await;
    assert_eq!(rows, 1);
    let stored: String = sqlx::query_scalar("SELECT account::text FROM authentication.account")
        .fetch_one(&service.database)
        .await
        .unwrap();
    assert!(!stored.contains(PASSWORD));
    service.stop().await;
}

struct Listener(mpsc::Sender<Event>);

#[async_trait]
impl EventHandler for Listener {
    async fn handle(&self, event: &Event) -> Result<Handled, HandlerError> {
        self.0
            .send(event.clone())
            .await
            .map_err(|error| HandlerError::Retry(error.to_string()))?;
        Ok(Handled::New)
    }
}

/// Whoever signs up again and again with somebody else's address gets the same answer each time.
#[tokio::test]
async fn a_mailbox_is_not_flooded_by_signing_up_again_and_again() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.clock.stop();
    let sign_up = async |number: u8, email: &str| {
        let request = SignUpRequest {
            username: format!("mallory{number}"),
            email: Some(email.to_owned()),
            ..ada()
        };
        let answer = service.sign_up_from([192, 0, 2, number], request).await.unwrap();
        service.profile(&answer.access_token).await.unwrap()
    };
    for number in 0..10 {
        let email = if number % 2 == 0 {
            "ada@example.com"
        } else {
            "ADA@example.com"
        };
        assert_eq!(sign_up(number, email).await.email.as_deref(), Some(email));
    }
    let codes = "SELECT count(*) FROM authentication.outbox WHERE type LIKE '%EmailVerificationRequested'";
    assert_eq!(service.count(codes).await, 4);
    let welcomes = "SELECT count(*) FROM authentication.outbox
        WHERE type LIKE '%AccountSignedUp' AND position('@example.com'::bytea IN data) > 0";
    assert_eq!(service.count(welcomes).await, 4);
    sign_up(10, "grace@example.com").await;
    assert_eq!(service.count(codes).await, 5, "another mailbox is not concerned");
    service.stop().await;
}

/// The mail that was not sent for want of an account is not counted.
#[tokio::test]
async fn a_signup_that_fails_costs_its_mailbox_nothing() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.sign_up(ada()).await.unwrap();
    for _ in 0..5 {
        assert_eq!(reason(service.sign_up(ada()).await), Reason::UsernameTaken);
    }
    let request = SignUpRequest {
        username: "grace".to_owned(),
        ..ada()
    };
    service.sign_up(request).await.unwrap();
    let codes = "SELECT count(*) FROM authentication.outbox WHERE type LIKE '%EmailVerificationRequested'";
    assert_eq!(service.count(codes).await, 2);
    service.stop().await;
}

/// A failure of the database is nobody's attempt.
#[tokio::test]
async fn a_signup_that_the_database_fails_costs_no_attempt() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.clock.stop();
    let fails = "CREATE FUNCTION authentication.fails() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION 'as the test wants it'; END $$";
    sqlx::query(fails).execute(&service.database).await.unwrap();
    let counted = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM authentication.throttle WHERE empty_at > $1")
            .bind(service.now())
            .fetch_one(&service.database)
            .await
            .unwrap()
    };
    for (trigger, off) in [
        // The address is counted, and then the mailbox cannot be.
        (
            "CREATE TRIGGER fails BEFORE INSERT ON authentication.throttle FOR EACH ROW
             WHEN (NEW.empty_at > now() + interval '2 minutes') EXECUTE FUNCTION authentication.fails()",
            "DROP TRIGGER fails ON authentication.throttle",
        ),
        (
            "CREATE TRIGGER fails BEFORE INSERT ON authentication.session FOR EACH ROW
             EXECUTE FUNCTION authentication.fails()",
            "DROP TRIGGER fails ON authentication.session",
        ),
    ] {
        sqlx::query(trigger).execute(&service.database).await.unwrap();
        let refused = service.sign_up(ada()).await;
        assert_eq!(reason(refused), Reason::Internal, "{trigger}");
        assert_eq!(counted().await, 0, "{trigger}");
        sqlx::query(off).execute(&service.database).await.unwrap();
    }
    service.sign_up(ada()).await.unwrap();
    assert_eq!(counted().await, 2, "the address and the mailbox");
    service.stop().await;
}
