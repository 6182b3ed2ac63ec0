use std::time::Duration;

use chrono::TimeDelta;
use service_kit::reason::Reason;
use service_kit::start::StartError;
use testbed::Database;
use tonic::Status;
use voltgate_proto::auth::v1::{ListSigningKeysRequest, RotateSigningKeysRequest, SigningKey, WatchRevocationsRequest};

use crate::service::{PASSWORD, Service, Setup, ada, authorized};

/// A service with an administrator, on the clock of `setup`.
fn with_administrator(database: &Database) -> Setup {
    let mut setup = Setup::on(database);
    setup.settings.admin_password = Some(PASSWORD.to_owned());
    setup
}

/// The key that signs a new token of Ada's, and the token.
async fn signed(service: &Service) -> (String, String) {
    let token = service.log_in("Ada", PASSWORD).await.unwrap().access_token;
    let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
    (kid, token)
}

async fn published(service: &Service) -> Vec<String> {
    let (keys, _) = service.jwks().await;
    let keys = keys["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// What one replica does of its own accord, or another did, shows within a moment.
async fn soon<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} does not happen")
}

async fn rotate(service: &Service, compromised: bool) -> Result<Vec<SigningKey>, Status> {
    let token = service.log_in("admin", PASSWORD).await.unwrap().access_token;
    let request = authorized(RotateSigningKeysRequest { compromised }, &token);
    let answer = service.signing_keys.clone().rotate_signing_keys(request).await?;
    Ok(answer.into_inner().signing_keys)
}

#[tokio::test]
async fn a_scheduled_key_is_published_before_it_signs_and_the_one_before_goes_when_its_last_token_has() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let clock = setup.clock.clone();
    let service = setup.clone().start().await;
    service.sign_up(ada()).await.unwrap();
    let (first, _) = signed(&service).await;
    // A start does at once what else waits for its turn.
    let restart = async |service: Service| {
        service.stop().await;
        setup.clone().start().await
    };
    clock.advance(TimeDelta::days(30) - TimeDelta::minutes(50));
    let service = restart(service).await;
    let keys = soon("a second key", async || {
        Some(published(&service).await).filter(|keys| keys.len() == 2)
    })
    .await;
    assert_eq!(keys[1], first);
    let (kid, token) = signed(&service).await;
    assert_eq!(kid, first, "the next one does not sign yet");

    clock.advance(TimeDelta::minutes(61));
    assert!(service.profile(&token).await.is_err(), "it has expired by now");
    let (kid, _) = signed(&service).await;
    assert_eq!(kid, keys[0]);
    assert_eq!(published(&service).await, keys);
    clock.advance(TimeDelta::minutes(11));
    let service = restart(service).await;
    soon("the first key goes", async || {
        (published(&service).await == [kid.clone()]).then_some(())
    })
    .await;
    assert_eq!(signed(&service).await.0, kid);
    service.stop().await;
}

#[tokio::test]
async fn replicas_that_find_a_key_due_at_the_same_time_make_one() {
    let database = Database::create().await;
    let setup = Setup::on(&database);
    setup.clone().start().await.stop().await;
    setup.clock.advance(TimeDelta::days(30));
    let replica = || setup.clone().start();
    let replicas = tokio::join!(replica(), replica(), replica(), replica());
    for replica in <[Service; 4]>::from(replicas) {
        soon("a second key", async || {
            (published(&replica).await.len() == 2).then_some(())
        })
        .await;
        replica.stop().await;
    }
}

