use std::time::Duration;

use service_kit::reason::Reason;
use service_kit::start::StartError;
use testbed::Database;

use crate::service::{Service, Setup, ada};

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