#[tokio::test]
async fn a_key_made_by_command_signs_at_every_replica_and_what_was_signed_before_stays_valid() {
    let database = Database::create().await;
    let one = with_administrator(&database).start().await;
    let other = Service::start(&database).await;
    one.sign_up(ada()).await.unwrap();
    let (first, old) = signed(&one).await;
    let keys = rotate(&one, false).await.unwrap();
    let states: Vec<_> = keys.iter().map(|key| key.state.as_str()).collect();
    assert_eq!(states, ["current", "old"]);
    assert!(keys[0].verifies_until.is_none() && keys[1].verifies_until.is_some());

    let (kid, new) = signed(&one).await;
    assert_eq!((&kid, &first), (&keys[0].id, &keys[1].id));
    // Though it may not have heard of the key.
    assert!(other.profile(&new).await.is_ok());
    soon("the other signs with it", async || {
        (signed(&other).await.0 == kid).then_some(())
    })
    .await;
    for service in [&one, &other] {
        assert!(service.profile(&old).await.is_ok());
        assert_eq!(published(service).await, [kid.clone(), first.clone()]);
    }
    let audited = "SELECT count(*) FROM authentication.audit WHERE action = 'signing-keys.rotated'";
    assert_eq!(one.count(audited).await, 1);
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn what_compromised_keys_signed_is_void_at_every_replica_also_where_it_was_seen_before() {
    let database = Database::create().await;
    let one = with_administrator(&database).start().await;
    let other = Service::start(&database).await;
    one.sign_up(ada()).await.unwrap();
    let (_, old) = signed(&one).await;
    for service in [&one, &other] {
        service.profile(&old).await.unwrap();
    }
    let keys = rotate(&one, true).await.unwrap();
    assert_eq!(keys.len(), 1);
    let refusal = one.profile(&old).await.unwrap_err();
    assert_eq!(Reason::of(&refusal), Reason::InvalidToken);
    soon("the other refuses", async || other.profile(&old).await.err()).await;
    let (kid, new) = signed(&other).await;
    assert_eq!(kid, keys[0].id);
    for service in [&one, &other] {
        service.profile(&new).await.unwrap();
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn nobody_but_an_administrator_sees_or_replaces_keys() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let mut client = service.signing_keys.clone();
    let seen = client
        .list_signing_keys(authorized(ListSigningKeysRequest {}, &token))
        .await;
    let replaced = client
        .rotate_signing_keys(authorized(RotateSigningKeysRequest { compromised: true }, &token))
        .await;
    for refusal in [seen.unwrap_err(), replaced.unwrap_err()] {
        assert_eq!(Reason::of(&refusal), Reason::PermissionDenied);
    }
    service.stop().await;
}

#[tokio::test]
async fn the_key_set_holds_one_public_key_and_nothing_private() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let (keys, content_type) = service.jwks().await;
    assert_eq!(content_type, "application/jwk-set+json");
    let keys = keys["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    let mut members: Vec<_> = keys[0].as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
    service.stop().await;
}

/// Whoever verifies tokens tells by it which of two sets is the newer one.
#[tokio::test]
async fn each_change_of_the_keys_has_a_number_that_every_replica_tells_with_them() {
    let database = Database::create().await;
    let one = with_administrator(&database).start().await;
    let other = Service::start(&database).await;
    let revision = async |service: &Service| service.jwks().await.0["revision"].as_i64().unwrap();
    let first = revision(&one).await;
    assert_eq!(revision(&other).await, first);
    for (changes, compromised) in [(1, false), (2, true)] {
        rotate(&one, compromised).await.unwrap();
        assert_eq!(revision(&one).await, first + changes);
        soon("the other tells the same", async || {
            (revision(&other).await == first + changes).then_some(())
        })
        .await;
        assert_eq!(one.jwks().await, other.jwks().await);
    }
    // And the stream that carries them.
    let bearer = one.service_tokens().bearer().unwrap();
    let request = authorized(WatchRevocationsRequest {}, bearer.strip_prefix("Bearer ").unwrap());
    let stream = one.verification.clone().watch_revocations(request).await;
    let mut stream = stream.unwrap().into_inner();
    let told = loop {
        let told = stream.message().await.unwrap().unwrap();
        if !told.key_ids.is_empty() {
            break told;
        }
    };
    assert_eq!(told.key_ids, published(&one).await);
    assert_eq!(told.keys_revision, first + 2);
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_token_survives_a_restart() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let answer = service.sign_up(ada()).await.unwrap();
    let keys = service.jwks().await;
    service.stop().await;

    let service = Service::start(&database).await;
    assert_eq!(service.jwks().await, keys);
    assert_eq!(service.profile(&answer.access_token).await.unwrap().id, answer.id);
    service.stop().await;
}

#[tokio::test]
async fn replicas_that_start_at_once_accept_each_others_tokens() {
    let database = Database::create().await;
    let (one, other) = tokio::join!(Service::start(&database), Service::start(&database));
    assert_eq!(one.jwks().await, other.jwks().await);
    let answer = one.sign_up(ada()).await.unwrap();
    assert!(other.profile(&answer.access_token).await.is_ok());
    one.stop().await;
    other.stop().await;
}

/// Keys can be read but not written until every replica has looked, so that without the lock each would make one.
#[tokio::test]
async fn replicas_that_find_no_key_at_the_same_time_make_one() {
    let database = Database::create().await;
    let first = Service::start(&database).await;
    sqlx::query("DELETE FROM authentication.signing_key")
        .execute(&first.database)
        .await
        .unwrap();
    let mut read_only = first.database.begin().await.unwrap();
    sqlx::query("LOCK TABLE authentication.signing_key IN SHARE MODE")
        .execute(&mut *read_only)
        .await
        .unwrap();
    let replicas: Vec<_> = (0..4).map(|_| tokio::spawn(Setup::on(&database).build())).collect();
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let all_wait = async {
        while first.count(waiting).await < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all_wait)
        .await
        .expect("every replica looks for a key");
    read_only.commit().await.unwrap();
    for replica in replicas {
        replica.await.unwrap().unwrap();
    }
    let keys = first.count("SELECT count(*) FROM authentication.signing_key").await;
    assert_eq!(keys, 1);
    first.stop().await;
}

#[tokio::test]
async fn a_token_for_another_audience_is_not_valid_though_the_key_is_the_same() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let elsewhere = Setup {
        audience: "elsewhere".to_owned(),
        ..Setup::on(&database)
    }
    .start()
    .await;
    let answer = elsewhere.sign_up(ada()).await.unwrap();
    let refusal = service.profile(&answer.access_token).await.unwrap_err();
    assert_eq!(Reason::of(&refusal), Reason::InvalidToken);
    service.stop().await;
    elsewhere.stop().await;
}

#[tokio::test]
async fn a_start_with_another_secret_fails_by_the_name_of_the_setting() {
    let database = Database::create().await;
    Service::start(&database).await.stop().await;
    let mut setup = Setup::on(&database);
    setup.settings.auth_secret = Some("another secret, but long enough to be one".to_owned());
    let error = setup.build().await.err().unwrap();
    assert!(
        matches!(
            error,
            StartError::Setting {
                name: "AUTH_SECRET",
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_start_without_a_secret_fails_before_anything_is_touched() {
    let database = Database::create().await;
    for secret in [None, Some("change-me".to_owned())] {
        let mut setup = Setup::on(&database);
        setup.settings.auth_secret = secret;
        let error = setup.build().await.err().unwrap();
        assert!(
            matches!(
                error,
                StartError::Setting {
                    name: "AUTH_SECRET",
                    ..
                }
            ),
            "{error}"
        );
    }
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let schema: Option<String> = sqlx::query_scalar("SELECT to_regnamespace('authentication')::text")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(schema, None);
    pool.close().await;
}

#[tokio::test]
async fn a_port_in_use_is_named_by_its_setting() {
    let database = Database::create().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut setup = Setup::on(&database);
    setup.settings.auth_listen = taken.local_addr().unwrap();
    let error = setup.build().await.err().unwrap();
    assert!(error.to_string().starts_with("AUTH_LISTEN: "), "{error}");
}
